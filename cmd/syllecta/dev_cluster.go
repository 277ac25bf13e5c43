package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	pollInterval = 20 * time.Millisecond
	probeTimeout = 400 * time.Millisecond // of one question for readiness or status
	stopGrace    = 2500 * time.Millisecond
	// warningSettle is how long a warning is held back: of a process that was killed, the other nodes know as soon as dev.
	warningSettle = 100 * time.Millisecond
)

// devCluster is the nodes of dev and what they share.
type devCluster struct {
	options    devOptions
	binary     string
	dir        string
	adminToken string
	nodes      []*devNode
	report     *devReport
	quiet      atomic.Bool // dev itself causes what the nodes warn of: do not show it
}

// devNode is one node: a plan, and the process that carries it out at the moment.
type devNode struct {
	name               string
	http, raft, gossip int // ports on loopback
	process            atomic.Pointer[child]
	ready              atomic.Bool // since its process was started
}

func (n *devNode) url() string { return "http://" + loopbackAddress(n.http) }

func (d *devCluster) logFile(n *devNode) string { return filepath.Join(d.dir, n.name+".log") }

// launch starts a node's process.
func (d *devCluster) launch(n *devNode) error {
	notices := &notices{quiet: d.expectsWarnings, settle: warningSettle, show: func(w warning) {
		d.report.event(event{Event: "warning", Node: n.name, Level: w.level, Message: w.message})
	}}
	n.ready.Store(false)
	c, err := startChild(d.binary, d.serverArgs(n), d.logFile(n), notices)
	if err != nil {
		return fmt.Errorf("starting %s: %w", n.name, err)
	}
	n.process.Store(c)
	return nil
}

// expectsWarnings reports whether the nodes' warnings tell nothing new: the user was told already that a node is gone,
// and the others are full of it until it is back.
func (d *devCluster) expectsWarnings() bool {
	return d.quiet.Load() || slices.ContainsFunc(d.nodes, func(n *devNode) bool {
		return !n.ready.Load() || n.process.Load().hasExited()
	})
}

// serverArgs is the command line of a node. Addresses are all named, so that none comes from the environment.
func (d *devCluster) serverArgs(n *devNode) []string {
	gossip, join := "", []string{}
	if len(d.nodes) > 1 {
		gossip = loopbackAddress(n.gossip)
		for _, other := range d.nodes {
			if other != n {
				join = append(join, loopbackAddress(other.raft))
			}
		}
	}
	return []string{
		"server", "--exit-with-stdin",
		"--node-id=" + n.name,
		"--cluster-name=" + devClusterName,
		"--data-dir=" + filepath.Join(d.dir, n.name),
		"--http-addr=" + loopbackAddress(n.http), "--http-advertise=" + n.url(),
		"--raft-addr=" + loopbackAddress(n.raft), "--raft-advertise=" + loopbackAddress(n.raft),
		"--gossip-addr=" + gossip, "--gossip-advertise=" + gossip,
		"--bootstrap-expect=" + strconv.Itoa(len(d.nodes)),
		"--join=" + strings.Join(join, ","),
		"--admin-token-file=" + d.tokenFile(),
		"--kek-file=" + d.kekFile(),
		"--callback-allow-cidr=127.0.0.0/8,::1/128",
		"--raft-multiplier=" + strconv.Itoa(d.options.raftMultiplier),
		"--log-format=json",
	}
}

// awaitAll waits until every node is ready.
func (d *devCluster) awaitAll(ctx context.Context) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, n := range d.nodes {
		all.Go(func() error { return d.awaitReady(ctx, n) })
	}
	return all.Wait()
}

// awaitReady waits until a node says that it is ready. It fails as soon as its process has ended.
func (d *devCluster) awaitReady(ctx context.Context, n *devNode) error {
	c := n.process.Load()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for !isReady(ctx, n.url()) {
		select {
		case <-c.exited:
			return fmt.Errorf("%s %s: %s", n.name, c.ending(), c.notices.last())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", n.name, ctx.Err())
		case <-tick.C:
		}
	}
	n.ready.Store(true)
	return nil
}

func isReady(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func (d *devCluster) clientOf(n *devNode, token string) *client {
	c, err := newClient(n.url(), token)
	if err != nil {
		panic("a loopback URL is always good: " + err.Error())
	}
	return c
}

func (d *devCluster) adminOf(n *devNode) admin { return admin{d.clientOf(n, d.adminToken)} }

// statuses asks all nodes at once how they see the cluster. A node that does not answer is not in the result.
func (d *devCluster) statuses(ctx context.Context) map[string]nodeStatus {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var mu sync.Mutex
	var asking sync.WaitGroup
	answers := map[string]nodeStatus{}
	for _, n := range d.nodes {
		asking.Go(func() {
			status, err := d.adminOf(n).status(ctx)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			answers[n.name] = status
		})
	}
	asking.Wait()
	return answers
}

// leaderOf returns the node that leads, by its own word; of two, the one that was elected later. Nil if none does.
func (d *devCluster) leaderOf(statuses map[string]nodeStatus) (*devNode, uint64) {
	var leader *devNode
	var term uint64
	for _, n := range d.nodes {
		if s := statuses[n.name]; s.Role == "leader" && s.Term > term {
			leader, term = n, s.Term
		}
	}
	return leader, term
}

// awaitLeader waits until one of the nodes leads.
func (d *devCluster) awaitLeader(ctx context.Context) (*devNode, error) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if leader, _ := d.leaderOf(d.statuses(ctx)); leader != nil {
			return leader, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no node leads: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// running counts the nodes whose process is there.
func (d *devCluster) running() int {
	count := 0
	for _, n := range d.nodes {
		if c := n.process.Load(); c != nil && !c.hasExited() {
			count++
		}
	}
	return count
}

// stop ends all processes: in good order within stopGrace, by force then.
func (d *devCluster) stop() {
	d.quiet.Store(true)
	for _, n := range d.nodes {
		if c := n.process.Load(); c != nil {
			c.terminate()
		}
	}
	grace, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	for _, n := range d.nodes {
		if c := n.process.Load(); c != nil {
			c.awaitExit(grace)
		}
	}
}
