package fsm

import "testing"

func granted(t Token, fence uint64, endMs int64) Result {
	return Result{Outcome: Granted, Token: t, Fence: 1<<40 + fence, LeaseMs: leaseMs, LeaseEndMs: endMs}
}

func inProgress(retryMs, remainingMs, endMs int64) Result {
	return Result{Outcome: InProgress, RetryAfterMs: retryMs, LeaseRemainingMs: remainingMs, LeaseEndMs: endMs}
}

func TestClaimOnAbsentGrants(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	wantView(t, "before", j.m.View(recordID("k")), View{})
	got := j.apply(noon2026+5, claimBy("a", tok(1)))
	wantResult(t, "first claim", got, granted(tok(1), 1, noon2026+5+leaseMs))
	wantView(t, "after", j.m.View(recordID("k")), View{
		State: StateLocked, LeaseRemainingMs: leaseMs, LeaseEndMs: noon2026 + 5 + leaseMs,
		ExpiresAtMs: noon2026 + 5 + ttlMs, ChangesAtMs: noon2026 + 5 + leaseMs,
	})
}

// A claim by another caller meets the lock at every instant around the end of the lease.
func TestClaimByAnotherAtLeaseEnd(t *testing.T) {
	t.Parallel()
	end := noon2026 + leaseMs
	tests := []struct {
		name    string
		stampMs int64
		want    Result
	}{
		{"same instant", noon2026, inProgress(1500, leaseMs, end)},
		{"stamp behind the clock", noon2026 - 10*leaseMs, inProgress(1500, leaseMs, end)},
		{"1501 left", end - 1501, inProgress(1500, 1501, end)},
		{"1500 left", end - 1500, inProgress(1500, 1500, end)},
		{"1499 left", end - 1499, inProgress(1499, 1499, end)},
		{"2 left", end - 2, inProgress(2, 2, end)},
		{"1 left", end - 1, inProgress(1, 1, end)},
		{"at the end", end, granted(tok(2), 2, end+leaseMs)},
		{"after the end", end + 1, granted(tok(2), 2, end+1+leaseMs)},
		{"last instant of the lapsed lock", noon2026 + ttlMs - 1, granted(tok(2), 2, noon2026+ttlMs-1+leaseMs)},
		{"after the lock expired", noon2026 + ttlMs, granted(tok(2), 2, noon2026+ttlMs+leaseMs)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := newJournal(t)
			j.apply(noon2026, claimBy("a", tok(1)))
			wantResult(t, tt.name, j.apply(tt.stampMs, claimBy("b", tok(2))), tt.want)
		})
	}
}

func TestLockLapsesAndExpires(t *testing.T) {
	t.Parallel()
	end, gone := noon2026+leaseMs, noon2026+ttlMs
	lapsed := View{State: StateLapsed, LeaseEndMs: end, ExpiresAtMs: gone, ChangesAtMs: gone}
	tests := []struct {
		name    string
		stampMs int64
		want    View
	}{
		{"live to the last", end - 1, View{
			State: StateLocked, LeaseRemainingMs: 1, LeaseEndMs: end, ExpiresAtMs: gone, ChangesAtMs: end,
		}},
		{"lapsed at the end", end, lapsed},
		{"lapsed to the last", gone - 1, lapsed},
		{"absent at expiry", gone, View{}},
		{"absent after", gone + 1, View{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := newJournal(t)
			j.apply(noon2026, claimBy("a", tok(1)))
			j.advance(tt.stampMs)
			wantView(t, tt.name, j.m.View(recordID("k")), tt.want)
		})
	}
}

// A lock whose own life is shorter than its lease is not forgotten while the lease is live.
func TestLiveLeaseIsNotCutShortByTTL(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	c := claimBy("a", tok(1))
	c.TTLMs = 1_000
	j.apply(noon2026, c)
	end := noon2026 + leaseMs
	j.advance(end - 1)
	wantView(t, "last instant", j.m.View(c.ID), View{
		State: StateLocked, LeaseRemainingMs: 1, LeaseEndMs: end, ExpiresAtMs: end, ChangesAtMs: end,
	})
	j.advance(end)
	wantView(t, "end of lease", j.m.View(c.ID), View{})
}

