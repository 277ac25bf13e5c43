package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// maxPrepareAttempts is how often the preparation tries to store a key.
const maxPrepareAttempts = 100

// benchRun is one measurement of a cluster, with the connections that stay open from its preparation to its end.
type benchRun struct {
	t           *terminal
	workload    *workload
	leadership  *leadership
	connections []*connection
	servers     *benchServers
}

func newBenchRun(t *terminal, l *workload, d dialling, servers *benchServers) *benchRun {
	r := &benchRun{t: t, workload: l, leadership: d.leadership, servers: servers}
	for i := range l.options.connections {
		r.connections = append(r.connections, &connection{dialling: d, script: l.script(i)})
	}
	return r
}

// measure prepares the keys, warms up and measures. A ctx that ends cuts the measurement short.
func (r *benchRun) measure(ctx context.Context) (*benchResult, error) {
	defer func() {
		for _, c := range r.connections {
			c.hangUp()
		}
	}()
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	o := r.workload.options
	if o.warmUp > 0 {
		if _, err := r.phase(ctx, "warming up", o.warmUp); err != nil {
			return nil, err
		}
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("before the measurement: %w", context.Cause(ctx))
	}
	changes := r.leadership.changes.Load()
	before, own := r.servers.usage(ctx), ownCPU()
	m, err := r.phase(ctx, "measuring", o.duration)
	if err != nil {
		return nil, err
	}
	m.generatorCPU = ownCPU() - own
	m.servers = before.until(r.servers.usage(context.WithoutCancel(ctx)))
	m.servers.asked = len(r.servers.nodes)
	m.leader = r.leadership.leader.Load().String()
	m.leaderChanges = r.leadership.changes.Load() - changes
	return m.result(o), nil
}

// phase puts the load on the cluster for a while.
func (r *benchRun) phase(ctx context.Context, name string, d time.Duration) (*measurement, error) {
	timer, err := newExactTimer(ctx)
	if err != nil {
		return nil, err
	}
	defer timer.close()
	counts := &tallies{}
	start := make(chan struct{})
	var p pace
	var connected, done sync.WaitGroup
	connected.Add(len(r.connections))
	for i, c := range r.connections {
		done.Go(func() {
			_ = c.connect(ctx, time.Now()) // it is tried again, and an error then counted
			connected.Done()
			<-start
			c.work(ctx, p, counts.of(i))
		})
	}
	connected.Wait()
	began := time.Now()
	p = r.pace(ctx, began, d, timer)
	show := r.t.startLoadMeter(name, d, counts.progress)
	close(start)
	done.Wait()
	elapsed := time.Since(began)
	show.finish()
	if ctx.Err() == nil {
		elapsed = max(elapsed, d) // in an open loop the last request may be due before the end
	}
	unsent, err := p.end()
	return &measurement{tally: counts.total(), elapsed: elapsed, unsent: unsent}, err
}

func (r *benchRun) pace(ctx context.Context, start time.Time, d time.Duration, timer *exactTimer) pace {
	if rate := r.workload.options.rate; rate > 0 {
		p := newOpenLoop(ctx, start, d, rate)
		p.wait = timer.wait
		return p
	}
	return &closedLoop{ctx: ctx, until: start.Add(d)}
}

// prepare stores the keys that the scenario finds completed, and locks those that it finds held.
func (r *benchRun) prepare(ctx context.Context) error {
	l := r.workload
	if !l.options.keepsKeys() {
		return nil
	}
	put := func() *benchBody { return l.putBody(keptKey, "") }
	if err := r.each(ctx, l.options.keys, callPut, put); err != nil {
		return fmt.Errorf("preparing completed keys: %w", err)
	}
	if l.options.scenario != scenarioMixed {
		return nil
	}
	claim := func() *benchBody { return l.claimBody(heldKey, l.options.heldMembers()) }
	if err := r.each(ctx, heldKeys, callClaim, claim); err != nil {
		return fmt.Errorf("preparing held keys: %w", err)
	}
	return nil
}

// each makes a call for every key up to a number, on all connections.
func (r *benchRun) each(ctx context.Context, keys int, call benchCall, newBody func() *benchBody) error {
	var next, stored atomic.Int64
	show := r.t.startLoadMeter("preparing", 0, func() (int64, int64) { return stored.Load(), 0 })
	defer show.finish()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var done sync.WaitGroup
	for _, c := range r.connections[:min(len(r.connections), keys)] {
		done.Go(func() {
			b := newBody()
			for n := next.Add(1) - 1; n < int64(keys) && ctx.Err() == nil; n = next.Add(1) - 1 {
				b.setKey(0, uint64(n))
				if err := c.insist(ctx, call, b.text); err != nil {
					cancel(err)
					return
				}
				stored.Add(1)
			}
		})
	}
	done.Wait()
	return context.Cause(ctx)
}

// lasting are the kinds of errors that another attempt does not change.
var lasting = []string{"invalid_field", "body_too_large", "invalid_api_key", "usage_limit_exceeded", kindUnknownLeader}

// insist makes a call until it succeeds, or it is clear that it will not.
func (c *connection) insist(ctx context.Context, call benchCall, body []byte) error {
	for attempt := 1; ; attempt++ {
		r, err := c.ask(ctx, call, body, time.Now())
		kind := ""
		switch {
		case err != nil:
			kind = kindOfError(err)
		case r.status != http.StatusOK:
			kind = kindOfRefusal(r)
			err = fmt.Errorf("status %d, %s", r.status, shorten(string(r.body)))
		case outcomeOf(call, r.body) == outcomeFailed:
			kind = kindMalformed
			err = fmt.Errorf("%w: %s", errMalformed, shorten(string(r.body)))
		default:
			return nil
		}
		if attempt == maxPrepareAttempts || slices.Contains(lasting, kind) || ctx.Err() != nil {
			return unreachable("%s answers: %w", c.at, err)
		}
		c.rest(ctx, kind)
	}
}

// ownCPU is the processor time that this process has used.
func ownCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0 // the arguments are good, so that this does not happen
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
