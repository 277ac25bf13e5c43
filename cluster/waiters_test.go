package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// held returns a bench on which "holder" holds the lock of record("1"), and n callers wait for it.
func heldBench(t testing.TB, n int) (b *bench, waiters []*proposal) {
	t.Helper()
	b = newBench(t)
	if got := b.call(claim(record("1"), "holder")); got.Outcome != fsm.Granted {
		t.Fatalf("%+v", got)
	}
	for i := range n {
		waiters = append(waiters, b.enqueue(waiting(claim(record("1"), fmt.Sprint("w", i)))))
	}
	b.commitAll()
	for _, pr := range waiters {
		if pr.isDone() {
			t.Fatalf("does not wait: %+v, %v", pr.results, pr.err)
		}
	}
	return b, waiters
}

// onlyGranted fails unless exactly the given waiter of those has the lock, and the rest wait still.
func onlyGranted(t testing.TB, b *bench, waiters []*proposal, granted int) {
	t.Helper()
	for i, pr := range waiters {
		switch {
		case i < granted && !pr.isDone():
			t.Fatalf("waiter %d was passed over", i)
		case i == granted && (!pr.isDone() || b.result(pr).Outcome != fsm.Granted):
			t.Fatalf("waiter %d has not got the lock", i)
		case i > granted && pr.isDone():
			t.Fatalf("waiter %d is done before its time: %+v, %v", i, pr.results, pr.err)
		}
	}
}

// TestFirstComeFirstServed hands a lock down a queue of 20, while newcomers arrive at every step in the very entry
// that frees the lock, ahead of the release and behind it.
func TestFirstComeFirstServed(t *testing.T) {
	t.Parallel()
	const n = 20
	for name, free := range map[string]func(owner string) fsm.Command{
		"released": func(owner string) fsm.Command { return fsm.Release{ID: record("1"), Token: tokenOf(owner)} },
		"deleted":  func(string) fsm.Command { return fsm.Delete{ID: record("1")} },
	} {
		for newcomers := range 3 { // none; those that do not wait; those that do
			t.Run(fmt.Sprint(name, newcomers), func(t *testing.T) {
				t.Parallel()
				b, waiters := heldBench(t, n)
				owner := "holder"
				var late []*proposal
				for i := range n {
					arrive := func(who string) {
						c := Call{Command: claim(record("1"), fmt.Sprint(who, i))}
						if newcomers == 2 {
							c.Wait = MaxWait
						}
						if newcomers > 0 {
							late = append(late, b.enqueue(c))
						}
					}
					arrive("early")
					freed := b.enqueue(Call{Command: free(owner)})
					arrive("late")
					b.commitAll()
					if got := b.result(freed); got.Outcome != fsm.OK && got.Outcome != fsm.Deleted || !got.Existed {
						t.Fatalf("step %d: %+v", i, got)
					}
					onlyGranted(t, b, waiters, i)
					owner = fmt.Sprint("w", i)
				}
				for _, pr := range late {
					if newcomers == 1 && b.result(pr).Outcome != fsm.InProgress || newcomers == 2 && pr.isDone() {
						t.Fatalf("a newcomer got %+v, %v", pr.results, pr.err)
					}
				}
			})
		}
	}
}

// TestCompletionWakesAll: everybody who waits gets the very bytes that were stored.
func TestCompletionWakesAll(t *testing.T) {
	t.Parallel()
	b, waiters := heldBench(t, 50)
	done := complete(record("1"), `{"n": 1.50, "n2":[ ]}`)
	done.Headers, done.Status = []byte(`{"X-A": "b"}`), 201
	b.call(done)
	for i, pr := range waiters {
		got := b.result(pr)
		if got.Outcome != fsm.Cached || string(got.Record.Body) != string(done.Body) ||
			string(got.Record.Headers) != string(done.Headers) || got.Record.Status != 201 {
			t.Fatalf("waiter %d: %+v", i, got)
		}
		if pr.receipt.Index != b.index {
			t.Errorf("waiter %d was told index %d, decided at %d", i, pr.receipt.Index, b.index)
		}
	}
	if b.p.waits.any(record("1")) {
		t.Error("somebody is still waiting")
	}
}

// TestCompletedAndDeletedAtOnce: nothing is left to hand out, so the first in line gets the lock.
func TestCompletedAndDeletedAtOnce(t *testing.T) {
	t.Parallel()
	b, waiters := heldBench(t, 3)
	b.enqueue(Call{Command: complete(record("1"), "1")}, Call{Command: fsm.Delete{ID: record("1")}})
	b.commitAll()
	onlyGranted(t, b, waiters, 0)
}

