package fsm

import "testing"

func TestRenew(t *testing.T) {
	t.Parallel()
	renewed := Result{Outcome: Renewed, LeaseMs: 5_000, LeaseEndMs: -5_000}
	lost := Result{Outcome: LockLost}
	inEveryState(t, Renew{ID: recordID("k"), Token: tok(1), LeaseMs: 5_000}, map[string]Result{
		"absent": lost, "locked": renewed, "lapsed": renewed, "taken over": lost, "completed": lost,
		"lock expired": lost, "record expired": lost,
	})
}

func TestRenewKeepsLease(t *testing.T) {
	t.Parallel()
	renewed := Result{Outcome: Renewed, LeaseMs: leaseMs, LeaseEndMs: -leaseMs}
	lost := Result{Outcome: LockLost}
	inEveryState(t, Renew{ID: recordID("k"), Token: tok(1), LeaseMs: 5_000, KeepLease: true}, map[string]Result{
		"absent": lost, "locked": renewed, "lapsed": renewed, "taken over": lost, "completed": lost,
		"lock expired": lost, "record expired": lost,
	})
}

// A renewal moves the end of the lease to exactly its own length from the stamp, and a later one with KeepLease
// repeats that length.
func TestRenewMovesLeaseEnd(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	j.apply(noon2026, claimBy("a", tok(1)))
	j.apply(noon2026+10_000, Renew{ID: recordID("k"), Token: tok(1), LeaseMs: 5_000})
	end := noon2026 + 15_000
	wantResult(t, "last instant", j.apply(end-1, claimBy("b", tok(2))), inProgress(1, 1, end))
	got := j.apply(end-1, Renew{ID: recordID("k"), Token: tok(1), KeepLease: true})
	wantResult(t, "kept", got, Result{Outcome: Renewed, LeaseMs: 5_000, LeaseEndMs: end - 1 + 5_000})
	wantResult(t, "taken over", j.apply(end+4_999, claimBy("b", tok(2))), granted(tok(2), 2, end+4_999+leaseMs))
}

// A lock outlives its TTL for as long as it is renewed while live; a lapsed one is forgotten with its TTL.
func TestRenewOutlivesTTL(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	j.apply(noon2026, claimBy("a", tok(1)))
	renewal := Renew{ID: recordID("k"), Token: tok(1), KeepLease: true}
	now := noon2026
	for now < noon2026+ttlMs+leaseMs {
		now += leaseMs - 1
		wantResult(t, "live", j.apply(now, renewal), Result{Outcome: Renewed, LeaseMs: leaseMs, LeaseEndMs: now + leaseMs})
	}
	wantResult(t, "at last too late", j.apply(now+leaseMs, renewal), Result{Outcome: LockLost})
}

func TestRelease(t *testing.T) {
	t.Parallel()
	released := Result{Outcome: OK, Existed: true}
	inEveryState(t, Release{ID: recordID("k"), Token: tok(1)}, map[string]Result{
		"absent": {Outcome: OK}, "locked": released, "lapsed": released, "taken over": {Outcome: LockLost},
		"completed": {Outcome: OK}, "lock expired": {Outcome: OK}, "record expired": {Outcome: OK},
	})
}

