package cluster

import (
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

var epoch = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// checkClock fails unless the clock shows want, give or take tolerance.
func checkClock(t *testing.T, c *clusterClock, want time.Time, tolerance time.Duration) {
	t.Helper()
	if off := c.now().Sub(want); off.Abs() > tolerance {
		t.Fatalf("the clock is %v off", off)
	}
}

func TestClockSetRunsAtRealTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c clusterClock
		if _, sure := c.reading(); sure {
			t.Fatal("a clock that was never set is sure of itself")
		}
		c.set(epoch)
		time.Sleep(time.Hour)
		now, sure := c.reading()
		if !sure || !now.Equal(epoch.Add(time.Hour)) || c.nowMs() != epoch.Add(time.Hour).UnixMilli() {
			t.Fatalf("after an hour: %v, sure %v", now, sure)
		}
	})
}

// TestClockSteps steps every wall clock by an hour, forth and back: the cluster clock follows by a thousandth at most.
func TestClockSteps(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]time.Duration{"ahead": time.Hour, "behind": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var c clusterClock
				c.set(epoch)
				start, before := time.Now(), c.now()
				for range 5 * 60 * 5 { // five minutes
					wall := epoch.Add(time.Since(start) + step)
					if offset := c.steer([]time.Time{wall, wall, wall}); offset.Abs() > step.Abs()+time.Second {
						t.Fatalf("offset %v", offset)
					}
					time.Sleep(pingEvery)
					now := c.now()
					ran := now.Sub(before)
					if drift := (ran - pingEvery).Abs(); drift > pingEvery/1000+time.Microsecond {
						t.Fatalf("within %v the clock drifted by %v", pingEvery, drift)
					}
					before = now
				}
				want := time.Duration(float64(time.Since(start)) * maxSlew)
				if step < 0 {
					want = -want
				}
				checkClock(t, &c, epoch.Add(time.Since(start)+want), time.Millisecond)
			})
		})
	}
}

// TestClockConverges: a small offset is worked off, and then the clock stays with the walls.
func TestClockConverges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c clusterClock
		c.set(epoch)
		start := time.Now()
		wall := func() time.Time { return epoch.Add(50*time.Millisecond + time.Since(start)) }
		for range 10 * 60 * 5 {
			c.steer([]time.Time{wall()})
			time.Sleep(pingEvery)
		}
		checkClock(t, &c, wall(), time.Millisecond)
		// Without walls it goes on at real time.
		if offset := c.steer(nil); offset != 0 {
			t.Fatalf("offset %v of no walls", offset)
		}
		shown := c.now()
		time.Sleep(time.Hour)
		checkClock(t, &c, shown.Add(time.Hour), 0)
	})
}

func TestClockCarry(t *testing.T) {
	t.Parallel()
	type answer struct {
		leader        time.Duration // what the leader showed, after the follower's epoch
		asked, travel time.Duration
	}
	for name, tc := range map[string]struct {
		unset   bool
		answer  answer
		want    time.Duration // at the moment of the answer's arrival
		ignored bool
	}{
		"fast, ahead":           {false, answer{time.Hour, 0, time.Millisecond}, time.Hour, false},
		"fast, behind":          {false, answer{-time.Hour, 0, time.Millisecond}, -time.Hour, false},
		"at the limit, behind":  {false, answer{-time.Hour, 0, maxCarryDelay}, -time.Hour, false},
		"slow, behind":          {false, answer{-time.Hour, 0, maxCarryDelay + 1}, maxCarryDelay + 1, true},
		"slow, ahead":           {false, answer{time.Hour, 0, 10 * time.Second}, time.Hour, false},
		"slow, but the first":   {true, answer{-time.Hour, 0, 10 * time.Second}, -time.Hour, false},
		"slow, as long as away": {false, answer{10 * time.Second, 0, 10 * time.Second}, 10 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var c clusterClock
				if !tc.unset {
					c.set(epoch)
				}
				asked := time.Now()
				time.Sleep(tc.answer.travel)
				c.carry(epoch.Add(tc.answer.leader), asked, time.Now())
				checkClock(t, &c, epoch.Add(tc.want), 0)
				if _, sure := c.reading(); !sure {
					t.Fatal("a carried clock is not sure of itself")
				}
				// From then on it coasts, unless the answer was of no use.
				time.Sleep(time.Minute)
				slow := time.Minute / 1000
				if tc.ignored {
					slow = 0
				}
				checkClock(t, &c, epoch.Add(tc.want+time.Minute-slow), time.Microsecond)
			})
		})
	}
}

