package fsm

import (
	"fmt"
	"testing"
)

// expectReplay asks Replay about a claim that is about to be applied by itself. The check that it returns compares the
// answer with what was applied: every claim of the tests and histories of this package goes through it.
func expectReplay(m *Machine, stampMs int64, cmds ...Command) (check func(applied []Result) error) {
	var c Claim
	if len(cmds) == 1 {
		c, _ = cmds[0].(Claim)
	}
	if c.ID.Key == "" {
		return func([]Result) error { return nil }
	}
	clockMs, view := m.ClockMs(), m.View(c.ID)
	replay, ok := m.Replay(c, stampMs)
	mayGrant, mayWait := m.MayGrant(c, false, stampMs), m.MayGrant(c, true, stampMs)
	after := m.View(c.ID)
	return func(applied []Result) error {
		r := applied[0]
		// The clock alone makes another of what was seen.
		stampDecides := view.ChangesAtMs > clockMs && view.ChangesAtMs <= stampMs
		changes := r.Outcome == Granted || r.Outcome == UsageLimitExceeded || r.Outcome == TenantSuspended ||
			r.Outcome == StoredBytesExceeded ||
			r.Outcome == NotFound
		switch {
		case !sameView(&view, &after):
			return fmt.Errorf("Replay changed %+v to %+v", view, after)
		case mayGrant != (changes && !r.Reentered) && (r.Outcome != FingerprintMismatch || view.State == StateCompleted):
			return fmt.Errorf("MayGrant says %v, Apply %+v", mayGrant, r)
		case mayWait != (mayGrant || r.Outcome == InProgress) && r.Outcome != FingerprintMismatch:
			return fmt.Errorf("MayGrant says %v of a claim that waits, Apply %+v", mayWait, r)
		case ok && !sameResult(&replay, &r):
			return fmt.Errorf("Replay answers %+v, Apply %+v", replay, r)
		case !ok && !changes && !stampDecides && view.State != StateLapsed:
			return fmt.Errorf("Replay leaves it to the log to answer %+v, at %+v", r, view)
		}
		return nil
	}
}

func TestReplay(t *testing.T) {
	t.Parallel()
	other := claimBy("b", tok(2))
	mismatched := other
	mismatched.Fingerprint = "f2"
	fingerprinted := claimBy("a", tok(1))
	fingerprinted.Fingerprint = "f1"
	end := noon2026 + leaseMs
	for _, tc := range []struct {
		name  string
		setup []Command
		claim Claim
		nowMs int64
		want  Outcome // 0: the log decides
	}{
		{"absent", nil, other, noon2026, 0},
		{"held by another", []Command{fingerprinted}, other, end - 1, InProgress},
		{"held, asked before the committed clock", []Command{fingerprinted}, other, noon2026 - 10, InProgress},
		{"held by its own owner", []Command{fingerprinted}, claimBy("a", tok(2)), noon2026, 0},
		{"held for another request", []Command{fingerprinted}, mismatched, noon2026, FingerprintMismatch},
		{"a lease that is over by now, not by any entry", []Command{fingerprinted}, other, end, 0},
		{"completed", []Command{completeWith(Token{}, `1`)}, other, noon2026, Cached},
		{"completed for another request", []Command{fingerprinted, completeWith(tok(1), `1`)}, mismatched, noon2026,
			FingerprintMismatch},
		{"expired by now, not by any entry", []Command{completeWith(Token{}, `1`)}, other, noon2026 + 2*ttlMs, 0},
		{"released", []Command{fingerprinted, Release{ID: recordID("k"), Token: tok(1)}}, other, noon2026, 0},
	} {
		j := newJournal(t)
		for _, cmd := range tc.setup {
			j.apply(noon2026, cmd)
		}
		r, ok := j.m.Replay(tc.claim, tc.nowMs)
		if ok != (tc.want != 0) || ok && r.Outcome != tc.want {
			t.Errorf("%s: %+v, %t; want outcome %d", tc.name, r, ok, tc.want)
		}
		if ok && r.Outcome == InProgress && r.LeaseRemainingMs != end-max(tc.nowMs, noon2026) {
			t.Errorf("%s: %d ms are left of the lease, want %d", tc.name, r.LeaseRemainingMs, end-max(tc.nowMs, noon2026))
		}
	}
}
