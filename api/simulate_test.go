package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/syllecta/syllecta/api/envelope"
	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

const simulationRoute = "/v1/simulate/chargeback"

// simulated is what a simulation answers.
type simulated struct {
	OK       bool
	Provider string
	Events   []struct {
		ID, Type, ProviderRawType, EventID string
		Cached                             bool
	}
}

func TestSimulateChargeback(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	g.addSource(t, fsm.Source{Provider: "stripe", Name: "second"}, testSecret)
	g.addSource(t, fsm.Source{Provider: "braintree"}, "public|private")
	g.addSource(t, fsm.Source{Provider: "adyen"}, adyenKey)
	for _, tt := range []struct{ body, provider, types string }{
		{`{"provider":"stripe","amount":1999,"currency":"usd"}`, "stripe", "opened under_review lost"},
		{`{"provider":"stripe","source":"second","amount":1,"currency":"USD","simulateLifecycle":true,"finalStatus":"won"}`,
			"stripe", "opened under_review won"},
		{`{"provider":"braintree","amount":500,"currency":"jpy","transactionId":"t<1>","finalStatus":"lost"}`, "braintree",
			"opened under_review lost"},
		{`{"provider":"adyen","amount":1999,"currency":"EUR","simulateLifecycle":false}`, "adyen", "opened"},
		{`{"provider":"adyen","amount":1999,"currency":"EUR","simulateLifecycle":false,"finalStatus":"won"}`, "adyen", "won"},
	} {
		before := len(g.events())
		w := call(t, g.s, "POST", simulationRoute, tt.body, asTenant(g.key))
		var got simulated
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || !got.OK || got.Provider != tt.provider {
			t.Fatalf("%s: %d %s", tt.body, w.Code, w.Body)
		}
		events := g.events()[before:]
		var types []string
		for i, e := range got.Events {
			types = append(types, strings.TrimPrefix(e.Type, "chargeback."))
			kept := events[i]
			if kept.ID.String() != e.ID || kept.Type != e.Type || kept.RawType != e.ProviderRawType || kept.ProviderID != e.EventID ||
				!kept.Synthetic || e.Cached || kept.Status != fsm.EventQueued {
				t.Errorf("%+v is kept as %+v", e, kept)
			}
		}
		if strings.Join(types, " ") != tt.types || len(events) != len(got.Events) {
			t.Errorf("%s: %d events, %v", tt.body, len(events), types)
		}
	}
	if names := g.events()[3].SourceName; names != "second" {
		t.Errorf("the second simulation went to %s", names)
	}
}

func TestSimulationIsRefused(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	g.addSource(t, fsm.Source{Provider: "adyen"})
	g.addSource(t, fsm.Source{Provider: "braintree"}, "|") // what no source can be given
	for body, want := range map[string]string{
		`{`:                             "invalid_json",
		`{"amount":1,"currency":"usd"}`: "provider is missing",
		`{"provider":"github","amount":1,"currency":"usd"}`:                             "provider is none of",
		`{"provider":"stripe","currency":"usd"}`:                                        "amount is missing",
		`{"provider":"stripe","amount":0,"currency":"usd"}`:                             "amount is not between 1 and",
		`{"provider":"stripe","amount":1.5,"currency":"usd"}`:                           "amount is not an integer",
		`{"provider":"stripe","amount":1}`:                                              "currency is missing",
		`{"provider":"stripe","amount":1,"currency":"us"}`:                              "currency is not a code",
		`{"provider":"stripe","amount":1,"currency":"usd","finalStatus":"x"}`:           "finalStatus is neither won nor lost",
		`{"provider":"stripe","amount":1,"currency":"usd","simulateLifecycle":1}`:       "simulateLifecycle is not true or false",
		`{"provider":"stripe","amount":1,"currency":"usd","source":"X"}`:                "source has a character",
		`{"provider":"stripe","amount":1,"currency":"usd","source":"x"}`:                "not_found",
		`{"provider":"stripe","amount":1,"currency":"usd","transactionId":""}`:          "transactionId is not 1 to 128",
		`{"provider":"adyen","amount":1,"currency":"usd"}`:                              "source_not_ready",
		`{"provider":"braintree","amount":1,"currency":"usd","simulateLifecycle":null}`: "source_not_ready",
	} {
		w := call(t, g.s, "POST", simulationRoute, body, asTenant(g.key))
		if w.Code < 400 || !strings.Contains(w.Body.String(), want) || strings.Contains(w.Body.String(), `"error":`) {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	g.n.apply(fsm.PutPlan{Plan: fsm.Plan{Name: "small", MonthlyEvents: 2}}, fsm.UpdateTenant{Tenant: 1, SetPlan: true, Plan: "small"})
	body := `{"provider":"stripe","amount":1,"currency":"usd"}`
	wantProblem(t, call(t, g.s, "POST", simulationRoute, body, asTenant(g.key)), usageLimitExceeded)
	if got := len(g.events()); got != 2 {
		t.Errorf("%d events", got)
	}
	g.n.failure = []error{cluster.ErrBusy}
	wantProblem(t, call(t, g.s, "POST", simulationRoute, body, asTenant(g.key)), busy)
	g.n.apply(fsm.UpdateTenant{Tenant: 1, SetPlan: true, Plan: fsm.UnlimitedPlan})
	g.n.failure = []error{nil, cluster.ErrBusy}
	wantProblem(t, call(t, g.s, "POST", simulationRoute, body, asTenant(g.key)), outcomeUnknown)
}

func TestSimulationOnAFollower(t *testing.T) {
	t.Parallel()
	p := newPair(t, FollowersForward)
	p.leaderAPI.cfg.Vault = envelope.NewVault(testKEKs(t))
	addSource(t, []*fakeNode{p.leader}, fsm.Source{Provider: "stripe"}, testSecret)
	body := `{"provider":"stripe","amount":1,"currency":"usd"}`
	w := call(t, p.followerAPI, "POST", simulationRoute, body, asTenant(p.key))
	if w.Code != 200 || len(eventsOf(p.leader)) != 3 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	p.followerAPI.cfg.Followers = FollowersRedirect
	location := p.redirected(t, "POST", simulationRoute, body, asTenant(p.key))
	if w := call(t, p.leaderAPI, "POST", location, body); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func FuzzDecodeSimulation(f *testing.F) {
	f.Add(`{"provider":"stripe","amount":1999,"currency":"usd","transactionId":"t","simulateLifecycle":true,"finalStatus":"won","source":"s"}`)
	f.Add(`{"provider":"adyen","amount":-1}`)
	f.Fuzz(func(t *testing.T, body string) {
		got, p := decodeSimulation([]byte(body))
		if p == nil && (got.dispute.Amount < 1 || len(got.dispute.Currency) != 3 || got.source == "") {
			t.Fatalf("%+v", got)
		}
	})
}
