package cluster

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// simStep separates calls that must come in order, and is much longer than a commit takes.
const simStep = 20 * time.Millisecond

// simPending are calls that have not been answered yet.
type simPending struct {
	c       *simCluster
	calls   sync.WaitGroup
	history simHistory
}

// propose makes a call on a node and does not wait for the answer; the next call comes later.
func (p *simPending) propose(s *simNode, timeout time.Duration, cmd fsm.Command, wait time.Duration) {
	p.calls.Go(func() { p.history.add(p.c.propose(s, timeout, cmd, wait)) })
	time.Sleep(simStep)
}

// answers waits for all answers and returns them in the order they came.
func (p *simPending) answers() []*simOp {
	p.calls.Wait()
	return p.history.ops
}

// answered is how many answers came already.
func (p *simPending) answered() int {
	p.history.mu.Lock()
	defer p.history.mu.Unlock()
	return len(p.history.ops)
}

// TestSimWaitersAreServedInOrder frees a lock in all ways there are: it goes to whoever has waited longest, and to
// nobody else.
func TestSimWaitersAreServedInOrder(t *testing.T) {
	t.Parallel()
	for name, free := range map[string]func(c *simCluster, held *simOp){
		"release": func(c *simCluster, held *simOp) {
			c.propose(c.waitLeader(), time.Second, fsm.Release{ID: held.id, Token: held.result.Token}, 0)
		},
		"delete": func(c *simCluster, held *simOp) {
			c.propose(c.waitLeader(), time.Second, fsm.Delete{ID: held.id}, 0)
		},
		"lapse": func(*simCluster, *simOp) {},
	} {
		t.Run(name, func(t *testing.T) {
			inSimulation(t, 3, 1, func(t *testing.T, c *simCluster) {
				const lease = time.Second
				held := c.grant("lock", "holder", lease)
				waiters := &simPending{c: c}
				owners := []string{"first", "second", "third", "fourth"}
				for _, owner := range owners {
					waiters.propose(c.waitLeader(), time.Minute, simClaim("lock", owner, lease), MaxWait)
				}
				if n := waiters.answered(); n != 0 {
					t.Fatalf("%d of those who wait for a held lock have an answer", n)
				}
				for i := range owners {
					freed := time.Now()
					free(c, held)
					c.eventually(2*lease, "grant to the next", func() bool { return waiters.answered() > i })
					held = waiters.history.ops[i]
					if owner := held.command.(fsm.Claim).Owner; held.result.Outcome != fsm.Granted || owner != owners[i] {
						t.Fatalf("%s was next: %v", owners[i], held)
					}
					if name != "lapse" && held.ret.Sub(freed) > simStep {
						t.Errorf("a lock that is free is granted after %v", held.ret.Sub(freed))
					}
					time.Sleep(simStep)
					if n := waiters.answered(); n != i+1 {
						t.Fatalf("%d have an answer after %d grants", n, i+1)
					}
				}
				waiters.answers()
			})
		})
	}
}

// TestSimNewcomersDoNotOvertake has newcomers claim at the very moment a lock is released to someone who waits.
func TestSimNewcomersDoNotOvertake(t *testing.T) {
	t.Parallel()
	inSimulation(t, 3, 2, func(t *testing.T, c *simCluster) {
		leader := c.waitLeader()
		for round := range 20 {
			held := c.grant("lock", "holder", time.Minute)
			waiter := &simPending{c: c}
			waiter.propose(leader, time.Minute, simClaim("lock", "waiter", time.Minute), MaxWait)
			var crowd sync.WaitGroup
			for i := range 6 {
				crowd.Go(func() {
					time.Sleep(time.Duration(i*round) * 20 * time.Microsecond)
					if i == 3 {
						c.propose(leader, time.Second, fsm.Release{ID: held.id, Token: held.result.Token}, 0)
						return
					}
					o := c.propose(leader, time.Second, simClaim("lock", "newcomer", time.Minute), 0)
					if o.result.Outcome != fsm.InProgress {
						t.Errorf("a newcomer overtook: %v", o)
					}
				})
			}
			crowd.Wait()
			granted := waiter.answers()[0]
			if granted.result.Outcome != fsm.Granted {
				t.Fatalf("not granted: %v", granted)
			}
			c.propose(leader, time.Second, fsm.Release{ID: held.id, Token: granted.result.Token}, 0)
		}
	})
}

// TestSimCompleteWakesAllWaiters answers everyone who waits with the record as soon as it is stored.
func TestSimCompleteWakesAllWaiters(t *testing.T) {
	t.Parallel()
	inSimulation(t, 3, 3, func(t *testing.T, c *simCluster) {
		held := c.grant("lock", "holder", time.Minute)
		waiters := &simPending{c: c}
		for range 10 {
			waiters.propose(c.waitLeader(), time.Minute, simClaim("lock", "waiter", time.Minute), MaxWait)
		}
		complete := simComplete("lock", held.result.Token)
		stored := c.propose(c.waitLeader(), time.Second, complete, 0)
		for _, o := range waiters.answers() {
			if o.result.Outcome != fsm.Cached || string(o.result.Record.Body) != string(complete.Body) {
				t.Errorf("not answered with the record: %v", o)
			}
			if late := o.ret.Sub(stored.ret); late > simStep {
				t.Errorf("answered %v after the record was stored", late)
			}
		}
	})
}

