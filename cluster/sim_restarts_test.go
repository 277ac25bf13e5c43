package cluster

import (
	"errors"
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// fill stores records under new keys.
func (c *simCluster) fill(prefix string, n int) (stored []*simOp) {
	c.t.Helper()
	for i := range n {
		stored = append(stored, c.store(fmt.Sprint(prefix, " ", i), time.Hour))
	}
	return stored
}

// checkStored reads records at the leader (R1, R2).
func (c *simCluster) checkStored(stored []*simOp) {
	c.t.Helper()
	leader := c.waitLeader()
	for _, o := range stored {
		r := c.read(leader, time.Second, o.id)
		if want := string(o.command.(fsm.Complete).Body); r.err != nil || string(r.view.Record.Body) != want {
			c.t.Fatalf("%v, and then %v", o, r)
		}
	}
}

func (c *simCluster) snapshot(s *simNode) {
	c.t.Helper()
	if err := s.process.Load().raft.Snapshot().Error(); err != nil {
		c.t.Fatalf("snapshot on %s: %v", s.id, err)
	}
}

// TestSimRestartFromSnapshot restarts nodes on a snapshot and the log behind it, one after the other and all at once,
// and goes on for long enough for them to compare their states.
func TestSimRestartFromSnapshot(t *testing.T) {
	t.Parallel()
	inSimulation(t, 3, 1, func(t *testing.T, c *simCluster) {
		stored := c.fill("before", 300)
		held := c.grant("lock", "holder", time.Minute)
		for _, s := range c.nodes {
			c.snapshot(s)
		}
		stored = append(stored, c.fill("after", 50)...)
		for _, s := range c.nodes {
			c.crash(s)
			c.restart(s)
			c.checkStored(stored)
		}
		c.restartAll(time.Second)
		c.checkStored(stored)
		o := c.propose(c.waitLeader(), time.Second, simClaim("lock", "rival", time.Minute), 0)
		if o.result.Outcome != fsm.InProgress {
			t.Errorf("a lock did not survive: %v, and then %v", held, o)
		}
		c.checkStored(c.fill("much later", 2*checkpointEvery))
		time.Sleep(2 * peerFresh) // states are compared, and found equal
	})
}

// TestSimFollowerCatchesUpBySnapshot keeps a follower away until the entries that it misses are gone from the log, and
// then lets it lead.
func TestSimFollowerCatchesUpBySnapshot(t *testing.T) {
	t.Parallel()
	inSimulation(t, 3, 2, func(t *testing.T, c *simCluster) {
		for _, s := range c.nodes { // with few entries behind snapshots
			c.trailing = 8
			c.crash(s)
			c.restart(s)
		}
		leader := c.waitLeader()
		away := c.others(leader)[0]
		stored := c.fill("before", 20)
		c.crash(away)
		stored = append(stored, c.fill("meanwhile", 300)...)
		for _, s := range c.others(away) {
			c.snapshot(s)
		}
		first, _ := leader.log.FirstIndex()
		last, _ := away.log.LastIndex()
		if first <= last {
			t.Fatalf("the leader's log begins at %d, and the node's that is away ends at %d", first, last)
		}
		c.restart(away)
		stored = append(stored, c.fill("after", 2*checkpointEvery)...)
		c.transferTo(away)
		c.checkStored(stored)
		time.Sleep(2 * peerFresh)
	})
}

// TestSimColdStarts loses power again and again: nothing that was acknowledged is lost, and fences go on rising, which
// the journal checks.
func TestSimColdStarts(t *testing.T) {
	t.Parallel()
	for _, size := range []int{3, 5} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			inSimulation(t, size, 3, func(t *testing.T, c *simCluster) {
				var stored []*simOp
				for i := range 6 {
					prefix := fmt.Sprint("start ", i)
					stored = append(stored, c.fill(prefix, 10)...)
					c.grant(prefix+" lock", "holder", time.Minute)
					if i%2 == 0 {
						c.snapshot(c.nodes[i%size])
					}
					c.restartAll(time.Duration(i) * time.Second)
					c.checkStored(stored)
				}
			})
		})
	}
}

// TestSimRollingRestart restarts nodes in order, one after the other, while clients work: none of their calls that
// they repeat while there is no leader is lost, and there is always one again soon.
func TestSimRollingRestart(t *testing.T) {
	t.Parallel()
	inSimulation(t, 3, 4, func(t *testing.T, c *simCluster) {
		stop := make(chan struct{})
		var working sync.WaitGroup
		var longest time.Duration
		working.Go(func() {
			last := time.Now()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if s := c.leader(c.nodes...); s != nil {
					if o := c.propose(s, time.Second, simClaim(fmt.Sprint("key ", i), "worker", time.Minute), 0); o.err == nil {
						longest, last = max(longest, time.Since(last)), time.Now()
					}
				}
				time.Sleep(simPoll)
			}
		})
		for _, s := range c.nodes {
			time.Sleep(2 * time.Second)
			c.stop(s)
			time.Sleep(2 * time.Second)
			c.restart(s)
		}
		close(stop)
		working.Wait()
		if longest > time.Second {
			t.Errorf("no call was acknowledged for %v", longest)
		}
	})
}

var simIdleFlag = flag.Duration("sim.idle", 2*time.Minute,
	"how long TestSimIdleWritesNothing leaves a cluster alone, three times")