// TestNoHiddenGrant: a claim that was answered is over. Should its lock be deleted by the same entry, the claim must
// not take the lock again behind the back of who deleted it.
func TestNoHiddenGrant(t *testing.T) {
	t.Parallel()
	t.Run("newcomer", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		claimed := b.enqueue(waiting(claim(record("1"), "a")))
		deleted := b.enqueue(Call{Command: fsm.Delete{ID: record("1")}})
		b.commitAll()
		if b.result(claimed).Outcome != fsm.Granted {
			t.Fatalf("%+v", claimed.results)
		}
		existed, state := b.result(deleted).Existed, b.state(record("1"))
		if existed != (state == fsm.StateAbsent) {
			t.Errorf("deleted %v, then %v", existed, state)
		}
	})
	t.Run("waiter", func(t *testing.T) {
		t.Parallel()
		b, waiters := heldBench(t, 1)
		b.enqueue(Call{Command: fsm.Release{ID: record("1"), Token: tokenOf("holder")}})
		deleted := b.enqueue(Call{Command: fsm.Delete{ID: record("1")}})
		b.commitAll()
		onlyGranted(t, b, waiters, 0)
		// The holder's lock was there to be released or deleted, and to be granted after that.
		if state := b.state(record("1")); state != fsm.StateLocked {
			t.Errorf("deleted %v, then %v", b.result(deleted).Existed, state)
		}
	})
	t.Run("waiter and newcomer", func(t *testing.T) {
		t.Parallel()
		b, waiters := heldBench(t, 1)
		b.enqueue(Call{Command: fsm.Release{ID: record("1"), Token: tokenOf("holder")}})
		deleted := b.enqueue(Call{Command: fsm.Delete{ID: record("1")}})
		late := b.enqueue(Call{Command: claim(record("1"), "late")})
		b.commitAll()
		onlyGranted(t, b, waiters, 0)
		if got := b.result(late); got.Outcome != fsm.InProgress {
			t.Errorf("deleted %v, then %+v", b.result(deleted).Existed, got)
		}
		if got := b.call(claim(record("1"), "w0")); !got.Reentered || got.Fence != b.result(waiters[0]).Fence {
			t.Errorf("the waiter was told of fence %d, and holds %+v", b.result(waiters[0]).Fence, got)
		}
	})
}

// TestLapse: when the lease is over the first in line gets the lock, by an entry that nobody else asks for; a renewal
// puts that off.
func TestLapse(t *testing.T) {
	t.Parallel()
	for name, renew := range map[string]bool{"lapses": false, "renewed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, waiters := heldBench(t, 2)
				start, end := time.Now(), time.Minute
				if renew {
					time.Sleep(20 * time.Second)
					b.call(fsm.Renew{ID: record("1"), Token: tokenOf("holder"), KeepLease: true})
					end += 20 * time.Second
				}
				time.Sleep(end - time.Since(start) - time.Millisecond)
				synctest.Wait()
				if b.commit() || waiters[0].isDone() {
					t.Fatal("claimed before the lease was over")
				}
				time.Sleep(2 * time.Millisecond)
				synctest.Wait()
				b.commitAll()
				onlyGranted(t, b, waiters, 0)
				if got := b.result(waiters[0]); got.Token != tokenOf("w0") {
					t.Errorf("%+v", got)
				}
				// The next one's turn is when the lease of the first is over.
				time.Sleep(time.Minute + time.Millisecond)
				synctest.Wait()
				b.commitAll()
				onlyGranted(t, b, waiters, 1)
			})
		})
	}
}

// TestWaitEnds: whose time is over learns that the lock is still held, and for how long.
func TestWaitEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.call(claim(record("1"), "holder"))
		pr := b.enqueue(Call{Command: claim(record("1"), "w"), Wait: 10 * time.Second})
		b.commitAll()
		start := time.Now()
		if err := b.p.await(t.Context(), pr); err != nil || time.Since(start) != 10*time.Second {
			t.Fatalf("%v after %v", err, time.Since(start))
		}
		got := b.result(pr)
		if got.Outcome != fsm.InProgress || got.LeaseRemainingMs != 50_000 || got.RetryAfterMs != fsm.RetryDelayMs {
			t.Errorf("%+v", got)
		}
		if b.p.waits.any(record("1")) {
			t.Error("still in the queue")
		}
		// A wait is bounded whatever is asked for, and what is left of a lease may be less than the usual delay.
		pr = b.enqueue(Call{Command: claim(record("1"), "w"), Wait: time.Hour})
		b.commitAll()
		start = time.Now()
		if err := b.p.await(t.Context(), pr); err != nil || time.Since(start) != MaxWait {
			t.Fatalf("%v after %v", err, time.Since(start))
		}
		time.Sleep(19 * time.Second)
		pr = b.enqueue(Call{Command: claim(record("1"), "w"), Wait: 500 * time.Millisecond})
		b.commitAll()
		if err := b.p.await(t.Context(), pr); err != nil {
			t.Fatal(err)
		}
		if got := b.result(pr); got.LeaseRemainingMs != 500 || got.RetryAfterMs != 500 {
			t.Errorf("%+v", got)
		}
	})
}

