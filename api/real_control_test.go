package api

import (
	"strings"
	"testing"

	"github.com/syllecta/syllecta/fsm"
)

// TestControlOnARealNode has a plan, a tenant that has it and a key be made, used and audited through raft.
func TestControlOnARealNode(t *testing.T) {
	t.Parallel()
	n := openNode(t)
	s := newTestServer(t, nil, nil)
	s.Attach(n)
	c, _ := newClient(t, s)
	waitFor(t, "the feature level", func() bool { return n.Directory().FeatureLevel >= fsm.LevelControl })
	for _, step := range []struct {
		method, target, body, secret string
		status                       int
		answer                       string
	}{
		{"PUT", plansPath + "/gold", `{"monthlyClaims":1,"maxTtlSeconds":60}`, testAdminToken, 201, `"maxTtlSeconds":60`},
		{"PATCH", "/v1/admin/tenants/acme", `{"plan":"gold"}`, testAdminToken, 200, `"plan":"gold","status":"active"`},
		{"POST", "/v1/record", `{"scope":"s","key":"a","ttlSeconds":61}`, c.key, 400, "between 1 and 60"},
		{"POST", "/v1/record", `{"scope":"s","key":"a"}`, c.key, 200, `"locked":true`},
		{"POST", "/v1/record", `{"scope":"s","key":"b"}`, c.key, 429, `"limit":1}`},
		{"PUT", "/v1/record", `{"scope":"s","key":"a"}`, c.key, 200, `"ok":true`},
		{"POST", "/v1/record", `{"scope":"s","key":"a"}`, c.key, 200, `"cached":true`},
		{"POST", "/v1/admin/tenants/acme/keys", `{"scopes":["usage:read"],"expiresAt":"2999-01-01T00:00:00Z"}`,
			testAdminToken, 201, `"scopes":["usage:read"],`},
		{"GET", "/v1/usage", "", c.key, 200, `"claims":1,"limit":1,"resetsAt":`},
		{"PATCH", "/v1/admin/tenants/acme", `{"status":"suspended"}`, testAdminToken, 200, `"status":"suspended"`},
		{"POST", "/v1/record", `{"scope":"s","key":"b"}`, c.key, 403, `"code":"tenant_suspended"`},
		{"DELETE", plansPath + "/gold", "", testAdminToken, 409, `"code":"conflict"`},
		{"PATCH", "/v1/admin/tenants/acme", `{"plan":"unlimited"}`, testAdminToken, 200, `"plan":"unlimited"`},
		{"DELETE", plansPath + "/gold", "", testAdminToken, 200, `{"ok":true}`},
		{"GET", plansPath, "", testAdminToken, 200, `{"plans":[` + unlimitedJSON + `,` + starterJSON + `]}`},
	} {
		status, body := c.do(step.method, step.target, step.body, step.secret)
		if status != step.status || !strings.Contains(body, step.answer) {
			t.Fatalf("%s %s %s: %d %s", step.method, step.target, step.body, status, body)
		}
	}
	var actions []string
	for _, e := range readAudit(t, s, "").Entries {
		if e.Actor == "admin" && e.Address == "127.0.0.1" && len(e.RequestID) == 32 {
			actions = append(actions, e.Action)
		}
	}
	all := strings.Join(actions, " ")
	const want = "plan.put tenant.update key.create tenant.update tenant.update plan.delete"
	if all != want && all != "tenant.create key.create "+want { // the level may have been there for these
		t.Errorf("audited: %s", all)
	}
	waitFor(t, "the use of the key to be noted", func() bool {
		_, body := c.do("GET", "/v1/admin/tenants/acme/keys", "", testAdminToken)
		return strings.Contains(body, `"lastUsedAt":"`)
	})
}
