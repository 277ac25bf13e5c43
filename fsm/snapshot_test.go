package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/syllecta/syllecta/snapshot"
)

// furnished returns a machine with something of everything: tenants, keys, usage, live, lapsed, expired and endless
// locks, records, deleted and expired ones; all of feature level 1. It is also what a golden file holds, so it does not
// change.
func furnished(tb testing.TB) *journal {
	j := newJournal(tb)
	j.apply(noon2026, Init{ClusterID: "clu_1", KeyHashSecret: [32]byte{9}})
	j.apply(noon2026, CreateTenant{PublicID: "ten_2", Slug: "umbrella", Name: "U", MonthlyClaims: 50})
	j.apply(noon2026, CreateKey{Tenant: 2, PublicID: "key_1", Name: "ci", Hash: [32]byte{1}, Hint: "abcd"})
	j.apply(noon2026, CreateKey{Tenant: 1, PublicID: "key_2", Name: "cd", Hash: [32]byte{2}, Hint: "efgh"})
	j.apply(noon2026+1, RevokeKey{Tenant: 2, PublicID: "key_1"})
	for i := range 40 {
		id := RecordID{TenantID(1 + i%2), "scope", fmt.Sprint("key ", i)}
		c := Claim{
			ID: id, Owner: fmt.Sprint("o", i), Token: tok(byte(i)), LeaseMs: MinLeaseMs * int64(i%4), TTLMs: 1 + int64(i)*999,
		}
		if i%3 == 0 {
			c.Fingerprint = fmt.Sprint("f", i)
		}
		j.apply(noon2026+int64(i)*100, c)
		if i%5 == 0 {
			j.apply(0, Complete{
				ID: id, Status: 200, Headers: []byte(`{}`), Body: fmt.Appendf(nil, "%d", i), TTLMs: 1, InheritTTL: true,
			})
		}
		if i%10 == 5 {
			j.apply(0, Delete{ID: id})
		}
	}
	return j
}

// peopled is furnished with what feature level 2 added: members of all kinds. A golden file holds it too.
func peopled(tb testing.TB) *journal {
	j := furnished(tb)
	j.apply(0, RaiseFeatureLevel{Level: 2, Version: "v0.2.0"})
	j.apply(0, RetireMember{NodeID: "stranger"})
	j.apply(0, AdmitMember{NodeID: "n2", DiskID: "disk 2"})
	j.apply(0, AdmitMember{NodeID: "n1", DiskID: "disk 1"})
	j.apply(j.m.ClockMs()+7, AdmitMember{NodeID: "n3", NonVoter: true})
	j.apply(0, AdmitMember{NodeID: "n4", DiskID: "disk 4"})
	j.apply(j.m.ClockMs()+7, RetireMember{NodeID: "n2"})
	return j
}

// governed is peopled with what feature level 3 added: plans, a suspended tenant, keys with scopes, ends and last uses,
// usage of several days, and an audit log. A golden file holds it too.
func governed(tb testing.TB) *journal {
	j := peopled(tb)
	j.apply(0, RaiseFeatureLevel{Level: 3, Version: "v0.3.0"})
	by := Actor{Name: "ada", Role: "admin", RequestID: "req-1", Address: "192.0.2.1"}
	j.apply(0, Audited{by, PutPlan{Plan{Name: "team", MonthlyClaims: 60, RequestsPerSecond: 5, MaxTTLMs: ttlMs, MaxBodyBytes: 1_000}}})
	j.apply(0, Audited{by, PutPlan{Plan{Name: StarterPlan, MonthlyClaims: 70}}})
	j.apply(0, PutPlan{Plan{Name: "gone"}})
	j.apply(0, Audited{by, DeletePlan{"gone"}})
	j.apply(0, Audited{by, UpdateTenant{Tenant: 1, SetPlan: true, Plan: "team"}})
	j.apply(0, CreateTenant{PublicID: "ten_3", Slug: "initech", Plan: StarterPlan})
	j.apply(0, Audited{by, UpdateTenant{Tenant: 3, SetSuspended: true, Suspended: true}})
	j.apply(0, CreateKey{Tenant: 3, PublicID: "key_3", Hash: [32]byte{3}, Hint: "ijkl", Scopes: ScopeRecordsRead})
	j.apply(0, CreateKey{Tenant: 1, PublicID: "key_4", Hash: [32]byte{4}, Hint: "mnop", ExpiresAtMs: noon2026 + ttlMs})
	start := j.m.ClockMs()
	for day := range 3 {
		j.entry(start+int64(day)*dayMs,
			Tally{[]TenantCount{{2, MeterReplays, 1_000}, {1, MeterConflicts, int64(1 + day)}}, []KeyUse{{1, "key_4", start}}},
			Claim{ID: recordID(fmt.Sprint("day ", day)), Owner: "o", Token: tok(1), TTLMs: 1},
			Claim{ID: RecordID{3, "s", "k"}, Owner: "o", Token: tok(1), TTLMs: 1})
	}
	j.apply(0, Audited{by, RevokeKey{Tenant: 1, PublicID: "key_2"}})
	j.apply(0, Audited{by, RetireMember{NodeID: "n4"}})
	return j
}

