package fsm

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// modelControl is the model's part of what the control plane holds: plans and keys by name, days by their dates.
type modelControl struct {
	plans  map[string]Plan
	keys   map[TenantID][]APIKey
	days   map[TenantID]map[string]*[4]int64 // by "2028-02-29": claims, replays, conflicts, rejected
	audits int                               // entries of the audit log
}

func newModelControl() modelControl {
	return modelControl{
		plans: map[string]Plan{"starter": {Name: "starter", MonthlyClaims: 10_000, RequestsPerSecond: 20, MaxTTLMs: 604_800_000, MaxBodyBytes: 65_536}},
		keys:  make(map[TenantID][]APIKey),
		days:  make(map[TenantID]map[string]*[4]int64),
	}
}

func (o *model) change(cmd Command) Result {
	before := o.audited()
	r := o.changeUnseen(cmd)
	if o.level >= 3 && o.audited() != before {
		o.control.audits++
	}
	return r
}

// audited writes out all that the audit log tells changes of.
func (o *model) audited() string { return o.directory() }

func (o *model) changeUnseen(cmd Command) Result {
	switch c := cmd.(type) {
	case UpdateTenant:
		return o.updateTenant(c)
	case RaiseFeatureLevel:
		if c.Level > o.level {
			o.level, o.version = c.Level, c.Version
		}
		return Result{Outcome: OK}
	case AdmitMember:
		return o.admit(c)
	case RetireMember:
		return o.retire(c)
	case PutPlan:
		return o.putPlan(c.Plan)
	case DeletePlan:
		return o.deletePlan(c.Name)
	case CreateKey:
		return o.createKey(c)
	case RevokeKey:
		return o.revokeKey(c)
	}
	panic("the model does not know this command")
}

func (o *model) updateTenant(c UpdateTenant) Result {
	t := o.tenants[c.Tenant]
	if _, ok := o.control.plans[c.Plan]; c.SetPlan && !ok && c.Plan != "" && c.Plan != "unlimited" {
		return Result{Outcome: NotFound}
	}
	if c.SetMonthlyClaims {
		t.MonthlyClaims = c.MonthlyClaims
	}
	if c.SetPlan {
		t.Plan = strings.TrimPrefix(c.Plan, "unlimited")
	}
	if c.SetSuspended {
		t.Suspended = c.Suspended
	}
	updated := *t
	return Result{Outcome: OK, Tenant: &updated}
}

func (o *model) putPlan(p Plan) Result {
	if p.Name == "unlimited" {
		return Result{Outcome: Conflict, Plan: &Plan{Name: "unlimited"}}
	}
	_, existed := o.control.plans[p.Name]
	o.control.plans[p.Name] = p
	return Result{Outcome: OK, Existed: existed, Plan: &p}
}

func (o *model) deletePlan(name string) Result {
	p, ok := o.control.plans[name]
	switch {
	case name == "unlimited":
		return Result{Outcome: Conflict, Plan: &Plan{Name: name}}
	case !ok:
		return Result{Outcome: NotFound}
	case name == "starter":
		return Result{Outcome: Conflict, Plan: &p}
	}
	for _, t := range o.tenants {
		if t.Plan == name {
			return Result{Outcome: Conflict, Plan: &p}
		}
	}
	delete(o.control.plans, name)
	return Result{Outcome: OK, Existed: true, Plan: &p}
}

// createKey takes it that no two keys have one hash, and that there are never too many.
func (o *model) createKey(c CreateKey) Result {
	if o.key(c.Tenant, c.PublicID) != nil {
		return Result{Outcome: Conflict}
	}
	k := APIKey{
		Tenant: c.Tenant, PublicID: c.PublicID, Hash: c.Hash, CreatedAtMs: o.now, Scopes: c.Scopes, ExpiresAtMs: c.ExpiresAtMs,
	}
	o.control.keys[c.Tenant] = append(o.control.keys[c.Tenant], k)
	return Result{Outcome: KeyCreated, Key: &k}
}

func (o *model) revokeKey(c RevokeKey) Result {
	k := o.key(c.Tenant, c.PublicID)
	if k == nil {
		return Result{Outcome: NotFound}
	}
	first := k.RevokedAtMs == 0
	if first {
		k.RevokedAtMs = o.now
	}
	revoked := *k
	return Result{Outcome: OK, Key: &revoked, Existed: first}
}