// TestClockCoasts: a clock that nobody steers falls behind by as much as a leader's may.
func TestClockCoasts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c clusterClock
		c.set(epoch)
		time.Sleep(time.Hour)
		c.coast()
		checkClock(t, &c, epoch.Add(time.Hour), 0)
		time.Sleep(1000 * time.Second)
		checkClock(t, &c, epoch.Add(time.Hour+999*time.Second), time.Microsecond)
	})
}

func TestClockRaise(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c clusterClock
		c.raise(epoch.UnixMilli())
		if now, sure := c.reading(); sure || !now.Equal(epoch) {
			t.Fatalf("a stamp says nothing of its age, yet: %v, sure %v", now, sure)
		}
		c.set(epoch)
		time.Sleep(time.Second)
		c.raise(epoch.UnixMilli()) // the past
		checkClock(t, &c, epoch.Add(time.Second), 0)
		c.raise(epoch.Add(time.Minute).UnixMilli())
		checkClock(t, &c, epoch.Add(time.Minute), 0)
	})
}

// TestClockStampsNeverGoBack moves a clock in every way there is and stamps entries with it: what the state machine
// has committed never falls, and no instant is skipped over that nobody carried or stamped.
func TestClockStampsNeverGoBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c clusterClock
		c.set(epoch)
		m := fsm.New(fsmConfig())
		random := rand.New(rand.NewPCG(1, 2))
		highest := epoch
		for index := uint64(1); index < 2_000; index++ {
			switch at := c.now().Add(time.Duration(random.Int64N(int64(2*time.Hour))) - time.Hour); random.IntN(4) {
			case 0:
				c.steer([]time.Time{at})
			case 1:
				c.carry(at, time.Now(), time.Now())
			case 2:
				c.raise(at.UnixMilli())
			case 3:
				time.Sleep(time.Duration(random.Int64N(int64(time.Second))))
			}
			if now := c.now(); now.After(highest) {
				highest = now
			}
			before := m.ClockMs()
			if _, _, err := m.Apply(index, 1, fsm.EncodeEntry(c.nowMs(), fsm.BatchID{})); err != nil {
				t.Fatal(err)
			}
			if m.ClockMs() < before || m.ClockMs() > highest.UnixMilli() {
				t.Fatalf("entry %d: from %d to %d, highest shown %d", index, before, m.ClockMs(), highest.UnixMilli())
			}
		}
	})
}

func TestMedianTime(t *testing.T) {
	t.Parallel()
	at := func(minutes ...int) (ts []time.Time) {
		for _, m := range minutes {
			ts = append(ts, epoch.Add(time.Duration(m)*time.Minute))
		}
		return ts
	}
	for _, tc := range []struct {
		ts   []time.Time
		want int
	}{
		{at(7), 7},
		{at(9, 2), 2}, // the lower one
		{at(9, 2, 5), 5},
		{at(600, 2, -600), 2},
		{at(4, 3, 2, 1), 2},
	} {
		given := tc.ts[0]
		if got := medianTime(tc.ts); !got.Equal(at(tc.want)[0]) {
			t.Errorf("median of %v: %v", tc.ts, got)
		}
		if !tc.ts[0].Equal(given) {
			t.Error("the argument was sorted in place")
		}
	}
}

func TestChooseColdClock(t *testing.T) {
	t.Parallel()
	wall := func(id raft.ServerID, after time.Duration) PingReply {
		return PingReply{ID: id, Wall: epoch.Add(after), Clock: epoch.Add(99 * time.Hour)} // its clock is made up
	}
	carried := func(id raft.ServerID, clock time.Duration) PingReply {
		return PingReply{ID: id, Wall: epoch.Add(50 * time.Hour), Clock: epoch.Add(clock), ClockSure: true}
	}
	for name, tc := range map[string]struct {
		replies []PingReply
		want    time.Duration
	}{
		"alone":                           {nil, 0},
		"two walls":                       {[]PingReply{wall("b", time.Hour)}, 0},
		"own wall ahead of two":           {[]PingReply{wall("b", -time.Hour), wall("c", -2*time.Hour)}, -time.Hour},
		"one wall far ahead":              {[]PingReply{wall("b", 24*time.Hour), wall("c", time.Second)}, time.Second},
		"a carried clock beats all walls": {[]PingReply{wall("b", 0), carried("c", -time.Minute)}, -time.Minute},
		"the latest of the carried":       {[]PingReply{carried("b", -time.Hour), carried("c", -time.Minute)}, -time.Minute},
	} {
		got, carried := chooseColdClock(epoch, tc.replies)
		if !got.Equal(epoch.Add(tc.want)) {
			t.Errorf("%s: %v, want %v", name, got.Sub(epoch), tc.want)
		}
		if want := strings.Contains(name, "carried"); carried != want {
			t.Errorf("%s: carried is %v", name, carried)
		}
	}
}
