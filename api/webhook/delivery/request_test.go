package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/api/webhook"
	"github.com/syllecta/syllecta/fsm"
)

var noon = time.UnixMilli(noon2026)

func newOrder() order {
	return order{
		tenant: &fsm.Tenant{ID: tenantID, PublicID: "ten_1"},
		source: &fsm.Source{ID: 1, Tenant: tenantID, PublicID: "src_1", Provider: "stripe", Name: "default", CallbackURL: "https://example.com/hooks"},
		event: &fsm.Event{
			ID: fsm.EventID{Seq: 7, Nonce: 99}, Tenant: tenantID, Source: 1, Provider: "stripe", SourceName: "default",
			ProviderID: "evt_1NG8Du2eZvKYlo2CUI79vXWy", RawType: "charge.dispute.updated", Type: "chargeback.under_review",
			OccurredAtMs: noon2026 - 1_500, ReceivedAtMs: noon2026, Status: fsm.EventQueued, Form: fsm.PayloadWhole,
		},
	}
}

func request(t *testing.T, o order, stored webhook.Stored) (*http.Request, string) {
	t.Helper()
	key, err := signingKey([]byte(signingSecret))
	if err != nil {
		t.Fatal(err)
	}
	r, err := o.request(context.Background(), letter{stored: stored, signing: [][]byte{key}}, noon, "Syllecta-Webhooks/1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if r.ContentLength != int64(len(body)) {
		t.Errorf("content length %d of %d bytes", r.ContentLength, len(body))
	}
	return r, string(body)
}

func TestNormalisedJSON(t *testing.T) {
	t.Parallel()
	stored := webhook.Stored{
		Headers: http.Header{"Stripe-Signature": {"t=1,v1=aa"}, "X-Twice": {"a", "b"}},
		Payload: json.RawMessage(`{"b":1.10,"a":"<&>","n":12345678901234567890}`),
	}
	const begins = `{"id":"evt_1NG8Du2eZvKYlo2CUI79vXWy","provider":"stripe","providerRawType":"charge.dispute.updated",` +
		`"type":"chargeback.under_review","tenantId":"ten_1","occurredAt":"2026-11-23T11:59:58.500Z",` +
		`"receivedAt":"2026-11-23T12:00:00.000Z",`
	const payload = `"payload":{"b":1.10,"a":"<&>","n":12345678901234567890},"headers":{"stripe-signature":"t=1,v1=aa","x-twice":"a, b"},`
	const ends = `"eventId":"evt_000000000000e00000000000cc","source":"default"`
	for name, c := range map[string]struct {
		change func(*order)
		want   string
	}{
		"event":     {func(*order) {}, begins + payload + ends + `}`},
		"synthetic": {func(o *order) { o.event.Synthetic = true }, begins + payload + ends + `,"synthetic":true}`},
		"without a time": {
			func(o *order) { o.event.OccurredAtMs = 0 },
			strings.Replace(begins, "11:59:58.500Z", "12:00:00.000Z", 1) + payload + ends + `}`,
		},
		"raw that was not kept": {func(o *order) { o.source.Raw = true }, begins + payload + ends + `}`},
	} {
		o := newOrder()
		c.change(&o)
		r, body := request(t, o, stored)
		if want := c.want; body != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, body, want)
		}
		if r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Stripe-Signature") != "" {
			t.Errorf("%s: header %v", name, r.Header)
		}
	}
}

func TestOwnEvents(t *testing.T) {
	t.Parallel()
	o := newOrder()
	o.source.Raw = true
	o.event.Provider, o.event.RawType, o.event.Type = fsm.OwnProvider, "usage.warning", "usage.warning"
	o.event.Form, o.event.Detail = fsm.PayloadNone, `{"percent":80}`
	_, body := request(t, o, webhook.Stored{})
	if !strings.Contains(body, `"payload":{"percent":80},"headers":{},`) {
		t.Error(body)
	}
}