func TestReentry(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	j.apply(noon2026, claimBy("a", tok(1)))
	again := claimBy("a", tok(2))
	again.LeaseMs, again.TTLMs = 5*leaseMs, 5*ttlMs
	end := noon2026 + leaseMs
	want := Result{Outcome: Granted, Reentered: true, Token: tok(1), Fence: 1<<40 + 1, LeaseMs: 1, LeaseEndMs: end}
	wantResult(t, "live lock", j.apply(end-1, again), want)
	if _, claims := j.m.Usage(1); claims != 1 {
		t.Errorf("%d claims counted, want 1: a re-entry is no new grant", claims)
	}
	want = Result{Outcome: Granted, Token: tok(2), Fence: 1<<40 + 2, LeaseMs: 5 * leaseMs, LeaseEndMs: end + 5*leaseMs}
	wantResult(t, "lapsed lock", j.apply(end, again), want)
	if _, claims := j.m.Usage(1); claims != 2 {
		t.Errorf("%d claims counted, want 2: the lock had lapsed", claims)
	}
	got := j.apply(end, Renew{ID: again.ID, Token: tok(1), KeepLease: true})
	wantResult(t, "the old token", got, Result{Outcome: LockLost})
}

func TestClaimOnCompleted(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	j.apply(noon2026, claimBy("a", tok(1)))
	j.apply(noon2026+7, completeWith(tok(1), `1.50`))
	expires := noon2026 + 7 + 2*ttlMs
	record := Record{
		Status: 201, Headers: []byte(`{"a":"b"}`), Body: []byte(`1.50`), CreatedAtMs: noon2026 + 7, ExpiresAtMs: expires,
	}
	for _, owner := range []string{"a", "b"} {
		got := j.apply(expires-1, claimBy(owner, tok(2)))
		wantResult(t, "last instant, "+owner, got, Result{Outcome: Cached, Record: record})
	}
	wantView(t, "last instant", j.m.View(recordID("k")), View{
		State: StateCompleted, Record: record, ExpiresAtMs: expires, ChangesAtMs: expires,
	})
	wantResult(t, "at expiry", j.apply(expires, claimBy("b", tok(3))), granted(tok(3), 2, expires+leaseMs))
}

// A lock with lease 0 is never taken over and never forgotten, yet its holder can do everything with it.
func TestLeaseZero(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	c := claimBy("a", tok(1))
	c.LeaseMs, c.TTLMs = NeverMs, 1_000
	want := Result{Outcome: Granted, Token: tok(1), Fence: 1<<40 + 1}
	wantResult(t, "grant", j.apply(noon2026, c), want)
	century := noon2026 + 100*366*ttlMs
	wantResult(t, "another, after a century", j.apply(century, claimBy("b", tok(2))), inProgress(1500, NeverMs, NeverMs))
	wantView(t, "view", j.m.View(c.ID), View{State: StateLocked})
	want.Reentered = true
	wantResult(t, "the same owner", j.apply(century, c), want)
	j.apply(century, Establish{GraceMs: 5_000})
	wantView(t, "after a leader change", j.m.View(c.ID), View{State: StateLocked})

	renewed := Result{Outcome: Renewed, LeaseMs: 2_000, LeaseEndMs: century + 2_000}
	wantResult(t, "renewed to an end", j.apply(century, Renew{ID: c.ID, Token: tok(1), LeaseMs: 2_000}), renewed)
	wantResult(t, "then taken over", j.apply(century+2_000, claimBy("b", tok(3))), granted(tok(3), 2, century+62_000))
	wantResult(t, "and made endless", j.apply(century+2_000, Renew{ID: c.ID, Token: tok(3)}), Result{Outcome: Renewed})
	j.advance(2 * century)
	wantView(t, "endless", j.m.View(c.ID), View{State: StateLocked})
	wantResult(t, "released", j.apply(century, Release{ID: c.ID, Token: tok(3)}), Result{Outcome: OK, Existed: true})
	wantView(t, "gone", j.m.View(c.ID), View{})
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	states := []struct {
		name  string
		reach func(j *journal)
	}{
		{"locked", func(*journal) {}},
		{"lapsed", func(j *journal) { j.advance(noon2026 + leaseMs) }},
		{"completed", func(j *journal) { j.apply(noon2026, completeWith(tok(1), `1`)) }},
	}
	tests := []struct {
		recorded, given string
		mismatch        bool
	}{
		{"", "", false}, {"f", "", false}, {"", "f", false}, {"f", "f", false}, {"f", "g", true}, {"f", "ff", true},
	}
	for _, state := range states {
		for _, tt := range tests {
			t.Run(state.name+"/"+tt.recorded+"-"+tt.given, func(t *testing.T) {
				t.Parallel()
				j := newJournal(t)
				c := claimBy("a", tok(1))
				c.Fingerprint = tt.recorded
				j.apply(noon2026, c)
				state.reach(j)
				before := dumpRecords(j.m)
				c.Token, c.Fingerprint = tok(2), tt.given
				got := j.apply(noon2026, c)
				if !tt.mismatch {
					if got.Outcome == FingerprintMismatch {
						t.Errorf("mismatch of %q and %q", tt.recorded, tt.given)
					}
					return
				}
				wantResult(t, "claim", got, Result{Outcome: FingerprintMismatch, Fingerprint: tt.recorded})
				if after := dumpRecords(j.m); after != before {
					t.Errorf("a refused claim changed the state from\n%s\nto\n%s", before, after)
				}
			})
		}
	}
}

