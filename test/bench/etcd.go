package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// workersPerClient is how many workers share a connection of a client that multiplexes. One for all of them would be
// the bottleneck, one for each would cost the server more than it gains.
const workersPerClient = 16

// clients is how many multiplexing connections that many workers get.
func clients(workers int) int { return (workers + workersPerClient - 1) / workersPerClient }

// etcd is three nodes of etcd with their defaults, which sync every write.
type etcd struct{ binary string }

func (e *etcd) name() string { return "etcd" }

func (e *etcd) settings() string {
	return "three nodes, defaults; Txn If(CreateRevision = 0) Then(Put) with one lease for all, by clientv3 over gRPC " +
		"to the leader, a connection for 16 workers"
}

func (e *etcd) work(o options) []task { return tasks(o, claimWork) }

func (e *etcd) prepare(ctx context.Context, dir string) (string, error) {
	e.binary = filepath.Join(dir, "etcd")
	if err := goBuild(ctx, ".", "go.etcd.io/etcd/server/v3", e.binary); err != nil {
		return "", err
	}
	return versionOf(ctx, e.binary, "--version")
}

func (e *etcd) start(ctx context.Context, dir string) (system, error) {
	const nodes = 3
	addresses, err := freeAddresses(2 * nodes)
	if err != nil {
		return nil, err
	}
	var plans []plan
	var endpoints, members []string
	for i := range nodes {
		name := fmt.Sprintf("etcd%d", i+1)
		client, peer := "http://"+addresses[i], "http://"+addresses[nodes+i]
		endpoints = append(endpoints, client)
		members = append(members, name+"="+peer)
		data := filepath.Join(dir, name)
		plans = append(plans, plan{name: name, dir: data, path: e.binary, args: []string{
			"--name=" + name, "--data-dir=" + filepath.Join(data, "data"), "--log-level=warn",
			"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster-state=new",
		}})
	}
	for i := range plans {
		plans[i].args = append(plans[i].args, "--initial-cluster="+strings.Join(members, ","))
	}
	servers, err := startServers(plans)
	if err != nil {
		return nil, err
	}
	running := etcdCluster{endpoints}
	if err := awaitServing(ctx, servers, running.ready); err != nil {
		stopAll(servers)
		return nil, err
	}
	return &claimed{servers: servers, dial: running.dial}, nil
}

type etcdCluster struct{ endpoints []string }

// probePatience bounds one question to a server that may not be up yet.
const probePatience = 2 * time.Second

// ready is nil when all nodes follow the same leader.
func (c etcdCluster) ready(ctx context.Context) error {
	_, err := c.leader(ctx)
	return err
}

// leader returns the endpoint of the leader.
func (c etcdCluster) leader(ctx context.Context) (string, error) {
	var leader string
	for _, endpoint := range c.endpoints {
		leads, err := leadsEtcd(ctx, endpoint)
		if err != nil {
			return "", fmt.Errorf("%s: %w", endpoint, err)
		}
		if leads {
			leader = endpoint
		}
	}
	if leader == "" {
		return "", errors.New("no node leads")
	}
	return leader, nil
}

func leadsEtcd(ctx context.Context, endpoint string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	client, err := clientv3.New(clientv3.Config{Context: ctx, Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		return false, err
	}
	defer client.Close()
	status, err := client.Status(ctx, endpoint)
	if err != nil {
		return false, err
	}
	if status.Leader == 0 {
		return false, errors.New("it follows no leader")
	}
	return status.Leader == status.Header.MemberId, nil
}

func (c etcdCluster) dial(ctx context.Context, workers int) ([]claim, func(), error) {
	leader, err := c.leader(ctx)
	if err != nil {
		return nil, nil, err
	}
	var open []*clientv3.Client
	hangUp := func() {
		for _, client := range open {
			_ = client.Close() // nothing is in flight any more
		}
	}
	for range clients(workers) {
		client, err := clientv3.New(clientv3.Config{
			Endpoints: []string{leader}, DialTimeout: dialPatience, Logger: zap.NewNop(), // errors are ours to tell
		})
		if err != nil {
			hangUp()
			return nil, nil, err
		}
		open = append(open, client)
	}
	lease, err := open[0].Grant(ctx, claimTTLSeconds)
	if err != nil {
		hangUp()
		return nil, nil, fmt.Errorf("granting the lease: %w", err)
	}
	var claims []claim
	for i := range workers {
		claims = append(claims, claimEtcd(open[i%len(open)], lease.ID))
	}
	return claims, hangUp, nil
}

func claimEtcd(client *clientv3.Client, lease clientv3.LeaseID) claim {
	return func(ctx context.Context, key string) error {
		answer, err := client.Txn(ctx).
			If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
			Then(clientv3.OpPut(key, claimValue, clientv3.WithLease(lease))).
			Commit()
		if err != nil {
			return err
		}
		if !answer.Succeeded {
			return errNotGranted
		}
		return nil
	}
}
