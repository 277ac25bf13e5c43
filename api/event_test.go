package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/syllecta/syllecta/api/envelope"
	"github.com/syllecta/syllecta/api/webhook"
	"github.com/syllecta/syllecta/fsm"
)

func (n *eventNode) show(t *testing.T, e *fsm.Event, query string) *httptest.ResponseRecorder {
	t.Helper()
	w := call(t, n.s, "GET", "/v1/events/"+e.ID.String()+query, "", asTenant(n.key))
	a := call(t, n.s, "GET", eventsOfDemo+"/"+e.ID.String()+query, "", asAdmin)
	if a.Code != w.Code || withoutID(a) != withoutID(w) {
		t.Errorf("the admin is told %d %s\nthe tenant %d %s", a.Code, a.Body, w.Code, w.Body)
	}
	return w
}

func TestShowEvent(t *testing.T) {
	t.Parallel()
	n := newEventNode(t)
	g1, s1, i1 := n.events["g1"], n.events["s1"], n.events["i1"]
	wantBody(t, n.show(t, i1, ""), 200, `{"eventId":"`+i1.ID.String()+`","id":"i1","provider":"shopify","source":"default",`+
		`"providerRawType":"raw.order.created","type":"order.created","status":"ignored","receivedAt":"2026-11-20T12:00:05.000Z",`+
		`"attempts":0,"replayCount":0,"payloadForm":"none","attemptLog":[],"duplicates":[]}`)
	for _, c := range []struct {
		e    *fsm.Event
		part string
	}{
		{g1, `"attemptLog":[{"number":1,"at":"2026-11-20T12:00:03.000Z","latencyMs":15000,"error":"it timed out"},` +
			`{"number":2,"at":"2026-11-20T12:00:03.000Z","latencyMs":3,"statusCode":500}],"duplicates":[],"payloadError":"this node does not`},
		{s1, `"attemptLog":[{"number":1,"at":"2026-11-20T12:00:01.000Z","latencyMs":12,"statusCode":200}],` +
			`"duplicates":[{"at":"2026-11-20T12:00:07.000Z","source":"default"},{"at":"2026-11-20T12:00:06.000Z","source":"default"}],`},
		{n.events["d1"], `"status":"held"`},
	} {
		if w := n.show(t, c.e, ""); w.Code != 200 || !json.Valid(w.Body.Bytes()) || !strings.Contains(w.Body.String(), c.part) {
			t.Errorf("%d %s\nhas no %s", w.Code, w.Body, c.part)
		}
	}
}

// TestShowEventOfManyAttempts: those that are remembered keep their numbers.
func TestShowEventOfManyAttempts(t *testing.T) {
	t.Parallel()
	n := newEventNode(t)
	e := n.events["s2"]
	for range 24 {
		e = n.report(e, fsm.Attempt{StatusCode: 503}, fsm.VerdictRetry)
	}
	e = n.report(e, fsm.Attempt{StatusCode: 503}, fsm.VerdictFailed)
	n.apply(fsm.ReplayEvents{Tenant: 1, Events: []fsm.EventID{e.ID}, Nonce: "rpl_1"})
	n.apply(fsm.ReportAttempt{Tenant: 1, Event: e.ID, Number: 26, Verdict: fsm.VerdictFailed,
		Attempt: fsm.Attempt{StartedAtMs: n.nowMs, StatusCode: 504, Replay: "rpl_1"}})
	body := n.show(t, e, "").Body.String()
	if strings.Count(body, `"number":`) != fsm.MaxKeptAttempts || !strings.Contains(body, `"attemptLog":[{"number":7,`) ||
		!strings.Contains(body, `"statusCode":504,"replay":"rpl_1"}]`) || !strings.Contains(body, `"attempts":26`) {
		t.Error(body)
	}
}

// absentEvent is the id of no event.
const absentEvent = "evt_00000000000000000000000000"

