package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

const (
	plansPath     = "/v1/admin/plans"
	unlimitedJSON = `{"name":"unlimited","monthlyClaims":0,"requestsPerSecond":0,"maxTtlSeconds":0,"maxBodyBytes":0` + noEventLimits + `}`
	starterJSON   = `{"name":"starter","monthlyClaims":10000,"requestsPerSecond":20,"maxTtlSeconds":604800,` +
		`"maxBodyBytes":65536` + noEventLimits + `}`
	noEventLimits = `,"monthlyEvents":0,"onExceed":"reject","eventRetentionDays":0,"payloadRetentionDays":0,"maxStoredBytes":0`
	goldLimits    = `"monthlyClaims":5,"requestsPerSecond":6,"maxTtlSeconds":7,"maxBodyBytes":8,` +
		`"monthlyEvents":9,"onExceed":"hold","eventRetentionDays":10,"payloadRetentionDays":11,"maxStoredBytes":12`
	goldJSON = `{"name":"gold",` + goldLimits + `}`
)

func TestPlans(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	const gold = plansPath + "/gold"
	for _, step := range []struct {
		method, target, body string
		status               int
		answer               string // all of it, or the code of a problem
	}{
		{"GET", plansPath, "", 200, `{"plans":[` + unlimitedJSON + `,` + starterJSON + `]}`},
		{"GET", gold, "", 404, "not_found"},
		{"DELETE", gold, "", 404, "not_found"},
		{"PUT", gold, goldJSON, 201, goldJSON},
		{"PUT", gold, `{` + goldLimits + `}`, 200, goldJSON},
		{"GET", gold, "", 200, goldJSON},
		{"GET", plansPath, "", 200, `{"plans":[` + unlimitedJSON + `,` + goldJSON + `,` + starterJSON + `]}`},
		{"PUT", gold, `{"maxBodyBytes":9}`, 200,
			`{"name":"gold","monthlyClaims":0,"requestsPerSecond":0,"maxTtlSeconds":0,"maxBodyBytes":9` + noEventLimits + `}`},
		{"PUT", gold, `{}`, 200, strings.Replace(unlimitedJSON, "unlimited", "gold", 1)},
		{"PUT", gold, `{"monthlyClaims":9007199254740991,"requestsPerSecond":1000000,"maxTtlSeconds":316224000,` +
			`"maxBodyBytes":1048576,"monthlyEvents":9007199254740991,"onExceed":"reject","eventRetentionDays":3660,` +
			`"payloadRetentionDays":3660,"maxStoredBytes":9007199254740991,"later":{"x":1}}`, 200, `{"name":"gold","monthlyClaims":9007199254740991,` +
			`"requestsPerSecond":1000000,"maxTtlSeconds":316224000,"maxBodyBytes":1048576,` +
			`"monthlyEvents":9007199254740991,"onExceed":"reject","eventRetentionDays":3660,"payloadRetentionDays":3660,"maxStoredBytes":9007199254740991}`},
		{"GET", plansPath + "/unlimited", "", 200, unlimitedJSON},
		{"PUT", plansPath + "/unlimited", `{"monthlyClaims":1}`, 409, "conflict"},
		{"DELETE", plansPath + "/unlimited", "", 409, "conflict"},
		{"DELETE", plansPath + "/starter", "", 409, "conflict"},
		{"PUT", plansPath + "/starter", `{"monthlyClaims":1}`, 200,
			`{"name":"starter","monthlyClaims":1,"requestsPerSecond":0,"maxTtlSeconds":0,"maxBodyBytes":0` + noEventLimits + `}`},
		{"PATCH", "/v1/admin/tenants/demo", `{"plan":"gold"}`, 200, `{"id":"ten_1","slug":"demo","name":"Demo",` +
			`"plan":"gold","status":"active","monthlyClaims":0,"payloadPolicy":"metadata_only","createdAt":"2026-11-20T12:00:00.000Z"}`},
		{"DELETE", gold, "", 409, "conflict"},
		{"PATCH", "/v1/admin/tenants/demo", `{"plan":"unlimited"}`, 200, `{"id":"ten_1","slug":"demo","name":"Demo",` +
			`"plan":"unlimited","status":"active","monthlyClaims":0,"payloadPolicy":"metadata_only","createdAt":"2026-11-20T12:00:00.000Z"}`},
		{"DELETE", gold, "", 200, `{"ok":true}`},
		{"DELETE", gold, "", 404, "not_found"},
		{"GET", gold, "", 404, "not_found"},
	} {
		w := call(t, s, step.method, step.target, step.body, asAdmin)
		body := w.Body.String()
		if w.Code != step.status || body != step.answer && !strings.Contains(body, `"code":"`+step.answer+`"`) {
			t.Fatalf("%s %s %s\ngot  %d %s\nwant %d %s", step.method, step.target, step.body, w.Code, body, step.status,
				step.answer)
		}
	}
}

