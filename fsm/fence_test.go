package fsm

import "testing"

const maxExactInteger = 1 << 53 // JSON numbers are read as doubles

// Whatever ends a lock, the next grant's fence is the next number, on whichever key.
func TestFenceRisesByOnePerGrant(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	k := recordID("k")
	between := []struct {
		name string
		f    func()
	}{
		{"nothing before", func() {}},
		{"release", func() { j.apply(0, Release{ID: k, Token: tok(1)}) }},
		{"delete of a lock", func() { j.apply(0, Delete{ID: k}) }},
		{"take-over", func() { j.advance(j.m.ClockMs() + leaseMs) }},
		{"expiry of the lock", func() { j.advance(j.m.ClockMs() + ttlMs) }},
		{"completion and delete", func() { j.apply(0, completeWith(tok(1), `1`)); j.apply(0, Delete{ID: k}) }},
		{"completion and expiry", func() { j.apply(0, completeWith(tok(1), `1`)); j.advance(j.m.ClockMs() + 2*ttlMs) }},
		{"leader change", func() { j.apply(0, Establish{GraceMs: 1_000}); j.apply(0, Delete{ID: k}) }},
		{"snapshot and restore", func() {
			j.apply(0, Delete{ID: k})
			j.m = mustRestore(t, written(t, j.m.Snapshot()))
		}},
	}
	for i, b := range between {
		b.f()
		got := j.apply(0, claimBy("a", tok(1)))
		if want := uint64(1<<40 + i + 1); got.Outcome != Granted || got.Fence != want {
			t.Fatalf("after %s: outcome %d, fence %d, want a grant with fence %d", b.name, got.Outcome, got.Fence, want)
		}
	}
}

// A refused claim, a re-entry and a replay use up no number.
func TestFenceIsForGrantsOnly(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	j.apply(noon2026, UpdateTenant{Tenant: 1, SetMonthlyClaims: true, MonthlyClaims: 1})
	j.apply(noon2026, claimBy("a", tok(1)))
	j.apply(noon2026, claimBy("a", tok(1)))
	j.apply(noon2026, claimBy("b", tok(1)))
	other := claimBy("b", tok(2))
	other.ID = recordID("other")
	j.apply(noon2026, other) // over the limit
	other.ID.Tenant = 7
	j.apply(noon2026, other) // no such tenant
	j.apply(noon2026, completeWith(tok(1), `1`))
	j.apply(noon2026, claimBy("b", tok(1)))
	j.apply(noon2026, UpdateTenant{Tenant: 1, SetMonthlyClaims: true})
	other.ID.Tenant = 1
	wantResult(t, "second grant", j.apply(noon2026, other), granted(tok(2), 2, noon2026+leaseMs))
}

// When the counter is full the epoch is raised in its place, and the fence still rises.
func TestFenceRollover(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	j.m.grants = 1<<40 - 3
	want := []uint64{1<<40 | (1<<40 - 2), 1<<40 | (1<<40 - 1), 2<<40 | 1, 2<<40 | 2}
	for i, fence := range want {
		c := claimBy("a", tok(1))
		c.ID = recordID(string(rune('a' + i)))
		if got := j.apply(noon2026, c).Fence; got != fence {
			t.Fatalf("grant %d has fence %#x, want %#x", i, got, fence)
		}
		j.m = mustRestore(t, written(t, j.m.Snapshot()))
	}
}

func TestFenceIsExactInJSON(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	j.m.epoch, j.m.grants = 1<<13-1, 1<<40-2
	got := j.apply(noon2026, claimBy("a", tok(1))).Fence
	if got != maxExactInteger-1 {
		t.Errorf("the last fence is %d, want %d", got, maxExactInteger-1)
	}
}
