package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"

	"github.com/syllecta/syllecta/snapshot"
)

// formOf returns the form that a snapshot file is of, and how many sections it has.
func formOf(tb testing.TB, file []byte) (form, int) {
	tb.Helper()
	info, err := snapshot.Verify(bytes.NewReader(file))
	if err != nil {
		tb.Fatal(err)
	}
	return form(info.Sections[0].Version), len(info.Sections)
}

// A snapshot is of the oldest form that holds the state and that the cluster's level asks for.
func TestSnapshotForms(t *testing.T) {
	t.Parallel()
	key := CreateKey{Tenant: 1, PublicID: "key_1", Hash: [32]byte{1}}
	scoped, ending := key, key
	scoped.Scopes, ending.ExpiresAtMs = 1, 1
	tally := Tally{Counts: []TenantCount{{1, MeterClaims, 1}}}
	put, remove := PutPlan{Plan{Name: "team"}}, DeletePlan{"team"}
	resume := UpdateTenant{Tenant: 1, SetSuspended: true}
	suspend := resume
	suspend.Suspended = true
	for _, tt := range []struct {
		name string
		cmds []Command
		want form
	}{
		{"nothing", nil, form1},
		{"level 1", []Command{key, RaiseFeatureLevel{1, "v1"}}, form1},
		{"a member", []Command{AdmitMember{NodeID: "n"}}, form2},
		{"a retired member", []Command{RetireMember{"n"}}, form2},
		{"level 2", []Command{RaiseFeatureLevel{2, "v2"}}, form2},
		{"level 3", []Command{RaiseFeatureLevel{3, "v3"}}, form3},
		{"level 4", []Command{RaiseFeatureLevel{4, "v4"}}, form4},
		{"a payload policy", []Command{UpdateTenant{Tenant: 1, SetPayloadPolicy: true, PayloadPolicy: PayloadRedacted}}, form4},
		{"a data key", []Command{PutDataKey{Tenant: 1, Wrapped: []byte("k")}}, form4},
		{"a source", []Command{PutSource{Source: aSource()}}, form4},
		{"a plan for events", []Command{PutPlan{Plan{Name: "p", MonthlyEvents: 1}}}, form4},
		{"a plan", []Command{put}, form3},
		{"a plan that is gone", []Command{put, remove}, form1},
		{"another starter plan", []Command{PutPlan{Plan{Name: StarterPlan}}}, form3},
		{"the same starter plan", []Command{PutPlan{*starterPlan()}}, form1},
		{"a tenant's plan", []Command{UpdateTenant{Tenant: 1, SetPlan: true, Plan: StarterPlan}}, form3},
		{"a suspended tenant", []Command{suspend}, form3},
		{"one that was suspended", []Command{suspend, resume}, form1},
		{"the same, and a member", []Command{suspend, resume, AdmitMember{NodeID: "n"}}, form2},
		{"a key with scopes", []Command{scoped}, form3},
		{"a key with an end", []Command{ending}, form3},
		{"a key used", []Command{key, Tally{Uses: []KeyUse{{1, "key_1", hourMs}}}}, form3},
		{"counts", []Command{tally, Audited{ada, key}}, form1},
	} {
		j := newJournal(t)
		j.entry(noon2026, append(tt.cmds, claimBy("a", tok(1)))...)
		file := written(t, j.m.Snapshot())
		got, sections := formOf(t, file)
		if got != tt.want || sections != map[form]int{form1: 6, form2: 7, form3: 10, form4: 13}[tt.want] {
			t.Errorf("%s: form %d with %d sections, want form %d", tt.name, got, sections, tt.want)
		}
		if m := mustRestore(t, file); dump(m) != dump(j.m) {
			t.Errorf("%s: restored\n%s\nwant\n%s", tt.name, diff(dump(m), dump(j.m)), diff(dump(j.m), dump(m)))
		}
		if s, err := inspect(file); err != nil || s != summaryOf(j.m) {
			t.Errorf("%s: inspected %+v, %v", tt.name, s, err)
		}
	}
}

