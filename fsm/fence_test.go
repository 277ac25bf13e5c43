package fsm

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

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

func TestRaiseEpoch(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		to   uint64
		want bool
	}{
		{"none", 0, false},
		{"lower", 3, false},
		{"the same", 4, false},
		{"the next", 5, true},
		{"the last", 1<<13 - 1, true},
		{"beyond the last", 1 << 13, false},
		{"far beyond", 1 << 63, false},
	}
	for _, tt := range tests {
		j := newJournal(t)
		j.m.epoch, j.m.grants = 4, 1<<40-2
		before := j.m.progress
		if got := j.m.RaiseEpoch(tt.to); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		if !tt.want {
			if j.m.progress != before {
				t.Errorf("%s: %+v became %+v", tt.name, before, j.m.progress)
			}
			continue
		}
		if j.m.Epoch() != tt.to {
			t.Errorf("%s: epoch %d", tt.name, j.m.Epoch())
		}
		if got := j.apply(noon2026, claimBy("a", tok(1))).Fence; got != tt.to<<40|1 {
			t.Errorf("%s: the next fence is %#x", tt.name, got)
		}
	}
}

// Fences of a cluster rise whatever becomes of it: restarts, epochs raised after grants were lost, its own and others'
// backups restored.
func TestFenceRisesAcrossRecoveryAndRebase(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(8, 8))
	type cluster struct {
		*journal
		id      string
		fence   uint64
		backups [][]byte
	}
	var clusters [2]*cluster
	for i := range clusters {
		c := &cluster{journal: newJournal(t), id: fmt.Sprint("clu_", i)}
		c.apply(0, Init{ClusterID: c.id, KeyHashSecret: [32]byte{1}})
		c.apply(0, AdmitMember{NodeID: c.id})
		clusters[i] = c
	}
	for i := range 4_000 {
		c, other := clusters[i%2], clusters[rng.IntN(2)]
		switch rng.IntN(12) {
		case 0:
			c.backups = append(c.backups, written(t, c.m.Snapshot()))
		case 1:
			c.m = mustRestore(t, written(t, c.m.Snapshot()))
		case 2: // a minority's state, with some grants of the others lost
			if len(c.backups) > 0 {
				epoch := c.m.Epoch()
				c.m = mustRestore(t, c.backups[rng.IntN(len(c.backups))])
				if !c.m.RaiseEpoch(max(epoch, c.m.Epoch()) + 1) {
					t.Fatalf("epoch not raised above %d and %d", epoch, c.m.Epoch())
				}
			}
		case 3:
			if len(other.backups) > 0 {
				file, _, err := rebased(other.backups[rng.IntN(len(other.backups))], c.m.Identity(), c.index, 1)
				if err != nil {
					t.Fatal(err)
				}
				c.m = mustRestore(t, file)
			}
		case 4:
			c.m.grants = max(c.m.grants, 1<<grantBits-uint64(rng.IntN(4)+1))
		default:
			claim := claimBy("a", tok(1))
			claim.ID = recordID(fmt.Sprint(i))
			got := c.apply(c.m.ClockMs()+1, claim)
			if got.Outcome != Granted || got.Fence <= c.fence || got.Fence >= maxExactInteger {
				t.Fatalf("step %d: %+v after fence %d", i, got, c.fence)
			}
			c.fence = got.Fence
		}
		if id := c.m.Directory().ClusterID; id != c.id || c.m.Directory().Member(c.id) == nil {
			t.Fatalf("step %d: cluster %q became %q", i, c.id, id)
		}
	}
	if e := clusters[0].m.Epoch(); e < 100 {
		t.Errorf("epoch %d: hardly anything happened", e)
	}
}
