package api

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

// TestEventsOnARealNode has an event be accepted, fail, be found, replayed, ignored and audited through raft.
func TestEventsOnARealNode(t *testing.T) {
	t.Parallel()
	n := openNode(t)
	s := newTestServer(t, nil, nil)
	s.Attach(n)
	c, _ := newClient(t, s)
	waitFor(t, "the feature level", func() bool { return n.Directory().FeatureLevel >= fsm.LevelWebhooks })
	propose := func(cmd fsm.Command) fsm.Result {
		t.Helper()
		results, _, err := n.Propose(context.Background(), cluster.Call{Command: cmd})
		if err != nil {
			t.Fatal(err)
		}
		return results[0]
	}
	tenant := n.Directory().TenantByName("acme").ID
	source := propose(fsm.PutSource{Source: fsm.Source{Tenant: tenant, PublicID: "src_1", Provider: "stripe", Name: "default",
		CallbackURL: "https://shop.example/hook", DedupeWindowMs: fsm.DefaultDedupeWindowMs}}).Source
	accept := fsm.AcceptEvent{Tenant: tenant, Source: source.ID, Nonce: 1, ProviderID: "evt_1", Type: "payment.failed", Payload: []byte("sealed")}
	e := propose(accept).Event
	accept.Nonce = 2
	propose(accept)
	e = propose(fsm.ReportAttempt{Tenant: tenant, Event: e.ID, Number: 1, Verdict: fsm.VerdictFailed,
		Attempt: fsm.Attempt{StartedAtMs: e.ReceivedAtMs, LatencyMs: 3, StatusCode: 500}}).Event
	one := "/v1/events/" + e.ID.String()
	for _, step := range []struct {
		method, target, body, secret string
		status                       int
		answer                       string
	}{
		{"GET", "/v1/events?status=delivery_failed", "", c.key, 200, `"counts":{"stripe":{"queued":0,"processed":0,"delivery_failed":1,"held":0,"ignored":0,"cached":1}}}`},
		{"GET", "/v1/events?status=cached", "", c.key, 200, `"status":"cached"`},
		{"GET", one, "", c.key, 200, `"latencyMs":3,"statusCode":500}]`},
		{"POST", "/v1/replays", `{"dryRun":true}`, c.key, 200, `"matched":1,"replayed":0,"dryRun":true}`},
		{"POST", "/v1/admin/tenants/acme/replays", `{}`, testAdminToken, 200, `"matched":1,"replayed":1,"dryRun":false}`},
		{"POST", one + "/replay", "", c.key, 409, "queued already"},
		{"POST", one + "/ignore", "", c.key, 200, `"changed":1`},
		{"GET", "/v1/admin/tenants/acme/events?status=ignored", "", testAdminToken, 200, `"id":"evt_1"`},
		{"GET", "/v1/events/" + absentEvent, "", c.key, 404, `"code":"not_found"`},
	} {
		status, body := c.do(step.method, step.target, step.body, step.secret)
		if status != step.status || !strings.Contains(body, step.answer) || !json.Valid([]byte(body)) {
			t.Fatalf("%s %s %s: %d %s", step.method, step.target, step.body, status, body)
		}
	}
	var audited []string
	for _, entry := range readAudit(t, s, "?limit=1000").Entries {
		if strings.HasPrefix(entry.Action, "event.") {
			audited = append(audited, entry.Role+" "+entry.Action)
		}
	}
	if got := strings.Join(audited, ", "); got != "admin event.replay, tenant event.ignore" {
		t.Errorf("audited: %s", got)
	}
}