func TestSnapshotRoundTrip(t *testing.T) {
	t.Parallel()
	machines := map[string]*Machine{
		"empty": New(testConfig()), "furnished": furnished(t).m, "peopled": peopled(t).m, "governed": governed(t).m,
		"connected": connected(t).m,
	}
	for name, m := range machines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := m.Snapshot()
			if s.Index() != m.Index() {
				t.Errorf("index %d, want %d", s.Index(), m.Index())
			}
			restored := mustRestore(t, written(t, s))
			if got, want := dump(restored), dump(m); got != want {
				t.Errorf("restored\n%s\nwant\n%s", got, want)
			}
			if restored.Digest() != m.Digest() || restored.Index() != m.Index() || restored.Term() != m.Term() {
				t.Error("digest, index or term changed")
			}
		})
	}
}

// Sections of the machine's owner are passed over.
func TestRestoreSkipsForeignSections(t *testing.T) {
	t.Parallel()
	m := furnished(t).m
	file := sectionsOf(t, m)
	file = slices.Insert(file, 0, rawSection{SectionForeign, 7, [][]byte{[]byte("theirs")}})
	file = append(file, rawSection{math.MaxUint8, 1, nil})
	restored, err := restore(assembled(t, file))
	if err != nil || dump(restored) != dump(m) {
		t.Errorf("restore beside foreign sections: %v", err)
	}
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	good := sectionsOf(t, peopled(t).m)
	tests := []struct {
		name   string
		change func(s []rawSection) []rawSection
		want   error
	}{
		{"no sections", func([]rawSection) []rawSection { return nil }, ErrMalformed},
		{"a section missing", func(s []rawSection) []rawSection { return s[1:] }, ErrMalformed},
		{"the last section missing", func(s []rawSection) []rawSection { return s[:6] }, ErrMalformed},
		{"a section before the state", func(s []rawSection) []rawSection { s[0], s[1] = s[1], s[0]; return s }, ErrMalformed},
		{"a section too late", func(s []rawSection) []rawSection { s[2], s[3] = s[3], s[2]; return s }, ErrMalformed},
		{"a section of members in form 1", func(s []rawSection) []rawSection {
			return append(sectionsOf(t, furnished(t).m), s[6])
		}, ErrMalformed},
		{"an unknown section", func(s []rawSection) []rawSection { return append(s, rawSection{sectionStored + 1, 1, nil}) }, ErrUnsupported},
		{"the last unknown section", func(s []rawSection) []rawSection {
			return append(s, rawSection{SectionForeign - 1, 1, nil})
		}, ErrUnsupported},
		{"section 0", func(s []rawSection) []rawSection { return append(s, rawSection{0, 1, nil}) }, ErrUnsupported},
		{"a newer section", func(s []rawSection) []rawSection { s[4].version = 2; return s }, ErrUnsupported},
		{"a newer state", func(s []rawSection) []rawSection { s[0].version = 5; return s }, ErrUnsupported},
		{"newer members", func(s []rawSection) []rawSection { s[6].version = 2; return s }, ErrUnsupported},
		{"a section of version 0", func(s []rawSection) []rawSection { s[6].version = 0; return s }, ErrUnsupported},
		{"a state of form 2 said to be of form 1", func(s []rawSection) []rawSection {
			s[0].version = 1
			return s
		}, ErrMalformed},
		{"no state", func(s []rawSection) []rawSection { s[0].records = nil; return s }, ErrMalformed},
		{"a state twice", twice(0), ErrMalformed},
		{"a key twice", twice(2), ErrMalformed},
		{"usage twice", twice(3), ErrMalformed},
		{"a lock twice", twice(4), ErrMalformed},
		{"a member twice", twice(6), ErrMalformed},
		{"a retired member before others", func(s []rawSection) []rawSection {
			slices.Reverse(s[6].records)
			return s
		}, ErrMalformed},
		{"a member too many", func(s []rawSection) []rawSection {
			s[6].records = nil
			for i := range MaxMembers + 1 {
				s[6].records = append(s[6].records, encodeMember(&Member{NodeID: fmt.Sprint(i)}))
			}
			return s
		}, ErrMalformed},
		{"a retired member too many", func(s []rawSection) []rawSection {
			for i := range MaxRetiredMembers {
				s[6].records = append(s[6].records, encodeMember(&Member{NodeID: fmt.Sprint(i), RetiredAtMs: 1}))
			}
			return s
		}, ErrMalformed},
		{"a key of no tenant", func(s []rawSection) []rawSection {
			s[2].records = append(s[2].records, encodeKey(&APIKey{Tenant: 3, PublicID: "key"}, 1))
			return s
		}, ErrMalformed},
		{"two keys of one hash", func(s []rawSection) []rawSection {
			s[2].records = append(s[2].records, encodeKey(&APIKey{Tenant: 1, PublicID: "key_3", Hash: [32]byte{1}}, 1))
			return s
		}, ErrMalformed},
		{"a key too many", func(s []rawSection) []rawSection {
			for i := range MaxKeysPerTenant {
				k := APIKey{Tenant: 1, PublicID: fmt.Sprint(i), Hash: [32]byte{byte(i), 7}}
				s[2].records = append(s[2].records, encodeKey(&k, 1))
			}
			return s
		}, ErrMalformed},
		{"two tenants of one name", func(s []rawSection) []rawSection {
			s[1].records = append(s[1].records, encodeTenant(&Tenant{ID: 3, PublicID: "ten_3", Slug: "acme"}, 1))
			return s
		}, ErrMalformed},
		{"usage of no tenant", func(s []rawSection) []rawSection {
			s[3].records = append(s[3].records, encodeUsage(3, usage{}))
			return s
		}, ErrMalformed},
		{"feature version of level 1", func(s []rawSection) []rawSection {
			d := newDirectory()
			d.FeatureVersion, d.members = "v1", []*Member{{NodeID: "n"}}
			s[0].records = [][]byte{encodeState(progress{epoch: 1, grants: 1 << 39}, d, form2)}
			return s
		}, ErrMalformed},
		{"tenants in another order", func(s []rawSection) []rawSection {
			slices.Reverse(s[1].records)
			return s
		}, ErrMalformed},
		{"a record twice", func(s []rawSection) []rawSection {
			again := bytes.Clone(s[5].records[0])
			again[12]++ // expires at another instant
			s[5].records = append(s[5].records, again)
			return s
		}, ErrMalformed},
		{"a record with a reserved byte", func(s []rawSection) []rawSection {
			s[5].records[0] = bytes.Clone(s[5].records[0])
			s[5].records[0][27] = 1
			return s
		}, ErrMalformed},
		{"a tenant twice", func(s []rawSection) []rawSection {
			s[1].records = append(s[1].records, s[1].records[0])
			return s
		}, ErrMalformed},
	}
	for i := range good {
		for _, c := range []struct {
			name   string
			change func(record []byte) []byte
		}{
			{"empty", func([]byte) []byte { return nil }},
			{"cut short", func(r []byte) []byte { return r[:len(r)-1] }},
			{"too long", func(r []byte) []byte { return append(slices.Clip(r), 0) }},
		} {
			tests = append(tests, struct {
				name   string
				change func(s []rawSection) []rawSection
				want   error
			}{fmt.Sprintf("record of section %d %s", i+1, c.name), func(s []rawSection) []rawSection {
				s[i].records[0] = c.change(s[i].records[0])
				return s
			}, ErrMalformed})
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			unbounded := strings.HasPrefix(tt.name, "a record twice") || tt.name == "a lock twice"
			wantRefused(t, assembled(t, tt.change(copyOf(good))), tt.want, unbounded)
		})
	}
}