// TestPlanConflictsSayWhy: what is taken, built in and in use share a code.
func TestPlanConflictsSayWhy(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	n.apply(fsm.PutPlan{Plan: fsm.Plan{Name: "gold"}})
	n.apply(fsm.Audited{By: fsm.Actor{Name: "a", Role: "a"},
		Command: fsm.UpdateTenant{Tenant: 1, SetPlan: true, Plan: "gold"}})
	s := newTestServer(t, n, nil)
	for plan, detail := range map[string]string{
		"unlimited": "the plan unlimited is built in and stays as it is",
		"starter":   "the plan starter is built in and stays; its limits can be changed",
		"gold":      "tenants have the plan gold; give them another one first",
	} {
		doc := wantProblem(t, call(t, s, "DELETE", plansPath+"/"+plan, "", asAdmin), conflict)
		if !strings.Contains(doc, `"detail":"`+detail+`"`) {
			t.Errorf("%s: %s", plan, doc)
		}
	}
}

func TestPlanLimit(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	for i := len(n.Directory().Plans()); i <= fsm.MaxPlans; i++ {
		n.apply(fsm.PutPlan{Plan: fsm.Plan{Name: fmt.Sprint(i)}})
	}
	doc := wantProblem(t, call(t, newTestServer(t, n, nil), "PUT", plansPath+"/gold", `{}`, asAdmin), limitReached)
	if !strings.Contains(doc, `"limit":1000}`) || !strings.Contains(doc, "the plans have reached") {
		t.Error(doc)
	}
}

func TestPlansMalformed(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	type row struct {
		name, body string
		kind       *errorKind
		detail     string
	}
	all := []row{
		{"gold", `{"name":"silver"}`, invalidField, "name in the body differs"},
		{"gold", `{"name":"Gold"}`, invalidField, "name has a character"},
		{"gold", `{"name":7}`, invalidField, "name is not a string"},
		{"Gold", `{}`, invalidField, "the plan's name in the path has a character"},
		{"a_b", `{}`, invalidField, "the plan's name in the path has a character"},
		{"a.b", `{}`, invalidField, "the plan's name in the path has a character"},
		{"%C3%A9", `{}`, invalidField, "the plan's name in the path has a character"},
		{strings.Repeat("a", fsm.MaxSlugBytes+1), `{}`, invalidField, "the plan's name in the path is not 1 to 64"},
	}
	for _, r := range notJSON {
		all = append(all, row{"gold", r.body, r.kind, r.detail})
	}
	for member, most := range map[string]int64{
		"monthlyClaims": fsm.MaxMonthlyClaims, "requestsPerSecond": fsm.MaxRequestsPerSecond,
		"maxTtlSeconds": fsm.MaxTTLMs / 1000, "maxBodyBytes": fsm.MaxBodyBytes, "monthlyEvents": fsm.MaxMonthlyClaims,
		"eventRetentionDays": 3660, "payloadRetentionDays": 3660,
	} {
		for _, v := range []string{"-1", fmt.Sprint(most + 1), "1.5", "1e3", `"1"`, "true", "[]", "99999999999999999999"} {
			all = append(all, row{"gold", fmt.Sprintf(`{%q:%s}`, member, v), invalidField, member + " is not"})
		}
	}
	for _, v := range []string{`""`, `"Hold"`, `"drop"`, `1`, `true`, `["hold"]`} {
		all = append(all, row{"gold", `{"onExceed":` + v + `}`, invalidField, "onExceed is n"})
	}
	for _, c := range all {
		doc := wantProblem(t, call(t, s, "PUT", plansPath+"/"+c.name, c.body, asAdmin), c.kind)
		if !strings.Contains(doc, c.detail) {
			t.Errorf("%s %s: %s", c.name, c.body, doc)
		}
	}
	// A name that cannot be a plan's is looked up like any other.
	for _, method := range []string{"GET", "DELETE"} {
		wantProblem(t, call(t, s, method, plansPath+"/A_b", "", asAdmin), notFound)
		wantProblem(t, call(t, s, method, plansPath+"/"+strings.Repeat("p", 5000), "", asAdmin), notFound)
	}
	if len(n.proposed()) != 0 {
		t.Errorf("what was refused reached the log: %+v", n.proposed())
	}
}