// What a release wrote that knew no plans has those that are built in, and goes on like any other state.
func TestRestoreOfOlderForms(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]*journal{"snapshot_v1": furnished(t), "snapshot_v2": peopled(t)} {
		got := &journal{tb: t, m: mustRestore(t, golden(t, name, nil)), index: want.index}
		wantPlans(t, got.m, UnlimitedPlan, StarterPlan)
		if p := got.m.Directory().Plan(StarterPlan); *p != *starterPlan() {
			t.Errorf("%s: the starter plan is %+v", name, *p)
		}
		if entries, total := got.m.AuditLog(0, 9); total != 0 || len(entries) != 0 {
			t.Errorf("%s: it has an audit log", name)
		}
		for _, tenant := range got.m.Directory().Tenants() {
			if tenant.Plan != "" || tenant.Suspended || got.m.UsageDays(tenant.ID, 0, 1<<30) != nil {
				t.Errorf("%s: tenant %+v", name, *tenant)
			}
		}
		for _, cmd := range []Command{
			RaiseFeatureLevel{FeatureLevel, "v3"}, UpdateTenant{Tenant: 1, SetPlan: true, Plan: StarterPlan},
			claimBy("a", tok(1)), claimBy("b", tok(1)), Audited{ada, PutPlan{Plan{Name: "team"}}},
		} {
			wantResult(t, fmt.Sprintf("%s: %T", name, cmd), got.apply(0, cmd), want.apply(0, cmd))
		}
		if a, b := dump(got.m), dump(want.m); a != b {
			t.Errorf("%s: it went on to\n%s\nwant\n%s", name, diff(a, b), diff(b, a))
		}
	}
}

