package fsm

import (
	"fmt"
	"slices"
	"testing"
)

func TestPutPlan(t *testing.T) {
	t.Parallel()
	team := Plan{Name: "team", MonthlyClaims: 60, RequestsPerSecond: 5, MaxTTLMs: ttlMs, MaxBodyBytes: 1_000}
	changed, starter := team, Plan{Name: StarterPlan, MonthlyClaims: 7}
	changed.MonthlyClaims = 0
	j := newJournal(t)
	for _, s := range []struct {
		name string
		cmd  Plan
		want Result
	}{
		{"new", team, Result{Outcome: OK, Plan: &team}},
		{"changed", changed, Result{Outcome: OK, Existed: true, Plan: &changed}},
		{"the same", changed, Result{Outcome: OK, Existed: true, Plan: &changed}},
		{"starter", starter, Result{Outcome: OK, Existed: true, Plan: &starter}},
		{"unlimited", Plan{Name: UnlimitedPlan, MonthlyClaims: 1},
			Result{Outcome: Conflict, Plan: &Plan{Name: UnlimitedPlan}}},
	} {
		before := j.m.Directory()
		plans := dumpPlans(before)
		wantResult(t, s.name, j.apply(noon2026, PutPlan{s.cmd}), s.want)
		if found := j.m.Directory().Plan(s.cmd.Name); found == nil || *found != *s.want.Plan {
			t.Errorf("%s: found %+v, want %+v", s.name, found, *s.want.Plan)
		}
		if dumpPlans(before) != plans {
			t.Errorf("%s: a Directory handed out before has changed", s.name)
		}
	}
	j.apply(noon2026, PutPlan{Plan{Name: "zz"}})
	j.apply(noon2026, PutPlan{Plan{Name: "aa"}})
	wantPlans(t, j.m, UnlimitedPlan, "aa", StarterPlan, "team", "zz")
	d := j.m.Directory()
	d.Plan(UnlimitedPlan).MonthlyClaims = 1
	if d.Plan("nothing") != nil || d.Plan("") != nil || *d.Plan(UnlimitedPlan) != (Plan{Name: UnlimitedPlan}) {
		t.Error("found a plan that does not exist, or one that was changed from outside")
	}
}

func dumpPlans(d *Directory) (text string) {
	for _, p := range d.Plans() {
		text += fmt.Sprintf("%+v\n", *p)
	}
	return text
}

func wantPlans(t *testing.T, m *Machine, names ...string) {
	t.Helper()
	var got []string
	for _, p := range m.Directory().Plans() {
		got = append(got, p.Name)
	}
	if !slices.Equal(got, names) {
		t.Errorf("plans are %q, want %q", got, names)
	}
}

func TestDeletePlan(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	used, free := Plan{Name: "used", MonthlyClaims: 1}, Plan{Name: "free", MonthlyClaims: 2}
	j.entry(noon2026, PutPlan{used}, PutPlan{free}, CreateTenant{PublicID: "ten_2", Slug: "umbrella", Plan: "used"})
	before := j.m.Directory()
	for _, s := range []struct {
		name string
		want Result
	}{
		{"used", Result{Outcome: Conflict, Plan: &used}},
		{UnlimitedPlan, Result{Outcome: Conflict, Plan: &Plan{Name: UnlimitedPlan}}},
		{StarterPlan, Result{Outcome: Conflict, Plan: starterPlan()}},
		{"nothing", Result{Outcome: NotFound}},
		{"free", Result{Outcome: OK, Existed: true, Plan: &free}},
		{"free", Result{Outcome: NotFound}},
	} {
		wantResult(t, s.name, j.apply(noon2026, DeletePlan{s.name}), s.want)
	}
	if before.Plan("free") == nil {
		t.Error("a Directory handed out before has changed")
	}
	wantPlans(t, j.m, UnlimitedPlan, StarterPlan, "used")
	j.apply(noon2026, UpdateTenant{Tenant: 2, SetPlan: true, Plan: UnlimitedPlan})
	wantResult(t, "not used any more", j.apply(noon2026, DeletePlan{"used"}),
		Result{Outcome: OK, Existed: true, Plan: &used})
	wantPlans(t, j.m, UnlimitedPlan, StarterPlan)
}

func TestPlansAreBounded(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	for i := range MaxPlans - 1 { // starter is there
		if got := j.apply(noon2026, PutPlan{Plan{Name: fmt.Sprint(i)}}); got.Outcome != OK {
			t.Fatalf("plan %d: %+v", i, got)
		}
	}
	full := Result{Outcome: LimitReached, Limit: MaxPlans}
	wantResult(t, "one above", j.apply(noon2026, PutPlan{Plan{Name: "x"}}), full)
	if got := j.apply(noon2026, PutPlan{Plan{Name: "7", MonthlyClaims: 1}}); got.Outcome != OK || !got.Existed {
		t.Errorf("a change while it is full: %+v", got)
	}
	if restored := mustRestore(t, written(t, j.m.Snapshot())); dump(restored) != dump(j.m) {
		t.Error("a full list of plans does not survive a snapshot")
	}
	j.apply(noon2026, DeletePlan{"7"})
	if got := j.apply(noon2026, PutPlan{Plan{Name: "x"}}); got.Outcome != OK {
		t.Errorf("in place of a deleted one: %+v", got)
	}
}