// wantRefused wants Restore and Inspect to refuse a snapshot; with restoreOnly, Inspect cannot know.
func wantRefused(t *testing.T, file []byte, want error, restoreOnly bool) {
	t.Helper()
	m, err := restore(file)
	if !errors.Is(err, want) || m != nil {
		t.Errorf("restore: %v, %v, want %v", m != nil, err, want)
	}
	if restoreOnly {
		return
	}
	if s, err := inspect(file); !errors.Is(err, want) || s != (Summary{}) {
		t.Errorf("inspect: %+v, %v, want %v", s, err, want)
	}
	if _, s, err := rebased(file, testIdentity(), 1, 1); !errors.Is(err, want) || s != (Summary{}) {
		t.Errorf("rebase: %+v, %v, want %v", s, err, want)
	}
}

// twice doubles the first record of a section.
func twice(i int) func(s []rawSection) []rawSection {
	return func(s []rawSection) []rawSection {
		s[i].records = append(s[i].records, s[i].records[0])
		return s
	}
}

// A damaged file gives an error, never a machine.
func TestRestoreRefusesDamage(t *testing.T) {
	t.Parallel()
	file := written(t, governed(t).m.Snapshot())
	for i := range file {
		damaged := bytes.Clone(file)
		damaged[i] ^= 0x10
		if m, err := restore(damaged); err == nil || m != nil {
			t.Fatalf("byte %d of %d changed: no error", i, len(file))
		}
		if m, err := restore(file[:i]); err == nil || m != nil {
			t.Fatalf("cut to %d of %d bytes: no error", i, len(file))
		}
	}
}

