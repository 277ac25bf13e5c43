package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// nats is three nodes of NATS with JetStream, and a key-value bucket on all three.
type nats struct{ binary string }

func (n *nats) name() string { return "nats" }

func (n *nats) settings() string {
	return "three nodes, JetStream with `sync_interval: always`, KV bucket of 3 replicas; kv.Create by nats.go to the " +
		"bucket's leader, a connection for 16 workers"
}

func (n *nats) work(o options) []task { return tasks(o, claimWork) }

func (n *nats) prepare(ctx context.Context, dir string) (string, error) {
	n.binary = filepath.Join(dir, "nats-server")
	if err := goBuild(ctx, ".", "github.com/nats-io/nats-server/v2", n.binary); err != nil {
		return "", err
	}
	return versionOf(ctx, n.binary, "--version")
}

// natsBucket is the name of the bucket, natsStream that of the stream below it.
const (
	natsBucket = "locks"
	natsStream = "KV_" + natsBucket
)

const natsConfiguration = `server_name: %s
listen: %q
jetstream { store_dir: %q, sync_interval: always }
cluster { name: bench, listen: %q, routes: [%s] }
`

func (n *nats) start(ctx context.Context, dir string) (system, error) {
	const nodes = 3
	addresses, err := freeAddresses(2 * nodes)
	if err != nil {
		return nil, err
	}
	var routes []string
	for _, address := range addresses[nodes:] {
		routes = append(routes, fmt.Sprintf("%q", "nats://"+address))
	}
	cluster := natsCluster{urls: make(map[string]string)}
	var plans []plan
	for i := range nodes {
		name := fmt.Sprintf("nats%d", i+1)
		data, config := filepath.Join(dir, name), filepath.Join(dir, name+".conf")
		text := fmt.Sprintf(natsConfiguration, name, addresses[i], data, addresses[nodes+i], strings.Join(routes, ", "))
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			return nil, err
		}
		cluster.urls[name] = "nats://" + addresses[i]
		plans = append(plans, plan{name: name, dir: data, path: n.binary, args: []string{"-c", config}})
	}
	servers, err := startServers(plans)
	if err != nil {
		return nil, err
	}
	if err := awaitServing(ctx, servers, cluster.createBucket); err != nil {
		stopAll(servers)
		return nil, err
	}
	return &claimed{servers: servers, dial: cluster.dial}, nil
}

// natsCluster is where the nodes are, by name.
type natsCluster struct{ urls map[string]string }

// anyURL lists all of them.
func (c natsCluster) anyURL() string {
	var all []string
	for _, url := range c.urls {
		all = append(all, url)
	}
	return strings.Join(all, ",")
}

// createBucket fails as long as the nodes have no leader for it.
func (c natsCluster) createBucket(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	conn, err := natsgo.Connect(c.anyURL())
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	_, err = js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: natsBucket, Replicas: len(c.urls), Storage: jetstream.FileStorage,
		TTL: claimTTLSeconds * time.Second,
	})
	if err != nil {
		return fmt.Errorf("creating the bucket: %w", err)
	}
	_, err = c.leader(ctx)
	return err
}

// leader returns the URL of the node that leads the bucket's stream, once both others are up to date with it.
func (c natsCluster) leader(ctx context.Context) (string, error) {
	conn, err := natsgo.Connect(c.anyURL())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return "", err
	}
	stream, err := js.Stream(ctx, natsStream)
	if err != nil {
		return "", err
	}
	cluster := stream.CachedInfo().Cluster
	if cluster == nil || cluster.Leader == "" {
		return "", fmt.Errorf("stream %s has no leader", natsStream)
	}
	for _, replica := range cluster.Replicas {
		if !replica.Current {
			return "", fmt.Errorf("replica %s is behind", replica.Name)
		}
	}
	url, known := c.urls[cluster.Leader]
	if !known || len(cluster.Replicas) != len(c.urls)-1 {
		return "", fmt.Errorf("stream %s is led by %q with %d replicas", natsStream, cluster.Leader, len(cluster.Replicas))
	}
	return url, nil
}

func (c natsCluster) dial(ctx context.Context, workers int) ([]claim, func(), error) {
	leader, err := c.leader(ctx)
	if err != nil {
		return nil, nil, err
	}
	var open []*natsgo.Conn
	hangUp := func() {
		for _, conn := range open {
			conn.Close()
		}
	}
	var buckets []jetstream.KeyValue
	for range clients(workers) {
		conn, err := natsgo.Connect(leader, natsgo.DontRandomize(), natsgo.IgnoreDiscoveredServers())
		if err != nil {
			hangUp()
			return nil, nil, err
		}
		open = append(open, conn)
		bucket, err := natsBucketOf(ctx, conn)
		if err != nil {
			hangUp()
			return nil, nil, err
		}
		buckets = append(buckets, bucket)
	}
	var claims []claim
	for i := range workers {
		claims = append(claims, claimNATS(buckets[i%len(buckets)]))
	}
	return claims, hangUp, nil
}

func natsBucketOf(ctx context.Context, conn *natsgo.Conn) (jetstream.KeyValue, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	return js.KeyValue(ctx, natsBucket)
}

// claimNATS relies on Create failing for every key that is there already.
func claimNATS(bucket jetstream.KeyValue) claim {
	return func(ctx context.Context, key string) error {
		_, err := bucket.Create(ctx, key, []byte(claimValue))
		return err
	}
}