func TestPlansOfTenants(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	j.apply(noon2026, PutPlan{Plan{Name: "team", MonthlyClaims: 60}})
	tenant := Tenant{ID: 2, PublicID: "ten_2", Slug: "umbrella", CreatedAtMs: noon2026, Plan: "team"}
	create := CreateTenant{PublicID: "ten_2", Slug: "umbrella", Plan: "nothing"}
	wantResult(t, "created with a plan there is none of", j.apply(noon2026, create), Result{Outcome: NotFound})
	create.Plan = "team"
	wantResult(t, "created", j.apply(noon2026, create), Result{Outcome: TenantCreated, Tenant: &tenant})
	update := func(name string, set bool, plan string, want Result) {
		t.Helper()
		wantResult(t, name, j.apply(noon2026, UpdateTenant{Tenant: 2, SetPlan: set, Plan: plan}), want)
	}
	with := func(plan string) Result {
		changed := tenant
		changed.Plan = plan
		return Result{Outcome: OK, Tenant: &changed}
	}
	update("not set", false, StarterPlan, with("team"))
	update("not set, and there is none", false, "nothing", with("team"))
	update("none of that name", true, "nothing", Result{Outcome: NotFound})
	update("starter", true, StarterPlan, with(StarterPlan))
	update("unlimited", true, UnlimitedPlan, with(""))
	update("team", true, "team", with("team"))
	update("none", true, "", with(""))
	create = CreateTenant{PublicID: "ten_3", Slug: "initech", Plan: UnlimitedPlan}
	if got := j.apply(noon2026, create); got.Outcome != TenantCreated || got.Tenant.Plan != "" {
		t.Errorf("created with the unlimited plan: %+v", got)
	}
	d := j.m.Directory()
	if p := d.PlanOf(d.Tenant(2)); *p != unlimited || d.Tenant(2).PlanName() != UnlimitedPlan {
		t.Errorf("the plan of a tenant without one is %+v", *p)
	}
}

// What a tenant is allowed is its own limit, else its plan's; 0 is any number.
func TestMonthlyClaims(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	j.apply(noon2026, PutPlan{Plan{Name: "team", MonthlyClaims: 60}})
	j.apply(noon2026, PutPlan{Plan{Name: "free"}})
	for _, tt := range []struct {
		own  int64
		plan string
		want int64
	}{
		{0, "", 0}, {5, "", 5}, {0, "team", 60}, {5, "team", 5}, {90, "team", 90}, {0, "free", 0}, {5, "free", 5},
		{0, StarterPlan, 10_000},
	} {
		if got := j.m.Directory().MonthlyClaims(&Tenant{MonthlyClaims: tt.own, Plan: tt.plan}); got != tt.want {
			t.Errorf("own %d, plan %q: %d, want %d", tt.own, tt.plan, got, tt.want)
		}
	}
}

// A plan's limit, and any change of it, of the tenant's plan or of its own limit, takes effect at once.
func TestPlanChangesWithinTheMonth(t *testing.T) {
	t.Parallel()
	j := limitedJournal(t, noon2026, 0)
	december := instant(t, "2026-12-01T00:00:00Z")
	full := func(limit int64) Result {
		return Result{Outcome: UsageLimitExceeded, Limit: limit, ResetAtMs: december}
	}
	plan := func(claims int64) { j.apply(noon2026, PutPlan{Plan{Name: "team", MonthlyClaims: claims}}) }
	own := func(claims int64) {
		j.apply(noon2026, UpdateTenant{Tenant: 1, SetMonthlyClaims: true, MonthlyClaims: claims})
	}
	j.grant(noon2026)
	j.grant(noon2026)
	plan(3)
	j.apply(noon2026, UpdateTenant{Tenant: 1, SetPlan: true, Plan: "team"})
	j.grant(noon2026)
	wantResult(t, "the plan is used up", j.next(noon2026), full(3))
	plan(4)
	j.grant(noon2026)
	wantResult(t, "the larger plan is used up", j.next(noon2026), full(4))
	plan(2)
	wantResult(t, "the smaller plan was used up before", j.next(noon2026), full(2))
	own(5)
	j.grant(noon2026)
	wantResult(t, "its own limit is used up", j.next(noon2026), full(5))
	plan(0)
	wantResult(t, "its own limit stays", j.next(noon2026), full(5))
	own(0)
	j.grant(noon2026)
	j.apply(noon2026, UpdateTenant{Tenant: 1, SetPlan: true, Plan: StarterPlan})
	j.grant(noon2026)
	j.wantUsage(202611, 7)
	plan(1)
	j.apply(noon2026, UpdateTenant{Tenant: 1, SetPlan: true, Plan: "team"})
	wantResult(t, "in the last instant", j.next(december-1), full(1))
	j.grant(december)
	wantResult(t, "next month", j.next(december), Result{
		Outcome: UsageLimitExceeded, Limit: 1, ResetAtMs: instant(t, "2027-01-01T00:00:00Z"),
	})
}

