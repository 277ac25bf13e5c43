package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	leaderPoll = 500 * time.Millisecond
	// A node that ended is started again after restartDelay; one that did not even become ready, after twice the time
	// before, up to maxRestartDelay.
	restartDelay    = time.Second
	maxRestartDelay = 16 * time.Second
)

// watch keeps the nodes running and tells what happens, until ctx ends.
func (d *devCluster) watch(ctx context.Context) {
	var watchers sync.WaitGroup
	for _, n := range d.nodes {
		watchers.Go(func() { d.supervise(ctx, n) })
	}
	watchers.Go(func() { d.followLeader(ctx) })
	watchers.Wait()
}

// supervise starts a node again whenever its process has ended.
func (d *devCluster) supervise(ctx context.Context, n *devNode) {
	delay := restartDelay
	for {
		c := n.process.Load()
		select {
		case <-ctx.Done():
			return
		case <-c.exited:
		}
		d.reportExit(n, c)
		if !pause(ctx, delay) {
			return
		}
		if d.restart(ctx, n) {
			delay = restartDelay
		} else {
			delay = min(2*delay, maxRestartDelay)
		}
	}
}

func (d *devCluster) reportExit(n *devNode, c *child) {
	running, all := d.running(), len(d.nodes)
	consequence := "the cluster goes on with %d of %d"
	if 2*running <= all {
		consequence = "%d of %d is no majority, so writes wait"
	}
	message := fmt.Sprintf("%s (pid %d) %s; "+consequence, n.name, c.pid(), c.ending(), running, all)
	d.report.event(event{Event: "exited", Node: n.name, PID: c.pid(), Running: &running, Message: message})
}

// restart starts a node's process and reports whether it became ready.
func (d *devCluster) restart(ctx context.Context, n *devNode) bool {
	if err := d.launch(n); err != nil {
		d.report.event(event{Event: "failed", Node: n.name, Message: err.Error()})
		return false
	}
	pid := n.process.Load().pid()
	d.report.event(event{Event: "started", Node: n.name, PID: pid,
		Message: fmt.Sprintf("started %s again (pid %d)", n.name, pid)})
	ctx, cancel := context.WithTimeout(ctx, devStartLimit)
	defer cancel()
	if err := d.awaitReady(ctx, n); err != nil {
		if ctx.Err() == nil {
			d.report.event(event{Event: "failed", Node: n.name, Message: err.Error()})
		}
		return false
	}
	running := d.running()
	d.report.event(event{Event: "ready", Node: n.name, PID: pid, Running: &running,
		Message: fmt.Sprintf("%s is ready again, %d of %d run", n.name, running, len(d.nodes))})
	return true
}

// followLeader tells when another node leads.
func (d *devCluster) followLeader(ctx context.Context) {
	tick := time.NewTicker(leaderPoll)
	defer tick.Stop()
	known, knownTerm := d.leaderOf(d.statuses(ctx))
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		leader, term := d.leaderOf(d.statuses(ctx))
		if leader == nil || leader == known && term == knownTerm {
			continue
		}
		known, knownTerm = leader, term
		d.report.event(event{Event: "leader", Node: leader.name, Term: term,
			Message: fmt.Sprintf("%s leads now (term %d)", leader.name, term)})
	}
}

// pause waits for d and reports whether it did not end early with ctx.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