func TestReleaseFreesTheKeyOnly(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	j.apply(noon2026, claimBy("a", tok(1)))
	j.apply(noon2026, Release{ID: recordID("k"), Token: tok(1)})
	wantView(t, "released", j.m.View(recordID("k")), View{})
	wantResult(t, "next", j.apply(noon2026, claimBy("b", tok(2))), granted(tok(2), 2, noon2026+leaseMs))

	j.apply(noon2026, completeWith(tok(2), `1`))
	j.apply(noon2026, Release{ID: recordID("k"), Token: tok(2)})
	if v := j.m.View(recordID("k")); v.State != StateCompleted {
		t.Errorf("release of a completed record left it %v", v.State)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	existed, absent := Result{Outcome: Deleted, Existed: true}, Result{Outcome: Deleted}
	inEveryState(t, Delete{ID: recordID("k")}, map[string]Result{
		"absent": absent, "locked": existed, "lapsed": existed, "taken over": existed, "completed": existed,
		"lock expired": absent, "record expired": absent,
	})
}

// After a delete the key is free, and no earlier token holds anything.
func TestDeleteForgets(t *testing.T) {
	t.Parallel()
	for _, state := range keyStates {
		t.Run(state.name, func(t *testing.T) {
			t.Parallel()
			j := newJournal(t)
			state.reach(j)
			j.apply(0, Delete{ID: recordID("k")})
			wantView(t, "view", j.m.View(recordID("k")), View{})
			wantResult(t, "again", j.apply(0, Delete{ID: recordID("k")}), Result{Outcome: Deleted})
			for _, tk := range []Token{tok(1), tok(2)} {
				wantResult(t, "stale PUT", j.apply(0, completeWith(tk, `3`)), Result{Outcome: LockLost})
			}
			if got := j.apply(0, claimBy("c", tok(3))); got.Outcome != Granted || got.Token != tok(3) {
				t.Errorf("claim: %+v, want a grant", got)
			}
		})
	}
}

// A new leader's first entry lengthens what is live by the grace, and nothing else.
func TestEstablish(t *testing.T) {
	t.Parallel()
	const grace = 3_000
	end := noon2026 + leaseMs
	tests := []struct {
		name     string
		stampMs  int64
		wantEnd  int64
		takeOver int64
	}{
		{"early", noon2026 + 1, end + grace, end + grace},
		{"last instant", end - 1, end + grace, end + grace},
		{"lapsed", end, end, end},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := newJournal(t)
			j.apply(noon2026, claimBy("a", tok(1)))
			wantResult(t, "establish", j.apply(tt.stampMs, Establish{GraceMs: grace}), Result{Outcome: OK})
			if got := j.m.View(recordID("k")).LeaseEndMs; got != tt.wantEnd {
				t.Errorf("lease ends %+d ms from where it was, want %+d", got-end, tt.wantEnd-end)
			}
			if tt.takeOver > tt.stampMs {
				got := j.apply(tt.takeOver-1, claimBy("b", tok(2)))
				wantResult(t, "last instant of the grace", got, inProgress(1, 1, tt.takeOver))
			}
			got := j.apply(tt.takeOver, claimBy("b", tok(2)))
			wantResult(t, "after the grace", got, granted(tok(2), 2, max(tt.takeOver, tt.stampMs)+leaseMs))
		})
	}
}

// ViewAt looks ahead of the committed clock, never behind it, and changes nothing.
func TestViewAt(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	j.apply(noon2026, claimBy("a", tok(1)))
	end := noon2026 + leaseMs
	for at, want := range map[int64]State{0: StateLocked, end - 1: StateLocked, end: StateLapsed} {
		if got := j.m.ViewAt(recordID("k"), at); got.State != want {
			t.Errorf("at %+d ms: %v, want %v", at-noon2026, got.State, want)
		}
	}
	if got := j.m.ViewAt(recordID("k"), end-10).LeaseRemainingMs; got != 10 {
		t.Errorf("%d ms are left", got)
	}
	if got := j.m.View(recordID("k")); got.State != StateLocked || j.m.ClockMs() != noon2026 {
		t.Errorf("looking ahead changed the state: %+v", got)
	}
}

// A clock that nobody carried may jump by any amount: live leases move along, lapsed ones and records do not.
func TestEstablishWithAGuessedClock(t *testing.T) {
	t.Parallel()
	const grace, outage = 300, 3_600_000
	last := noon2026 + leaseMs/2
	j := newJournal(t)
	j.apply(noon2026, claimBy("a", tok(1)))
	j.apply(last, Establish{GraceMs: grace, ClockMs: last + outage})
	if got := j.m.ClockMs(); got != last+outage {
		t.Errorf("the clock is %+d ms from where it should be", got-last-outage)
	}
	end := noon2026 + leaseMs + outage + grace
	if got := j.m.View(recordID("k")); got.State != StateLocked || got.LeaseEndMs != end {
		t.Errorf("%v, lease ends %+d ms from where it should", got.State, got.LeaseEndMs-end)
	}
	j.apply(end, Establish{GraceMs: grace, ClockMs: end + outage}) // lapsed at its entry's stamp
	if got := j.m.View(recordID("k")); got.State == StateLocked {
		t.Error("a lease that was over came back")
	}
	j.apply(end, Establish{ClockMs: 1}) // a clock never goes back
	if got := j.m.ClockMs(); got != end+outage {
		t.Errorf("the clock went to %d", got)
	}
}

func TestEstablishReachesEveryLiveLease(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	const locks = 1_000
	for i := range locks {
		c := claimBy("a", tok(1))
		c.ID = recordID(string(rune('a'+i%26)) + string(rune('a'+i/26)))
		c.LeaseMs = MinLeaseMs + int64(i)*10
		j.apply(noon2026, c)
	}
	half := noon2026 + MinLeaseMs + locks/2*10
	j.apply(half, Establish{GraceMs: 777})
	for i := range locks {
		got := j.m.View(recordID(string(rune('a'+i%26)) + string(rune('a'+i/26)))).LeaseEndMs
		want := noon2026 + MinLeaseMs + int64(i)*10
		if want > half {
			want += 777
		}
		if got != want {
			t.Fatalf("lease %d ends at %d, want %d", i, got, want)
		}
	}
}
