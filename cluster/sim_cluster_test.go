package cluster

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

var simLog = flag.Bool("sim.log", false, "print what simulated nodes log")

const (
	simElectionPatience = 30 * time.Second // for a leader, when a majority is healthy
	simShutdownPatience = 30 * time.Second
	simPoll             = 5 * time.Millisecond
	// simQuiet is how long after the end messages may still be on their way. Time stands still when a bubble ends.
	simQuiet = 3 * simSnapshotTimeout
)

// simCluster is a cluster of nodes in one process, inside a bubble of virtual time: an hour of it takes seconds, and
// when it ends, a goroutine that is left over fails the test. It is not deterministic: a seed fixes the faults and the
// load, but neither raft's own random timeouts nor the scheduler.
type simCluster struct {
	t       *testing.T
	net     *simNet
	nodes   []*simNode
	journal *simJournal
	random  *rand.Rand
	dir     string
	// trailing is how many log entries raft keeps behind a snapshot; 0 leaves that to the node.
	trailing uint64
}

// simNode is one member over all its restarts: its disk, its machine's clock, and the process while there is one.
type simNode struct {
	id        raft.ServerID
	addr      raft.ServerAddress
	log       *raft.InmemStore
	snapshots *simSnapshots
	wall      *simWall
	process   atomic.Pointer[Node] // nil while it is down
}

// simWall is a machine's wall clock, which can be wrong and can run fast or slow.
type simWall struct {
	mu    sync.Mutex
	shown time.Time
	at    time.Time
	rate  float64 // gained per second
}

func newSimWall() *simWall { return &simWall{shown: time.Now(), at: time.Now()} }

func (w *simWall) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	elapsed := time.Since(w.at)
	return w.shown.Add(elapsed + time.Duration(float64(elapsed)*w.rate))
}

// set makes the clock wrong by an offset, and drift from there by rate.
func (w *simWall) set(offset time.Duration, rate float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = time.Now()
	w.shown, w.rate = w.at.Add(offset), rate
}

// inSimulation runs f with a cluster of size nodes that has a leader and a tenant, and checks what it left behind.
func inSimulation(t *testing.T, size int, seed uint64, f func(*testing.T, *simCluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newSimCluster(t, size, seed)
		c.form()
		f(t, c)
		c.checkAgreement()
		c.journal.check(t)
	})
}

func newSimCluster(t *testing.T, size int, seed uint64) *simCluster {
	c := &simCluster{
		t:       t,
		net:     newSimNet(seed),
		journal: newSimJournal(),
		random:  rand.New(rand.NewPCG(seed, 2)),
		dir:     t.TempDir(),
	}
	for i := range size {
		c.nodes = append(c.nodes, &simNode{
			id:        raft.ServerID(fmt.Sprintf("n%d", i)),
			addr:      raft.ServerAddress(fmt.Sprintf("10.0.0.%d:4100", i+1)),
			log:       raft.NewInmemStore(),
			snapshots: &simSnapshots{},
			wall:      newSimWall(),
		})
	}
	t.Cleanup(func() {
		for _, s := range c.nodes {
			c.crash(s)
		}
		time.Sleep(simQuiet)
	})
	return c
}

// form starts all nodes, founds the cluster and creates the tenant that owns every record of a simulation.
func (c *simCluster) form() {
	c.t.Helper()
	var founders []raft.Server
	for _, s := range c.nodes {
		c.start(s)
		founders = append(founders, raft.Server{ID: s.id, Address: s.addr})
	}
	if err := c.nodes[0].process.Load().raft.BootstrapCluster(raft.Configuration{Servers: founders}).Error(); err != nil {
		c.t.Fatal(err)
	}
	create := Call{Command: fsm.CreateTenant{PublicID: "ten_1", Slug: "demo"}}
	results, _, err := c.waitLeader().process.Load().Propose(c.t.Context(), create)
	if err != nil || results[0].Tenant.ID != simTenant {
		c.t.Fatalf("create the tenant: %+v %v", results, err)
	}
}

// simTenant is the tenant that form creates.
const simTenant fsm.TenantID = 1

