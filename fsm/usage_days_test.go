package fsm

import (
	"fmt"
	"reflect"
	"testing"
)

// countingJournal has one tenant with a limit, at the feature level from which days are counted.
func countingJournal(t *testing.T, stampMs, limit int64) *limited {
	t.Helper()
	j := limitedJournal(t, stampMs, limit)
	j.apply(stampMs, RaiseFeatureLevel{FeatureLevel, "v3"})
	return j
}

// day is the usage of a day by meter: claims, replays, conflicts, rejected.
func day(d Day, counts ...int64) (u DayUsage) {
	u.Day = d
	copy(u.counts[:], counts)
	return u
}

func (j *journal) wantDays(what string, want ...DayUsage) {
	j.tb.Helper()
	if got := j.m.UsageDays(1, 0, DayOf(MaxStampMs)); !reflect.DeepEqual(got, want) {
		j.tb.Errorf("%s: days are %v, want %v", what, got, want)
	}
}

func TestMeters(t *testing.T) {
	t.Parallel()
	for i, name := range []string{"claims", "replays", "conflicts", "rejected", "events", "duplicates", "deliveries",
		"delivery_failures"} {
		x := Meters()[i]
		if x != Meter(i+1) || x.String() != name {
			t.Errorf("meter %d is %d, %q, want %q", i+1, x, x, name)
		}
	}
	if len(Meters()) != 8 || meterEnd != 9 || Meter(0).String() != "unknown" || meterEnd.String() != "unknown" {
		t.Error("there are other meters")
	}
	for outcome, want := range map[Outcome]Meter{
		Cached: MeterReplays, InProgress: MeterConflicts, FingerprintMismatch: MeterConflicts,
	} {
		if got := ReplayMeter(outcome); got != want {
			t.Errorf("outcome %d counts as %v, want %v", outcome, got, want)
		}
	}
}

// Each step counts on at most one meter.
func TestEachMeterCounts(t *testing.T) {
	t.Parallel()
	today := DayOf(noon2026)
	j := countingJournal(t, noon2026, 2)
	first := claimBy("a", tok(1))
	first.Fingerprint = "f"
	mismatched, again := claimBy("b", tok(2)), claimBy("b", tok(3))
	mismatched.Fingerprint = "g"
	elsewhere := claimBy("c", tok(4))
	elsewhere.ID = recordID("other")
	lapsed := noon2026 + leaseMs
	for _, s := range []struct {
		name    string
		stampMs int64
		cmd     Command
		want    [4]int64
	}{
		{"grant", noon2026, first, [4]int64{1, 0, 0, 0}},
		{"re-entry", noon2026, first, [4]int64{1, 0, 0, 0}},
		{"in progress", noon2026, again, [4]int64{1, 0, 1, 0}},
		{"mismatch with a live lock", noon2026, mismatched, [4]int64{1, 0, 2, 0}},
		{"mismatch with a lapsed lock", lapsed, mismatched, [4]int64{1, 0, 3, 0}},
		{"take-over", lapsed, again, [4]int64{2, 0, 3, 0}},
		{"renew", lapsed, Renew{ID: recordID("k"), Token: tok(3), KeepLease: true}, [4]int64{2, 0, 3, 0}},
		{"refused PUT", lapsed, completeWith(tok(1), `1`), [4]int64{2, 0, 3, 0}},
		{"month is full", lapsed, elsewhere, [4]int64{2, 0, 3, 1}},
		{"complete", lapsed, completeWith(tok(3), `1`), [4]int64{2, 0, 3, 1}},
		{"complete again", lapsed, completeWith(tok(3), `1`), [4]int64{2, 0, 3, 1}},
		{"replay", lapsed, again, [4]int64{2, 1, 3, 1}},
		{"replay with its fingerprint", lapsed, first, [4]int64{2, 2, 3, 1}},
		{"mismatch with a record", lapsed, mismatched, [4]int64{2, 2, 4, 1}},
		{"suspend", lapsed, UpdateTenant{Tenant: 1, SetSuspended: true, Suspended: true}, [4]int64{2, 2, 4, 1}},
		{"suspended", lapsed, elsewhere, [4]int64{2, 2, 4, 2}},
		{"replay while suspended", lapsed, again, [4]int64{2, 3, 4, 2}},
		{"tally", lapsed, Tally{Counts: []TenantCount{{1, MeterReplays, 10}, {1, MeterConflicts, 20}, {1, MeterReplays, 30}}},
			[4]int64{2, 43, 24, 2}},
		{"tally of another", lapsed, Tally{Counts: []TenantCount{{7, MeterReplays, 10}}}, [4]int64{2, 43, 24, 2}},
		{"tally of nothing", lapsed, Tally{}, [4]int64{2, 43, 24, 2}},
		{"delete", lapsed, Delete{ID: recordID("k")}, [4]int64{2, 43, 24, 2}},
	} {
		j.apply(s.stampMs, s.cmd)
		j.wantDays(s.name, day(today, s.want[:]...))
	}
	if got := j.m.UsageDays(7, 0, today); got != nil {
		t.Errorf("a tenant that does not exist has %v", got)
	}
	if got := j.m.UsageDays(0, 0, today); got != nil {
		t.Errorf("no tenant has %v", got)
	}
}

