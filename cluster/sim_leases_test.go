package cluster

import (
	"testing"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

const (
	simLease = 10 * time.Second
	// simTakeover is how much later than promised a lock may be granted to the next: an election, the grace after it,
	// and a client that asks again.
	simTakeover = 3 * time.Second
	// simLongLease outlasts the pause of up to ten seconds before raft tries a follower again that was away for long.
	simLongLease = 20 * time.Second
	simAskAgain  = 20 * time.Millisecond
)

// grant claims a key on the leader and fails unless it is granted.
func (c *simCluster) grant(key, owner string, lease time.Duration) *simOp {
	c.t.Helper()
	o := c.propose(c.waitLeader(), 5*time.Second, simClaim(key, owner, lease), 0)
	if o.err != nil || o.result.Outcome != fsm.Granted {
		c.t.Fatalf("not granted: %v", o)
	}
	return o
}

// store completes a key on the leader.
func (c *simCluster) store(key string, life time.Duration) *simOp {
	c.t.Helper()
	cmd := simComplete(key, fsm.Token{})
	cmd.TTLMs = life.Milliseconds()
	o := c.propose(c.waitLeader(), 5*time.Second, cmd, 0)
	if o.err != nil || o.result.Outcome != fsm.Stored {
		c.t.Fatalf("not stored: %v", o)
	}
	return o
}

// rival claims a key again and again, at whoever leads, until it is granted.
func (c *simCluster) rival(key string, patience time.Duration) *simOp {
	c.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(simAskAgain) {
		if s := c.leader(c.nodes...); s != nil {
			o := c.propose(s, time.Second, simClaim(key, "rival", time.Second), 0)
			if o.err == nil && o.result.Outcome == fsm.Granted {
				return o
			}
		}
	}
	c.t.Fatalf("%s is not granted to a rival within %v", key, patience)
	return nil
}

// checkTakeover checks that a lock was granted to the next neither early (L2) nor late (L3).
func checkTakeover(t *testing.T, held, next *simOp, lease, late time.Duration) {
	t.Helper()
	if early := held.call.Add(lease).Sub(next.ret); early > tolerance(lease) {
		t.Errorf("taken over %v before the lease is over", early)
	}
	if over := next.call.Sub(held.ret.Add(lease)); over > late+tolerance(lease) {
		t.Errorf("taken over %v after the lease was over", over)
	}
}

// simClockFault is something that happens to wall clocks while a lease runs.
type simClockFault struct {
	name string
	do   func(c *simCluster, wrong time.Duration)
	late time.Duration // how late the lock may be free, besides simTakeover
}

var simClockFaults = []simClockFault{
	{"a follower's clock steps", func(c *simCluster, wrong time.Duration) {
		c.others(c.waitLeader())[0].wall.set(wrong, 0)
	}, 0},
	{"the leader's clock steps", func(c *simCluster, wrong time.Duration) {
		c.waitLeader().wall.set(wrong, 0)
	}, 0},
	{"the leader's clock steps forth and back", func(c *simCluster, wrong time.Duration) {
		s := c.waitLeader()
		s.wall.set(wrong, 0)
		time.Sleep(2 * time.Second)
		s.wall.set(-wrong, 0)
	}, 0},
	{"a clock drifts", func(c *simCluster, wrong time.Duration) {
		c.waitLeader().wall.set(0, wrong.Seconds()/3600)
	}, 0},
	{"a node whose clock is wrong comes to lead", func(c *simCluster, wrong time.Duration) {
		s := c.others(c.waitLeader())[0]
		s.wall.set(wrong, 0)
		c.transferTo(s)
	}, 0},
	{"the leader is lost, and a node whose clock is wrong comes to lead", func(c *simCluster, wrong time.Duration) {
		old := c.waitLeader()
		for _, s := range c.others(old) {
			s.wall.set(wrong, 0) // a majority, which matters only in the long run
		}
		c.crash(old)
		c.waitLeader()
	}, 0},
	{"a node whose clock is wrong restarts and comes to lead", func(c *simCluster, wrong time.Duration) {
		s := c.others(c.waitLeader())[0]
		s.wall.set(wrong, 0)
		c.crash(s)
		c.restart(s)
		time.Sleep(time.Second)
		c.transferTo(s)
	}, 0},
	{"a cold start with one wrong clock", func(c *simCluster, wrong time.Duration) {
		c.nodes[c.random.IntN(len(c.nodes))].wall.set(wrong, 0)
		c.restartAll(2 * time.Second)
	}, 4 * time.Second}, // the outage is not counted against the holder, and the first votes after it may be split
	{"two cold starts, with one wrong clock at the first", func(c *simCluster, wrong time.Duration) {
		s := c.nodes[c.random.IntN(len(c.nodes))]
		s.wall.set(wrong, 0)
		c.restartAll(time.Second)
		c.waitLeader()
		s.wall.set(-wrong, 0)
		c.restartAll(time.Second)
	}, 8 * time.Second}, // two outages, and the first votes after either may be split
	{"two cold starts, with all clocks wrong at the second", func(c *simCluster, wrong time.Duration) {
		c.restartAll(time.Second)
		c.waitLeader()
		for _, s := range c.nodes {
			s.wall.set(wrong, 0)
		}
		c.restartAll(time.Second)
	}, 8 * time.Second}, // likewise
	{"a cold start of two nodes, one clock wrong", func(c *simCluster, wrong time.Duration) {
		for _, s := range c.nodes {
			c.crash(s)
		}
		time.Sleep(2 * time.Second)
		c.nodes[0].wall.set(wrong, 0)
		c.restart(c.nodes[0])
		c.restart(c.nodes[1])
	}, 4 * time.Second}, // of two clocks nobody knows which is right: the outage may not be counted
}

// restartAll crashes all nodes and starts them again after a while.
func (c *simCluster) restartAll(outage time.Duration) {
	c.t.Helper()
	for _, s := range c.nodes {
		c.crash(s)
	}
	time.Sleep(outage)
	for _, s := range c.nodes {
		c.restart(s)
	}
}

// TestSimWallClocks steps wall clocks in every way there is: a lease ends neither early nor late, nor does a record.
func TestSimWallClocks(t *testing.T) {
	t.Parallel()
	for i, fault := range simClockFaults {
		for _, wrong := range []time.Duration{time.Hour, -time.Hour, 10 * time.Minute} {
			t.Run(fault.name+" by "+wrong.String(), func(t *testing.T) {
				inSimulation(t, 3, uint64(i), func(t *testing.T, c *simCluster) {
					time.Sleep(time.Duration(c.random.Int64N(int64(3 * time.Second))))
					held := c.grant("lock", "holder", simLease)
					stored := c.store("record", simLease)
					fault.do(c, wrong)
					next := c.rival("lock", 2*simLease)
					checkTakeover(t, held, next, simLease, simTakeover+fault.late)
					checkTakeover(t, stored, c.rival("record", 2*simLease), simLease, simTakeover+fault.late)
				})
			})
		}
	}
}

// TestSimFollowerOfSlewedClock has a leader slew the cluster clock back for long while a follower cannot hear it. The
// follower's idea of the clock is then ahead, and must not count when it is elected before it hears better.
func TestSimFollowerOfSlewedClock(t *testing.T) {
	t.Parallel()
	inSimulation(t, 3, 1, func(t *testing.T, c *simCluster) {
		leader := c.waitLeader()
		lagging, wrong := c.others(leader)[0], c.others(leader)[1]
		time.Sleep(time.Second) // all know the clock
		wrong.wall.set(-time.Hour, 0)
		c.isolate(lagging)
		time.Sleep(20 * time.Minute)
		held := c.grant("lock", "holder", simLongLease)
		c.net.heal()
		c.net.deafen(lagging.addr)
		c.transferTo(lagging)
		checkTakeover(t, held, c.rival("lock", 2*simLongLease), simLongLease, simTakeover)
	})
}

// TestSimDeposedLeaderOfSlewedClock is the same for a leader that was deposed while it slewed the clock forward.
func TestSimDeposedLeaderOfSlewedClock(t *testing.T) {
	t.Parallel()
	inSimulation(t, 3, 2, func(t *testing.T, c *simCluster) {
		deposed := c.waitLeader()
		for _, s := range c.nodes {
			s.wall.set(time.Hour, 0)
		}
		time.Sleep(time.Second)
		c.isolate(deposed)
		leader := c.waitLeader(c.others(deposed)...)
		for _, s := range c.nodes {
			s.wall.set(-time.Hour, 0)
		}
		time.Sleep(20 * time.Minute)
		held := c.propose(leader, time.Second, simClaim("lock", "holder", simLongLease), 0)
		if held.result.Outcome != fsm.Granted {
			t.Fatal(held)
		}
		c.net.heal()
		c.net.deafen(deposed.addr)
		c.transferTo(deposed)
		checkTakeover(t, held, c.rival("lock", 2*simLongLease), simLongLease, simTakeover)
	})
}

// TestSimRenewedLease keeps a lock for much longer than its first lease, across leader changes.
func TestSimRenewedLease(t *testing.T) {
	t.Parallel()
	inSimulation(t, 3, 3, func(t *testing.T, c *simCluster) {
		const lease = 2 * time.Second
		held := c.grant("lock", "holder", lease)
		for i := range 8 {
			time.Sleep(lease / 2)
			if i%2 == 0 {
				c.transferTo(c.others(c.waitLeader())[i/2%2])
			}
			rival := c.propose(c.waitLeader(), time.Second, simClaim("lock", "rival", lease), 0)
			if rival.result.Outcome != fsm.InProgress {
				t.Fatalf("a rival of a lock that is renewed: %v", rival)
			}
			held.call = time.Now()
			renew := fsm.Renew{ID: held.id, Token: held.result.Token, LeaseMs: lease.Milliseconds() + int64(i)}
			if o := c.propose(c.waitLeader(), time.Second, renew, 0); o.result.Outcome != fsm.Renewed {
				t.Fatalf("not renewed: %v", o)
			}
			held.ret = time.Now()
		}
		checkTakeover(t, held, c.rival("lock", 2*lease), lease, simTakeover)
	})
}

// TestSimReadsSeeTimePass reads a lock and a record of an idle cluster just before and just after their time is over,
// and once more at another leader: what was over stays over.
func TestSimReadsSeeTimePass(t *testing.T) {
	t.Parallel()
	inSimulation(t, 3, 4, func(t *testing.T, c *simCluster) {
		held, stored := c.grant("lock", "holder", simLease), c.store("record", simLease)
		check := func(at *simNode, lock, record fsm.State) {
			t.Helper()
			for o, want := range map[*simOp]fsm.State{held: lock, stored: record} {
				if r := c.read(at, time.Second, o.id); r.err != nil || r.view.State != want {
					t.Errorf("want %v %v after %v: %v", want, time.Since(o.call), o, r)
				}
			}
		}
		leader := c.waitLeader()
		check(leader, fsm.StateLocked, fsm.StateCompleted)
		time.Sleep(time.Until(held.call.Add(simLease - tolerance(simLease))))
		check(leader, fsm.StateLocked, fsm.StateCompleted)
		time.Sleep(time.Until(stored.ret.Add(simLease + tolerance(simLease))))
		check(leader, fsm.StateLapsed, fsm.StateAbsent)
		for _, s := range c.others(leader) {
			c.transferTo(s)
			check(s, fsm.StateLapsed, fsm.StateAbsent)
		}
	})
}
