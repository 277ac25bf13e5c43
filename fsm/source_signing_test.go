package fsm

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// rollingJournal has a source that signs with "k0", at noon2026.
func rollingJournal(tb testing.TB) *journal {
	j := connectedJournal(tb, Plan{})
	j.apply(noon2026, roll(j, "src_1", "k0", 0))
	return j
}

// secretsOf writes out what a source signs with.
func secretsOf(m *Machine, id string) string {
	s := m.Directory().Source(1, id)
	text := string(s.SigningSecret)
	if s.Previous.EndsAtMs != 0 || s.Previous.Sealed != nil {
		text += fmt.Sprintf(", %s until %d", s.Previous.Sealed, s.Previous.EndsAtMs-noon2026)
	}
	return text
}

func TestRollSigningSecret(t *testing.T) {
	t.Parallel()
	type change struct {
		atMs      int64 // after noon2026
		secret    string
		overlapMs int64
		outcome   Outcome
		want      string
	}
	for name, changes := range map[string][]change{
		"with an overlap":     {{0, "k1", dayMs, OK, "k1, k0 until 86400000"}},
		"with the longest":    {{0, "k1", MaxSigningOverlapMs, OK, "k1, k0 until 604800000"}},
		"without one":         {{0, "k1", 0, OK, "k1"}},
		"to the same":         {{0, "k0", dayMs, OK, "k0"}},
		"to none":             {{0, "", dayMs, OK, ", k0 until 86400000"}},
		"from none":           {{0, "", 0, OK, ""}, {0, "k1", dayMs, OK, "k1"}},
		"again in an overlap": {{0, "k1", 100, OK, "k1, k0 until 100"}, {99, "k2", 100, LimitReached, "k1, k0 until 100"}},
		"again at its end":    {{0, "k1", 100, OK, "k1, k0 until 100"}, {100, "k2", 100, OK, "k2, k1 until 200"}},
		"again at once": {
			{0, "k1", 100, OK, "k1, k0 until 100"}, {5, "k2", 0, OK, "k2"}, {6, "k3", 9, OK, "k3, k2 until 15"},
		},
		"to the same in one": {{0, "k1", 100, OK, "k1, k0 until 100"}, {5, "k1", 200, OK, "k1, k0 until 100"}},
		"changed otherwise": {
			{0, "k1", 100, OK, "k1, k0 until 100"}, {99, "k1", 0, OK, "k1, k0 until 100"}, {100, "k1", 0, OK, "k1"},
		},
		"back": {{0, "k1", 100, OK, "k1, k0 until 100"}, {100, "k0", 9, OK, "k0, k1 until 109"}},
	} {
		j := rollingJournal(t)
		for i, c := range changes {
			before := j.m.Directory().Source(1, "src_1")
			r := j.apply(noon2026+c.atMs, roll(j, "src_1", c.secret, c.overlapMs))
			if got := secretsOf(j.m, "src_1"); r.Outcome != c.outcome || got != c.want {
				t.Errorf("%s, change %d: outcome %d, %q, want %d, %q", name, i, r.Outcome, got, c.outcome, c.want)
			}
			if r.Source != j.m.Directory().Source(1, "src_1") || (r.Outcome == OK) == (r.Source == before) {
				t.Errorf("%s, change %d: the result has %+v", name, i, r.Source)
			}
		}
	}
}

// TestPreviousSecretIsNobodysToGive: neither a source that is new nor one that is changed takes it from the command.
func TestPreviousSecretIsNobodysToGive(t *testing.T) {
	t.Parallel()
	j := connectedJournal(t, Plan{})
	given := aSource()
	given.PublicID, given.Name, given.SigningSecret = "src_2", "other", []byte("k0")
	given.Previous = PreviousSecret{[]byte("forged"), noon2026 + 1_000}
	j.apply(noon2026, PutSource{Source: given, OverlapMs: 1_000})
	if got := secretsOf(j.m, "src_2"); got != "k0" {
		t.Errorf("a new source has %s", got)
	}
	j.apply(noon2026, roll(j, "src_2", "k1", 500))
	given = *j.m.Directory().Source(1, "src_2")
	given.Previous, given.Raw = PreviousSecret{[]byte("forged"), noon2026 + 1_000}, true
	j.apply(noon2026, PutSource{Source: given, IfRevision: given.Revision})
	if got := secretsOf(j.m, "src_2"); got != "k1, k0 until 500" {
		t.Errorf("a changed one has %s", got)
	}
}

