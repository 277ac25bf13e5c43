package api

import (
	"context"
	"crypto/rand"
	"net/http"

	"github.com/syllecta/syllecta/cluster"
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
	f, p := decodeTenant(x.body)
	if p == nil && f.slug == "" {
		p = missingField.problem("slug is missing")
	}
	if p != nil {
		x.refuse(p)
		return
	}
	ctx, cancel := x.deadline(0)
	defer cancel()
	r := x.decide(ctx, fsm.CreateTenant{
		PublicID:      newPublicID("ten_"),
		Slug:          f.slug,
		Name:          f.name.value,
		MonthlyClaims: f.monthlyClaims.value,
	}, fsm.TenantCreated)
	if r != nil {
		x.out.b = appendTenant(x.out.b[:0], r.Tenant, nil)
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
		b = appendTenant(appendName(b, ""), t, nil)
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
	usage := x.node.Usage(t.ID)
	x.out.b = appendTenant(x.out.b[:0], t, &usage)
	x.ok("tenant")
}

// updateTenant answers PATCH /v1/admin/tenants/:tenant. A slug is for ever.
func updateTenant(x *exchange) {
	f, p := decodeTenant(x.body)
	if p == nil && f.slug != "" {
		p = invalidField.problem("slug cannot be changed")
	}
	if p != nil {
		x.refuse(p)
		return
	}
	ctx, cancel := x.deadline(0)
	defer cancel()
	t := x.namedTenant(ctx)
	if t == nil {
		return
	}
	r := x.decide(ctx, fsm.UpdateTenant{
		Tenant:           t.ID,
		SetName:          f.name.set,
		Name:             f.name.value,
		SetMonthlyClaims: f.monthlyClaims.set,
		MonthlyClaims:    f.monthlyClaims.value,
	}, fsm.OK)
	if r != nil {
		x.out.b = appendTenant(x.out.b[:0], r.Tenant, nil)
		x.ok("tenant_updated")
	}
}

func appendTenant(b []byte, t *fsm.Tenant, usage *cluster.Usage) []byte {
	b = append(b, '{')
	b = appendStringMember(b, "id", t.PublicID)
	b = appendStringMember(b, "slug", t.Slug)
	b = appendStringMember(b, "name", t.Name)
	b = appendIntMember(b, "monthlyClaims", t.MonthlyClaims)
	b = appendTimeMember(b, "createdAt", t.CreatedAtMs)
	if usage != nil {
		b = append(appendName(b, "usage"), '{')
		b = appendStringMember(b, "month", usage.Month)
		b = appendIntMember(b, "claims", usage.Claims)
		b = append(b, '}')
	}
	return append(b, '}')
}
