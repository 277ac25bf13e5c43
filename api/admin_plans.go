package api

import (
	"net/http"

	"github.com/syllecta/syllecta/fsm"
)

// listPlans answers GET /v1/admin/plans: the unlimited one first, the others by name.
func listPlans(x *exchange) {
	ctx, cancel := x.deadline(0)
	defer cancel()
	if !x.catchUp(ctx) {
		return
	}
	b := append(x.out.b[:0], `{"plans":[`...)
	for _, p := range x.node.Directory().Plans() {
		b = appendPlan(appendName(b, ""), p)
	}
	x.out.b = append(b, `]}`...)
	x.ok("plans")
}

// showPlan answers GET /v1/admin/plans/:plan.
func showPlan(x *exchange) {
	ctx, cancel := x.deadline(0)
	defer cancel()
	if !x.catchUp(ctx) {
		return
	}
	p := x.node.Directory().Plan(x.params.ByName("plan"))
	if p == nil {
		x.refuse(noSuchPlan())
		return
	}
	x.out.b = appendPlan(x.out.b[:0], p)
	x.ok("plan")
}

// putPlan answers PUT /v1/admin/plans/:plan: a new plan, or all limits of the one of that name anew. They hold for its
// tenants from then on.
func putPlan(x *exchange) {
	name := x.params.ByName("plan")
	plan, p := decodePlan(x.body, name)
	if p != nil {
		x.refuse(p)
		return
	}
	ctx, cancel := x.deadline(0)
	defer cancel()
	if !x.upgradedAnywhere(ctx, levelOfPlan(&plan)) || !x.catchUp(ctx) {
		return
	}
	r := x.change(ctx, fsm.PutPlan{Plan: plan}, fsm.OK, problemOfPlan)
	if r == nil {
		return
	}
	x.out.b = appendPlan(x.out.b[:0], r.Plan)
	if r.Existed {
		x.ok("plan_changed")
		return
	}
	x.send(http.StatusCreated, "plan_created", jsonType)
}

// deletePlan answers DELETE /v1/admin/plans/:plan.
func deletePlan(x *exchange) {
	ctx, cancel := x.deadline(0)
	defer cancel()
	if !x.upgradedAnywhere(ctx, fsm.LevelControl) || !x.catchUp(ctx) {
		return
	}
	name := x.params.ByName("plan")
	if x.node.Directory().Plan(name) == nil {
		// Asked here and not only in the log, so that no text of the caller's choice gets there.
		x.refuse(noSuchPlan())
		return
	}
	if r := x.change(ctx, fsm.DeletePlan{Name: name}, fsm.OK, problemOfPlan); r != nil {
		x.out.b = append(x.out.b[:0], `{"ok":true}`...)
		x.ok("plan_deleted")
	}
}

func noSuchPlan() *problem { return notFound.problem("there is no plan of that name") }

// problemOfPlan says why a plan was not changed or deleted.
func problemOfPlan(r *fsm.Result) *problem {
	switch {
	case r.Outcome == fsm.NotFound:
		return noSuchPlan()
	case r.Outcome == fsm.Conflict && r.Plan.Name == fsm.UnlimitedPlan:
		return conflict.problem("the plan %s is built in and stays as it is", r.Plan.Name)
	case r.Outcome == fsm.Conflict && r.Plan.Name == fsm.StarterPlan:
		return conflict.problem("the plan %s is built in and stays; its limits can be changed", r.Plan.Name)
	case r.Outcome == fsm.Conflict:
		return conflict.problem("tenants have the plan %s; give them another one first", r.Plan.Name)
	case r.Outcome == fsm.LimitReached:
		p := limitReached.problem("the plans have reached their limit of %d", r.Limit)
		p.limit = r.Limit
		return p
	default:
		return internalError.problem("the command had an outcome that does not belong to it")
	}
}

func appendPlan(b []byte, p *fsm.Plan) []byte {
	b = append(b, '{')
	b = appendStringMember(b, "name", p.Name)
	b = appendIntMember(b, "monthlyClaims", p.MonthlyClaims)
	b = appendIntMember(b, "requestsPerSecond", p.RequestsPerSecond)
	b = appendIntMember(b, "maxTtlSeconds", p.MaxTTLMs/1_000)
	b = appendIntMember(b, "maxBodyBytes", p.MaxBodyBytes)
	b = appendIntMember(b, "monthlyEvents", p.MonthlyEvents)
	b = appendStringMember(b, "onExceed", onExceed(p))
	b = appendIntMember(b, "eventRetentionDays", p.EventRetentionMs/dayMs)
	b = appendIntMember(b, "payloadRetentionDays", p.PayloadRetentionMs/dayMs)
	b = appendIntMember(b, "maxStoredBytes", p.MaxStoredBytes)
	return append(b, '}')
}