func TestFingerprintIsAnswered(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	c := claimBy("a", tok(1))
	c.Fingerprint = "f"
	outcomes := []struct {
		name string
		got  Result
		want Outcome
	}{
		{"grant", j.apply(noon2026, c), Granted},
		{"re-entry without one", j.apply(noon2026, claimBy("a", tok(2))), Granted},
		{"in progress", j.apply(noon2026, claimBy("b", tok(2))), InProgress},
		{"lapsed take-over without one", j.apply(noon2026+leaseMs, claimBy("b", tok(3))), Granted},
		{"stored", j.apply(noon2026, completeWith(tok(3), `1`)), Stored},
		{"stored again", j.apply(noon2026, completeWith(tok(3), `1`)), Stored},
		{"already completed", j.apply(noon2026, completeWith(tok(3), `2`)), AlreadyCompleted},
	}
	for _, o := range outcomes {
		if o.got.Outcome != o.want || o.got.Fingerprint != "f" {
			t.Errorf("%s: %+v, want outcome %d with fingerprint f", o.name, o.got, o.want)
		}
	}
	cached := j.apply(noon2026, claimBy("c", tok(4)))
	if cached.Outcome != Cached || cached.Record.Fingerprint != "f" {
		t.Errorf("cached: %+v, want fingerprint f", cached)
	}
}

// The key of a record that is gone is free for any request.
func TestFingerprintIsForgotten(t *testing.T) {
	t.Parallel()
	forget := map[string]func(j *journal, c Claim){
		"expired lock": func(j *journal, _ Claim) { j.advance(noon2026 + ttlMs) },
		"released":     func(j *journal, c Claim) { j.apply(noon2026, Release{ID: c.ID, Token: c.Token}) },
		"deleted":      func(j *journal, c Claim) { j.apply(noon2026, Delete{ID: c.ID}) },
		"expired record": func(j *journal, _ Claim) {
			j.apply(noon2026, completeWith(tok(1), `1`))
			j.advance(noon2026 + 2*ttlMs)
		},
	}
	for name, f := range forget {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := newJournal(t)
			c := claimBy("a", tok(1))
			c.Fingerprint = "f"
			j.apply(noon2026, c)
			f(j, c)
			c.Fingerprint = "g"
			if got := j.apply(noon2026, c); got.Outcome != Granted || got.Fingerprint != "g" {
				t.Errorf("claim with another fingerprint: %+v, want a grant", got)
			}
		})
	}
}

// Identity is the bytes of tenant, scope and key, and nothing joins or folds them.
func TestIdentityIsBytes(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	j.apply(noon2026, CreateTenant{PublicID: "ten_2", Slug: "umbrella"})
	ids := []RecordID{
		{1, "ab", "c"}, {1, "a", "bc"}, {2, "ab", "c"}, {1, "AB", "c"}, {1, "ab", "c "}, {1, "ab ", "c"},
		{1, "é", "k"}, {1, "e\u0301", "k"}, {1, "1", "k"}, {1, "1.0", "k"}, {1, "ab", "c\x00"},
	}
	for i, id := range ids {
		c := Claim{ID: id, Owner: "a", Token: tok(byte(i)), LeaseMs: leaseMs, TTLMs: ttlMs}
		wantResult(t, id.Scope+"/"+id.Key, j.apply(noon2026, c), granted(tok(byte(i)), uint64(i+1), noon2026+leaseMs))
	}
}