func (c *simCluster) config(s *simNode) Config {
	cfg := Config{NodeID: string(s.id), DataDir: c.dir, HTTPURL: "http://" + string(s.addr), DiskFreeFloor: 1}
	cfg.Logger = slog.New(slog.DiscardHandler)
	if *simLog {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return cfg.withDefaults()
}

// start runs a node on what its disk holds.
func (c *simCluster) start(s *simNode) {
	c.t.Helper()
	end := newSimEnd(c.net, s.addr)
	n, err := assemble(c.config(s), parts{
		passport:  newPassport(c.config(s), s.id, "disk-of-"+string(s.id), &affiliation{}),
		addresses: newAddressBook(s.id, string(s.addr)),
		logs:      s.log, stable: s.log, snapshots: &snapshotStore{SnapshotStore: s.snapshots},
		transport: end, caller: end, wall: s.wall.now,
	})
	if err != nil {
		c.t.Fatalf("start %s: %v", s.id, err)
	}
	c.tap(s, n)
	if c.trailing != 0 {
		reloadable := n.raft.ReloadableConfig()
		reloadable.TrailingLogs = c.trailing
		if err := n.raft.ReloadConfig(reloadable); err != nil {
			c.t.Fatal(err)
		}
	}
	end.service = &peerService{n}
	c.net.attach(end) // from here on raft can hear of entries to apply
	n.run()
	s.process.Store(n)
}

// tap has the journal told of everything a node applies, before the node itself is.
func (c *simCluster) tap(s *simNode, n *Node) {
	onApply := n.applier.onApply
	n.applier.onApply = func(index, term uint64, e fsm.Entry, results []fsm.Result) {
		if err := e.Decode(); err != nil {
			c.t.Errorf("decode an entry that was applied: %v", err)
		}
		c.journal.record(s.id, index, term, e, results)
		onApply(index, term, e, results)
	}
}

// crash ends a node without its handing anything over: nothing it still says is heard.
func (c *simCluster) crash(s *simNode) {
	c.net.setDown(s.addr, true)
	c.shutdown(s)
}

// stop ends a node in order.
func (c *simCluster) stop(s *simNode) {
	c.shutdown(s)
	c.net.setDown(s.addr, true)
}

func (c *simCluster) shutdown(s *simNode) {
	n := s.process.Swap(nil)
	if n == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), simShutdownPatience)
	defer cancel()
	if err := n.Shutdown(ctx); err != nil {
		c.t.Errorf("shut %s down: %v", s.id, err)
	}
	select {
	case err := <-n.Fatal():
		c.t.Errorf("%s met a fatal error: %v", s.id, err)
	default:
	}
}

// restart starts a node that was stopped or crashed.
func (c *simCluster) restart(s *simNode) {
	c.t.Helper()
	c.net.setDown(s.addr, false)
	c.start(s)
}

// isolate cuts a node off from all others, both ways.
func (c *simCluster) isolate(s *simNode) { c.split([]*simNode{s}) }

// split cuts the given nodes off from the others.
func (c *simCluster) split(some []*simNode) {
	for _, a := range some {
		for _, b := range c.others(some...) {
			c.net.cut(a.addr, b.addr)
			c.net.cut(b.addr, a.addr)
		}
	}
}

// others returns the nodes besides some.
func (c *simCluster) others(some ...*simNode) (rest []*simNode) {
next:
	for _, s := range c.nodes {
		for _, one := range some {
			if s == one {
				continue next
			}
		}
		rest = append(rest, s)
	}
	return rest
}

// leader returns the node that leads, of several the one of the highest term; nil if none does.
func (c *simCluster) leader(among ...*simNode) (leader *simNode) {
	var highest uint64
	for _, s := range among {
		n := s.process.Load()
		if n == nil || !n.IsLeader() {
			continue
		}
		if term := n.readyTerm.Load(); term > highest {
			leader, highest = s, term
		}
	}
	return leader
}

// waitLeader waits for a leader among the given nodes, all if none are given.
func (c *simCluster) waitLeader(among ...*simNode) (leader *simNode) {
	c.t.Helper()
	if len(among) == 0 {
		among = c.nodes
	}
	c.eventually(simElectionPatience, "a leader", func() bool {
		leader = c.leader(among...)
		return leader != nil
	})
	return leader
}

// eventually waits until a condition holds.
func (c *simCluster) eventually(patience time.Duration, what string, holds func() bool) {
	c.t.Helper()
	if !waitUntil(patience, holds) {
		c.t.Fatalf("no %s within %v", what, patience)
	}
}

// waitUntil reports whether a condition came to hold in time.
func waitUntil(patience time.Duration, holds func() bool) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(simPoll) {
		if holds() {
			return true
		}
	}
	return false
}

// transferTo moves the leadership to a node, which may have to catch up first.
func (c *simCluster) transferTo(to *simNode) {
	c.t.Helper()
	c.eventually(simElectionPatience, "leadership of "+string(to.id), func() bool {
		leader := c.leader(c.nodes...)
		if leader != nil && leader != to {
			_ = leader.process.Load().raft.LeadershipTransferToServer(to.id, to.addr).Error()
		}
		return leader == to
	})
}

// checkAgreement heals the cluster and waits until all its nodes are in the same state, which replaying the journal
// on a new state machine yields, too.
func (c *simCluster) checkAgreement() {
	c.t.Helper()
	c.net.heal()
	for _, s := range c.nodes {
		if s.process.Load() == nil {
			c.restart(s)
		}
	}
	c.eventually(simElectionPatience, "entry that makes all meet", func() bool {
		_, _, err := c.waitLeader().process.Load().Propose(c.t.Context())
		return err == nil
	})
	c.eventually(simElectionPatience, "agreement on the last entry", func() bool {
		synctest.Wait()
		last := c.nodes[0].process.Load().Status().AppliedIndex
		for _, s := range c.nodes {
			if s.process.Load().Status().AppliedIndex != last {
				return false
			}
		}
		return last == c.journal.last()
	})
	index, digest := c.journal.replay(c.t)
	for _, s := range c.nodes {
		if status := s.process.Load().Status(); status.AppliedIndex != index || status.Digest != digest {
			c.t.Errorf("%s is at %d with digest %x, a replay of the log at %d with %x",
				s.id, status.AppliedIndex, status.Digest, index, digest)
		}
	}
}
