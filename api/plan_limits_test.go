package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// setPlan makes a plan that of a fake node's first tenant.
func (n *fakeNode) setPlan(p fsm.Plan) {
	by := fsm.Actor{Name: "a", Role: "a"}
	n.apply(fsm.PutPlan{Plan: p}, fsm.Audited{By: by, Command: fsm.UpdateTenant{Tenant: 1, SetPlan: true, Plan: p.Name}})
}

func TestLimitsUnderAPlan(t *testing.T) {
	t.Parallel()
	node := limits{maxBodyBytes: 1000, maxTTLSeconds: 3600, defaultTTLMs: 60_000, defaultLeaseMs: 30_000}
	for _, c := range []struct {
		plan fsm.Plan
		want limits
	}{
		{fsm.Plan{}, node},
		{fsm.Plan{MonthlyClaims: 1, RequestsPerSecond: 1}, node},
		{fsm.Plan{MaxTTLMs: fsm.MaxTTLMs, MaxBodyBytes: fsm.MaxBodyBytes}, node},
		{fsm.Plan{MaxTTLMs: 3_600_000, MaxBodyBytes: 1000}, node},
		{fsm.Plan{MaxTTLMs: 60_000, MaxBodyBytes: 999}, limits{999, 60, 60_000, 30_000}},
		{fsm.Plan{MaxTTLMs: 59_000}, limits{1000, 59, 59_000, 30_000}},
		{fsm.Plan{MaxTTLMs: 1_000, MaxBodyBytes: 1}, limits{1, 1, 1_000, 30_000}},
		{fsm.Plan{MaxTTLMs: 1}, limits{1000, 1, 1_000, 30_000}},
	} {
		if got := node.under(&c.plan); got != c.want {
			t.Errorf("%+v: %+v", c.plan, got)
		}
	}
}

func TestPlanLimitsAtTheEdge(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	n.setPlan(fsm.Plan{Name: "gold", MaxTTLMs: 3_600_000, MaxBodyBytes: 10})
	auth := asTenant(key)
	// What is left out is clamped.
	post := `{"scope":"s","key":"%s"}`
	call(t, s, "POST", "/v1/record", fmt.Sprintf(post, "1"), auth)
	call(t, s, "POST", "/v1/records", `{"records":[`+fmt.Sprintf(post, "2")+`,{"scope":"s","key":"3","later":1}]}`, auth)
	wantBody(t, call(t, s, "PUT", "/v1/record", fmt.Sprintf(post, "4"), auth), 200,
		`{"ok":true,"expiresAt":"2026-11-20T13:00:00.000Z"}`)
	wantBody(t, call(t, s, "PUT", "/v1/record", fmt.Sprintf(post, "1"), auth), 200,
		`{"ok":true,"expiresAt":"2026-11-20T13:00:00.000Z"}`)
	for _, c := range n.proposed() {
		if claim, ok := c.Command.(fsm.Claim); ok && claim.TTLMs != 3_600_000 {
			t.Errorf("%+v", claim)
		}
	}
	proposed := len(n.proposed())
	long := `{"scope":"s","key":"k","ttlSeconds":3601}`
	const detail = "ttlSeconds is not between 1 and 3600"
	for _, c := range []struct {
		method, target, body string
		kind                 *errorKind
		detail               string
	}{
		{"POST", "/v1/record", long, invalidField, detail},
		{"POST", "/v1/records", `{"records":[` + long + `]}`, invalidField, "records[0]." + detail},
		{"PUT", "/v1/record", `{"scope":"s","key":"k","body":"123456789"}`, bodyTooLarge,
			"the record's body is larger than the limit of 10 bytes"},
	} {
		if doc := wantProblem(t, call(t, s, c.method, c.target, c.body, auth), c.kind); !strings.Contains(doc, c.detail) {
			t.Errorf("%s %s: %s", c.method, c.body, doc)
		}
	}
	if len(n.proposed()) != proposed {
		t.Error("what was refused reached the log")
	}
	// A result is never lost for that: it lives as long as the plan allows.
	wantBody(t, call(t, s, "PUT", "/v1/record", long, auth), 200, `{"ok":true,"expiresAt":"2026-11-20T13:00:00.000Z"}`)
	// At the limits, and with another plan from the next request on.
	w := call(t, s, "PUT", "/v1/record", `{"scope":"s","key":"5","body":"12345678","ttlSeconds":3600}`, auth)
	if w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	n.apply(fsm.PutPlan{Plan: fsm.Plan{Name: "gold"}})
	w = call(t, s, "PUT", "/v1/record", `{"scope":"s","key":"6","body":"123456789","ttlSeconds":3601}`, auth)
	if w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestPlansDoNotWidenTheNodesLimits wants the smaller of the two to hold.
func TestPlansDoNotWidenTheNodesLimits(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, func(c *Config) { c.MaxRecordTTL, c.MaxRecordBodyBytes = time.Hour, 10 })
	n.setPlan(fsm.Plan{Name: "gold", MaxTTLMs: fsm.MaxTTLMs, MaxBodyBytes: fsm.MaxBodyBytes})
	doc := wantProblem(t, call(t, s, "PUT", "/v1/record", `{"scope":"s","key":"k","ttlSeconds":3601}`, asTenant(key)),
		invalidField)
	if !strings.Contains(doc, "between 1 and 3600") {
		t.Error(doc)
	}
	doc = wantProblem(t, call(t, s, "PUT", "/v1/record", `{"scope":"s","key":"k","body":"123456789"}`, asTenant(key)),
		bodyTooLarge)
	if !strings.Contains(doc, `"limit":10}`) {
		t.Error(doc)
	}
}

