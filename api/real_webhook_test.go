package api

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/api/envelope"
	"github.com/syllecta/syllecta/api/webhook"
	"github.com/syllecta/syllecta/fsm"
)

// TestWebhooksOnARealNode has a source made, and its webhooks received, through raft.
func TestWebhooksOnARealNode(t *testing.T) {
	t.Parallel()
	n := openNode(t)
	s := newTestServer(t, nil, func(c *Config) { c.Vault = envelope.NewVault(testKEKs(t)) })
	s.Attach(n)
	c, _ := newClient(t, s)
	waitFor(t, "the feature level", func() bool { return n.Directory().FeatureLevel >= fsm.LevelWebhooks })
	source := `{"provider":"stripe","callbackUrl":"https://callback.example/","secrets":["` + testSecret + `"]}`
	if status, body := c.do("POST", "/v1/sources", source, c.key); status != 201 {
		t.Fatalf("%d %s", status, body)
	}
	post := func(body string) (status int, answer string) {
		t.Helper()
		req, err := http.NewRequest("POST", c.url+"/v1/t/acme/webhooks/stripe", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Stripe-Signature", webhook.SignStripe(testSecret, []byte(body), time.Now()))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	largest := `{"id":"evt_2","type":"x","pad":"` + strings.Repeat("x", webhook.MaxStoredBytes-2_000) + `"}`
	for _, step := range []struct{ body, answer string }{
		{stripeEvent("evt_1", "charge.dispute.created"), acceptedAnswer},
		{stripeEvent("evt_1", "charge.dispute.created"), cachedAnswer},
		{largest, acceptedAnswer},
		{largest, cachedAnswer},
	} {
		if status, answer := post(step.body); status != 200 || answer != step.answer {
			t.Fatalf("%.80s: %d %s", step.body, status, answer)
		}
	}
	if status, body := c.do("POST", simulationRoute, `{"provider":"stripe","amount":1,"currency":"usd"}`, c.key); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	counts, err := n.CountEvents(ctx, fsm.EventQuery{Tenant: n.Directory().TenantByName("acme").ID})
	want := fsm.EventCount{Provider: "stripe", Status: fsm.EventQueued, Events: 5, Duplicates: 2}
	if err != nil || len(counts) != 1 || counts[0] != want {
		t.Errorf("%+v, %v", counts, err)
	}
}