// TestWaitEndsInFlight: a wait that is over while its claim is in the log's hands ends with what the log says.
func TestWaitEndsInFlight(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		free bool
		want fsm.Outcome
	}{"held": {false, fsm.InProgress}, "freed": {true, fsm.Granted}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, waiters := heldBench(t, 2)
			if tc.free {
				b.enqueue(Call{Command: fsm.Release{ID: record("1"), Token: tokenOf("holder")}})
			} else {
				b.p.waits.retryLater(record("1"))
			}
			next := b.p.nextBatch()
			b.p.stopWaiting(waiters[0], time.Now().Add(MaxWait))
			if waiters[0].isDone() {
				t.Fatal("answered without the log")
			}
			b.apply(next)
			if got := b.result(waiters[0]); got.Outcome != tc.want {
				t.Errorf("%+v", got)
			}
			if waiters[1].isDone() {
				t.Error("the second is done as well")
			}
		})
	}
}

// TestCancelledWaiter: who has left is passed over.
func TestCancelledWaiter(t *testing.T) {
	t.Parallel()
	b, waiters := heldBench(t, 3)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.p.await(cancelled, waiters[0]); err != nil || waiters[0].results[0].Outcome != fsm.InProgress {
		t.Fatalf("%v, %+v", err, waiters[0].results)
	}
	b.call(fsm.Release{ID: record("1"), Token: tokenOf("holder")})
	onlyGranted(t, b, waiters[1:], 0)
}

// TestCancelledWaiterInFlight: who left while the log had the claim must not keep the lock.
func TestCancelledWaiterInFlight(t *testing.T) {
	t.Parallel()
	b, waiters := heldBench(t, 2)
	b.enqueue(Call{Command: fsm.Release{ID: record("1"), Token: tokenOf("holder")}})
	next := b.p.nextBatch()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.p.await(cancelled, waiters[0]); !errors.Is(err, ErrOutcomeUnknown) {
		t.Fatalf("got %v", err)
	}
	b.apply(next)
	b.commitAll()
	onlyGranted(t, b, waiters[1:], 0)
}

// TestCancelledWaiterComesBack: repeating a claim of unknown outcome with the same owner is safe. What is granted to
// the second attempt is not taken away because the first one has left.
func TestCancelledWaiterComesBack(t *testing.T) {
	t.Parallel()
	again := func(b *bench, wait time.Duration) *proposal {
		return b.enqueue(Call{Command: claim(record("1"), "w0"), Wait: wait})
	}
	release := Call{Command: fsm.Release{ID: record("1"), Token: tokenOf("holder")}}
	for name, arrange := range map[string]func(b *bench, leave func()) (second *proposal){
		"in the same entry": func(b *bench, leave func()) *proposal {
			b.enqueue(release)
			second := again(b, 0)
			next := b.p.nextBatch()
			leave()
			b.apply(next)
			return second
		},
		"in the queue": func(b *bench, leave func()) *proposal {
			b.enqueue(release)
			next := b.p.nextBatch()
			leave()
			second := again(b, 0)
			b.apply(next)
			return second
		},
		"waiting": func(b *bench, leave func()) *proposal {
			second := again(b, MaxWait)
			b.commitAll()
			b.enqueue(release)
			next := b.p.nextBatch()
			leave()
			b.apply(next)
			return second
		},
		"later": func(b *bench, leave func()) *proposal {
			b.enqueue(release)
			next := b.p.nextBatch()
			leave()
			b.apply(next)
			return again(b, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, waiters := heldBench(t, 1)
			second := arrange(b, func() {
				cancelled, cancel := context.WithCancel(t.Context())
				cancel()
				if err := b.p.await(cancelled, waiters[0]); !errors.Is(err, ErrOutcomeUnknown) {
					t.Fatalf("got %v", err)
				}
			})
			b.commitAll()
			got := b.result(second)
			if got.Outcome != fsm.Granted {
				t.Fatalf("%+v", got)
			}
			if renewed := b.call(fsm.Renew{ID: record("1"), Token: got.Token, KeepLease: true}); renewed.Outcome != fsm.Renewed {
				t.Errorf("the lock that was granted is lost: %+v", renewed)
			}
		})
	}
}

