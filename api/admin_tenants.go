package api

import (
	"context"
	"crypto/rand"
	"net/http"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// publicIDChars gives public identifiers 131 bits of chance.
const publicIDChars = 22

func newPublicID(prefix string) string {
	return string(appendRandomBase62([]byte(prefix), rand.Reader, publicIDChars))
}

// catchUp makes the leader's own state current, so that what it shows is linearizable. If it is false, the answer is
// written.
func (x *exchange) catchUp(ctx context.Context) bool {
	return x.onLeader(ctx, func() error { return x.node.CatchUp(ctx) })
}

// namedTenant returns the tenant in the path, by slug or public id. If it is nil, the answer is written.
func (x *exchange) namedTenant(ctx context.Context) *fsm.Tenant {
	if !x.catchUp(ctx) {
		return nil
	}
	t := x.node.Directory().TenantByName(x.params.ByName("tenant"))
	if t == nil {
		x.refuse(unknownTenant.problem("no tenant has that slug or id"))
	}
	return t
}

// createTenant answers POST /v1/admin/tenants.
func createTenant(x *exchange) {
	f, p := decodeNewTenant(x.body)
	if p != nil {
		x.refuse(p)
		return
	}
	ctx, cancel := x.deadline(0)
	defer cancel()
	if !x.upgradedAnywhere(ctx, f.level()) || !x.catchUp(ctx) {
		return
	}
	r := x.change(ctx, fsm.CreateTenant{
		PublicID:      newPublicID("ten_"),
		Slug:          f.slug,
		Name:          f.name.value,
		MonthlyClaims: f.monthlyClaims.value,
		Plan:          f.plan,
	}, fsm.TenantCreated, problemOfTenantPlan)
	if r != nil {
		x.out.b = appendTenant(x.out.b[:0], r.Tenant)
		x.send(http.StatusCreated, "tenant_created", jsonType)
	}
}

// listTenants answers GET /v1/admin/tenants, in order of creation.
func listTenants(x *exchange) {
	ctx, cancel := x.deadline(0)
	defer cancel()
	if !x.catchUp(ctx) {
		return
	}
	b := append(x.out.b[:0], `{"tenants":[`...)
	for _, t := range x.node.Directory().Tenants() {
		b = appendTenant(appendName(b, ""), t)
	}
	x.out.b = append(b, `]}`...)
	x.ok("tenants")
}

// showTenant answers GET /v1/admin/tenants/:tenant, with what was used this month.
func showTenant(x *exchange) {
	ctx, cancel := x.deadline(0)
	defer cancel()
	t := x.namedTenant(ctx)
	if t == nil {
		return
	}
	x.out.b = x.appendUsedTenant(x.out.b[:0], t)
	x.ok("tenant")
}

// showOwnTenant answers GET /v1/tenant likewise.
func showOwnTenant(x *exchange) {
	ctx, cancel := x.deadline(0)
	defer cancel()
	if t := x.subjectTenant(ctx); t != nil {
		x.out.b = x.appendUsedTenant(x.out.b[:0], t)
		x.ok("tenant")
	}
}

// updateOwnTenant answers PATCH /v1/tenant. A tenant chooses its payload policy; all else is an admin's to change.
func updateOwnTenant(x *exchange) {
	f, p := decodeTenantChange(x.body)
	if p == nil && (f.name.set || f.monthlyClaims.set || f.plan != "" || f.status != "") {
		p = forbidden.problem("only payloadPolicy can be changed with an API key; all else needs the admin token")
	}
	if p != nil {
		x.refuse(p)
		return
	}
	ctx, cancel := x.deadline(0)
	defer cancel()
	t := x.tenantToChange(ctx, fsm.LevelWebhooks)
	if t == nil {
		return
	}
	r := x.change(ctx, fsm.UpdateTenant{
		Tenant: t.ID, SetPayloadPolicy: f.payloadPolicy.set, PayloadPolicy: f.payloadPolicy.value,
	}, fsm.OK, problemOfTenant)
	if r != nil {
		x.out.b = appendTenant(x.out.b[:0], r.Tenant)
		x.ok("tenant_updated")
	}
}

// updateTenant answers PATCH /v1/admin/tenants/:tenant. A slug is for ever.
func updateTenant(x *exchange) {
	f, p := decodeTenantChange(x.body)
	if p != nil {
		x.refuse(p)
		return
	}
	ctx, cancel := x.deadline(0)
	defer cancel()
	if !x.upgradedAnywhere(ctx, f.level()) {
		return
	}
	t := x.namedTenant(ctx)
	if t == nil {
		return
	}
	r := x.change(ctx, fsm.UpdateTenant{
		Tenant:           t.ID,
		SetName:          f.name.set,
		Name:             f.name.value,
		SetMonthlyClaims: f.monthlyClaims.set,
		MonthlyClaims:    f.monthlyClaims.value,
		SetPlan:          f.plan != "",
		Plan:             f.plan,
		SetSuspended:     f.status != "",
		Suspended:        f.status == statusSuspended,
		SetPayloadPolicy: f.payloadPolicy.set,
		PayloadPolicy:    f.payloadPolicy.value,
	}, fsm.OK, problemOfTenantPlan)
	if r != nil {
		x.out.b = appendTenant(x.out.b[:0], r.Tenant)
		x.ok("tenant_updated")
	}
}

// problemOfTenantPlan says why a tenant was not created or changed. One that was named exists, so what was not found is
// the plan.
func problemOfTenantPlan(r *fsm.Result) *problem {
	if r.Outcome == fsm.NotFound {
		return invalidField.problem("plan is not the name of a plan")
	}
	return problemOfTenant(r)
}

// problemOfTenant says why a tenant or a key was not created or changed.
func problemOfTenant(r *fsm.Result) *problem { return problemOfResult(r, time.Time{}) }

func appendTenant(b []byte, t *fsm.Tenant) []byte { return append(appendTenantMembers(b, t), '}') }

// appendUsedTenant writes a tenant with what it has used this month.
func (x *exchange) appendUsedTenant(b []byte, t *fsm.Tenant) []byte {
	b = appendTenantMembers(b, t)
	b = x.appendMonth(appendName(b, "usage"), t.ID)
	return append(b, '}')
}

// appendTenantMembers writes a tenant without its closing brace.
func appendTenantMembers(b []byte, t *fsm.Tenant) []byte {
	status := statusActive
	if t.Suspended {
		status = statusSuspended
	}
	b = append(b, '{')
	b = appendStringMember(b, "id", t.PublicID)
	b = appendStringMember(b, "slug", t.Slug)
	b = appendStringMember(b, "name", t.Name)
	b = appendStringMember(b, "plan", t.PlanName())
	b = appendStringMember(b, "status", status)
	b = appendIntMember(b, "monthlyClaims", t.MonthlyClaims)
	b = appendStringMember(b, "payloadPolicy", t.PayloadPolicy.String())
	return appendTimeMember(b, "createdAt", t.CreatedAtMs)
}