// TestForeignEventsAreAbsent: another tenant's event, one that is not there and an id that is none are answered the same.
func TestForeignEventsAreAbsent(t *testing.T) {
	t.Parallel()
	n := newEventNode(t)
	own := n.events["s1"].ID
	answers := make(map[string]bool)
	for _, id := range []string{
		n.foreign.ID.String(), absentEvent, fsm.EventID{Seq: own.Seq, Nonce: own.Nonce + 1}.String(), "evt_", "x",
		strings.ToUpper(own.String()), own.String() + "0", strings.Repeat("x", 1000),
	} {
		for _, c := range []struct{ method, suffix string }{{"GET", ""}, {"GET", "?raw=true"}, {"POST", "/replay"}, {"POST", "/ignore"}} {
			for _, as := range []struct{ path, credentials string }{{"/v1/events/", asTenant(n.key)}, {eventsOfDemo + "/", asAdmin}} {
				w := call(t, n.s, c.method, as.path+id+c.suffix, "", as.credentials)
				answers[withoutID(w)] = true
				wantProblem(t, w, notFound)
			}
		}
	}
	if len(answers) != 1 || len(n.proposed()) != 0 {
		t.Errorf("%d commands, the answers tell more than that it is not there: %v", len(n.proposed()), answers)
	}
}

func TestShowEventRefuses(t *testing.T) {
	t.Parallel()
	n := newEventNode(t)
	for _, query := range []string{"?raw=yes", "?raw=", "?raw=true&raw=true", "?raw=%zz"} {
		wantProblem(t, n.show(t, n.events["s1"], query), invalidField)
	}
}

// newVault is a vault with one key.
func newVault(t *testing.T) *envelope.Vault {
	t.Helper()
	keks, err := envelope.ParseKEKs([]byte("k1:" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)) + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return envelope.NewVault(keks)
}

// sealedNode is an event node that has a vault, and an event with a payload that it opens.
func newSealedNode(t *testing.T, stored webhook.Stored) (n *eventNode, e *fsm.Event) {
	t.Helper()
	n = newEventNode(t)
	n.s = newTestServer(t, n.fakeNode, func(c *Config) { c.Vault = newVault(t) })
	wrapped, err := n.s.cfg.Vault.NewDataKey("ten_1")
	if err != nil {
		t.Fatal(err)
	}
	n.apply(fsm.PutDataKey{Tenant: 1, Wrapped: wrapped})
	key, err := n.s.cfg.Vault.DataKey("ten_1", wrapped)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := webhook.EncodeStored(stored)
	if err != nil {
		t.Fatal(err)
	}
	e = n.apply(fsm.AcceptEvent{Tenant: 1, Source: n.Directory().Source(1, "src_s").ID, Nonce: 9, ProviderID: "sealed",
		Payload: key.Seal("event/src_s", plain)})[0].Event
	return n, e
}

// shownPayload is what an answer shows of a payload.
type shownPayload struct {
	Masked       bool
	Payload      json.RawMessage
	Headers      http.Header
	RawBody      []byte
	PayloadError string
}

func (n *eventNode) payload(t *testing.T, e *fsm.Event, query string) (p shownPayload) {
	t.Helper()
	w := n.show(t, e, query)
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 200 {
		t.Fatalf("%d %v in %s", w.Code, err, w.Body)
	}
	return p
}

var sensitive = webhook.Stored{
	Headers: http.Header{"X-Api-Key": {"canary-header"}, "User-Agent": {"Stripe/1.0"}},
	Payload: json.RawMessage(`{"amount":12,"card":{"number":"4242424242424242"},"client_secret":"canary-secret"}`),
	Raw:     []byte("canary=raw"), ContentType: "application/x-www-form-urlencoded",
}

// TestPayloadIsMasked unless the tenant's policy and the caller both say otherwise.
func TestPayloadIsMasked(t *testing.T) {
	t.Parallel()
	n, e := newSealedNode(t, sensitive)
	for _, policy := range []fsm.PayloadPolicy{fsm.PayloadMetadataOnly, fsm.PayloadRedacted, fsm.PayloadRawDebugWindow} {
		n.apply(fsm.UpdateTenant{Tenant: 1, SetPayloadPolicy: true, PayloadPolicy: policy})
		for _, query := range []string{"", "?raw=false", "?raw=true"} {
			p := n.payload(t, e, query)
			body := n.show(t, e, query).Body.String()
			if policy == fsm.PayloadRawDebugWindow && query == "?raw=true" {
				if p.Masked || string(p.Payload) != string(sensitive.Payload) || string(p.RawBody) != "canary=raw" ||
					p.Headers.Get("X-Api-Key") != "canary-header" {
					t.Errorf("%s%s: %s", policy, query, body)
				}
				continue
			}
			if !p.Masked || strings.Contains(body, "canary") || strings.Contains(body, "4242424242424242") || p.RawBody != nil ||
				p.Headers.Get("User-Agent") != "Stripe/1.0" || !strings.Contains(string(p.Payload), `"amount":12`) {
				t.Errorf("%s%s: %s", policy, query, body)
			}
		}
	}
}