// A snapshot is the state at its capture, whatever is applied while it is being written.
func TestSnapshotBesideApply(t *testing.T) {
	t.Parallel()
	j := peopled(t)
	for round := range 8 {
		if round == 2 {
			j.apply(0, RaiseFeatureLevel{Level: FeatureLevel, Version: "v3"})
		}
		for i := range 300 {
			j.apply(j.m.ClockMs()+int64(i%3), turmoil(round, i))
		}
		want := dump(j.m)
		s := j.m.Snapshot()
		file := make(chan []byte)
		go func() { file <- written(t, s) }()
		for i := range 600 {
			j.apply(j.m.ClockMs()+int64(i%5)*20, turmoil(round, i))
		}
		restored := mustRestore(t, <-file)
		if got := dump(restored); got != want {
			t.Fatalf("round %d: the snapshot holds\n%s\nwant\n%s", round, diff(got, want), diff(want, got))
		}
	}
}

// turmoil returns commands that change every part of the state.
func turmoil(round, i int) Command {
	id := RecordID{TenantID(1 + i%2), "scope", fmt.Sprint("key ", i%50)}
	by := Actor{Name: fmt.Sprint("admin ", i), Role: "admin"}
	switch i % 17 {
	case 11:
		return PutPlan{Plan{Name: fmt.Sprint("plan-", i%40), MonthlyClaims: int64(round)}}
	case 12:
		return Audited{by, DeletePlan{fmt.Sprint("plan-", i%50)}}
	case 13:
		return Audited{by, UpdateTenant{Tenant: id.Tenant, SetPlan: true, Plan: []string{"", StarterPlan}[i%2]}}
	case 14:
		return UpdateTenant{Tenant: 2, SetSuspended: true, Suspended: i%4 == 0}
	case 15:
		return Tally{
			[]TenantCount{{id.Tenant, Meters()[i%4], int64(i)}, {1, MeterReplays, 1}},
			[]KeyUse{{1, fmt.Sprint(round, " ", i-i%17+10), noon2026 + int64(i)*hourMs}},
		}
	case 16:
		return Establish{GraceMs: 10, ClockMs: noon2026 + int64(round)*2*dayMs + int64(i)*dayMs/400}
	case 0, 1, 2:
		return Claim{ID: id, Owner: "o", Token: tok(byte(i)), LeaseMs: MinLeaseMs, TTLMs: 3_000}
	case 3, 4:
		body := bytes.Repeat([]byte{'1'}, 1+i*13%2_000)
		return Complete{ID: id, Status: 200, Headers: []byte(`{}`), Body: body, TTLMs: 1 + int64(i)*17}
	case 5:
		return Delete{ID: id}
	case 6:
		return Establish{GraceMs: 10}
	case 7:
		return CreateTenant{PublicID: fmt.Sprint("ten ", round, " ", i), Slug: fmt.Sprint(round, "-", i)}
	case 8:
		return AdmitMember{NodeID: fmt.Sprint("n", i%70), NonVoter: round%2 == 0}
	case 9:
		return RetireMember{NodeID: fmt.Sprint("n", i%90)}
	default:
		return CreateKey{Tenant: 1, PublicID: fmt.Sprint(round, " ", i), Hash: [32]byte{byte(round), byte(i), byte(i >> 8)}}
	}
}