// TestSimIdleWritesNothing leaves a cluster alone. Its log does not grow, but for what expires.
func TestSimIdleWritesNothing(t *testing.T) {
	t.Parallel()
	inSimulation(t, 3, 5, func(t *testing.T, c *simCluster) {
		time.Sleep(time.Second)
		grown := func() uint64 {
			before := c.waitLeader().process.Load().raft.LastIndex()
			time.Sleep(*simIdleFlag)
			return c.waitLeader().process.Load().raft.LastIndex() - before
		}
		if n := grown(); n != 0 {
			t.Errorf("the log of an idle cluster grew by %d entries", n)
		}
		for i := range 20 {
			claim := simClaim(fmt.Sprint("lock ", i), "holder", 30*time.Second)
			claim.TTLMs = 30_000
			c.propose(c.waitLeader(), time.Second, claim, 0)
			c.store(fmt.Sprint("record ", i), 30*time.Second)
		}
		if n := grown(); n == 0 || n > 10 {
			t.Errorf("what expired took %d entries", n)
		}
		if status := c.waitLeader().process.Load().Status(); status.Locks != 0 || status.Records != 0 {
			t.Errorf("%d locks and %d records are left that expired long ago", status.Locks, status.Records)
		}
		if n := grown(); n != 0 {
			t.Errorf("the log grew by %d entries when everything had expired", n)
		}
	})
}

// TestSimRefusedCallsAreNotInTheLog refuses calls for every reason there is (R6).
func TestSimRefusedCallsAreNotInTheLog(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		want   error
		refuse func(c *simCluster, leader *simNode) []*simOp
	}{
		"not the leader": {ErrNotLeader, func(c *simCluster, leader *simNode) []*simOp {
			return []*simOp{c.propose(c.others(leader)[0], time.Second, simClaim("lock", "owner", time.Minute), 0)}
		}},
		"being handed over": {ErrNotLeader, func(c *simCluster, leader *simNode) (ops []*simOp) {
			gone := c.others(leader)[0]
			c.isolate(gone)
			var moving sync.WaitGroup
			moving.Go(func() { _ = leader.process.Load().raft.LeadershipTransferToServer(gone.id, gone.addr).Error() })
			defer moving.Wait()
			time.Sleep(time.Millisecond)
			return []*simOp{c.propose(leader, time.Second, simClaim("lock", "owner", time.Minute), 0)}
		}},
		"shutting down": {ErrNotLeader, func(c *simCluster, leader *simNode) []*simOp {
			leader.process.Load().draining.Store(true)
			return []*simOp{c.propose(leader, time.Second, simClaim("lock", "owner", time.Minute), 0)}
		}},
		"storage full": {ErrStorageFull, func(c *simCluster, leader *simNode) []*simOp {
			leader.process.Load().diskFull.Store(true)
			complete := c.propose(leader, time.Second, simComplete("record", fsm.Token{}), 0)
			if complete.result.Outcome != fsm.Stored {
				c.t.Errorf("a complete is refused: %v", complete)
			}
			return []*simOp{c.propose(leader, time.Second, simClaim("lock", "owner", time.Minute), 0)}
		}},
		"too late to be proposed": {ErrUnavailable, func(c *simCluster, leader *simNode) []*simOp {
			for _, peer := range c.others(leader) {
				c.net.delay(peer.addr, leader.addr, 5*simStep)
			}
			first, queued := &simPending{c: c}, &simPending{c: c}
			first.propose(leader, time.Minute, simClaim("opens an entry", "owner", time.Minute), 0)
			queued.propose(leader, simStep, simClaim("lock", "owner", time.Minute), 0)
			first.answers()
			return queued.answers()
		}},
		"queue full": {ErrBusy, overfill},
	} {
		t.Run(name, func(t *testing.T) {
			inSimulation(t, 3, 6, func(t *testing.T, c *simCluster) {
				leader := c.waitLeader()
				time.Sleep(housekeepEvery / 2) // to come between two looks at the disk
				refused := tc.refuse(c, leader)
				if len(refused) == 0 {
					t.Fatal("nothing was refused")
				}
				for _, o := range refused {
					if !errors.Is(o.err, tc.want) {
						t.Errorf("not refused as it should be: %v", o)
					}
				}
				if n := leader.process.Load(); n != nil {
					n.draining.Store(false)
				}
				c.checkAgreement()
				(&simHistory{ops: refused}).checkRefused(t, c.journal.places())
			})
		})
	}
}

// overfill proposes more than the queue takes while an entry is under way, and returns what was refused.
func overfill(c *simCluster, leader *simNode) (refused []*simOp) {
	for _, peer := range c.others(leader) {
		c.net.delay(peer.addr, leader.addr, 100*time.Millisecond)
	}
	n := leader.process.Load()
	pending := &simPending{c: c}
	pending.propose(leader, time.Minute, simClaim("opens an entry", "owner", time.Minute), 0)
	var mu sync.Mutex
	for i := range 2*maxQueuedCalls/MaxCallsPerProposal + 1 {
		pending.calls.Go(func() {
			var calls []Call
			for k := range MaxCallsPerProposal {
				calls = append(calls, Call{Command: simClaim(fmt.Sprint(i, " ", k), "owner", time.Minute)})
			}
			if _, _, err := n.Propose(c.t.Context(), calls...); err != nil {
				mu.Lock()
				defer mu.Unlock()
				for _, call := range calls {
					refused = append(refused, &simOp{command: call.Command, err: err})
				}
			}
		})
	}
	pending.answers()
	return refused
}