// TestSimWaitersReturnWhenTheLeaderChanges ends waits with "in progress" when their leader is deposed, so that they
// can be taken up at the next.
func TestSimWaitersReturnWhenTheLeaderChanges(t *testing.T) {
	t.Parallel()
	for name, depose := range map[string]struct {
		do     func(c *simCluster, leader *simNode)
		within time.Duration
	}{
		"transfer":  {func(c *simCluster, leader *simNode) { c.transferTo(c.others(leader)[0]) }, 100 * time.Millisecond},
		"isolation": {func(c *simCluster, leader *simNode) { c.isolate(leader) }, time.Second},
		"shutdown":  {func(c *simCluster, leader *simNode) { c.stop(leader) }, 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			inSimulation(t, 3, 4, func(t *testing.T, c *simCluster) {
				leader := c.waitLeader()
				c.grant("lock", "holder", time.Minute)
				waiters := &simPending{c: c}
				for range 5 {
					waiters.propose(leader, time.Minute, simClaim("lock", "waiter", time.Minute), MaxWait)
				}
				deposed := time.Now()
				depose.do(c, leader)
				for _, o := range waiters.answers() {
					r := o.result
					if o.err != nil || r.Outcome != fsm.InProgress || r.LeaseRemainingMs <= 0 || r.RetryAfterMs <= 0 {
						t.Errorf("not told that the lock is held: %v", o)
					}
					if took := o.ret.Sub(deposed); took > depose.within {
						t.Errorf("waited %v for a leader that is deposed", took)
					}
				}
			})
		})
	}
}

// TestSimWaiterWhoLeftHoldsNothing frees a lock after those who waited have left, by the end of their wait or of
// their patience: the lock goes to the one who is still there.
func TestSimWaiterWhoLeftHoldsNothing(t *testing.T) {
	t.Parallel()
	inSimulation(t, 3, 5, func(t *testing.T, c *simCluster) {
		leader := c.waitLeader()
		held := c.grant("lock", "holder", time.Minute)
		left, stays := &simPending{c: c}, &simPending{c: c}
		left.propose(leader, time.Second, simClaim("lock", "impatient", time.Minute), MaxWait)
		left.propose(leader, time.Minute, simClaim("lock", "waits less", time.Minute), time.Second)
		stays.propose(leader, time.Minute, simClaim("lock", "stays", time.Minute), MaxWait)
		for _, o := range left.answers() {
			if took := o.ret.Sub(o.call); o.err != nil || o.result.Outcome != fsm.InProgress || took != time.Second {
				t.Errorf("left after %v: %v", took, o)
			}
		}
		c.propose(leader, time.Second, fsm.Release{ID: held.id, Token: held.result.Token}, 0)
		if o := stays.answers()[0]; o.result.Outcome != fsm.Granted {
			t.Errorf("not granted: %v", o)
		}
	})
}

// TestSimWaiterWhoLeavesAsItIsGranted has patience end while the entry that grants is on its way: the lock goes to the
// next, and an attempt of the same owner that is made at once loses nothing by it.
func TestSimWaiterWhoLeavesAsItIsGranted(t *testing.T) {
	t.Parallel()
	for name, retry := range map[string]bool{"and stays away": false, "and claims again": true} {
		t.Run(name, func(t *testing.T) {
			inSimulation(t, 3, 6, func(t *testing.T, c *simCluster) {
				leader := c.waitLeader()
				held := c.grant("lock", "holder", time.Minute)
				waiter, others := &simPending{c: c}, &simPending{c: c}
				patience := 10 * simStep
				waiter.propose(leader, patience, simClaim("lock", "leaves", time.Minute), MaxWait)
				time.Sleep(patience - 2*simStep)
				for _, peer := range c.others(leader) { // commits take longer than the patience that is left
					c.net.delay(leader.addr, peer.addr, 2*simStep)
					c.net.delay(peer.addr, leader.addr, 2*simStep)
				}
				others.propose(leader, time.Minute, fsm.Release{ID: held.id, Token: held.result.Token}, 0)
				unknown := waiter.answers()[0]
				if unknown.err != ErrOutcomeUnknown {
					t.Fatalf("left too late or too early: %v", unknown)
				}
				next := &simPending{c: c}
				if retry {
					next.propose(leader, time.Minute, simClaim("lock", "leaves", time.Minute), 0)
				} else {
					next.propose(leader, time.Minute, simClaim("lock", "next", time.Minute), 10*time.Second)
				}
				granted := next.answers()[0]
				if granted.result.Outcome != fsm.Granted || granted.ret.Sub(unknown.ret) > 20*simStep {
					t.Fatalf("a lock that nobody holds is not granted at once: %v", granted)
				}
				time.Sleep(20 * simStep)
				o := c.propose(leader, time.Second, simComplete("lock", granted.result.Token), 0)
				if o.result.Outcome != fsm.Stored {
					t.Fatalf("%s was granted the lock and lost it: %v", granted, o)
				}
				others.answers()
			})
		})
	}
}