// TestRefusedHead: if the first in line is refused for a reason of its own, the next one is asked.
func TestRefusedHead(t *testing.T) {
	t.Parallel()
	t.Run("fingerprint", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.call(claim(record("1"), "holder"))
		c := claim(record("1"), "other")
		c.Fingerprint = "theirs"
		first := b.enqueue(waiting(c))
		second := b.enqueue(waiting(claim(record("1"), "w")))
		b.commitAll()
		// Another holder comes in between, with a fingerprint of its own.
		taken := claim(record("1"), "taker")
		taken.Fingerprint = "ours"
		b.p.waits.retryLater(record("1"))
		b.enqueue(Call{Command: fsm.Delete{ID: record("1")}}, Call{Command: taken})
		b.commitAll()
		if got := b.result(first); got.Outcome != fsm.FingerprintMismatch && got.Outcome != fsm.Granted {
			t.Fatalf("%+v", got)
		}
		if second.isDone() {
			t.Errorf("%+v", second.results)
		}
	})
	t.Run("usage limit", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.call(fsm.CreateTenant{PublicID: "ten_2", Slug: "small"})
		id := fsm.RecordID{Tenant: 2, Scope: "orders", Key: "1"}
		b.call(claim(id, "holder"))
		waiters := []*proposal{
			b.enqueue(waiting(claim(id, "w0"))), b.enqueue(waiting(claim(id, "w1"))), b.enqueue(waiting(claim(id, "w2"))),
		}
		b.commitAll()
		b.call(fsm.UpdateTenant{Tenant: 2, SetMonthlyClaims: true, MonthlyClaims: 1})
		b.call(fsm.Release{ID: id, Token: tokenOf("holder")})
		for i, pr := range waiters {
			if got := b.result(pr); got.Outcome != fsm.UsageLimitExceeded {
				t.Errorf("waiter %d: %+v", i, got)
			}
		}
	})
}

// TestSeveralClaimsSomeWait: a proposal is answered when the last of its waits is over, each call with its own result.
func TestSeveralClaimsSomeWait(t *testing.T) {
	t.Parallel()
	b, _ := heldBench(t, 0)
	b.call(claim(record("2"), "holder"))
	pr := b.enqueue(
		Call{Command: claim(record("free"), "w")},
		waiting(claim(record("1"), "w")),
		Call{Command: claim(record("2"), "w")}, // does not wait
		waiting(claim(record("2"), "v")),
	)
	b.commitAll()
	b.call(fsm.Release{ID: record("1"), Token: tokenOf("holder")})
	if pr.isDone() {
		t.Fatal("done while a call waits")
	}
	b.call(complete(record("2"), "2"))
	b.result(pr)
	for i, want := range []fsm.Outcome{fsm.Granted, fsm.Granted, fsm.InProgress, fsm.Cached} {
		if pr.results[i].Outcome != want {
			t.Errorf("call %d: %+v", i, pr.results[i])
		}
	}
	if pr.receipt.Index == 0 {
		t.Error("no receipt")
	}
}

// TestSeveralClaimsAbandoned: what is known when a caller leaves is not all it was told.
func TestSeveralClaimsAbandoned(t *testing.T) {
	t.Parallel()
	b, _ := heldBench(t, 0)
	pr := b.enqueue(Call{Command: claim(record("free"), "w")}, waiting(claim(record("1"), "w")))
	b.commitAll()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.p.await(cancelled, pr); err != nil {
		t.Fatalf("everything was known: %v", err)
	}
	if pr.results[0].Outcome != fsm.Granted || pr.results[1].Outcome != fsm.InProgress {
		t.Errorf("%+v", pr.results)
	}
}

// TestRevokeAnswersWaiters: when leadership moves, waiters return at once.
func TestRevokeAnswersWaiters(t *testing.T) {
	t.Parallel()
	b, waiters := heldBench(t, 20)
	b.p.revoke()
	for _, pr := range waiters {
		if got := b.result(pr); got.Outcome != fsm.InProgress || got.LeaseRemainingMs <= 0 {
			t.Fatalf("%+v", got)
		}
	}
	b.p.lead()
	if got := b.call(fsm.Release{ID: record("1"), Token: tokenOf("holder")}); got.Outcome != fsm.OK {
		t.Errorf("%+v", got)
	}
}