// diff returns the lines of a that b has not.
func diff(a, b string) string {
	lines := make(map[string]bool)
	for line := range strings.Lines(b) {
		lines[line] = true
	}
	var only strings.Builder
	for line := range strings.Lines(a) {
		if !lines[line] {
			only.WriteString(line)
		}
	}
	return only.String()
}

// rawSection is a section as it lies in a snapshot.
type rawSection struct {
	id      snapshot.SectionID
	version uint16
	records [][]byte
}

func sectionsOf(tb testing.TB, m *Machine) []rawSection {
	tb.Helper()
	r, err := snapshot.NewReader(bytes.NewReader(written(tb, m.Snapshot())))
	if err != nil {
		tb.Fatal(err)
	}
	var sections []rawSection
	for {
		section, err := r.Next()
		if err != nil {
			return sections
		}
		raw := rawSection{id: section.ID, version: section.Version}
		for {
			record, err := r.Record()
			if err != nil {
				break
			}
			raw.records = append(raw.records, bytes.Clone(record))
		}
		sections = append(sections, raw)
	}
}

func copyOf(sections []rawSection) []rawSection {
	sections = slices.Clone(sections)
	for i := range sections {
		sections[i].records = slices.Clone(sections[i].records)
	}
	return sections
}

// assembled returns an intact snapshot file of the sections; a section that occurs again is left out.
func assembled(tb testing.TB, sections []rawSection) []byte {
	tb.Helper()
	var file bytes.Buffer
	w, err := snapshot.NewWriter(&file)
	if err != nil {
		tb.Fatal(err)
	}
	var begun [1 << 8]bool
	for _, s := range sections {
		if begun[s.id] {
			continue
		}
		begun[s.id] = true
		if err := w.Begin(s.id, s.version); err != nil {
			tb.Fatal(err)
		}
		for _, record := range s.records {
			if err := w.Append(record); err != nil {
				tb.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return file.Bytes()
}

// The fuzzer's input is the form and a list of records: section, length, bytes.
func flatten(sections []rawSection) []byte {
	b := []byte{byte(sections[0].version)}
	for _, s := range sections {
		for _, record := range s.records {
			b = append(b, byte(s.id))
			b = binary.LittleEndian.AppendUint16(b, uint16(len(record)))
			b = append(b, record...)
		}
	}
	return b
}

// unflatten is the inverse of flatten, for any input. It makes all sections of a form, in order.
func unflatten(b []byte) []rawSection {
	f := form4
	if len(b) > 0 {
		f = form1 + form(b[0]+3)%4
		b = b[1:]
	}
	sections := make([]rawSection, f.lastSection())
	for i := range sections {
		id := snapshot.SectionID(i + 1)
		sections[i] = rawSection{id: id, version: f.of(id)}
	}
	for len(b) >= 3 {
		i := int(b[0]) % len(sections)
		size := min(int(binary.LittleEndian.Uint16(b[1:])), len(b)-3)
		if b[0] > 0 {
			i = (int(b[0]) - 1) % len(sections)
		}
		sections[i].records = append(sections[i].records, b[3:3+size])
		b = b[3+size:]
	}
	return sections
}

// FuzzRestore restores hostile records in an intact file. What is not refused must be a state like any other: it reads
// the same after another snapshot and restore, and removing what has expired changes none of it.
func FuzzRestore(f *testing.F) {
	f.Add(flatten(sectionsOf(f, furnished(f).m)))
	f.Add(flatten(sectionsOf(f, peopled(f).m)))
	f.Add(flatten(sectionsOf(f, governed(f).m)))
	f.Add(flatten(sectionsOf(f, New(testConfig()))))
	f.Add([]byte{})
	doubled := sectionsOf(f, governed(f).m)
	for i := range doubled {
		doubled[i].records = append(doubled[i].records, doubled[i].records...)
	}
	f.Add(flatten(doubled))
	for i := range doubled[5].records {
		doubled[5].records[i] = bytes.Clone(doubled[5].records[i])
		doubled[5].records[i][13] += byte(10 * i) // the same key at different times
	}
	doubled[1].records = doubled[1].records[:2]
	f.Add(flatten(doubled))
	f.Fuzz(func(t *testing.T, b []byte) {
		file := assembled(t, unflatten(b))
		m, err := restore(file)
		summary, inspectErr := inspect(file)
		if err != nil {
			if m != nil {
				t.Fatal("a machine beside an error")
			}
			return
		}
		if inspectErr != nil || summary.Locks != m.Locks() || summary.Records != m.Records() {
			t.Fatalf("inspect: %+v, %v; restored %d locks, %d records", summary, inspectErr, m.Locks(), m.Records())
		}
		checkRebase(t, file, m)
		want := dump(m)
		if got := dump(mustRestore(t, written(t, m.Snapshot()))); got != want {
			t.Fatalf("restored once:\n%s\ntwice:\n%s", diff(want, got), diff(got, want))
		}
		want = dumpRecords(m)
		j := &journal{tb: t, m: m}
		for range 3 {
			j.advance(0)
			if got := dumpRecords(m); got != want {
				t.Fatalf("before reaping:\n%s\nafter:\n%s", diff(want, got), diff(got, want))
			}
		}
		got := j.apply(m.ClockMs()+1, claimBy("a", tok(1)))
		if got.Outcome == Granted && (got.Fence >= maxExactInteger || !got.Reentered && got.LeaseEndMs <= m.ClockMs()) {
			t.Fatalf("grant out of bounds: %+v", got)
		}
		j.apply(0, Tally{Counts: []TenantCount{{1, MeterClaims, maxTallyCount}, {1, MeterReplays, 1}}})
		j.apply(0, PutPlan{Plan{Name: "fuzz"}})
		j.advance(m.ClockMs() + ttlMs)
		if want, got := dump(m), dump(mustRestore(t, written(t, m.Snapshot()))); got != want {
			t.Fatalf("restored after more:\n%s\nwant:\n%s", diff(got, want), diff(want, got))
		}
	})
}

// Numbers that would overflow later, or repeat or round a fence, are refused before they are believed.
func TestRestoreRefusesNumbersOutOfBounds(t *testing.T) {
	t.Parallel()
	lockOf := func(change func(m *Machine, l *lock)) func(m *Machine) {
		return func(m *Machine) { changeLock(m, recordID("lock"), func(l *lock) { change(m, l) }) }
	}
	recordOf := func(m *Machine) slabRecord { return m.records.get(keyOf(m, recordID("record"))) }
	le := binary.LittleEndian
	tests := []struct {
		name string
		at   func(m *Machine)
		over func(m *Machine)
	}{
		{"clock", func(m *Machine) { m.clockMs = MaxStampMs }, func(m *Machine) { m.clockMs = MaxStampMs + 1 }},
		{"least epoch", func(m *Machine) { m.epoch = 1 }, func(m *Machine) { m.epoch = 0 }},
		{"epoch", func(m *Machine) { m.epoch = 1<<13 - 1 }, func(m *Machine) { m.epoch = 1 << 13 }},
		{"grants", func(m *Machine) { m.grants = 1<<40 - 1 }, func(m *Machine) { m.grants = 1 << 40 }},
		{"fence", lockOf(func(m *Machine, l *lock) { l.fence = m.lastFence() }),
			lockOf(func(m *Machine, l *lock) { l.fence = m.lastFence() + 1 })},
		{"lease end", lockOf(func(_ *Machine, l *lock) { l.leaseEndMs = maxInstantMs }),
			lockOf(func(_ *Machine, l *lock) { l.leaseEndMs = maxInstantMs + 1 })},
		{"lock created", lockOf(func(_ *Machine, l *lock) { l.createdAtMs = maxInstantMs }),
			lockOf(func(_ *Machine, l *lock) { l.createdAtMs = maxInstantMs + 1 })},
		{"record created", func(m *Machine) { le.PutUint64(recordOf(m)[4:], maxInstantMs) },
			func(m *Machine) { le.PutUint64(recordOf(m)[4:], maxInstantMs+1) }},
		{"record created before time", func(m *Machine) { le.PutUint64(recordOf(m)[4:], 0) },
			func(m *Machine) { le.PutUint64(recordOf(m)[4:], math.MaxUint64) }},
		{"record expires", func(m *Machine) { le.PutUint64(recordOf(m)[12:], maxInstantMs) },
			func(m *Machine) { le.PutUint64(recordOf(m)[12:], maxInstantMs+1) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if err := restoredAfter(t, tt.at); err != nil {
				t.Errorf("at the bound: %v", err)
			}
			if err := restoredAfter(t, tt.over); !errors.Is(err, ErrMalformed) {
				t.Errorf("beyond the bound: %v, want ErrMalformed", err)
			}
		})
	}
}

// restoredAfter changes a state of one lock and one record behind its back, and restores it.
func restoredAfter(t *testing.T, change func(m *Machine)) error {
	t.Helper()
	j := newJournal(t)
	j.apply(noon2026, Claim{ID: recordID("lock"), Owner: "a", LeaseMs: leaseMs, TTLMs: ttlMs})
	put := completeWith(Token{}, `1`)
	put.ID = recordID("record")
	j.apply(noon2026, put)
	change(j.m)
	_, err := restore(written(t, j.m.Snapshot()))
	return err
}

// A clock that is ahead of all stamps stays where it is: what it has passed remains past.
func TestRestoredClockDoesNotGoBack(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	ahead := noon2026 + 50*ttlMs
	lapsing, live := claimBy("a", tok(1)), claimBy("a", tok(2))
	live.ID = recordID("live")
	j.apply(ahead-leaseMs, lapsing)
	j.apply(ahead, live)
	j = &journal{tb: t, m: mustRestore(t, written(t, j.m.Snapshot()))}
	j.advance(noon2026)
	if j.m.ClockMs() != ahead {
		t.Fatalf("the clock went from %d to %d", ahead, j.m.ClockMs())
	}
	lapsing.Owner, live.Owner = "b", "b"
	wantResult(t, "lapsed", j.apply(noon2026, lapsing), granted(tok(1), 3, ahead+leaseMs))
	wantResult(t, "live", j.apply(noon2026, live), inProgress(RetryDelayMs, leaseMs, ahead+leaseMs))
	j.advance(ahead + leaseMs)
	wantResult(t, "on again", j.apply(noon2026, live), granted(tok(2), 4, ahead+2*leaseMs))
}
