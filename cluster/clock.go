package cluster

import (
	"slices"
	"sync"
	"time"
)

// maxSlew is how much faster or slower than real time the cluster clock may run to approach the wall clocks.
const maxSlew = 0.001

// maxCarryDelay is how old a leader's answer may be to be taken as it is. An older one, of a paused process or a slow
// wire, may only put the clock forward.
const maxCarryDelay = 100 * time.Millisecond

// slewHorizon is the time over which an offset is worked off, as far as maxSlew allows.
const slewHorizon = time.Second

// clusterClock is the time that the leader stamps entries with. It is carried from leader to leader instead of being
// read from a wall clock, so that a wall clock that steps, on any node, by any amount, ends no lease early:
//
//   - a leader advances it by its own monotonic clock, slewed by at most maxSlew towards the median wall clock of the
//     voters;
//   - a follower notes what the leader's clock was, by its own monotonic clock, each time it hears from it, and so can
//     go on from there if it is elected. What it noted is old by the time the answer travelled, never ahead, and so
//     that it stays so its clock runs slow by maxSlew from then on;
//   - only a node that never heard from a leader since it started (a cold start of a whole cluster) sets it from the
//     walls: their median, over a majority, and never below the last stamp applied. Leases that were live at that
//     stamp are moved along (fsm.Establish), so that even then no wall clock ends one.
//
// The scheme follows the lesson of etcd's lease bugs (#2660, #9888, #12291): max(previous, wall) ends a whole lease
// early when the leader changes to a node whose wall clock is ahead.
type clusterClock struct {
	mu sync.Mutex
	// The clock showed base at the monotonic instant at, and has run at 1+slew times real time since.
	base time.Time
	at   time.Time
	slew float64
	sure bool // base was carried, not made up
}

// now returns the cluster's time.
func (c *clusterClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nowLocked(time.Now())
}

func (c *clusterClock) nowLocked(mono time.Time) time.Time {
	elapsed := mono.Sub(c.at)
	return c.base.Add(elapsed + time.Duration(float64(elapsed)*c.slew))
}

func (c *clusterClock) nowMs() int64 { return c.now().UnixMilli() }

// reading returns the clock and whether it was carried.
func (c *clusterClock) reading() (now time.Time, sure bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nowLocked(time.Now()), c.sure
}

// set makes the clock show t, at real-time speed.
func (c *clusterClock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base, c.at, c.slew, c.sure = t, time.Now(), 0, true
}

// carry makes the clock go on from what the leader's showed in an answer that was asked for and arrived when said, and
// coast from there.
func (c *clusterClock) carry(leader, asked, arrived time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sure && arrived.Sub(asked) > maxCarryDelay && !leader.After(c.nowLocked(arrived)) {
		return
	}
	c.base, c.at, c.slew, c.sure = leader, arrived, -maxSlew, true
}

// coast has the clock of a node that does not lead run as slow as a leader's may, so that it does not get ahead of a
// leader that it does not hear from: ahead, it would end leases early if this node were elected.
func (c *clusterClock) coast() {
	c.mu.Lock()
	defer c.mu.Unlock()
	mono := time.Now()
	c.base, c.at, c.slew = c.nowLocked(mono), mono, -maxSlew
}

// raise makes the clock show at least the stamp of an entry that was applied. It says nothing of how old the stamp is.
func (c *clusterClock) raise(stampMs int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	mono := time.Now()
	if stamp := time.UnixMilli(stampMs); stamp.After(c.nowLocked(mono)) {
		c.base, c.at = stamp, mono
	}
}

// steer slews the clock towards the median of the wall clocks. With no walls it runs at real-time speed.
func (c *clusterClock) steer(walls []time.Time) (offset time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	mono := time.Now()
	c.base, c.at = c.nowLocked(mono), mono
	c.slew = 0
	if len(walls) == 0 {
		return 0
	}
	offset = medianTime(walls).Sub(c.base)
	c.slew = min(maxSlew, max(-maxSlew, float64(offset)/float64(slewHorizon)))
	return offset
}

// medianTime returns the median; of an even number the lower one, because a clock that is late ends no lease early.
func medianTime(ts []time.Time) time.Time {
	sorted := slices.Clone(ts)
	slices.SortFunc(sorted, time.Time.Compare)
	return sorted[(len(sorted)-1)/2]
}