// TestSimOneAnswerPerClaim has a claim and what frees its key meet in one entry. The claim takes the lock once at
// most, and whoever made it is told.
func TestSimOneAnswerPerClaim(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(c *simCluster) []*simOp{
		"absent": func(*simCluster) []*simOp { return nil },
		"stored": func(c *simCluster) []*simOp { return []*simOp{c.store("lock", time.Hour)} },
		"locked": func(c *simCluster) []*simOp { return []*simOp{c.grant("lock", "holder", time.Minute)} },
		"lapsed": func(c *simCluster) []*simOp {
			defer time.Sleep(2 * time.Second)
			return []*simOp{c.grant("lock", "holder", time.Second)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inSimulation(t, 3, 7, func(t *testing.T, c *simCluster) {
				meeting := &simPending{c: c}
				meeting.history.ops = before(c)
				leader := c.waitLeader()
				for _, peer := range c.others(leader) {
					c.net.delay(leader.addr, peer.addr, 2*simStep)
				}
				meeting.propose(leader, time.Minute, simClaim("other", "opens an entry", time.Minute), 0)
				meeting.calls.Go(func() {
					meeting.history.add(c.propose(leader, time.Minute, simClaim("lock", "claims", time.Minute), time.Second))
				})
				time.Sleep(time.Millisecond)
				meeting.propose(leader, time.Minute, fsm.Delete{ID: simRecordID("lock")}, 0)
				meeting.answers()
				meeting.history.check(t, c.journal)
			})
		})
	}
}

// TestSimWaitersDuringATransferThatFails has a lock become free while raft takes no entries, since it is handing its
// leadership to a node that does not answer. Were those who wait proposed again at once and without end, virtual time
// would stand still here.
func TestSimWaitersDuringATransferThatFails(t *testing.T) {
	t.Parallel()
	inSimulation(t, 3, 8, func(t *testing.T, c *simCluster) {
		leader := c.waitLeader()
		gone := c.others(leader)[0]
		held := c.grant("lock", "holder", time.Second)
		waiter := &simPending{c: c}
		waiter.propose(leader, time.Minute, simClaim("lock", "waiter", time.Minute), MaxWait)
		c.isolate(gone)
		time.Sleep(time.Until(held.ret.Add(900 * time.Millisecond)))
		if err := leader.process.Load().raft.LeadershipTransferToServer(gone.id, gone.addr).Error(); err == nil {
			t.Fatal("the leadership went to a node that is cut off")
		}
		if o := waiter.answers()[0]; o.result.Outcome != fsm.Granted || o.ret.Sub(held.ret) > 15*time.Second {
			t.Errorf("not granted in time: %v", o)
		}
	})
}

// TestSimShutdownAnswersEveryone has a node end while an entry of its is on its way and while others wait: all calls
// return, and none is told more than can be known.
func TestSimShutdownAnswersEveryone(t *testing.T) {
	t.Parallel()
	inSimulation(t, 3, 9, func(t *testing.T, c *simCluster) {
		leader := c.waitLeader()
		held := c.grant("lock", "holder", time.Minute)
		calls := &simPending{c: c}
		calls.propose(leader, time.Hour, simClaim("lock", "waiter", time.Minute), MaxWait)
		c.isolate(leader)
		calls.propose(leader, time.Hour, simClaim("in flight", "owner", time.Minute), 0)
		calls.propose(leader, time.Hour, simClaim("queued", "owner", time.Minute), 0)
		time.Sleep(time.Second)
		n := leader.process.Load()
		c.crash(leader)
		closed := time.Now()
		ops := calls.answers()
		if waited := time.Since(closed); waited > 0 {
			t.Errorf("calls return %v after the node was closed", waited)
		}
		for _, o := range ops {
			switch key := o.id.Key; {
			case key == "lock" && o.result.Outcome == fsm.InProgress:
			case key == "in flight" && o.err == ErrOutcomeUnknown:
			case key == "queued" && o.unapplied():
			default:
				t.Errorf("%v", o)
			}
		}
		late := Call{Command: simClaim("late", "owner", time.Minute)}
		if _, _, err := n.Propose(context.Background(), late); err != ErrNotLeader {
			t.Errorf("a closed node answers %v", err)
		}
		(&simHistory{ops: append(ops, held)}).check(t, c.journal)
	})
}