// Nothing but a grant is refused to a suspended tenant: what was begun can be ended. Every case begins with "live" held by
// a, "lapsed" and "old" by a with their leases over, and "done" completed.
func TestSuspendedTenant(t *testing.T) {
	t.Parallel()
	now := noon2026 + leaseMs
	id := func(key string) RecordID { return recordID(key) }
	claim := func(key, owner string) Claim {
		return Claim{ID: id(key), Owner: owner, Token: tok(9), LeaseMs: leaseMs, TTLMs: ttlMs}
	}
	put := func(key string, token Token) Complete {
		c := completeWith(token, `1`)
		c.ID = id(key)
		return c
	}
	other := claim("live", "b")
	other.Fingerprint = "other"
	suspended := Result{Outcome: TenantSuspended}
	for _, tt := range []struct {
		name     string
		cmd      Command
		want     Outcome
		rejected int64
	}{
		{"claim of nothing", claim("new", "b"), TenantSuspended, 1},
		{"claim of a lapsed lock", claim("lapsed", "b"), TenantSuspended, 1},
		{"claim of its own lapsed lock", claim("lapsed", "a"), TenantSuspended, 1},
		{"re-entry", claim("live", "a"), Granted, 0},
		{"poll", claim("live", "b"), InProgress, 0},
		{"replay", claim("done", "b"), Cached, 0},
		{"fingerprint", other, FingerprintMismatch, 0},
		{"renew", Renew{ID: id("live"), Token: tok(1), KeepLease: true}, Renewed, 0},
		{"renew of a lapsed lock", Renew{ID: id("lapsed"), Token: tok(2), KeepLease: true}, Renewed, 0},
		{"release", Release{ID: id("live"), Token: tok(1)}, OK, 0},
		{"complete", put("live", tok(1)), Stored, 0},
		{"late complete", put("lapsed", tok(2)), Stored, 0},
		{"complete without a token", put("new", Token{}), Stored, 0},
		{"delete", Delete{ID: id("done")}, Deleted, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := newJournal(t)
			live := claim("live", "a")
			live.Token, live.Fingerprint = tok(1), "f"
			lapsed := claim("lapsed", "a")
			lapsed.Token = tok(2)
			j.entry(noon2026, RaiseFeatureLevel{FeatureLevel, "v3"}, lapsed, put("done", Token{}))
			j.entry(now, live, UpdateTenant{Tenant: 1, SetSuspended: true, Suspended: true})
			before := j.m.View(id("lapsed"))
			got := j.apply(now, tt.cmd)
			if got.Outcome != tt.want {
				t.Errorf("%+v, want outcome %d", got, tt.want)
			}
			day := j.m.UsageDays(1, 0, DayOf(now))[0]
			if n := day.Count(MeterRejected); n != tt.rejected {
				t.Errorf("%d rejected, want %d", n, tt.rejected)
			}
			if tt.want != TenantSuspended {
				return
			}
			wantResult(t, "all of it", got, suspended)
			wantView(t, "the lapsed lock", j.m.View(id("lapsed")), before)
			wantResult(t, "its holder", j.apply(now, Renew{ID: id("lapsed"), Token: tok(2), LeaseMs: leaseMs}),
				Result{Outcome: Renewed, LeaseMs: leaseMs, LeaseEndMs: now + leaseMs})
			j.apply(now, UpdateTenant{Tenant: 1, SetSuspended: true})
			wantResult(t, "active again", j.apply(now, claim("new", "b")), granted(tok(9), 3, now+leaseMs))
		})
	}
}

// A suspension comes before the month's limit, and uses nothing of it up.
func TestSuspendedTenantUsesNothing(t *testing.T) {
	t.Parallel()
	j := limitedJournal(t, noon2026, 1)
	suspend := func(yes bool) { j.apply(noon2026, UpdateTenant{Tenant: 1, SetSuspended: true, Suspended: yes}) }
	suspend(true)
	wantResult(t, "suspended", j.next(noon2026), Result{Outcome: TenantSuspended})
	j.wantUsage(202611, 0)
	suspend(false)
	j.grant(noon2026)
	suspend(true)
	wantResult(t, "suspended with a full month", j.next(noon2026), Result{Outcome: TenantSuspended})
	j.apply(noon2026, UpdateTenant{Tenant: 1, Suspended: false})
	if !j.m.Directory().Tenant(1).Suspended {
		t.Error("a status that is not set ended the suspension")
	}
}