func TestRawDelivery(t *testing.T) {
	t.Parallel()
	o := newOrder()
	o.source.Raw = true
	o.event.Attempts, o.event.Replay = 3, "nonce-1"
	raw := []byte("payload=%7B%7D\r\n")
	r, body := request(t, o, webhook.Stored{
		Payload: json.RawMessage(`{}`), Raw: raw, ContentType: "application/x-www-form-urlencoded",
		Headers: http.Header{
			"Stripe-Signature": {"t=1,v1=aa"}, "X-Twice": {"a", "b"}, "User-Agent": {"Stripe/1.0"}, "Webhook-Id": {"msg_theirs"},
			"Content-Type": {"application/x-www-form-urlencoded"}, "X-Syllecta-Signature": {"t=1,v1=bb"},
			"Idempotency-Key": {"theirs"},
			"Host":            {"inner"}, "Authorization": {"Bearer secret"}, "Cookie": {"a=b"}, "Content-Length": {"5"},
			"Transfer-Encoding": {"chunked"}, "Connection": {"keep-alive, X-Hop"}, "X-Hop": {"1"}, "Keep-Alive": {"1"},
			"Te": {"trailers"}, "Trailer": {"X"}, "Upgrade": {"h2c"}, "Proxy-Authorization": {"Basic x"}, "Expect": {"100-continue"},
			"Syllecta-Event-Id": {"forged"}, "Syllecta-Original-User-Agent": {"forged"},
			"X-Split": {"a\r\nX-Injected: 1"}, "X-Bad Name": {"1"}, "X-Nul": {"\x00"},
		},
	})
	if body != string(raw) {
		t.Errorf("body %q", body)
	}
	want := map[string][]string{
		"Stripe-Signature": {"t=1,v1=aa"}, "X-Twice": {"a", "b"}, "X-Syllecta-Signature": {"t=1,v1=bb"},
		"Content-Type": {"application/x-www-form-urlencoded"}, "User-Agent": {"Syllecta-Webhooks/1.2.3"},
		"Syllecta-Original-User-Agent": {"Stripe/1.0"}, "Syllecta-Original-Webhook-Id": {"msg_theirs"},
		"Syllecta-Original-Idempotency-Key": {"theirs"},
		"Idempotency-Key":                   {"stripe:default:evt_1NG8Du2eZvKYlo2CUI79vXWy"},
		"Webhook-Id":                        {"evt_000000000000e00000000000cc"}, "Webhook-Timestamp": {"1795435200"},
		"Webhook-Signature": {r.Header.Get("Webhook-Signature")},
		"Syllecta-Provider": {"stripe"}, "Syllecta-Event-Id": {"evt_1NG8Du2eZvKYlo2CUI79vXWy"}, "Syllecta-Attempt": {"4"},
		"Syllecta-Replay": {"nonce-1"},
	}
	for name, values := range want {
		if strings.Join(r.Header[name], "|") != strings.Join(values, "|") {
			t.Errorf("%s is %q, want %q", name, r.Header[name], values)
		}
	}
	for name := range r.Header {
		if want[name] == nil {
			t.Errorf("%s is passed on: %q", name, r.Header[name])
		}
	}
	if r.Host != "example.com" {
		t.Errorf("host %q", r.Host)
	}
}

// TestSignature has the adapter of Standard Webhooks verify what we send, and compares with the vector that the standard
// publishes.
func TestSignature(t *testing.T) {
	t.Parallel()
	key, err := signingKey([]byte(signingSecret))
	if err != nil {
		t.Fatal(err)
	}
	const vector = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	if s := signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, []byte(`{"test": 2432232314}`)); s != vector {
		t.Errorf("signature %s, want %s", s, vector)
	}
	r, body := request(t, newOrder(), webhook.Stored{Payload: json.RawMessage(`{"a":1}`)})
	source := webhook.Source{Provider: "standard-webhooks", Secrets: []string{signingSecret}}
	received := webhook.Request{
		Method: r.Method, URL: r.URL.String(), Header: r.Header, Body: []byte(body), ReceivedAt: noon.Add(time.Second),
	}
	receipt, err := webhook.Accept(source, received)
	if err != nil {
		t.Fatal(err)
	}
	if len(receipt.Events) != 1 || receipt.Events[0].ID != newOrder().event.ID.String() {
		t.Errorf("received %+v", receipt)
	}
	received.Body = bytes.Replace(received.Body, []byte("1"), []byte("2"), 1)
	if _, err := webhook.Accept(source, received); err == nil {
		t.Error("a changed body is verified")
	}
}