// TestWaitersOutliveARefusedEntry: who waits goes on waiting if raft does not take the entry that claims for it, and is
// answered if that comes to light after the reign.
func TestWaitersOutliveARefusedEntry(t *testing.T) {
	t.Parallel()
	b, waiters := heldBench(t, 2)
	released := b.enqueue(Call{Command: fsm.Release{ID: record("1"), Token: tokenOf("holder")}})
	b.p.discard(b.p.nextBatch(), ErrBusy)
	if !errors.Is(released.err, ErrBusy) || waiters[0].isDone() {
		t.Fatalf("%v, %v", released.err, waiters[0].results)
	}
	b.commitAll()
	b.enqueue(Call{Command: fsm.Release{ID: record("1"), Token: tokenOf("holder")}})
	next := b.p.nextBatch()
	b.p.revoke()
	if waiters[0].isDone() || b.result(waiters[1]).Outcome != fsm.InProgress {
		t.Errorf("%+v, %+v", waiters[0].results, waiters[1].results)
	}
	b.p.discard(next, ErrNotLeader)
	if got := b.result(waiters[0]); got.Outcome != fsm.InProgress {
		t.Errorf("%+v", got)
	}
}

// TestWaitersOfUnknownOutcome: a claim that may or may not be in the log is not answered as if it were not.
func TestWaitersOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	b, waiters := heldBench(t, 2)
	b.p.waits.retryLater(record("1"))
	b.p.suspect(b.p.nextBatch(), 0)
	if !errors.Is(waiters[0].err, ErrOutcomeUnknown) || waiters[1].isDone() {
		t.Errorf("%v, %+v", waiters[0].err, waiters[1].results)
	}
	b.call(fsm.Release{ID: record("1"), Token: tokenOf("holder")})
	onlyGranted(t, b, waiters[1:], 0)
}

// TestWaitersAreBounded: beyond the bound a claim is answered at once.
func TestWaitersAreBounded(t *testing.T) {
	t.Parallel()
	b, waiters := heldBench(t, maxWaiters)
	one := b.enqueue(waiting(claim(record("1"), "one too many")))
	b.commitAll()
	if got := b.result(one); got.Outcome != fsm.InProgress {
		t.Errorf("%+v", got)
	}
	b.call(complete(record("1"), "1"))
	for _, pr := range waiters {
		b.result(pr)
	}
	b.call(claim(record("2"), "holder"))
	if pr := b.enqueue(waiting(claim(record("2"), "w"))); func() bool { b.commitAll(); return pr.isDone() }() {
		t.Error("there is no room though nobody waits")
	}
}

// TestWaitOnANode goes the whole way: twenty wait for a lock through raft, and the node is shut down beneath the rest.
func TestWaitOnANode(t *testing.T) {
	t.Parallel()
	n := openNode(t, Config{BootstrapExpect: 1})
	waitForLeader(t, n)
	id := fsm.RecordID{Tenant: newTenant(t, n), Scope: "orders", Key: "1"}
	results, _, err := n.Propose(t.Context(), Call{Command: claim(id, "holder")})
	if err != nil {
		t.Fatal(err)
	}
	type answer struct {
		i int
		r fsm.Result
	}
	answers := make(chan answer)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			results, _, err := n.Propose(context.Background(), waiting(claim(id, fmt.Sprint("w", i))))
			if err != nil {
				t.Error(err)
				results = make([]fsm.Result, 1)
			}
			answers <- answer{i, results[0]}
		})
		waitFor(t, "the waiter to stand in line", func() bool { return waitersOf(n, id) == i+1 })
	}
	token := results[0].Token
	for i := range 5 {
		if _, _, err := n.Propose(t.Context(), Call{Command: fsm.Release{ID: id, Token: token}}); err != nil {
			t.Fatal(err)
		}
		got := <-answers
		if got.i != i || got.r.Outcome != fsm.Granted {
			t.Fatalf("turn %d: waiter %d got %+v", i, got.i, got.r)
		}
		token = got.r.Token
	}
	go closeNode(t, n)
	for range 15 {
		if got := <-answers; got.r.Outcome != fsm.InProgress || got.r.LeaseRemainingMs <= 0 {
			t.Errorf("waiter %d got %+v", got.i, got.r)
		}
	}
	wg.Wait()
	closeNode(t, n)
}

func waitersOf(n *Node, id fsm.RecordID) int {
	n.proposer.mu.Lock()
	defer n.proposer.mu.Unlock()
	if q := n.proposer.waits.byKey[id]; q != nil {
		return len(q.calls)
	}
	return 0
}
