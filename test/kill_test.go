package test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	killWorkers = 16
	// acksBetween is how many writes must be acknowledged before the next fault, and after each with the node gone.
	acksBetween = 200
	// Every so many kills, the leader is also frozen for a while, and all nodes are killed at once.
	freezeEvery   = 6
	powerOffEvery = 6
	// finalReaders read every key of the history through every node when it is over.
	finalReaders = 8
)

// TestKill kills nodes under load, the leader at least every other time, freezes the leader, and ends all nodes at
// once, as a power loss would. Then it reads everything through every node and checks the whole history.
func TestKill(t *testing.T) {
	t.Parallel()
	// A process that wakes in the middle of a disk write cannot know that it was not the disk that hung, and would end.
	f := newFaults(t, newCluster(t, 3))
	stop := f.work(killWorkers)
	defer stop()
	for i := range *killsFlag {
		f.kill(i%2 == 0)
		if i%freezeEvery == freezeEvery/2 {
			f.freezeLeader()
		}
		if i%powerOffEvery == powerOffEvery-1 {
			f.powerOff()
		}
	}
	f.awaitAcks(acksBetween)
	stop()
	f.verify()
	f.reportOutages("a leader was killed")
}

// faults is a cluster under load and what is done to it.
type faults struct {
	t       *testing.T
	c       *cluster
	apiKey  string
	rng     *rand.Rand
	history *history
	kills   int
	// outages are the faults that leave the cluster without a leader for a while.
	outages  []outage
	oddities oddities
	pulse    *pulse
}

// longOutage is an outage that takes some explaining.
const longOutage = 2 * time.Second

// outage is a part of the history, from the fault to when writes were acknowledged again. Nothing else happened in it.
type outage struct{ from, to int64 }

func newFaults(t *testing.T, c *cluster) *faults {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	f := &faults{
		t: t, c: c, apiKey: c.newTenant("faults", 0).key, history: newHistory(),
		rng: rand.New(rand.NewPCG(seed, 1)),
	}
	f.pulse = &pulse{f: f}
	return f
}

// work has that many clients use the cluster until the returned function is called, which waits for them.
func (f *faults) work(workers int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var load sync.WaitGroup
	load.Go(func() { f.pulse.run(ctx.Done()) })
	pool := newKeyPool()
	for i := range workers {
		w := newWorker(i, f, pool)
		load.Go(func() { w.run(ctx) })
	}
	return func() {
		cancel()
		load.Wait()
	}
}

// verify reads everything through every node and checks the history. There must be no load.
func (f *faults) verify() {
	f.t.Helper()
	f.readEverything()
	f.t.Logf("%d kills; %s", f.kills, f.history.summary())
	f.t.Log(f.pulse)
	if err := f.pulse.verify(); err != nil {
		f.t.Error(err)
	}
	if odd := f.oddities.list(); odd != "" {
		f.t.Errorf("answers that a correct request must not get: %s", odd)
	}
	if err := f.history.check(); err != nil {
		f.t.Error(err)
	}
	if err := f.history.checkFences(); err != nil {
		f.t.Error(err)
	}
}

// awaitAcks waits until that many more writes are acknowledged: the cluster serves.
func (f *faults) awaitAcks(more int) {
	f.t.Helper()
	goal := f.history.acknowledged() + more
	eventually(f.t, fmt.Sprintf("%d more writes are acknowledged", more), func() bool {
		return f.history.acknowledged() >= goal
	}, f.c.logTails)
}

// kill ends one node with kill -9 and brings it back when the others have gone on without it.
func (f *faults) kill(leader bool) {
	f.t.Helper()
	f.awaitAcks(acksBetween)
	led, term := f.c.leader(), f.c.term()
	victim := led
	if !leader {
		victim = f.c.nodes[f.rng.IntN(len(f.c.nodes))]
	}
	f.kills++
	from := f.history.now()
	victim.kill9()
	f.awaitAcks(acksBetween)
	// In the same term, another node had taken over just before: it was a follower that was killed.
	if victim == led && f.c.term() > term {
		f.outages = append(f.outages, outage{from, f.history.now()})
	}
	victim.restart()
}