// A record may be stored for a tenant that does not exist; claims of it count for nobody.
func TestNobodyIsCounted(t *testing.T) {
	t.Parallel()
	j := countingJournal(t, noon2026, 0)
	put, claim := completeWith(Token{}, `1`), claimBy("a", tok(1))
	put.ID.Tenant, claim.ID.Tenant = 2, 2
	j.apply(noon2026, put)
	if got := j.apply(noon2026, claim); got.Outcome != Cached {
		t.Fatalf("replay: %+v", got)
	}
	j.apply(noon2026, CreateTenant{PublicID: "ten_2", Slug: "umbrella"})
	if got := j.m.UsageDays(2, 0, DayOf(noon2026)); got != nil {
		t.Errorf("a new tenant has %v", got)
	}
	j.wantDays("the other")
}

// Who was counted nothing has no days, even on the first day of all.
func TestNoDayWithoutCounts(t *testing.T) {
	t.Parallel()
	j := countingJournal(t, 0, 0)
	j.entry(0, CreateTenant{PublicID: "ten_2", Slug: "umbrella"}, Tally{Counts: []TenantCount{{2, MeterClaims, 1}}})
	j.wantDays("nothing counted")
	if got := j.m.UsageDays(2, 0, 0); len(got) != 1 || got[0] != day(0, 1, 0, 0, 0) {
		t.Errorf("the other has %v", got)
	}
	mustRestore(t, written(t, j.m.Snapshot()))
}

// A day is that of the committed clock in UTC, to the millisecond.
func TestDays(t *testing.T) {
	t.Parallel()
	midnight := instant(t, "2028-02-29T00:00:00Z")
	yesterday, today := DayOf(midnight-1), DayOf(midnight)
	if today != yesterday+1 || today.StartMs() != midnight || yesterday.StartMs() != midnight-dayMs || DayOf(0) != 0 {
		t.Fatalf("days %d and %d begin at %d and %d", yesterday, today, yesterday.StartMs(), today.StartMs())
	}
	j := countingJournal(t, midnight-5, 0)
	j.grant(midnight - 2)
	j.grant(midnight - 1)
	j.wantDays("last instant", day(yesterday, 2, 0, 0, 0))
	j.advance(midnight)
	j.wantDays("nothing on the new day", day(yesterday, 2, 0, 0, 0))
	j.grant(midnight)
	j.grant(midnight - 1) // stamp behind the clock
	j.wantDays("first instant", day(yesterday, 2, 0, 0, 0), day(today, 2, 0, 0, 0))
	j.apply(0, Establish{ClockMs: midnight + 3*dayMs})
	j.grant(0)
	all := []DayUsage{day(yesterday, 2, 0, 0, 0), day(today, 2, 0, 0, 0), day(today+3, 1, 0, 0, 0)}
	j.wantDays("days left out", all...)
	for _, tt := range []struct{ from, to, first, end Day }{
		{yesterday, today + 3, 0, 3}, {yesterday + 1, today + 2, 1, 2}, {today + 1, today + 2, 0, 0},
		{today + 3, today + 3, 2, 3},
		{today + 4, 1 << 30, 0, 0}, {today, yesterday, 0, 0}, {-5, yesterday, 0, 1}, {-5, -1, 0, 0},
	} {
		got := j.m.UsageDays(1, tt.from, tt.to)
		if want := all[tt.first:tt.end]; len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("from %d to %d: %v, want %v", tt.from, tt.to, got, want)
		}
	}
}

