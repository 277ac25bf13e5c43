package main

import (
	"context"
	"time"
)

// peer is a system that grants locks.
type peer interface {
	// name is the peer's word in -only, in tables and in results.
	name() string
	// settings says in a line what is started.
	settings() string
	// prepare finds or builds the peer's programs, in dir, and returns their version. An error means that the machine
	// lacks them.
	prepare(ctx context.Context, dir string) (version string, err error)
	// start brings the peer up, with its data in dir, which exists and is empty, and returns once it can serve.
	start(ctx context.Context, dir string) (system, error)
	// work lists what can be measured of the peer, in order.
	work(o options) []task
}

// system is a peer that runs.
type system interface {
	// run puts a task's load on the system and returns what was measured. Any request that fails fails the run.
	run(ctx context.Context, t task) (measurement, error)
	// stop ends all processes of the system, and returns when they are gone.
	stop()
}

// task is one run to measure.
type task struct {
	Scenario    string
	Connections int
	warmUp      time.Duration
	duration    time.Duration
}

// Scenarios. An operation is a claim and, in complete, also the call that stores its result.
const (
	claimWork    = "claim"    // a new key each time
	replayWork   = "replay"   // keys whose result is stored
	completeWork = "complete" // a claim, and storing its result
	batchWork    = "batch"    // claims by the hundred
)

var scenarios = []string{claimWork, replayWork, completeWork, batchWork}

// maxBatchConnections is how many batches may be in flight. A node queues 8192 claims and refuses more as busy, which
// would measure refusals.
const maxBatchConnections = 64

// tasks combines a scenario with the numbers of connections.
func tasks(o options, scenario string) []task {
	var all []task
	for _, n := range o.connections {
		if scenario == batchWork && n > maxBatchConnections {
			continue
		}
		all = append(all, task{Scenario: scenario, Connections: n, warmUp: o.warmUp, duration: o.duration})
	}
	return all
}

// peerNames are the names of all peers, in the order of the table. The baseline is there only if its binary is named.
var peerNames = []string{ourName, baselineName, "etcd", "nats", "postgres", "redis", "redis-wait"}

const (
	ourName      = "syllecta" // what the others are compared with
	baselineName = "baseline" // another binary of ours
)

// newPeers returns the peers to measure.
func newPeers(o options) []peer {
	ours := &syllecta{label: ourName, given: o.syllecta != "", binary: o.syllecta}
	all := []peer{ours}
	if o.baseline != "" {
		all = append(all, &syllecta{label: baselineName, given: true, binary: o.baseline, generator: ours})
	}
	all = append(all, &etcd{}, &nats{}, &postgres{maxConnections: o.mostConnections()}, &redis{}, &redis{replicas: 2})
	var wanted []peer
	for _, p := range all {
		if o.wants(p.name()) {
			wanted = append(wanted, p)
		}
	}
	return wanted
}