// freezeLeader stops the leader's process until another one leads and serves. When it wakes it still believes that it
// leads, and has requests to answer.
func (f *faults) freezeLeader() {
	f.t.Helper()
	f.awaitAcks(acksBetween)
	frozen := f.c.leader()
	frozen.stop()
	f.c.leader()
	f.awaitAcks(acksBetween)
	frozen.cont()
	frozen.waitReady()
}

// powerOff kills all nodes at once and starts them again.
func (f *faults) powerOff() {
	f.t.Helper()
	f.awaitAcks(acksBetween)
	f.c.killAll()
	f.kills += len(f.c.nodes)
	f.c.restartAll()
}

// readEverything adds a linearizable read of every key through every node to the history, and compares what each node
// has on its own once all have applied the same.
func (f *faults) readEverything() {
	f.t.Helper()
	for _, n := range f.c.nodes {
		n.waitReady()
	}
	keys := f.history.keys()
	f.forEach(keys, func(key string) error {
		for _, n := range f.c.nodes {
			if o := f.read(n, key); o.result == resultUnknown {
				return fmt.Errorf("%s could not be read through %s", key, n.name)
			}
		}
		return nil
	})
	f.c.waitConverged()
	f.forEach(keys, func(key string) error { return f.compareStale(key) })
}

func (f *faults) forEach(keys []string, do func(key string) error) {
	f.t.Helper()
	var all errgroup.Group
	all.SetLimit(finalReaders)
	for _, key := range keys {
		all.Go(func() error { return do(key) })
	}
	if err := all.Wait(); err != nil {
		f.t.Error(err)
	}
}

// read reads through a node, several times if there is no leader at the moment.
func (f *faults) read(n *node, key string) *operation {
	o := &operation{verb: verbGet, key: key, client: -1}
	for range maxTries {
		o.call = f.history.now()
		v := newClient(n.url(), f.apiKey).following().get(killScope, key)
		o.end = f.history.now()
		if o.seeView(v); o.result != resultUnknown {
			break
		}
		time.Sleep(pollInterval)
	}
	f.history.add(o)
	return o
}

// compareStale compares what the nodes have of a key, each on its own. Only what is left of a lease may differ, and
// whether anything is: it may run out between two answers.
func (f *faults) compareStale(key string) error {
	var first view
	for i, n := range f.c.nodes {
		v := newClient(n.url(), f.apiKey).getStale(killScope, key)
		if v.outcome != ok {
			return fmt.Errorf("stale read of %s from %s: %v", key, n.name, v.answer)
		}
		if v.State == "lapsed" {
			v.State = "locked"
		}
		if i == 0 {
			first = v
		}
		if v.State != first.State || string(v.Record.Body) != string(first.Record.Body) {
			return fmt.Errorf("%s is %s on %s and %s on %s", key, v.body, n.name, first.body, f.c.nodes[0].name)
		}
	}
	return nil
}

// reportOutages tells how long no write was acknowledged in each of the outages so far, and forgets them.
func (f *faults) reportOutages(what string) {
	f.t.Helper()
	var gaps []time.Duration
	for _, o := range f.outages {
		gap := f.history.longestGap(o.from, o.to).Round(time.Millisecond)
		gaps = append(gaps, gap)
		if gap > longOutage {
			f.t.Logf("no write was acknowledged for %s; this is what the nodes said meanwhile:\n%s", gap,
				f.c.logsBetween(f.history.at(o.from), f.history.at(o.to)))
		}
	}
	f.outages = nil
	slices.Sort(gaps)
	if len(gaps) > 0 {
		f.t.Logf("%s, %d times: no write was acknowledged for %v (min), %v (median), %v (max)",
			what, len(gaps), gaps[0], gaps[len(gaps)/2], gaps[len(gaps)-1])
	}
}

// oddities collects answers that no correct request should get, whatever happens to the nodes.
type oddities struct {
	mu   sync.Mutex
	seen map[string]int
}

func (o *oddities) add(what string, a answer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seen == nil {
		o.seen = make(map[string]int)
	}
	o.seen[fmt.Sprintf("%s: %d %s", what, a.status, a.code)]++
}

func (o *oddities) list() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.seen) == 0 {
		return ""
	}
	b, _ := json.Marshal(o.seen) // cannot fail: strings and numbers
	return string(b)
}