func (o *model) key(tenant TenantID, id string) *APIKey {
	for i, k := range o.control.keys[tenant] {
		if k.PublicID == id {
			return &o.control.keys[tenant][i]
		}
	}
	return nil
}

func (o *model) tally(c Tally) Result {
	for _, n := range c.Counts {
		o.count(n.Tenant, n.Meter.String(), n.Count)
	}
	for _, u := range c.Uses {
		hour := time.UnixMilli(u.AtMs).UTC().Truncate(time.Hour).UnixMilli()
		if k := o.key(u.Tenant, u.PublicID); k != nil {
			k.LastUsedMs = max(k.LastUsedMs, hour)
		}
	}
	return Result{Outcome: OK}
}

// countAnswer counts a claim by how it was answered.
func (o *model) countAnswer(tenant TenantID, r Result) {
	switch r.Outcome {
	case Granted:
		if !r.Reentered {
			o.count(tenant, "claims", 1)
		}
	case Cached:
		o.count(tenant, "replays", 1)
	case InProgress, FingerprintMismatch:
		o.count(tenant, "conflicts", 1)
	case UsageLimitExceeded, TenantSuspended:
		o.count(tenant, "rejected", 1)
	}
}

func (o *model) count(tenant TenantID, meter string, n int64) {
	if o.level < 3 || o.tenants[tenant] == nil {
		return
	}
	byDate := o.control.days[tenant]
	if byDate == nil {
		byDate = make(map[string]*[4]int64)
		o.control.days[tenant] = byDate
	}
	date := time.UnixMilli(o.now).UTC().Format(time.DateOnly)
	if byDate[date] == nil {
		byDate[date] = new([4]int64)
	}
	byDate[date][slices.Index([]string{"claims", "replays", "conflicts", "rejected"}, meter)] += n
}

// usage writes out a tenant's month and the days of the last 400.
func (o *model) usage(tenant TenantID) string {
	today := time.UnixMilli(o.now).UTC()
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d\n", today.Format("200601"), o.used[tenant][today.Format("2006-01")])
	oldest := today.AddDate(0, 0, -399).Format(time.DateOnly)
	for _, date := range slices.Sorted(maps.Keys(o.control.days[tenant])) {
		if date >= oldest {
			fmt.Fprintf(&b, "%s: %v\n", date, *o.control.days[tenant][date])
		}
	}
	return b.String()
}

// dumpControl writes out tenants, plans and keys, the last use of keys left out: no audit is made of it.
func (o *model) dumpControl() string {
	var tenants []*Tenant
	for _, t := range o.tenants {
		tenants = append(tenants, t)
	}
	slices.SortFunc(tenants, func(a, b *Tenant) int { return cmp.Compare(a.ID, b.ID) })
	plans := []*Plan{{Name: "unlimited"}}
	for _, name := range slices.Sorted(maps.Keys(o.control.plans)) {
		p := o.control.plans[name]
		plans = append(plans, &p)
	}
	keys := func(t TenantID) (keys []*APIKey) {
		for i := range o.control.keys[t] {
			keys = append(keys, &o.control.keys[t][i])
		}
		return keys
	}
	return dumpControl(tenants, plans, keys)
}

func dumpControl(tenants []*Tenant, plans []*Plan, keys func(TenantID) []*APIKey) string {
	var b strings.Builder
	for _, t := range tenants {
		if t.ID > 2 {
			continue // made by others, see directoryCommand
		}
		fmt.Fprintln(&b, *t)
		for _, k := range keys(t.ID) {
			shown := *k
			shown.LastUsedMs = 0
			fmt.Fprintln(&b, shown)
		}
	}
	for _, p := range plans {
		fmt.Fprintln(&b, *p)
	}
	return b.String()
}

// compareUsage compares month, days and keys' last use of the tenants that the histories are about.
func (tr *trial) compareUsage() error {
	for tenant := TenantID(1); tenant <= 2; tenant++ {
		var b strings.Builder
		month, claims := tr.m.Usage(tenant)
		fmt.Fprintf(&b, "%d: %d\n", month, claims)
		for _, u := range tr.m.UsageDays(tenant, 0, DayOf(MaxStampMs)) {
			counts := [4]int64{u.Count(MeterClaims), u.Count(MeterReplays), u.Count(MeterConflicts), u.Count(MeterRejected)}
			fmt.Fprintf(&b, "%s: %v\n", time.UnixMilli(u.Day.StartMs()).UTC().Format(time.DateOnly), counts)
		}
		if got, want := b.String(), tr.model.usage(tenant); got != want {
			return fmt.Errorf("usage of tenant %d is\n%s, want\n%s", tenant, got, want)
		}
		for i, k := range tr.m.Directory().Keys(tenant) {
			if want := tr.model.control.keys[tenant][i]; *k != want {
				return fmt.Errorf("key is\n%+v, want\n%+v", *k, want)
			}
		}
	}
	return nil
}

