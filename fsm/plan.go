package fsm

import (
	"slices"
	"strings"
)

// The built-in plans. UnlimitedPlan is that of a tenant which has no other, and never changes; StarterPlan is an
// example to change or to copy.
const (
	UnlimitedPlan = "unlimited"
	StarterPlan   = "starter"
)

// MaxPlans bounds the plans, UnlimitedPlan left out.
const MaxPlans = 1_000

// Bounds of a plan's limits.
const (
	MaxRequestsPerSecond = 1_000_000
	MaxMonthlyClaims     = 1<<53 - 1 // the largest number that every JSON reader takes exactly
)

// Plan is what a tenant is entitled to. A limit of 0 is none of the plan's own: for the sizes the node's settings hold.
// Plans are immutable; a change replaces the Plan in the Directory.
type Plan struct {
	Name string // [a-z0-9-], 1…MaxSlugBytes
	// MonthlyClaims is the number of grants per UTC month, 0…MaxMonthlyClaims.
	MonthlyClaims int64
	// RequestsPerSecond bounds the claims of one API key, 0…MaxRequestsPerSecond.
	RequestsPerSecond int64
	// MaxTTLMs bounds the life that a record may be given, 0…MaxTTLMs.
	MaxTTLMs int64
	// MaxBodyBytes bounds a stored result, 0…MaxBodyBytes.
	MaxBodyBytes int64

	// MonthlyEvents is the number of events accepted per UTC month, 0…MaxMonthlyClaims; HoldEvents has those above it kept
	// as EventHeld instead of refused.
	MonthlyEvents int64
	HoldEvents    bool
	// EventRetentionMs and PayloadRetentionMs are for how long settled events, and what is left of their payloads, are kept,
	// 0…MaxRetentionMs; 0 is the default.
	EventRetentionMs   int64
	PayloadRetentionMs int64

	// MaxStoredBytes bounds what is kept of records and events, 0…MaxMonthlyClaims: above it no lock is granted and no
	// event accepted. See [Machine.StoredBytes].
	MaxStoredBytes int64
}

// hasEvents reports whether the plan has what older releases do not know of.
func (p *Plan) hasEvents() bool {
	return p.MonthlyEvents != 0 || p.HoldEvents || p.EventRetentionMs != 0 || p.PayloadRetentionMs != 0 ||
		p.MaxStoredBytes != 0
}

func starterPlan() *Plan {
	return &Plan{
		Name: StarterPlan, MonthlyClaims: 10_000, RequestsPerSecond: 20, MaxTTLMs: 7 * dayMs, MaxBodyBytes: 64 << 10,
	}
}

var unlimited = Plan{Name: UnlimitedPlan}

// Plan returns the plan of that name, or nil.
func (d *Directory) Plan(name string) *Plan {
	if name == UnlimitedPlan {
		p := unlimited
		return &p
	}
	return d.keptPlan(name)
}

// keptPlan returns the plan of that name, UnlimitedPlan left out, or nil.
func (d *Directory) keptPlan(name string) *Plan {
	if at, found := d.planAt(name); found {
		return d.plans[at]
	}
	return nil
}

// planAt returns the place of the plan of that name, or where it would be.
func (d *Directory) planAt(name string) (at int, found bool) {
	return slices.BinarySearchFunc(d.plans, name, func(p *Plan, name string) int { return strings.Compare(p.Name, name) })
}

// setPlan adds or replaces a plan of a directory that nobody else sees yet.
func (d *Directory) setPlan(p *Plan) {
	at, found := d.planAt(p.Name)
	if found {
		d.plans[at] = p
	} else {
		d.plans = slices.Insert(d.plans, at, p)
	}
}

// PlanOf returns a tenant's plan, which is never nil.
func (d *Directory) PlanOf(t *Tenant) *Plan {
	if p := d.keptPlan(t.Plan); p != nil {
		return p
	}
	return &unlimited
}

// Plans returns all plans by their names, UnlimitedPlan first.
func (d *Directory) Plans() []*Plan {
	return slices.Concat([]*Plan{d.Plan(UnlimitedPlan)}, d.plans)
}

// MonthlyClaims returns how many grants a tenant is allowed per UTC month, by its own limit or its plan's; 0 is any
// number.
func (d *Directory) MonthlyClaims(t *Tenant) int64 {
	if t.MonthlyClaims > 0 || t.Plan == "" {
		return t.MonthlyClaims
	}
	return d.PlanOf(t).MonthlyClaims
}

// planReference is how a tenant refers to a plan.
func planReference(name string) string {
	if name == UnlimitedPlan {
		return ""
	}
	return name
}

func (d *Directory) hasPlan(name string) bool {
	return planReference(name) == "" || d.keptPlan(name) != nil
}

func (m *Machine) putPlan(c PutPlan) Result {
	d := m.directory
	switch old := d.keptPlan(c.Plan.Name); {
	case c.Plan.Name == UnlimitedPlan:
		return Result{Outcome: Conflict, Plan: d.Plan(UnlimitedPlan)}
	case old == nil && len(d.plans) >= MaxPlans:
		return Result{Outcome: LimitReached, Limit: MaxPlans}
	default:
		p := c.Plan
		d = d.clone()
		d.setPlan(&p)
		m.directory = d
		return Result{Outcome: OK, Existed: old != nil, Plan: &p}
	}
}

func (m *Machine) deletePlan(c DeletePlan) Result {
	d := m.directory
	p := d.Plan(c.Name)
	if p == nil {
		return Result{Outcome: NotFound}
	}
	inUse := slices.ContainsFunc(d.tenants, func(t *Tenant) bool { return t.Plan == c.Name })
	if inUse || c.Name == UnlimitedPlan || c.Name == StarterPlan {
		return Result{Outcome: Conflict, Plan: p}
	}
	d = d.clone()
	d.plans = slices.DeleteFunc(d.plans, func(p *Plan) bool { return p.Name == c.Name })
	m.directory = d
	return Result{Outcome: OK, Existed: true, Plan: p}
}