func TestSigningSecrets(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "whsec_", "whsec_!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"} {
		if _, err := signingKey([]byte(bad)); err == nil {
			t.Errorf("%q is a key", bad)
		}
	}
}

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"evt_1":                     "stripe:default:evt_1",
		"a b":                       "stripe:default:a%20b",
		"100%":                      "stripe:default:100%25",
		"ü\r\n":                     "stripe:default:%C3%BC%0D%0A",
		strings.Repeat("x", 512):    "stripe:default:" + strings.Repeat("x", 512),
		"urn:uuid:1/2?3#4[5]~'(\")": "stripe:default:urn:uuid:1/2?3#4[5]~'(\")",
	} {
		if got := idempotencyKey(&fsm.Event{Provider: "stripe", SourceName: "default", ProviderID: id}); got != want {
			t.Errorf("%q: %q, want %q", id, got, want)
		}
	}
	long := strings.Repeat("ü", 256)
	a := idempotencyKey(&fsm.Event{Provider: "stripe", SourceName: "default", ProviderID: long})
	b := idempotencyKey(&fsm.Event{Provider: "stripe", SourceName: "default", ProviderID: long[:510] + "ö"})
	if a == b || len(a) != maxHeaderTextBytes || len(b) != maxHeaderTextBytes {
		t.Errorf("long ids: %d bytes %q and %d bytes %q", len(a), a, len(b), b)
	}
}

func TestPassedHeadersAreBounded(t *testing.T) {
	t.Parallel()
	many, long := make(http.Header), make(http.Header)
	for i := range 500 {
		name := "X-" + strings.Repeat("a", i%50+1) + string(rune('a'+i%26))
		many[name] = append(many[name], "v")
		long[name] = append(long[name], strings.Repeat("v", 4_000))
	}
	if n := len(passedOn(many)); n > maxPassedHeaders {
		t.Errorf("%d headers", n)
	}
	size := 0
	for name, values := range passedOn(long) {
		for _, v := range values {
			size += len(name) + len(v)
		}
	}
	if size == 0 || size > maxPassedHeaderBytes {
		t.Errorf("%d bytes of headers", size)
	}
}

// FuzzPassedHeaders looks for a header that a provider could smuggle into a delivery.
func FuzzPassedHeaders(f *testing.F) {
	for _, seed := range [][2]string{
		{"X-A", "b"}, {"host", "x"}, {"HOST", "x"}, {"Connection", "x"}, {"syllecta-attempt", "9"}, {"X\r\nY", "z"},
		{"X", "a\nb"}, {"X ", "a"}, {"", "a"}, {"content-length", "3"}, {"Tₑ", "x"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		o := newOrder()
		h := o.headers(http.Header{name: {value}}, nil, jsonContentType, nil, noon, "agent")
		var wire bytes.Buffer
		if err := h.Write(&wire); err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(wire.String(), "\n"); lines > 9 {
			t.Errorf("%d lines:\n%s", lines, wire.String())
		}
		for _, forbidden := range []string{"Host", "Authorization", "Cookie", "Content-Length", "Transfer-Encoding", "Connection"} {
			if h.Get(forbidden) != "" {
				t.Errorf("%s is %q", forbidden, h.Get(forbidden))
			}
		}
		if h.Get("Syllecta-Attempt") != "1" || h.Get("Webhook-Id") != o.event.ID.String() {
			t.Errorf("a header of ours was changed: %v", h)
		}
	})
}
