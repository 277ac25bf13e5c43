package api

import (
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/api/envelope"
	"github.com/syllecta/syllecta/fsm"
)

// TestSourceTellsHowItsDeliveriesGo, on all four paths that show one, and by whichever node is asked: the leader knows.
func TestSourceTellsHowItsDeliveriesGo(t *testing.T) {
	t.Parallel()
	p := newPair(t, FollowersForward)
	vault := envelope.NewVault(testKEKs(t))
	p.leaderAPI.cfg.Vault, p.followerAPI.cfg.Vault = vault, vault
	s := addSource(t, []*fakeNode{p.leader, p.follower}, fsm.Source{Provider: "stripe"}, testSecret)
	at := p.leader.nowMs
	known := Destination{Breaker: "closed"}
	p.leaderAPI.cfg.Destination = func(asked *fsm.Source) Destination {
		if asked != p.leader.Directory().SourceByID(s.ID) {
			t.Errorf("asked about %+v", asked)
		}
		return known
	}
	p.followerAPI.cfg.Destination = func(*fsm.Source) Destination {
		t.Error("a follower tells what it knows")
		return Destination{}
	}
	shown := func(want string) {
		t.Helper()
		for _, c := range []struct{ under, credentials string }{
			{"/v1", asTenant(p.key)}, {"/v1/admin/tenants/demo", asAdmin},
		} {
			for _, path := range []string{c.under + "/sources", c.under + "/sources/" + s.PublicID} {
				for _, h := range []*Server{p.leaderAPI, p.followerAPI} {
					w := call(t, h, "GET", path, "", c.credentials)
					if body := w.Body.String(); w.Code != 200 || !strings.Contains(body, `,"delivery":`+want+`}`) {
						t.Errorf("%s: %d %s\nwant %s", path, w.Code, body, want)
					}
				}
			}
		}
	}
	shown(`{"breaker":"closed","inFlight":0,"queued":0}`)
	for _, id := range []string{"evt_1", "evt_2"} {
		p.leader.apply(fsm.AcceptEvent{Tenant: 1, Source: s.ID, Nonce: 1, ProviderID: id, Payload: []byte("sealed")})
	}
	shown(`{"breaker":"closed","inFlight":0,"queued":2,"nextAttemptAt":"2026-11-20T12:00:00.000Z"}`)
	known = Destination{Breaker: "open", InFlight: 1, RestsUntilMs: at + 30_000, FailingSinceMs: at - 60_000,
		LastFailure: fsm.Attempt{StartedAtMs: at - 1_000, LatencyMs: 12, StatusCode: 503}}
	shown(`{"breaker":"open","inFlight":1,"queued":2,"nextAttemptAt":"2026-11-20T12:00:30.000Z",` +
		`"failingSince":"2026-11-20T11:59:00.000Z","lastFailure":{"at":"2026-11-20T11:59:59.000Z","latencyMs":12,"statusCode":503}}`)
	known = Destination{Breaker: "half_open", FailingSinceMs: at - 60_000,
		LastFailure: fsm.Attempt{StartedAtMs: at, LatencyMs: 15_000, Error: "no answer in time"}}
	shown(`{"breaker":"half_open","inFlight":0,"queued":2,"nextAttemptAt":"2026-11-20T12:00:00.000Z",` +
		`"failingSince":"2026-11-20T11:59:00.000Z",` +
		`"lastFailure":{"at":"2026-11-20T12:00:00.000Z","latencyMs":15000,"error":"no answer in time"}}`)

	// What waits for somebody to enable the source has no next attempt.
	p.leader.advance(time.Second)
	known = Destination{Breaker: "closed"}
	disabled := *s
	disabled.Disabled = true
	p.leader.apply(fsm.PutSource{Source: disabled, IfRevision: s.Revision})
	shown(`{"breaker":"closed","inFlight":0,"queued":2}`)
}