// Usage by day begins with the entry that raises the level, on every node alike; that by month is counted before.
func TestDaysBeginWithTheLevel(t *testing.T) {
	t.Parallel()
	today := DayOf(noon2026)
	for level := uint32(1); level < LevelControl; level++ {
		j := limitedJournal(t, noon2026, 0)
		j.apply(noon2026, RaiseFeatureLevel{level, "v"})
		j.grant(noon2026)
		j.apply(noon2026, Tally{Counts: []TenantCount{{1, MeterReplays, 10}}})
		j.wantDays("before the level")
		results := j.entry(noon2026, claimBy("a", tok(1)), RaiseFeatureLevel{FeatureLevel, "v3"}, claimBy("b", tok(1)))
		if results[2].Outcome != InProgress {
			t.Fatalf("%+v", results[2])
		}
		j.wantDays("in the entry", day(today, 0, 0, 1, 0))
		j.grant(noon2026)
		j.wantDays("after it", day(today, 1, 0, 1, 0))
		j.wantUsage(202611, 3)
	}
}

// Days are kept for MaxUsageDays. What is too old is not shown, whether the tenant was counted since or not.
func TestDaysAreBounded(t *testing.T) {
	t.Parallel()
	start := DayOf(noon2026).StartMs()
	for _, counted := range []bool{true, false} {
		j := countingJournal(t, start, 0)
		first := DayOf(start)
		for i := range MaxUsageDays {
			j.apply(start+int64(i)*dayMs, Tally{Counts: []TenantCount{{1, MeterReplays, int64(i + 1)}}})
		}
		if got := j.m.UsageDays(1, 0, 1<<30); len(got) != MaxUsageDays || got[0].Day != first {
			t.Fatalf("%d days from %d, want all", len(got), got[0].Day)
		}
		j.advance(start + MaxUsageDays*dayMs - 1)
		if got := j.m.UsageDays(1, first, first); len(got) != 1 {
			t.Error("the first day is gone before its time")
		}
		at := start + MaxUsageDays*dayMs
		if counted {
			j.grant(at)
		} else {
			j.advance(at)
		}
		for _, m := range []*Machine{j.m, mustRestore(t, written(t, j.m.Snapshot()))} {
			got := m.UsageDays(1, 0, 1<<30)
			if got[0].Day != first+1 || got[0].Count(MeterReplays) != 2 || m.UsageDays(1, first, first) != nil {
				t.Errorf("counted since: %t: the first of %d days is %v", counted, len(got), got[0])
			}
			if kept := len(m.usage.days[0].past); kept >= MaxUsageDays { // and today
				t.Errorf("%d days are kept", kept)
			}
		}
		j.advance(start + 3*MaxUsageDays*dayMs)
		j.wantDays("all too old")
		j.grant(0)
		j.wantDays("a new day", day(first+3*MaxUsageDays, 1, 0, 0, 0))
		if past := j.m.usage.days[0].past; len(past) != 0 {
			t.Errorf("%d days are kept that are too old", len(past))
		}
	}
}

// A count stays at its bound, and such a state survives a snapshot.
func TestDayCountsAreBounded(t *testing.T) {
	t.Parallel()
	j := countingJournal(t, noon2026, 0)
	most := Tally{Counts: []TenantCount{{1, MeterClaims, maxTallyCount}}}
	j.apply(noon2026, most)
	for _, start := range []int64{maxCount - 1, maxCount} {
		j.m.usage.days[0].today.counts[0] = start
		j.m.usage.byTenant = []usage{{202611, start}}
		j.apply(noon2026, most)
		j.next(noon2026)
		j.wantDays("at the bound", day(DayOf(noon2026), maxCount, 0, 0, 0))
		j.wantUsage(202611, maxCount)
		if m := mustRestore(t, written(t, j.m.Snapshot())); dump(m) != dump(j.m) {
			t.Error("a count at its bound does not survive a snapshot")
		}
	}
}