func TestLimitsDoNotAllocate(t *testing.T) {
	n, _ := newFakeNode(t, "n1")
	n.setPlan(fsm.Plan{Name: "gold", MaxTTLMs: 3_600_000})
	s := newTestServer(t, n, nil)
	x := &exchange{s: s, node: n, caller: caller{tenant: n.Directory().Tenant(1)}}
	var l limits
	if got := testing.AllocsPerRun(100, func() { l = x.limits() }); got != 0 || l.maxTTLSeconds != 3600 {
		t.Errorf("%g allocations for %+v", got, l)
	}
}

// TestSuspended: no new locks, and everything that was begun can be ended.
func TestSuspended(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	auth := asTenant(key)
	var tokens []string
	for i := range 3 {
		w := call(t, s, "POST", "/v1/record", fmt.Sprintf(`{"scope":"s","key":"held%d","owner":"me"}`, i), auth)
		tokens = append(tokens, strings.Split(w.Body.String(), `"`)[7])
	}
	if w := call(t, s, "PUT", "/v1/record", `{"scope":"s","key":"done","body":1}`, auth); w.Code != 200 {
		t.Fatal(w.Body)
	}
	w := call(t, s, "PATCH", "/v1/admin/tenants/demo", `{"status":"suspended"}`, asAdmin)
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"status":"suspended"`) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	w = call(t, s, "POST", "/v1/record", `{"scope":"s","key":"new"}`, auth)
	if w.Header().Get("Www-Authenticate") != "" || w.Header().Get("Retry-After") != "" {
		t.Errorf("headers %v", w.Header())
	}
	doc := wantProblem(t, w, tenantSuspended)
	if !strings.Contains(doc, `"status":403,"detail":"no new locks are granted, and nothing was changed; what was begun can `+
		`be completed","code":"tenant_suspended"`) {
		t.Error(doc)
	}
	held := func(i int, members string) string {
		return fmt.Sprintf(`{"scope":"s","key":"held%d","token":%q%s}`, i, tokens[i], members)
	}
	for _, c := range []struct{ method, target, body, answer string }{
		{"POST", "/v1/record", `{"scope":"s","key":"done"}`, `"cached":true`},
		{"POST", "/v1/record", `{"scope":"s","key":"held0"}`, `"locked":false`},
		{"POST", "/v1/record", `{"scope":"s","key":"held0","owner":"me"}`, `"locked":true`},
		{"POST", "/v1/records", `{"records":[{"scope":"s","key":"done"},{"scope":"s","key":"new"}]}`,
			`"code":"tenant_suspended"`},
		{"POST", "/v1/record/renew", held(0, ""), `"ok":true`},
		{"PUT", "/v1/record", held(0, ""), `"ok":true`},
		{"PUT", "/v1/record", `{"scope":"s","key":"unclaimed","body":1}`, `"ok":true`},
		{"POST", "/v1/record/release", held(1, ""), `"ok":true`},
		{"DELETE", "/v1/record?scope=s&key=held2", "", `"existed":true`},
		{"GET", "/v1/record?scope=s&key=done", "", `"cached":true`},
		{"GET", "/v1/usage", "", `"rejected":2,` + noEvents + `}],"total"`},
	} {
		if w := call(t, s, c.method, c.target, c.body, auth); w.Code != 200 || !strings.Contains(w.Body.String(), c.answer) {
			t.Errorf("%s %s %s: %d %s", c.method, c.target, c.body, w.Code, w.Body)
		}
	}
	call(t, s, "PATCH", "/v1/admin/tenants/demo", `{"status":"active"}`, asAdmin)
	if w := call(t, s, "POST", "/v1/record", `{"scope":"s","key":"new"}`, auth); w.Code != 200 {
		t.Errorf("active again: %d %s", w.Code, w.Body)
	}
}

