package api

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/api/webhook"
	"github.com/syllecta/syllecta/fsm"
)

// BenchmarkDecodeClaim and BenchmarkClaim bound what the edge itself costs; the state machine's share is in the latter.
func BenchmarkDecodeClaim(b *testing.B) {
	body := []byte(`{"scope":"orders","key":"order-2001","ttlSeconds":60,"owner":"worker-7"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, p := decodeClaim(body, "", testLimits); p != nil {
			b.Fatal(p.detail)
		}
	}
}

func BenchmarkDecodeComplete(b *testing.B) {
	body := []byte(`{"scope":"orders","key":"order-2001","body":{"status":"paid","lines":[1,2,3]},"headers":{"A":"b"}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, p := decodeComplete(body, "", testLimits); p != nil {
			b.Fatal(p.detail)
		}
	}
}

func BenchmarkClaim(b *testing.B) { benchmarkClaim(b, func(*Server) {}) }

// BenchmarkLimitedClaim shows what a limit per API key adds, and BenchmarkClaimAmongFailures what it does when
// credentials of another address have just been refused.
func BenchmarkLimitedClaim(b *testing.B) {
	benchmarkClaim(b, func(s *Server) { limitTo(s, maxRate) })
}

func BenchmarkClaimAmongFailures(b *testing.B) {
	benchmarkClaim(b, func(s *Server) { attempt(b, s, "192.0.2.99:1") })
}

func benchmarkClaim(b *testing.B, prepare func(*Server)) {
	n, key := newFakeNode(b, "n1")
	s := newTestServer(b, n, nil)
	start := time.Now()
	s.now = func() time.Time { return testStart.Add(time.Since(start)) } // the fake node's stands still
	prepare(s)
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("POST", "/v1/record", strings.NewReader(`{"scope":"orders","key":"order-2001"}`))
		r.Header.Set("Authorization", "Bearer "+key)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Body)
		}
	}
}

// BenchmarkBuckets takes tokens of a thousand keys, by all processors at once.
func BenchmarkBuckets(b *testing.B) {
	keys := newBuckets[int]("p", requestWindow)
	now := time.Now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			keys.take(i%1000, maxRate, 1, now)
		}
	})
}

// BenchmarkWebhook receives events of Stripe that are new: the way from the request to the state machine and back.
func BenchmarkWebhook(b *testing.B) {
	g := newGateway(b, nil)
	g.n.apply(fsm.UpdateTenant{Tenant: 1, SetSuspended: true, Suspended: true}) // keeps the state small
	at, pad := g.s.now(), strings.Repeat("x", 1_000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		body := `{"id":"evt_` + strconv.Itoa(i) + `","type":"charge.refunded","created":1700000000,"pad":"` + pad + `"}`
		r := httptest.NewRequest("POST", stripeRoute, strings.NewReader(body))
		r.Header.Set("Stripe-Signature", webhook.SignStripe(testSecret, []byte(body), at))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		g.s.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Body)
		}
	}
}