// TestPayloadThatIsNoJSON: what a provider has sent is shown as text then, and the answer stays JSON.
func TestPayloadThatIsNoJSON(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{"nonsense", `{"a":`, "{\"a\":\"\xff\"}"} {
		n, e := newSealedNode(t, webhook.Stored{Payload: json.RawMessage(payload)})
		n.apply(fsm.UpdateTenant{Tenant: 1, SetPayloadPolicy: true, PayloadPolicy: fsm.PayloadRawDebugWindow})
		for _, query := range []string{"", "?raw=true"} {
			if p := n.payload(t, e, query); len(p.Payload) == 0 {
				t.Errorf("%q: %+v", payload, p)
			}
		}
	}
}

// TestPayloadThatCannotBeOpened: all else of the event is shown, and why the payload is not.
func TestPayloadThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	n, e := newSealedNode(t, sensitive)
	if p := n.payload(t, n.events["s2"], ""); p.PayloadError != "the payload cannot be opened; the node's log tells more" {
		t.Errorf("a damaged one: %+v", p)
	}
	var log strings.Builder
	n.s.log = slog.New(slog.NewTextHandler(&log, nil))
	n.payload(t, n.events["s2"], "")
	if !strings.Contains(log.String(), n.events["s2"].ID.String()) || strings.Contains(log.String(), "canary") {
		t.Errorf("the log says %q", log.String())
	}
	with := n.s
	n.s = newTestServer(t, n.fakeNode, nil)
	if p := n.payload(t, e, "?raw=true"); !strings.Contains(p.PayloadError, "does not have the key-encryption key k1 that") {
		t.Errorf("without the key: %+v", p)
	}
	n.s = with
	n.report(e, fsm.Attempt{StatusCode: 200}, fsm.VerdictDelivered)
	n.report(n.events["s2"], fsm.Attempt{StatusCode: 200}, fsm.VerdictDelivered)
	if r := n.apply(fsm.DeleteSource{Tenant: 1, PublicID: "src_s"})[0]; r.Outcome != fsm.OK {
		t.Fatalf("%+v", r)
	}
	if p := n.payload(t, e, ""); !strings.Contains(p.PayloadError, "the event's source was deleted") {
		t.Errorf("without the source: %+v", p)
	}
}

// TestShowOwnEvent shows a warning of the cluster's own, whose payload is no secret.
func TestShowOwnEvent(t *testing.T) {
	t.Parallel()
	n := newEventNode(t)
	n.setPlan(fsm.Plan{Name: "small", MonthlyEvents: 6})
	n.accept(n.Directory().Source(1, "src_s"), "the last", "t")
	l := n.list(t, "?provider=syllecta")
	if len(l.Events) != 1 {
		t.Fatalf("%+v", l)
	}
	w := call(t, n.s, "GET", "/v1/events/"+l.Events[0].EventID, "", asTenant(n.key))
	if want := `"payload":{"meter":"events","month":"2026-11","count":6,"limit":6,"percent":100}}`; !strings.HasSuffix(w.Body.String(), want) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	doc := wantProblem(t, call(t, n.s, "POST", fmt.Sprintf("/v1/events/%s/replay", l.Events[0].EventID), "", asTenant(n.key)), conflict)
	if !strings.Contains(doc, "no destination") {
		t.Error(doc)
	}
}

// withoutID is an answer without what it has of its request alone.
func withoutID(w *httptest.ResponseRecorder) string {
	return strings.Replace(w.Body.String(), w.Header().Get(requestIDHeader), "", 1)
}