func TestRestoreRefusesOfForm3(t *testing.T) {
	t.Parallel()
	m := governed(t).m
	good := sectionsOf(t, m)
	const state, tenants, keys, members, plans, days = 0, 1, 2, 6, 7, 8
	today := DayOf(m.ClockMs())
	with := func(section int, records ...[]byte) func(s []rawSection) []rawSection {
		return func(s []rawSection) []rawSection {
			s[section].records = append(s[section].records, records...)
			return s
		}
	}
	dayRecord := func(tenant TenantID, d Day, rest ...byte) []byte {
		b := binary.AppendUvarint(nil, uint64(tenant))
		return append(binary.AppendUvarint(b, uint64(d)), rest...)
	}
	tenant := func(name, plan string) []byte {
		return encodeTenant(&Tenant{ID: 4, PublicID: name, Slug: name, Plan: plan}, 2)
	}
	one := []byte{byte(MeterClaims), 2}
	tests := []struct {
		name   string
		change func(s []rawSection) []rawSection
		want   error
	}{
		{"without the audit log", func(s []rawSection) []rawSection { return s[:9] }, ErrMalformed},
		{"without the days", func(s []rawSection) []rawSection { return slices.Delete(s, days, days+1) }, ErrMalformed},
		{"without the plans", func(s []rawSection) []rawSection { return slices.Delete(s, plans, plans+1) }, ErrMalformed},
		{"plans and days swapped", func(s []rawSection) []rawSection { s[plans], s[days] = s[days], s[plans]; return s },
			ErrMalformed},
		{"said to be of form 2", func(s []rawSection) []rawSection { s[state].version = 2; return s }, ErrMalformed},
		{"plans in form 2", func(s []rawSection) []rawSection {
			return append(sectionsOf(t, peopled(t).m), s[plans])
		}, ErrMalformed},
		{"all of form 2 and more", func(s []rawSection) []rawSection {
			return append(sectionsOf(t, peopled(t).m), s[plans:]...)
		}, ErrMalformed},
		{"tenants of version 2 in form 2", func(s []rawSection) []rawSection {
			old := sectionsOf(t, peopled(t).m)
			old[tenants].version = 2
			for i := range old[tenants].records {
				old[tenants].records[i] = append(old[tenants].records[i], 0, 0)
			}
			return old
		}, ErrMalformed},
		{"keys of version 2 in form 1", func(s []rawSection) []rawSection {
			old := sectionsOf(t, furnished(t).m)
			old[keys].version = 2
			for i := range old[keys].records {
				old[keys].records[i] = append(old[keys].records[i], 0, 0, 0)
			}
			return old
		}, ErrMalformed},
		{"newer tenants", func(s []rawSection) []rawSection { s[tenants].version = 4; return s }, ErrUnsupported},
		{"newer keys", func(s []rawSection) []rawSection { s[keys].version = 3; return s }, ErrUnsupported},
		{"newer members", func(s []rawSection) []rawSection { s[members].version = 2; return s }, ErrUnsupported},
		{"newer plans", func(s []rawSection) []rawSection { s[plans].version = 3; return s }, ErrUnsupported},
		{"newer days", func(s []rawSection) []rawSection { s[days].version = 2; return s }, ErrUnsupported},
		{"a newer audit log", func(s []rawSection) []rawSection { s[auditSection].version = 2; return s }, ErrUnsupported},
		{"tenants of version 1", func(s []rawSection) []rawSection { s[tenants].version = 1; return s }, ErrMalformed},
		{"keys of version 1", func(s []rawSection) []rawSection { s[keys].version = 1; return s }, ErrMalformed},
		{"a plan twice", twice(plans), ErrMalformed},
		{"the unlimited plan", with(plans, appendPlan(nil, &Plan{Name: UnlimitedPlan}, false)), ErrMalformed},
		{"a plan without a name", with(plans, appendPlan(nil, &Plan{}, false)), ErrMalformed},
		{"a plan's limit", with(plans, appendPlan(nil, &Plan{Name: "x", RequestsPerSecond: MaxRequestsPerSecond + 1}, false)),
			ErrMalformed},
		{"a plan too many", func(s []rawSection) []rawSection {
			for i := range MaxPlans {
				s[plans].records = append(s[plans].records, appendPlan(nil, &Plan{Name: fmt.Sprint(i)}, false))
			}
			return s
		}, ErrMalformed},
		{"a tenant of no plan", with(tenants, tenant("x", "nothing")), ErrMalformed},
		{"a tenant of the unlimited plan by name", with(tenants, tenant("x", UnlimitedPlan)), ErrMalformed},
		{"a tenant's plan too long", with(tenants, tenant("x", string(make([]byte, MaxSlugBytes+1)))), ErrMalformed},
		{"a key's scopes", with(keys, encodeKey(&APIKey{Tenant: 1, PublicID: "x", Scopes: AllScopes + 1}, 2)), ErrMalformed},
		{"a key's end", with(keys, encodeKey(&APIKey{Tenant: 1, PublicID: "x", ExpiresAtMs: MaxStampMs + 1}, 2)),
			ErrMalformed},
		{"a key's last use", with(keys, encodeKey(&APIKey{Tenant: 1, PublicID: "x", LastUsedMs: MaxStampMs + 1}, 2)),
			ErrMalformed},
		{"a key used before time", with(keys, encodeKey(&APIKey{Tenant: 1, PublicID: "x", LastUsedMs: -1}, 2)), ErrMalformed},
		{"a day twice", twice(days), ErrMalformed},
		{"days in another order", func(s []rawSection) []rawSection { slices.Reverse(s[days].records); return s },
			ErrMalformed},
		{"a day of no tenant", with(days, dayRecord(4, today, one...)), ErrMalformed},
		{"a day of tenant 0", with(days, dayRecord(0, today, one...)), ErrMalformed},
		{"a day to come", with(days, dayRecord(3, today+1, one...)), ErrMalformed},
		{"a day without counts", func(s []rawSection) []rawSection {
			s[days].records = [][]byte{dayRecord(1, today)}
			return s
		}, ErrMalformed},
		{"a count of nothing", func(s []rawSection) []rawSection {
			s[days].records = [][]byte{dayRecord(1, today, byte(MeterClaims), 0)}
			return s
		}, ErrMalformed},
		{"an unknown meter", func(s []rawSection) []rawSection {
			s[days].records = [][]byte{dayRecord(1, today, byte(meterEnd), 2)}
			return s
		}, ErrMalformed},
		{"a meter twice", func(s []rawSection) []rawSection {
			s[days].records = [][]byte{dayRecord(1, today, append(one, one...)...)}
			return s
		}, ErrMalformed},
		{"a meter without a count", func(s []rawSection) []rawSection {
			s[days].records = [][]byte{dayRecord(1, today, byte(MeterClaims))}
			return s
		}, ErrMalformed},
		{"a count out of bounds", func(s []rawSection) []rawSection {
			s[days].records = [][]byte{dayRecord(1, today, binary.AppendVarint([]byte{byte(MeterClaims)}, maxCount+1)...)}
			return s
		}, ErrMalformed},
	}
	for i, section := range good {
		for n := range section.records {
			for name, change := range map[string]func(record []byte) []byte{
				"empty":     func([]byte) []byte { return nil },
				"cut short": func(r []byte) []byte { return r[:len(r)-1] },
				"too long":  func(r []byte) []byte { return append(slices.Clip(r), 0) },
			} {
				tests = append(tests, struct {
					name   string
					change func(s []rawSection) []rawSection
					want   error
				}{fmt.Sprintf("record %d of section %d %s", n+1, i+1, name), func(s []rawSection) []rawSection {
					s[i].records[n] = change(s[i].records[n])
					return s
				}, ErrMalformed})
			}
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantRefused(t, assembled(t, tt.change(copyOf(good))), tt.want, false)
		})
	}
	if _, err := restore(assembled(t, good)); err != nil {
		t.Errorf("nothing changed: %v", err)
	}
}