func TestKeyScopesAndExpiry(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	create := CreateKey{
		Tenant: 1, PublicID: "key_1", Hash: [32]byte{1}, Scopes: ScopeRecordsRead | ScopeUsageRead, ExpiresAtMs: noon2026 + 9,
	}
	want := APIKey{
		Tenant: 1, PublicID: "key_1", Hash: [32]byte{1}, CreatedAtMs: noon2026, Scopes: 5, ExpiresAtMs: noon2026 + 9,
	}
	wantResult(t, "create", j.apply(noon2026, create), Result{Outcome: KeyCreated, Key: &want})
	k := j.m.Directory().KeyByHash([32]byte{1})
	if !k.Good(noon2026) || !k.Good(noon2026+8) || k.Good(noon2026+9) || k.Good(noon2026+10) {
		t.Error("the key is not good exactly until it expires")
	}
	endless, revoked := APIKey{}, APIKey{RevokedAtMs: 1, ExpiresAtMs: noon2026}
	if !endless.Good(MaxStampMs) || revoked.Good(0) {
		t.Error("a key without an end ends, or a revoked one is good")
	}
	for _, tt := range []struct {
		key, wanted Scopes
		want        bool
	}{
		{0, AllScopes, true}, {0, 0, true}, {AllScopes, AllScopes, true}, {ScopeRecordsRead, ScopeRecordsRead, true},
		{ScopeRecordsRead, ScopeRecordsWrite, false}, {ScopeRecordsRead, ScopeRecordsRead | ScopeRecordsWrite, false},
		{ScopeRecordsRead | ScopeRecordsWrite, ScopeRecordsWrite, true}, {ScopeUsageRead, 0, true},
	} {
		if got := tt.key.Allows(tt.wanted); got != tt.want {
			t.Errorf("%v allows %v: %t", tt.key, tt.wanted, got)
		}
	}
	for s, text := range map[Scopes]string{
		0: "all", 1: "records:read", 6: "records:write usage:read", AllScopes: "records:read records:write usage:read events:read webhooks:write admin:tenant",
	} {
		if s.String() != text {
			t.Errorf("scopes %d are %q, want %q", s, s, text)
		}
		var back Scopes
		for _, name := range s.Names() {
			one, ok := ScopeNamed(name)
			if !ok {
				t.Errorf("no scope is named %q", name)
			}
			back |= one
		}
		if back != s {
			t.Errorf("scopes %d are named %q", s, s.Names())
		}
	}
	if s, ok := ScopeNamed("all"); ok || s != 0 {
		t.Error("there is a scope named all")
	}
	if AllScopes != 1<<len(scopeNames)-1 {
		t.Error("not every scope has a name")
	}
}

// Last use is kept by the hour, and never goes back; what is told of keys that are not there is passed over.
func TestKeyLastUse(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	for i := range 2 {
		j.apply(noon2026, CreateKey{Tenant: 1, PublicID: fmt.Sprint("key_", i), Hash: [32]byte{byte(i)}})
	}
	j.apply(noon2026, RevokeKey{Tenant: 1, PublicID: "key_1"})
	used := func(id string, at int64) KeyUse { return KeyUse{1, id, at} }
	for _, s := range []struct {
		name    string
		uses    []KeyUse
		want    [2]int64 // of key_0 and key_1
		changes bool
	}{
		{"nothing", nil, [2]int64{}, false},
		{"first", []KeyUse{used("key_0", noon2026+1)}, [2]int64{noon2026, 0}, true},
		{"the same hour", []KeyUse{used("key_0", noon2026+hourMs-1)}, [2]int64{noon2026, 0}, false},
		{"earlier", []KeyUse{used("key_0", noon2026-1)}, [2]int64{noon2026, 0}, false},
		{"the next hour", []KeyUse{used("key_0", noon2026+hourMs)}, [2]int64{noon2026 + hourMs, 0}, true},
		{"no such key", []KeyUse{used("key_9", noon2026), {2, "key_0", noon2026 + 9*hourMs}},
			[2]int64{noon2026 + hourMs, 0}, false},
		{"several", []KeyUse{used("key_1", 2*hourMs), used("key_0", MaxStampMs), used("key_1", 5*hourMs-1), used("key_1", 0)},
			[2]int64{MaxStampMs - MaxStampMs%hourMs, 4 * hourMs}, true},
	} {
		before := j.m.Directory()
		first := *before.Keys(1)[0]
		wantResult(t, s.name, j.apply(noon2026, Tally{Uses: s.uses}), Result{Outcome: OK})
		d := j.m.Directory()
		if got := [2]int64{d.Keys(1)[0].LastUsedMs, d.KeyByHash([32]byte{1}).LastUsedMs}; got != s.want {
			t.Errorf("%s: used at %v, want %v", s.name, got, s.want)
		}
		if (d != before) != s.changes {
			t.Errorf("%s: the directory is another: %t", s.name, d != before)
		}
		if *before.Keys(1)[0] != first {
			t.Errorf("%s: a Directory handed out before has changed", s.name)
		}
	}
	if k := j.m.Directory().Keys(1)[1]; k.RevokedAtMs != noon2026 {
		t.Errorf("a use has changed %+v", *k)
	}
}
