package cluster

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

func TestCountTerms(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answers []uint64 // terms; 0: no answer; fewer than voters: the rest is silent
		voters  int
		want    error
	}{
		"alone":                        {[]uint64{5}, 1, nil},
		"a majority":                   {[]uint64{5, 5}, 3, nil},
		"a majority, one unreachable":  {[]uint64{5, 0, 5}, 3, nil},
		"half of four":                 {[]uint64{5, 5}, 4, ErrUnavailable},
		"three of four":                {[]uint64{5, 5, 5}, 4, nil},
		"all unreachable but itself":   {[]uint64{5, 0, 0}, 3, ErrUnavailable},
		"silence":                      {[]uint64{5}, 3, ErrUnavailable},
		"a later term":                 {[]uint64{5, 6}, 3, ErrNotLeader},
		"an earlier term counts not":   {[]uint64{5, 4, 4}, 3, ErrUnavailable},
		"a majority, then a later one": {[]uint64{5, 5, 6}, 3, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				answers := make(chan uint64, tc.voters)
				for _, a := range tc.answers {
					answers <- a
				}
				if err := countTerms(ctx, answers, 5, tc.voters); !errors.Is(err, tc.want) {
					t.Errorf("got %v, want %v", err, tc.want)
				}
			})
		})
	}
}

// TestCoalescer: an answer is never older than the question. Whoever asks during a round gets the next one, which all
// of them share.
func TestCoalescer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var running tasks
		var rounds atomic.Int32
		c := coalescer{tasks: &running, timeout: time.Minute, round: func(context.Context) error {
			rounds.Add(1)
			time.Sleep(10 * time.Second)
			return nil
		}}
		start := time.Now()
		done := make(chan time.Duration, 102)
		ask := func() {
			go func() {
				if err := c.confirm(t.Context()); err != nil {
					t.Error(err)
				}
				done <- time.Since(start)
			}()
			synctest.Wait()
		}
		ask() // round one
		for range 100 {
			time.Sleep(time.Millisecond)
			ask() // all in round two
		}
		if took := <-done; took != 10*time.Second {
			t.Errorf("the first took %v", took)
		}
		for range 100 {
			if took := <-done; took != 20*time.Second {
				t.Errorf("one of the others took %v", took)
			}
		}
		if rounds.Load() != 2 {
			t.Errorf("%d rounds", rounds.Load())
		}
		time.Sleep(time.Minute)
		ask() // a fresh one
		if took := <-done; took != 90*time.Second {
			t.Errorf("the last took %v", took)
		}
		running.close()
		if err := c.confirm(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// TestCoalescerGivesUp: a round has a deadline, and whoever is in more of a hurry does not wait for it.
func TestCoalescerGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var running tasks
		c := coalescer{tasks: &running, timeout: time.Minute, round: func(ctx context.Context) error {
			<-ctx.Done()
			return ErrNotLeader
		}}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.confirm(ctx); !errors.Is(err, ErrUnavailable) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := c.confirm(t.Context()); !errors.Is(err, ErrNotLeader) || time.Since(start) != 2*time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		running.close()
	})
}

func TestStaleness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s staleness
		if got := s.bound(100); got.Known {
			t.Errorf("nothing was heard: %+v", got)
		}
		// hear takes an answer that was on its way for a second.
		hear := func(leaderApplied, applied uint64) {
			h := heard{reply: PingReply{Applied: leaderApplied, QuorumAge: 200 * time.Millisecond}, asked: time.Now()}
			time.Sleep(time.Second)
			h.at = time.Now()
			s.heard(h, applied)
		}
		check := func(applied uint64, want time.Duration) {
			t.Helper()
			if got := s.bound(applied); !got.Known || got.Max != want {
				t.Errorf("%+v, want %v", got, want)
			}
		}
		hear(10, 9)
		if got := s.bound(9); got.Known {
			t.Errorf("not caught up with anything yet: %+v", got)
		}
		check(10, 1200*time.Millisecond)
		time.Sleep(time.Minute) // the leader is gone
		check(10, 61200*time.Millisecond)
		hear(20, 10)
		hear(30, 15) // behind still: the older answer is what will be caught up with first
		check(15, 63200*time.Millisecond)
		check(20, 2200*time.Millisecond)
		hear(30, 30)
		check(30, 1200*time.Millisecond)
	})
}

// TestIsLeader: a leader of a later term than the one that this node has got ready in is not ready yet.
func TestIsLeader(t *testing.T) {
	t.Parallel()
	n := openNode(t, Config{BootstrapExpect: 1})
	waitForLeader(t, n)
	term := n.raft.CurrentTerm()
	if got := n.readyTerm.Load(); got != term {
		t.Errorf("ready in term %d of %d", got, term)
	}
	n.readyTerm.Store(term - 1)
	if n.IsLeader() {
		t.Error("ready in an earlier term, and it passes for the leader")
	}
	n.readyTerm.Store(term)
	if !n.IsLeader() {
		t.Error("not the leader")
	}
}

// TestReadCommitsAnExpiry: what a read sees by the clock is in the log, so that no later leader sees it undone.
func TestReadCommitsAnExpiry(t *testing.T) {
	t.Parallel()
	n := openNode(t, Config{BootstrapExpect: 1})
	waitForLeader(t, n)
	id := fsm.RecordID{Tenant: newTenant(t, n), Scope: "orders", Key: "1"}
	c := claim(id, "owner")
	c.LeaseMs = fsm.MinLeaseMs
	results, granted, err := n.Propose(t.Context(), Call{Command: c})
	if err != nil {
		t.Fatal(err)
	}
	var v fsm.View
	var at Receipt
	waitFor(t, "the lease to be over", func() bool {
		if v, at, err = n.Read(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if v.State == fsm.StateLocked && v.LeaseRemainingMs < 1 {
			t.Errorf("%+v", v)
		}
		return v.State == fsm.StateLapsed
	})
	if at.Index <= granted.Index || n.Status().ClockMs < results[0].LeaseEndMs {
		t.Errorf("granted at %+v until %d, lapsed at %+v, clock %d", granted, results[0].LeaseEndMs, at, n.Status().ClockMs)
	}
}

// TestIdleLeaderReaps: what has expired is removed without anybody asking for an entry.
func TestIdleLeaderReaps(t *testing.T) {
	t.Parallel()
	n := openNode(t, Config{BootstrapExpect: 1})
	waitForLeader(t, n)
	done := complete(fsm.RecordID{Tenant: newTenant(t, n), Scope: "orders", Key: "1"}, "1")
	done.TTLMs = 1
	propose(t, n, done)
	waitFor(t, "the record to be removed", func() bool { return n.Status().Records == 0 })
	n.applier.read(func(m *fsm.Machine) {
		if due, any := m.ReapDueMs(); any {
			t.Errorf("something is due at %d", due)
		}
	})
}