// What is at its bound is accepted.
func TestRestoreAtTheBoundsOfForm3(t *testing.T) {
	t.Parallel()
	j := auditedJournal(t)
	j.apply(noon2026, CreateKey{Tenant: 1, PublicID: "k", Hash: [32]byte{1}, Scopes: AllScopes, ExpiresAtMs: MaxStampMs})
	for day := range MaxUsageDays {
		j.apply(noon2026+int64(day)*dayMs, Tally{Counts: []TenantCount{{1, MeterRejected, 1}}})
	}
	j.m.usage.days[0].today.counts[1] = maxCount
	d := j.m.directory.clone()
	d.keys[[32]byte{1}].LastUsedMs = MaxStampMs
	j.m.directory = d
	file := written(t, j.m.Snapshot())
	if got := dump(mustRestore(t, file)); got != dump(j.m) {
		t.Errorf("restored\n%s\nwant\n%s", diff(got, dump(j.m)), diff(dump(j.m), got))
	}
	if _, err := inspect(file); err != nil {
		t.Errorf("inspect: %v", err)
	}
}

// A captured snapshot does not change when counting, and the audit log, go on: both share their memory with it.
func TestCapturedUsageAndAuditLogDoNotChange(t *testing.T) {
	t.Parallel()
	j := governed(t)
	change := func(i int) {
		j.apply(j.m.ClockMs()+int64(i%3)*dayMs/2, Tally{Counts: []TenantCount{
			{TenantID(1 + i%3), Meters()[i%4], int64(1 + i)}, {1, MeterClaims, 1},
		}})
		j.apply(0, Audited{ada, PutPlan{Plan{Name: "team", MonthlyClaims: int64(i)}}})
		j.apply(0, claimBy(fmt.Sprint(i), tok(1)))
	}
	type capture struct {
		s    *Snapshot
		want string
	}
	var captures []capture
	for i := range 1_500 {
		change(i)
		if i%37 == 0 {
			captures = append(captures, capture{j.m.Snapshot(), dump(j.m)})
		}
	}
	done := make(chan error)
	for _, c := range captures {
		go func() {
			var got string
			m, err := restore(written(t, c.s))
			if err == nil {
				got = dump(m)
			}
			if got != c.want {
				err = fmt.Errorf("%w: the snapshot holds\n%s\nwant\n%s", errors.Join(err), diff(got, c.want), diff(c.want, got))
			}
			done <- err
		}()
	}
	for i := range 500 {
		change(i)
	}
	for range captures {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// From a snapshot of any form to a cluster of any level: the level is the higher one, the form holds both.
func TestRebaseBetweenLevels(t *testing.T) {
	t.Parallel()
	early := furnished(t) // a plan before its level
	early.apply(0, UpdateTenant{Tenant: 1, SetPlan: true, Plan: StarterPlan, SetSuspended: true, Suspended: true})
	early.apply(0, PutPlan{Plan{Name: "early"}})
	snapshots := map[string]*Machine{
		"form 1": furnished(t).m, "form 2": peopled(t).m, "form 3": governed(t).m, "form 3 of level 1": early.m,
		"form 4": connected(t).m,
	}
	for name, m := range snapshots {
		for level := uint32(1); level <= FeatureLevel; level++ {
			for _, members := range [][]*Member{nil, {{NodeID: "n"}}} {
				what := fmt.Sprintf("%s to level %d with %d members", name, level, len(members))
				to := Identity{ClusterID: "here", Epoch: 3, FeatureLevel: level, Members: members}
				if level > 1 {
					to.FeatureVersion = "cluster"
				}
				file, summary, err := rebased(written(t, m.Snapshot()), to, 77, 8)
				if err != nil {
					t.Errorf("%s: %v", what, err)
					continue
				}
				got := mustRestore(t, file)
				wantIdentity(t, got, to.atLeastLevelOf(m), 4)
				if a, b := dumpRecords(got), dumpRecords(m); a != b {
					t.Errorf("%s: records have\n%s\nwant\n%s", what, diff(a, b), diff(b, a))
				}
				inspected, err := inspect(file)
				if want := summaryOf(got); summary != want || inspected != want || err != nil {
					t.Errorf("%s: summary is\n%+v, inspected\n%+v, %v, want\n%+v", what, summary, inspected, err, want)
				}
				wantForm := got.Directory().form()
				if f, sections := formOf(t, file); f != wantForm || sections != int(f.lastSection()) {
					t.Errorf("%s: form %d with %d sections, want form %d", what, f, sections, wantForm)
				}
				again := mustRestore(t, written(t, got.Snapshot()))
				if a, b := dump(again), dump(got); a != b {
					t.Errorf("%s: written again\n%s\nwant\n%s", what, diff(a, b), diff(b, a))
				}
			}
		}
	}
}

// Inspect and Rebase need no more memory for a longer audit log or more days than for its entries one by one. Not
// parallel: it measures what is live.
func TestInspectKeepsNoAuditLog(t *testing.T) {
	const entries, bound = 20_000, 4 << 20
	j := &journal{tb: t, m: New(testConfig())}
	j.entry(noon2026, Init{ClusterID: "c"}, RaiseFeatureLevel{FeatureLevel, "v3"})
	by := Actor{Name: string(make([]byte, MaxNameBytes)), Role: string(make([]byte, MaxNameBytes))}
	for i := range entries {
		j.m.audit.append(AuditEntry{By: by, Action: "plan.put", Target: fmt.Sprint(i)})
	}
	for tenant := range TenantID(50) {
		j.apply(noon2026, CreateTenant{PublicID: fmt.Sprint("t", tenant), Slug: fmt.Sprint("s", tenant)})
	}
	for day := range int64(MaxUsageDays) {
		var c Tally
		for tenant := range TenantID(50) {
			c.Counts = append(c.Counts, TenantCount{1 + tenant, MeterClaims, 1})
		}
		j.apply(noon2026+day*dayMs, c)
	}
	file := written(t, j.m.Snapshot())
	c := newCounter()
	before := heapBytes()
	r, err := snapshot.NewReader(bytes.NewReader(file))
	if err == nil {
		err = c.readAll(r)
	}
	if used := heapBytes() - before; err != nil || used > bound {
		t.Errorf("%v, %d bytes kept of a snapshot of %d, want at most %d", err, used, len(file), bound)
	}
	runtime.KeepAlive(c)
	if m := mustRestore(t, file); len(m.UsageDays(1, 0, math.MaxInt32)) != MaxUsageDays {
		t.Error("the days do not survive a snapshot")
	}
}
