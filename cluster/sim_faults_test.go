package cluster

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

var (
	simSeedsFlag = flag.Int("sim.seeds", 3, "how many random histories TestSimRandomFaults runs")
	simFirstFlag = flag.Uint64("sim.first", 1, "seed of the first random history")
	simTimeFlag  = flag.Int("sim.seconds", 40, "how long each random history is, in simulated seconds")
)

const (
	simClients       = 10
	simTrailing      = 32 // few enough for followers to need snapshots
	simLastWait      = 30 * time.Second
	simFaultPause    = 3 * time.Second
	simFaultDuration = 4 * time.Second
)

// TestSimRandomFaults puts clusters under load and random faults, and checks every invariant afterwards.
func TestSimRandomFaults(t *testing.T) {
	t.Parallel()
	for i := range *simSeedsFlag {
		seed := *simFirstFlag + uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			history := &simHistory{}
			var journal *simJournal
			synctest.Test(t, func(t *testing.T) { journal = runRandomFaults(t, seed, history) })
			journal.check(t)
			history.check(t, journal)
		})
	}
}

// runRandomFaults is one random history.
func runRandomFaults(t *testing.T, seed uint64, history *simHistory) *simJournal {
	c := newSimCluster(t, 3+2*int(seed%2), seed)
	c.trailing = simTrailing
	c.form()
	start := time.Now()
	ctx, stop := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	t.Cleanup(func() { stop(); clients.Wait() })
	for i := range simClients {
		client := newSimClient(c, history, i)
		clients.Go(func() { client.run(ctx) })
	}
	clients.Go(func() { readOnEveryNewLeader(ctx, c, history) })
	faults := &simFaults{simCluster: c}
	faults.run(time.Duration(*simTimeFlag) * time.Second)
	stop()
	clients.Wait()
	c.checkAgreement()
	c.claimEverything(history)
	c.checkAgreement()
	t.Logf("%s", simReport(c, history, faults, time.Since(start)))
	return c.journal
}

func simReport(c *simCluster, history *simHistory, faults *simFaults, took time.Duration) string {
	terms := make(map[uint64]bool)
	for _, e := range c.journal.ordered() {
		terms[e.term] = true
	}
	acked, unknown := 0, 0
	for _, o := range history.ops {
		if o.err == nil {
			acked++
		} else if !o.unapplied() {
			unknown++
		}
	}
	return fmt.Sprintf("sim: %.0f s, %d nodes, faults %v, %d leaders, %d calls, %d acknowledged, %d unknown, %d entries",
		took.Seconds(), len(c.nodes), faults.count, len(terms), len(history.ops), acked, unknown, len(c.journal.entries))
}

// readOnEveryNewLeader reads all keys that were used so far whenever another node has come to lead.
func readOnEveryNewLeader(ctx context.Context, c *simCluster, history *simHistory) {
	start := time.Now()
	var seen uint64
	for ctx.Err() == nil {
		time.Sleep(10 * simPoll)
		s := c.leader(c.nodes...)
		if s == nil {
			continue
		}
		n := s.process.Load()
		if n == nil || n.readyTerm.Load() == seen {
			continue
		}
		seen = n.readyTerm.Load()
		for i := range simKeys * (1 + int(time.Since(start)/simGeneration)) {
			o := c.read(s, time.Second, simRecordID(fmt.Sprintf("key %d.%d", i%simKeys, i/simKeys)))
			o.client = simClients
			history.add(o)
		}
	}
}

// claimEverything claims and reads each key that was used: nothing may be lost, nor locked for ever (L3).
func (c *simCluster) claimEverything(history *simHistory) {
	c.t.Helper()
	keys := make(map[fsm.RecordID]bool)
	for _, o := range history.ops {
		keys[o.id] = true
	}
	leader := c.waitLeader()
	var waiting sync.WaitGroup
	for id := range keys {
		waiting.Go(func() {
			history.add(c.read(leader, time.Second, id))
			o := c.propose(leader, 2*simLastWait, simClaim(id.Key, "last", time.Second), simLastWait)
			history.add(o)
			if o.err != nil || o.result.Outcome != fsm.Granted && o.result.Outcome != fsm.Cached {
				c.t.Errorf("a healthy cluster did not grant a lock that is abandoned: %v", o)
			}
		})
	}
	waiting.Wait()
}