// TestPreviousSecretsAreSwept: by the stamps alone, and without a trace in what is written from then on.
func TestPreviousSecretsAreSwept(t *testing.T) {
	t.Parallel()
	j := rollingJournal(t)
	j.apply(noon2026, roll(j, "src_1", "canary", 0))
	j.apply(noon2026, roll(j, "src_1", "new", 10_000))
	before := j.m.Directory()
	s := before.Source(1, "src_1")
	if due, ok := j.m.ReapDueMs(); !ok || due != noon2026+10_000 {
		t.Errorf("due at %d, %t", due, ok)
	}
	audits := len(entriesOf(j.m))
	j.advance(noon2026 + 9_999)
	if got := secretsOf(j.m, "src_1"); got != "new, canary until 10000" {
		t.Errorf("just before: %s", got)
	}
	if !bytes.Contains(written(t, j.m.Snapshot()), []byte("canary")) {
		t.Error("it is not where this test looks for it")
	}
	j.advance(noon2026 + 10_000)
	swept := j.m.Directory().Source(1, "src_1")
	if got := secretsOf(j.m, "src_1"); got != "new" || swept != j.m.Directory().SourceByID(s.ID) {
		t.Errorf("at the end: %s", got)
	}
	if bytes.Contains(written(t, j.m.Snapshot()), []byte("canary")) {
		t.Error("a later snapshot has it")
	}
	if swept.Revision != s.Revision || swept.UpdatedAtMs != s.UpdatedAtMs || len(entriesOf(j.m)) != audits {
		t.Error("its end counts as a change of the source")
	}
	if string(before.Source(1, "src_1").Previous.Sealed) != "canary" {
		t.Error("a directory that somebody may be reading was changed")
	}
	if due, ok := j.m.ReapDueMs(); ok {
		t.Errorf("due again at %d", due)
	}
	// A change that was made of the source as it was before the sweep does not bring it back.
	stale := *s
	stale.Raw = true
	r := j.apply(0, PutSource{Source: stale, IfRevision: s.Revision})
	if got := secretsOf(j.m, "src_1"); r.Outcome != OK || got != "new" {
		t.Errorf("%+v, %s", r, got)
	}
}

func TestDeletedSourcesHaveNoOverlap(t *testing.T) {
	t.Parallel()
	j := rollingJournal(t)
	j.apply(noon2026, roll(j, "src_1", "k1", 10_000))
	j.apply(noon2026, DeleteSource{Tenant: 1, PublicID: "src_1"})
	if due, ok := j.m.ReapDueMs(); ok {
		t.Errorf("due at %d", due)
	}
	j.advance(noon2026 + 10_000)
	if s := j.m.Directory().SourceByID(1); s != nil {
		t.Errorf("the sweep brings back %+v", s)
	}
}

// TestSweepOfPreviousSecretsIsBounded has more of them end at once than one entry drops, and the same ones dropped by a
// machine that was restored, whichever way.
func TestSweepOfPreviousSecretsIsBounded(t *testing.T) {
	t.Parallel()
	j := connectedJournal(t, Plan{})
	j.apply(noon2026, Init{ClusterID: "clu_1"})
	for i := 1; i < MaxSourcesPerTenant; i++ {
		s := aSource()
		s.PublicID, s.Name, s.SigningSecret = fmt.Sprint("src_", i+1), fmt.Sprint("n", i), []byte("k0")
		j.apply(noon2026, PutSource{Source: s})
		j.apply(noon2026, roll(j, s.PublicID, "k1", 10_000))
	}
	file := written(t, j.m.Snapshot())
	moved, _, err := rebased(file, testIdentity(), j.index, 1)
	if err != nil {
		t.Fatal(err)
	}
	kept := func(m *Machine) (ids []SourceID) {
		for _, s := range m.Directory().Sources(1) {
			if s.Previous.EndsAtMs > 0 {
				ids = append(ids, s.ID)
			}
		}
		return ids
	}
	machines := []*Machine{j.m, mustRestore(t, file), mustRestore(t, moved)}
	for _, want := range []int{MaxSourcesPerTenant - 1 - maxSweptPerEntry, 0} {
		j.index++
		for _, m := range machines {
			if _, _, err := m.Apply(j.index, 1, encodeEntry(noon2026+10_000)); err != nil {
				t.Fatal(err)
			}
			if got := kept(m); len(got) != want || !slices.Equal(got, kept(j.m)) {
				t.Fatalf("%d are left, %v, want %d, %v", len(got), got, want, kept(j.m))
			}
		}
	}
}

