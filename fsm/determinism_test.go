package fsm

import (
	"fmt"
	"hash/maphash"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// randomCommands draws a history of records' and tenants' commands in stamp order, as the log would hold them.
func randomCommands(rng *rand.Rand, n int) []step {
	tr := newTrial(0)
	steps := make([]step, 0, n)
	for i := range n {
		var s step
		if s = tr.next(rng.IntN); rng.IntN(6) == 0 {
			s.cmd = directoryCommand(rng, i)
			if _, err := tr.apply(s); err != nil {
				panic(err)
			}
			tr.model.now = tr.m.clockMs
			entries, _ := tr.m.AuditLog(uint64(tr.audits), 1)
			for _, e := range entries {
				tr.audits, tr.model.control.audits, tr.lastHash = tr.audits+1, tr.model.control.audits+1, e.Hash
			}
		} else if err := tr.do(s); err != nil {
			panic(err)
		}
		steps = append(steps, step{max(s.stampMs, tr.m.clockMs), s.cmd})
	}
	return steps
}

// directoryCommand leaves tenants 1 and 2 alone, which the model follows.
func directoryCommand(rng *rand.Rand, i int) Command {
	tenant := TenantID(3 + rng.IntN(4))
	switch rng.IntN(7) {
	case 0:
		return Init{ClusterID: fmt.Sprint("clu_", i), KeyHashSecret: [32]byte{byte(i)}}
	case 1:
		return CreateTenant{PublicID: fmt.Sprint("ten ", i), Slug: fmt.Sprint("slug", rng.IntN(9))}
	case 2:
		return UpdateTenant{Tenant: tenant, SetName: true, Name: fmt.Sprint(i)}
	case 3:
		return CreateKey{Tenant: tenant, PublicID: fmt.Sprint("key ", rng.IntN(5)), Hash: [32]byte{byte(i)}}
	case 4:
		return RevokeKey{Tenant: tenant, PublicID: fmt.Sprint("key ", rng.IntN(5))}
	case 5:
		return Audited{
			Actor{Name: fmt.Sprint("admin ", i), Role: "admin"},
			CreateKey{Tenant: tenant, PublicID: fmt.Sprint("key ", rng.IntN(5)), Hash: [32]byte{byte(i), 1}, Scopes: 3},
		}
	default:
		return Tally{
			[]TenantCount{{tenant, Meters()[rng.IntN(4)], 1 + int64(i)}},
			[]KeyUse{{tenant, fmt.Sprint("key ", rng.IntN(5)), historyStartMs + rng.Int64N(dayMs)}},
		}
	}
}

// outcomeOf is what must not depend on how the history reached the machine.
type outcomeOf struct {
	results []Result
	state   string
	digest  uint64
}

// run applies steps to a new machine. cut(i) tells whether an entry ends before step i; between(m) may replace the
// machine after each entry. Index and term are left out of the state: they count entries.
func run(
	tb testing.TB, hashMask uint64, steps []step, cut func(i int) bool, between func(m *Machine) *Machine,
) outcomeOf {
	tb.Helper()
	m := New(testConfig())
	m.hasher.mask = hashMask
	for i, limit := range []int64{0, 4} {
		tenant := CreateTenant{PublicID: fmt.Sprint("ten_", i), Slug: fmt.Sprint(i), MonthlyClaims: limit}
		if _, _, err := m.Apply(1, 1, encodeEntry(historyStartMs, tenant)); err != nil {
			tb.Fatal(err)
		}
	}
	var out outcomeOf
	for start := 0; start < len(steps); {
		end := start + 1
		for end < len(steps) && steps[end].stampMs == steps[start].stampMs && !cut(end) {
			end++
		}
		cmds := make([]Command, 0, end-start)
		for _, s := range steps[start:end] {
			cmds = append(cmds, s.cmd)
		}
		_, results, err := m.Apply(1, 1, encodeEntry(steps[start].stampMs, cmds...))
		if err != nil {
			tb.Fatal(err)
		}
		out.results = append(out.results, results...)
		m = between(m)
		start = end
	}
	out.state, out.digest = dump(m), m.Digest()
	return out
}

// The same history gives the same results, state and digest, however it is cut into entries, wherever a node restarts
// from a snapshot, and whatever its hash seed.
func TestDeterminism(t *testing.T) {
	t.Parallel()
	histories := *historiesFlag / 800
	same := func(m *Machine) *Machine { return m }
	single, whole := func(int) bool { return true }, func(int) bool { return false }
	const mask = math.MaxUint64
	for n := range histories {
		rng := rand.New(rand.NewPCG(uint64(n), 7))
		steps := randomCommands(rng, 300)
		want := run(t, mask, steps, single, same)
		batched := func(int) bool { return rng.IntN(4) == 0 }
		restarted := func(m *Machine) *Machine {
			if rng.IntN(10) > 0 {
				return m
			}
			return mustRestore(t, written(t, m.Snapshot()))
		}
		for name, got := range map[string]outcomeOf{
			"another seed":               run(t, mask, steps, single, same),
			"batched":                    run(t, mask, steps, batched, same),
			"restarted":                  run(t, mask, steps, single, restarted),
			"batched and restarted":      run(t, mask, steps, batched, restarted),
			"with keys that clash":       run(t, 0, steps, batched, same),
			"batched as far as possible": run(t, mask, steps, whole, same),
		} {
			wantOutcome(t, fmt.Sprintf("history %d, %s", n, name), got, want)
		}
	}
}

func wantOutcome(t *testing.T, what string, got, want outcomeOf) {
	t.Helper()
	if len(got.results) != len(want.results) {
		t.Fatalf("%s: %d results, want %d", what, len(got.results), len(want.results))
	}
	for i := range want.results {
		if !sameResult(&got.results[i], &want.results[i]) {
			t.Fatalf("%s: result %d is\n%+v, want\n%+v", what, i, got.results[i], want.results[i])
		}
	}
	if got.state != want.state {
		t.Fatalf("%s: state has\n%s\nwant\n%s", what, diff(got.state, want.state), diff(want.state, got.state))
	}
	if got.digest != want.digest {
		t.Fatalf("%s: digest %x, want %x", what, got.digest, want.digest)
	}
}

// The digest tells histories apart: any command, stamp or order that differs shows.
func TestDigestSeesDifferences(t *testing.T) {
	t.Parallel()
	steps := []step{
		{noon2026, claimBy("a", tok(1))}, {noon2026 + 1, claimBy("b", tok(2))}, {noon2026 + 2, completeWith(tok(1), `1`)},
		{noon2026 + 3, claimBy("b", tok(2))}, {noon2026 + 4, Delete{ID: recordID("k")}},
		{noon2026 + 5, Establish{GraceMs: 1}}, {noon2026 + 6, RaiseFeatureLevel{2, "v2"}},
		{noon2026 + 7, AdmitMember{NodeID: "n1", DiskID: "d"}}, {noon2026 + 8, RetireMember{NodeID: "n1"}},
		{noon2026 + 9, PutPlan{Plan{Name: "p"}}}, {noon2026 + 10, Audited{ada, DeletePlan{"p"}}},
		{noon2026 + 11, Tally{Counts: []TenantCount{{1, MeterClaims, 1}}}},
		{noon2026 + 12, UpdateTenant{Tenant: 1, SetSuspended: true, Suspended: true}},
	}
	digest := func(steps []step) uint64 {
		j := newJournal(t)
		for _, s := range steps {
			j.apply(s.stampMs, s.cmd)
		}
		return j.m.Digest()
	}
	seen := map[uint64]string{digest(steps): "nothing"}
	note := func(what string, steps []step) {
		d := digest(steps)
		if other, ok := seen[d]; ok {
			t.Errorf("%s and %s have the same digest", what, other)
		}
		seen[d] = what
	}
	for i := range steps {
		note(fmt.Sprint("without step ", i), slices.Delete(slices.Clone(steps), i, i+1))
		later := slices.Clone(steps)
		later[i].stampMs += 10_000
		note(fmt.Sprint("later step ", i), later)
		other := slices.Clone(steps)
		other[i].cmd = Renew{ID: recordID("k"), Token: tok(9), KeepLease: true}
		note(fmt.Sprint("another step ", i), other)
	}
	swapped := slices.Clone(steps)
	swapped[0], swapped[1] = step{noon2026, steps[1].cmd}, step{noon2026 + 1, steps[0].cmd}
	note("swapped", swapped)
}

// A machine whose state was damaged shows it in the digest once the damage shows in a result.
func TestDigestSeesDamage(t *testing.T) {
	t.Parallel()
	damage := map[string]func(m *Machine){
		"fence":       func(m *Machine) { m.grants++ },
		"lock":        func(m *Machine) { removeLock(m, recordID("lock")) },
		"lease":       func(m *Machine) { changeLock(m, recordID("lock"), func(l *lock) { l.leaseEndMs++ }) },
		"record gone": func(m *Machine) { m.records.remove(keyOf(m, recordID("k"))) },
		"expiry":      func(m *Machine) { m.records.get(keyOf(m, recordID("k")))[12]++ },
	}
	digestAfter := func(f func(m *Machine)) uint64 {
		j := newJournal(t)
		j.apply(noon2026, completeWith(Token{}, `1`))
		lock := claimBy("a", tok(1))
		lock.ID = recordID("lock")
		j.apply(noon2026, lock)
		f(j.m)
		lock.Owner = "b"
		j.apply(noon2026, lock)
		j.apply(noon2026, claimBy("a", tok(1)))
		lock.ID = recordID("other")
		j.apply(noon2026, lock)
		return j.m.Digest()
	}
	intact := digestAfter(func(*Machine) {})
	for name, f := range damage {
		if digestAfter(f) == intact {
			t.Errorf("%s: damage does not show in the digest", name)
		}
	}
}

// Two machines with different seeds spread the same keys differently, or the seed would have no use.
func TestHashSeedIsUsed(t *testing.T) {
	t.Parallel()
	key := appendStoreKey(nil, recordID("k"))
	a, b := newHasher(maphash.MakeSeed()), newHasher(maphash.MakeSeed())
	if a.key(key).hash == b.key(key).hash {
		t.Error("two seeds give the same hash")
	}
}