// simFaults breaks a cluster at random, and mends it.
type simFaults struct {
	*simCluster
	count map[string]int
}

// run breaks one thing after the other for a while.
func (f *simFaults) run(d time.Duration) {
	f.count = make(map[string]int)
	kinds := []struct {
		name string
		do   func()
	}{
		{"isolate", f.isolateLeader}, {"split", f.splitAtRandom}, {"split", f.splitAtRandom}, {"one-way", f.oneWay},
		{"transfer", f.transfer}, {"slow", f.slowDown}, {"crash", f.crashOne}, {"crash", f.crashOne}, {"cold", f.coldStart},
		{"clock", f.stepClock}, {"clock", f.stepClock}, {"snapshot", f.takeSnapshot}, {"snapshot", f.takeSnapshot},
	}
	for end := time.Now().Add(d); time.Now().Before(end); {
		f.sleep(simFaultPause)
		k := kinds[f.random.IntN(len(kinds))]
		f.count[k.name]++
		k.do()
	}
}

func (f *simFaults) sleep(longest time.Duration) {
	time.Sleep(time.Duration(f.random.Int64N(int64(longest))))
}

func (f *simFaults) any() *simNode { return f.nodes[f.random.IntN(len(f.nodes))] }

// someone is the leader, if there is one, as often as not.
func (f *simFaults) someone() *simNode {
	if s := f.leader(f.nodes...); s != nil && f.random.IntN(2) == 0 {
		return s
	}
	return f.any()
}

func (f *simFaults) isolateLeader() {
	if s := f.leader(f.nodes...); s != nil {
		f.isolate(s)
		f.sleep(simFaultDuration)
		f.net.heal()
	}
}

// splitAtRandom cuts the cluster in two; either side may hold the leader and the majority, for a short or a long time.
func (f *simFaults) splitAtRandom() {
	nodes := slices.Clone(f.nodes)
	f.random.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	f.split(nodes[:1+f.random.IntN(len(nodes)/2)])
	f.sleep(simFaultDuration)
	f.net.heal()
}

// oneWay loses the messages of some links in one direction.
func (f *simFaults) oneWay() {
	s := f.someone()
	for _, peer := range f.others(s) {
		switch f.random.IntN(3) {
		case 0:
			f.net.cut(s.addr, peer.addr)
		case 1:
			f.net.cut(peer.addr, s.addr)
		}
	}
	f.sleep(simFaultDuration)
	f.net.heal()
}

func (f *simFaults) transfer() {
	if s := f.leader(f.nodes...); s != nil {
		_ = s.process.Load().raft.LeadershipTransfer().Error() // may well fail
	}
}

// slowDown makes messages take long, but for less than elections need to start all the time.
func (f *simFaults) slowDown() {
	f.net.setMaxDelay(80 * time.Millisecond)
	f.sleep(simFaultDuration)
	f.net.setMaxDelay(time.Millisecond)
}

// crashOne ends a node, in order or not, and starts it again.
func (f *simFaults) crashOne() {
	s := f.someone()
	if f.random.IntN(4) == 0 {
		f.stop(s)
	} else {
		f.crash(s)
	}
	f.sleep(simFaultDuration)
	f.restart(s)
}

// coldStart ends all nodes and starts them again.
func (f *simFaults) coldStart() {
	for _, s := range f.nodes {
		f.crash(s)
		f.sleep(time.Second / 4)
	}
	f.sleep(simFaultDuration)
	for _, s := range f.nodes {
		f.restart(s)
	}
}

// stepClock makes one wall clock wrong by up to an hour, or drift by a minute per hour, and all others right.
func (f *simFaults) stepClock() {
	for _, s := range f.nodes {
		s.wall.set(0, 0)
	}
	offsets := []time.Duration{time.Hour, -time.Hour, 10 * time.Minute, -10 * time.Minute, 0}
	f.someone().wall.set(offsets[f.random.IntN(len(offsets))], float64(f.random.IntN(3)-1)/60)
}

func (f *simFaults) takeSnapshot() {
	if n := f.someone().process.Load(); n != nil {
		_ = n.raft.Snapshot().Error() // there may be nothing new
	}
}