// TestSuspendedThroughAForwarder: the leader's 403 is not taken for a ticket that it refuses.
func TestSuspendedThroughAForwarder(t *testing.T) {
	t.Parallel()
	p := newPair(t, FollowersForward)
	p.leader.apply(fsm.Audited{By: fsm.Actor{Name: "a", Role: "a"},
		Command: fsm.UpdateTenant{Tenant: 1, SetSuspended: true, Suspended: true}})
	w := call(t, p.followerAPI, "POST", "/v1/record", `{"scope":"s","key":"k"}`, asTenant(p.key))
	wantProblem(t, w, tenantSuspended)
	location := newPair(t, FollowersRedirect)
	location.leader.machine = p.leader.machine
	target := location.redirected(t, "POST", "/v1/record", `{"scope":"s","key":"k"}`, asTenant(p.key))
	location.leader.index = p.leader.index
	wantProblem(t, call(t, location.leaderAPI, "POST", target, `{"scope":"s","key":"k"}`), tenantSuspended)
}

// TestMonthlyLimitOfAPlan has the refusal by a plan's limit carry the same fields as that by a tenant's own.
func TestMonthlyLimitOfAPlan(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	n.setPlan(fsm.Plan{Name: "gold", MonthlyClaims: 1})
	s := newTestServer(t, n, nil)
	rateLimit := "RateLimit" // as it is written, which is not the canonical form
	for i := range 2 {
		w := call(t, s, "POST", "/v1/record", fmt.Sprintf(`{"scope":"s","key":"%d"}`, i), asTenant(key))
		if i == 0 {
			if fields := w.Header(); w.Code != 200 || fields[rateLimit] != nil {
				t.Fatalf("%d %s %v", w.Code, w.Body, w.Header())
			}
			continue
		}
		for name, want := range map[string]string{
			"RateLimit-Policy": `["monthly-claims";q=1;w=2592000]`, rateLimit: `["monthly-claims";r=0;t=907200]`,
			"Retry-After": "[907200]",
		} {
			if got := fmt.Sprint(w.Header()[name]); got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
		wantProblem(t, w, usageLimitExceeded)
	}
}