// compareAudit wants as many entries as the model has counted, and the latest to be about the command just applied.
func (tr *trial) compareAudit(cmd Command) error {
	entries, total := tr.m.AuditLog(uint64(tr.audits), 2)
	if total != uint64(tr.model.control.audits) || len(entries) > 1 {
		return fmt.Errorf("the audit log has %d entries, want %d", total, tr.model.control.audits)
	}
	for _, e := range entries {
		by := Actor{Name: "cluster", Role: "cluster"}
		if c, ok := cmd.(Audited); ok {
			by = c.By
		}
		tr.audits++
		if e.Seq != uint64(tr.audits) || e.Index != tr.index || e.AtMs != tr.model.now || e.By != by || len(e.Changes) == 0 {
			return fmt.Errorf("entry %d of the audit log, at index %d, is %+v", tr.audits, tr.index, e)
		}
		if want := chainHash(tr.lastHash, appendAuditEntry(nil, &e)); e.Hash != want {
			return fmt.Errorf("entry %d of the audit log does not follow from the one before", e.Seq)
		}
		tr.lastHash = e.Hash
	}
	return nil
}

// nextControlCommand draws a command about plans, a tenant, its keys, what a leader counted, or the level.
func (tr *trial) nextControlCommand(pick func(n int) int, tenant TenantID) Command {
	plan := []string{"", "p", "q", "unlimited", "starter"}[pick(5)]
	key := []string{"ka", "kb"}[pick(2)]
	named := cmp.Or(plan, "p")
	switch pick(12) {
	case 0, 1:
		return PutPlan{Plan{Name: named, MonthlyClaims: int64(pick(5)), MaxBodyBytes: int64(pick(2))}}
	case 2:
		return DeletePlan{named}
	case 3, 4:
		return UpdateTenant{Tenant: tenant, SetPlan: true, Plan: plan}
	case 5, 6:
		return UpdateTenant{Tenant: tenant, SetSuspended: true, Suspended: pick(2) == 0, SetPlan: pick(4) == 0, Plan: plan}
	case 7:
		return CreateKey{
			Tenant: tenant, PublicID: key, Hash: [32]byte{byte(tr.index), byte(tr.index >> 8), 1}, Scopes: Scopes(pick(3)),
			ExpiresAtMs: int64(pick(2)),
		}
	case 8:
		return RevokeKey{Tenant: tenant, PublicID: key}
	case 9:
		return tr.nextTally(pick, tenant)
	default:
		return RaiseFeatureLevel{Level: FeatureLevel, Version: "v3"}
	}
}

func (tr *trial) nextTally(pick func(n int) int, tenant TenantID) Tally {
	var c Tally
	for range pick(3) {
		c.Counts = append(c.Counts, TenantCount{[]TenantID{tenant, 1, 99}[pick(3)], Meters()[pick(4)], int64(1 + pick(9))})
	}
	for range pick(3) {
		at := tr.model.now - int64(pick(4))*1_800_000
		c.Uses = append(c.Uses, KeyUse{[]TenantID{tenant, 99}[pick(2)], []string{"ka", "kb"}[pick(2)], at})
	}
	return c
}

// nextAudited draws a command that is audited, by one of two.
func (tr *trial) nextAudited(pick func(n int) int, tenant TenantID) Command {
	cmd := tr.nextControlCommand(pick, tenant)
	if !auditable(cmd.commandType()) {
		cmd = []Command{
			RetireMember{[]string{"n1", "n2"}[pick(2)]},
			UpdateTenant{Tenant: tenant, SetMonthlyClaims: true, MonthlyClaims: int64(pick(6))},
		}[pick(2)]
	}
	return Audited{Actor{Name: []string{"ada", "bob"}[pick(2)], Role: "admin"}, cmd}
}