func TestPlansOfTenants(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	const tenants = "/v1/admin/tenants"
	w := call(t, s, "POST", tenants, `{"slug":"acme","plan":"starter"}`, asAdmin)
	if w.Code != 201 || !strings.Contains(w.Body.String(), `"name":"","plan":"starter","status":"active","monthlyClaims":0,`) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	w = call(t, s, "POST", tenants, `{"slug":"free","plan":"unlimited"}`, asAdmin)
	if w.Code != 201 || !strings.Contains(w.Body.String(), `"plan":"unlimited"`) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	// The plan's limit is shown where the tenant has none of its own.
	for change, limit := range map[string]string{"": "10000", `{"monthlyClaims":7}`: "7"} {
		if change != "" {
			call(t, s, "PATCH", tenants+"/acme", change, asAdmin)
		}
		w := call(t, s, "GET", tenants+"/acme", "", asAdmin)
		if !strings.Contains(w.Body.String(), `"claims":0,"limit":`+limit+`,"resetsAt":"2026-12-01T00:00:00.000Z",`) {
			t.Errorf("%s: %s", change, w.Body)
		}
		call(t, s, "PATCH", tenants+"/acme", `{"monthlyClaims":0}`, asAdmin)
	}
	for _, method := range []string{"POST", "PATCH"} {
		target, body := tenants, `{"slug":"other","plan":"nosuch"}`
		if method == "PATCH" {
			target, body = tenants+"/acme", `{"plan":"nosuch"}`
		}
		if doc := wantProblem(t, call(t, s, method, target, body, asAdmin), invalidField); !strings.Contains(doc, "plan is not") {
			t.Errorf("%s: %s", method, doc)
		}
	}
	for body, detail := range map[string]string{
		`{"slug":"x","status":"suspended"}`: "status is not chosen", `{"slug":"x","status":"active"}`: "status is not chosen",
		`{"slug":"x","plan":""}`: "plan is not 1 to 64", `{"slug":"x","plan":"A"}`: "plan has a character",
		`{"slug":"x","plan":1}`: "plan is not a string", `{"slug":"x","plan":"` + strings.Repeat("p", 65) + `"}`: "plan is not 1",
	} {
		if doc := wantProblem(t, call(t, s, "POST", tenants, body, asAdmin), invalidField); !strings.Contains(doc, detail) {
			t.Errorf("%s: %s", body, doc)
		}
	}
	for _, status := range []string{`""`, `"Active"`, `"closed"`, `1`, `true`, `[]`} {
		doc := wantProblem(t, call(t, s, "PATCH", tenants+"/acme", `{"status":`+status+`}`, asAdmin), invalidField)
		if !strings.Contains(doc, "status is n") {
			t.Errorf("%s: %s", status, doc)
		}
	}
	for _, body := range []string{`{"plan":null,"status":null}`, `{"status":"active"}`} {
		if w := call(t, s, "PATCH", tenants+"/acme", body, asAdmin); w.Code != 200 ||
			!strings.Contains(w.Body.String(), `"plan":"starter","status":"active"`) {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
}

// controlCalls are all changes of tenants, keys and plans, each of which works on a new fake node at its level.
var controlCalls = []struct {
	method, target, body string
	level                uint32 // the cluster's, from which on it works
	action, audited      string // what the audit log has of it: action, and target if it is not drawn
}{
	{"POST", "/v1/admin/tenants", `{"slug":"acme"}`, 1, "tenant.create", ""},
	{"POST", "/v1/admin/tenants", `{"slug":"acme","plan":"starter"}`, 3, "tenant.create", ""},
	{"PATCH", "/v1/admin/tenants/demo", `{"name":"D","monthlyClaims":5}`, 1, "tenant.update", "ten_1"},
	{"PATCH", "/v1/admin/tenants/demo", `{"plan":"starter"}`, 3, "tenant.update", "ten_1"},
	{"PATCH", "/v1/admin/tenants/demo", `{"status":"suspended"}`, 3, "tenant.update", "ten_1"},
	{"PATCH", "/v1/admin/tenants/demo", `{"payloadPolicy":"redacted_payload"}`, 4, "tenant.update", "ten_1"},
	{"POST", "/v1/admin/tenants/demo/keys", `{"name":"ci"}`, 1, "key.create", ""},
	{"POST", "/v1/admin/tenants/demo/keys", "", 1, "key.create", ""},
	{"POST", "/v1/admin/tenants/demo/keys", `{"scopes":["records:read"]}`, 3, "key.create", ""},
	{"POST", "/v1/admin/tenants/demo/keys", `{"expiresAt":"2030-01-01T00:00:00Z"}`, 3, "key.create", ""},
	{"POST", "/v1/admin/tenants/demo/keys", `{"scopes":["usage:read","events:read"]}`, 4, "key.create", ""},
	{"POST", "/v1/admin/tenants/demo/keys", `{"scopes":["webhooks:write"]}`, 4, "key.create", ""},
	{"POST", "/v1/admin/tenants/demo/keys", `{"scopes":["admin:tenant"]}`, 4, "key.create", ""},
	{"DELETE", "/v1/admin/tenants/demo/keys/key_1", "", 1, "key.revoke", "key_1"},
	{"PUT", plansPath + "/gold", `{"monthlyClaims":5}`, 3, "plan.put", "gold"},
	{"PUT", plansPath + "/gold", `{"monthlyEvents":5}`, 4, "plan.put", "gold"},
	{"PUT", plansPath + "/gold", `{"onExceed":"hold"}`, 4, "plan.put", "gold"},
	{"PUT", plansPath + "/gold", `{"eventRetentionDays":5}`, 4, "plan.put", "gold"},
	{"PUT", plansPath + "/gold", `{"payloadRetentionDays":5}`, 4, "plan.put", "gold"},
	{"PUT", plansPath + "/gold", `{"monthlyClaims":5,"onExceed":"reject","monthlyEvents":0}`, 3, "plan.put", "gold"},
	{"DELETE", plansPath + "/spare", "", 3, "plan.delete", "spare"},
}

func TestChangesBelowTheLevel(t *testing.T) {
	t.Parallel()
	for _, c := range controlCalls {
		n, _ := newOldFakeNode(t, "n1")
		if c.level > 1 {
			n.apply(fsm.RaiseFeatureLevel{Level: c.level - 1, Version: "test"})
		}
		s := newTestServer(t, n, nil)
		w := call(t, s, c.method, c.target, c.body, asAdmin)
		if c.level < fsm.LevelControl {
			if _, plain := n.proposed()[0].Command.(fsm.Audited); plain || w.Code/100 != 2 {
				t.Errorf("%s %s %s: %d %s, audited %t", c.method, c.target, c.body, w.Code, w.Body, plain)
			}
			continue
		}
		doc := wantProblem(t, w, upgradePending)
		want := fmt.Sprintf("needs feature level %d and the cluster is at %d, which rises by itself when all nodes run",
			c.level, c.level-1)
		if !strings.Contains(doc, want) ||
			w.Header().Get("Retry-After") != "" || len(n.proposed()) != 0 {
			t.Errorf("%s %s %s: %s, proposed %+v", c.method, c.target, c.body, doc, n.proposed())
		}
	}
}

// TestReadsBelowTheLevel: what there is to show is shown.
func TestReadsBelowTheLevel(t *testing.T) {
	t.Parallel()
	n, key := newOldFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	for target, answer := range map[string]string{
		plansPath:         `{"plans":[` + unlimitedJSON + `,` + starterJSON + `]}`,
		"/v1/admin/audit": `{"entries":[],"total":0}`,
		"/v1/admin/usage": `{"tenants":[{"id":"ten_1","slug":"demo",` +
			`"total":{"claims":0,"replays":0,"conflicts":0,"rejected":0,` + noEvents + `}}]}`,
	} {
		wantBody(t, call(t, s, "GET", target, "", asAdmin), 200, answer)
	}
	if w := call(t, s, "GET", "/v1/usage", "", asTenant(key)); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestControlReadsAreCurrent wants each of them to be refused where the leader cannot prove that it leads.
func TestControlReadsAreCurrent(t *testing.T) {
	t.Parallel()
	for _, target := range []string{plansPath, plansPath + "/starter", "/v1/admin/audit", "/v1/admin/usage",
		"/v1/admin/tenants/demo/usage", "/v1/usage"} {
		n, key := newFakeNode(t, "n1")
		s := newTestServer(t, n, nil)
		auth := asAdmin
		if target == "/v1/usage" {
			auth = asTenant(key)
		}
		n.failure = []error{cluster.ErrUnavailable}
		wantProblem(t, call(t, s, "GET", target, "", auth), noLeader)
		if w := call(t, s, "GET", target, "", auth); w.Code != 200 || n.asked != 2 {
			t.Errorf("%s: %d %s, asked %d times", target, w.Code, w.Body, n.asked)
		}
	}
}

func TestControlFailures(t *testing.T) {
	t.Parallel()
	for _, c := range controlCalls {
		for err, kind := range map[error]*errorKind{
			cluster.ErrOutcomeUnknown: outcomeUnknown, cluster.ErrBusy: busy, cluster.ErrStorageFull: storageFull,
		} {
			n, _ := newFakeNode(t, "n1")
			n.apply(fsm.PutPlan{Plan: fsm.Plan{Name: "spare"}})
			n.failure = []error{nil, err} // CatchUp succeeds
			wantProblem(t, call(t, newTestServer(t, n, nil), c.method, c.target, c.body, asAdmin), kind)
			if len(n.proposed()) != 1 {
				t.Errorf("%s %s after %v was tried %d times", c.method, c.target, err, len(n.proposed()))
			}
		}
	}
}

// A follower does not send on what a leader of an older release would leave out, and say that all is done.
func TestOldLeadersAreNotAsked(t *testing.T) {
	t.Parallel()
	for _, mode := range []FollowerMode{FollowersRedirect, FollowersForward} {
		p := newPair(t, mode)
		old, _ := newOldFakeNode(t, "n2")
		old.follow(&p.peer)
		s := newTestServer(t, old, func(c *Config) { c.Followers = mode })
		t.Cleanup(s.forwarder.CloseIdleConnections)
		for _, c := range []struct{ method, target, body string }{
			{"POST", "/v1/admin/tenants/demo/keys", `{"scopes":["records:read"]}`},
			{"POST", "/v1/admin/tenants/demo/keys", `{"expiresAt":"2027-01-01T00:00:00Z"}`},
			{"PATCH", "/v1/admin/tenants/demo", `{"status":"suspended"}`},
			{"POST", "/v1/admin/tenants", `{"slug":"shop","plan":"starter"}`},
			{"PUT", plansPath + "/gold", `{"monthlyClaims":1}`},
			{"DELETE", plansPath + "/gold", ""},
		} {
			wantProblem(t, call(t, s, c.method, c.target, c.body, asAdmin), upgradePending)
		}
		if n := len(p.reached()); n != 0 {
			t.Errorf("%s: %d requests were sent on", mode, n)
		}
	}
}

// A follower says that what a leader of an older release has no path for is still to come, instead of sending callers
// to a leader that says that there is no such path.
func TestOldLeadersDoNotKnowWebhooks(t *testing.T) {
	t.Parallel()
	const event = "/events/evt_00000000000000000000000000"
	for _, mode := range []FollowerMode{FollowersRedirect, FollowersForward} {
		p := newPair(t, mode)
		old, key := newOldFakeNode(t, "n2")
		old.apply(fsm.RaiseFeatureLevel{Level: fsm.LevelControl, Version: "test"})
		old.follow(&p.peer)
		s := newTestServer(t, old, func(c *Config) { c.Followers = mode })
		t.Cleanup(s.forwarder.CloseIdleConnections)
		for _, under := range []struct{ path, credentials string }{{"/v1", asTenant(key)}, {"/v1/admin/tenants/demo", asAdmin}} {
			for _, c := range []struct{ method, path, body string }{
				{"GET", "/events", ""}, {"GET", event, ""}, {"POST", event + "/replay", ""}, {"POST", event + "/ignore", ""},
				{"POST", "/replays", `{"dryRun":true}`}, {"GET", "/sources", ""}, {"GET", "/sources/src_1", ""},
			} {
				wantProblem(t, call(t, s, c.method, under.path+c.path, c.body, under.credentials), upgradePending)
			}
		}
		for _, c := range []struct{ method, target, body, credentials string }{
			{"GET", "/v1/tenant", "", asTenant(key)},
			{"GET", "/v1/keys", "", asTenant(key)},
			{"POST", "/v1/webhooks/generic", "{}", asTenant(key)},
			{"POST", "/v1/t/demo/webhooks/generic", "{}", "Accept: */*"},
			{"POST", "/v1/simulate/chargeback", `{"provider":"stripe","amount":1,"currency":"EUR"}`, asTenant(key)},
			{"POST", "/v1/admin/kek/rewrap", "", asAdmin},
		} {
			wantProblem(t, call(t, s, c.method, c.target, c.body, c.credentials), upgradePending)
		}
		if n := len(p.reached()); n != 0 {
			t.Errorf("%s: %d requests were sent on", mode, n)
		}
	}
}