// TestRollsInTheAuditLog: who rolled, and until when both secrets are good, but nothing of either.
func TestRollsInTheAuditLog(t *testing.T) {
	t.Parallel()
	j := connectedJournal(t, Plan{})
	j.apply(noon2026, roll(j, "src_1", "canary-1", 0))
	j.apply(noon2026, Audited{ada, roll(j, "src_1", "canary-2", 10_000)})
	rolled := entriesOf(j.m)
	j.apply(noon2026+1, Audited{ada, roll(j, "src_1", "canary-3", 0)})
	entries := entriesOf(j.m)
	ends := [2]string{"", "2026-11-23T12:00:10.000Z"}
	for i, e := range []AuditEntry{rolled[len(rolled)-1], entries[len(entries)-1]} {
		if e.Action != "source.update" || e.By != ada || len(e.Changes) != 2 || e.Changes[0].Member != "signingSecret" ||
			e.Changes[1] != (AuditChange{"previousSigningSecretEndsAt", ends[i], ends[1-i]}) {
			t.Errorf("audited as %+v", e)
		}
	}
	if strings.Contains(fmt.Sprintf("%+v", entries), "canary") {
		t.Error("the audit log has a secret")
	}
	if r := j.apply(noon2026+2, Audited{ada, roll(j, "src_1", "k", 10_000)}); r.Outcome != OK {
		t.Fatal(r)
	}
	before := len(entriesOf(j.m))
	j.apply(noon2026+2, Audited{ada, roll(j, "src_1", "l", 10_000)})
	if len(entriesOf(j.m)) != before {
		t.Error("what was refused is in the audit log")
	}
}

// modelSecrets says in other words what a source signs with.
type modelSecrets struct {
	present, previous string
	endsAtMs          int64
}

func (o *modelSecrets) at(nowMs int64) {
	if nowMs >= o.endsAtMs {
		o.previous, o.endsAtMs = "", 0
	}
}

func (o *modelSecrets) roll(nowMs int64, secret string, overlapMs int64) Outcome {
	if o.at(nowMs); secret == o.present {
		return OK
	}
	if overlapMs > 0 && o.previous != "" {
		return LimitReached
	}
	*o = modelSecrets{secret, o.present, nowMs + overlapMs}
	o.at(nowMs)
	return OK
}

// TestSigningSecretsProperty compares sources with the model through rolls, other changes, sweeps and restores.
func TestSigningSecretsProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		j := rollingJournal(t)
		other := aSource()
		other.PublicID, other.Name, other.SigningSecret = "src_2", "other", []byte("k0")
		j.apply(noon2026, PutSource{Source: other})
		models := map[string]*modelSecrets{"src_1": {present: "k0"}, "src_2": {present: "k0"}}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			now := j.m.ClockMs() + rapid.SampledFrom([]int64{0, 1, 99, 100, 1_000}).Draw(rt, "later")
			id := rapid.SampledFrom([]string{"src_1", "src_2"}).Draw(rt, "source")
			switch rapid.IntRange(0, 5).Draw(rt, "kind") {
			default:
				secret := fmt.Sprint("k", rapid.IntRange(0, 3).Draw(rt, "secret"))
				overlap := rapid.SampledFrom([]int64{0, 1, 100, 1_000}).Draw(rt, "overlap")
				want := models[id].roll(now, secret, overlap)
				if r := j.apply(now, roll(j, id, secret, overlap)); r.Outcome != want {
					rt.Fatalf("rolled to %s: outcome %d, want %d", secret, r.Outcome, want)
				}
			case 3:
				c := roll(j, id, models[id].present, 0)
				c.Source.Raw = !c.Source.Raw
				j.apply(now, c)
			case 4:
				j.advance(now)
			case 5:
				j.m = mustRestore(t, written(t, j.m.Snapshot()))
			}
			for id, o := range models {
				o.at(j.m.ClockMs())
				want := o.present
				if o.previous != "" {
					want += fmt.Sprintf(", %s until %d", o.previous, o.endsAtMs-noon2026)
				}
				if got := secretsOf(j.m, id); got != want {
					rt.Fatalf("%s signs with %s, want %s", id, got, want)
				}
			}
			checkOverlaps(rt, j.m)
		}
	})
}

// checkOverlaps compares what the sweep goes by with the sources of the directory. As long as they are few, none of them
// has a secret whose time is over.
func checkOverlaps(rt *rapid.T, m *Machine) {
	want := newSigningOverlaps()
	for _, tenant := range m.Directory().Tenants() {
		for _, s := range m.Directory().Sources(tenant.ID) {
			if s != m.Directory().SourceByID(s.ID) {
				rt.Fatalf("source %d is there in two ways", s.ID)
			}
			if s.Previous.EndsAtMs > 0 {
				want.ReplaceOrInsert(s)
			}
			if s.Previous.EndsAtMs > 0 && !s.Previous.Good(m.ClockMs()) {
				rt.Fatalf("source %d has a previous secret that ended %d ms ago", s.ID, m.ClockMs()-s.Previous.EndsAtMs)
			}
		}
	}
	var texts [2]strings.Builder
	for i, tree := range []*signingOverlaps{m.overlaps, want} {
		tree.Ascend(func(s *Source) bool {
			fmt.Fprintf(&texts[i], "%p ", s)
			return true
		})
	}
	if texts[0].String() != texts[1].String() {
		rt.Fatalf("sources with a previous secret: %s, want %s", &texts[0], &texts[1])
	}
}
