package api

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/syllecta/syllecta/cluster"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	reg := prometheus.NewRegistry()
	s := newTestServer(t, n, func(c *Config) { c.Metrics = reg })
	for range 2 {
		call(t, s, "POST", "/v1/record", `{"scope":"s","key":"k"}`, asTenant(key))
	}
	call(t, s, "GET", "/v1/record?scope=s&key=k", "", asTenant(key))
	call(t, s, "GET", "/v1/admin/tenants/a-tenant", "", asAdmin)
	call(t, s, "BREW", "/.env", "")
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	want := `
# HELP syllecta_http_requests_total Requests answered, by route and by what the protocol answered or the problem's code.
# TYPE syllecta_http_requests_total counter
syllecta_http_requests_total{code="granted",method="POST",route="/v1/record"} 1
syllecta_http_requests_total{code="in_progress",method="POST",route="/v1/record"} 1
syllecta_http_requests_total{code="locked",method="GET",route="/v1/record"} 1
syllecta_http_requests_total{code="not_found",method="other",route="unmatched"} 1
syllecta_http_requests_total{code="unknown_tenant",method="GET",route="/v1/admin/tenants/:tenant"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "syllecta_http_requests_total"); err != nil {
		t.Error(err)
	}
	if got := testutil.ToFloat64(s.metrics.inFlight); got != 0 {
		t.Errorf("%g requests in flight", got)
	}
	w := call(t, s, "GET", "/metrics", "")
	counted := `syllecta_http_request_seconds_count{route="/v1/record"} 3`
	for _, text := range []string{"syllecta_http_in_flight 1", counted} {
		if w.Code != 200 || !strings.Contains(w.Body.String(), text) {
			t.Errorf("%d without %q", w.Code, text)
		}
	}
}

func TestFailuresAreLoggedWithoutSecrets(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	var out bytes.Buffer
	s := newTestServer(t, n, func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	body := `{"scope":"a-secret-scope","key":"k"}`
	call(t, s, "POST", "/v1/record?a=secret-query&ticket=secret-ticket", body, asTenant(key))
	if out.Len() != 0 {
		t.Errorf("a success is logged: %s", out.String())
	}
	n.failure = []error{errors.New("the disk is gone")}
	w := call(t, s, "POST", "/v1/record?a=secret-query&ticket=secret-ticket", body, asTenant(key))
	wantProblem(t, w, internalError)
	line := out.String()
	if strings.Count(line, "\n") != 1 || !strings.Contains(line, "level=WARN") ||
		!strings.Contains(line, "the disk is gone") ||
		!strings.Contains(line, w.Header().Get(requestIDHeader)) || !strings.Contains(line, "tenant=ten_1") {
		t.Errorf("log: %s", line)
	}
	out.Reset()
	call(t, s, "POST", "/v1/record?a=secret-query", `{"scope":"a-secret-scope"}`, asTenant(key))
	call(t, s, "GET", "/v1/record?ticket=secret-ticket&scope=a-secret-scope&key=k", "")
	line = out.String()
	if strings.Count(line, "\n") != 2 || strings.Count(line, "level=DEBUG") != 2 {
		t.Errorf("log: %s", line)
	}
	if strings.Contains(line, "secret") || strings.Contains(line, key) {
		t.Errorf("the log holds secrets: %s", line)
	}
}

func TestCallerThatHangsUp(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	n.block = true
	var out bytes.Buffer
	s := newTestServer(t, n, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&out, nil)) })
	ctx, hangUp := context.WithCancel(context.Background())
	hangUp()
	r := httptest.NewRequestWithContext(ctx, "POST", "/v1/record", strings.NewReader(`{"scope":"s","key":"k"}`))
	r.Header.Set("Authorization", "Bearer "+key)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	wantProblem(t, w, outcomeUnknown)
	gone := s.metrics.requests.WithLabelValues("/v1/record", "POST", outcomeCallerGone)
	if got := testutil.ToFloat64(gone); got != 1 || out.Len() != 0 {
		t.Errorf("counted %g times, log %s", got, out.String())
	}
}

func TestPanics(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	var out bytes.Buffer
	s := newTestServer(t, n, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&out, nil)) })
	s.attach(panicNode{n})
	w := call(t, s, "POST", "/v1/record", `{"scope":"s","key":"k"}`, asTenant(key))
	wantProblem(t, w, internalError)
	if log := out.String(); strings.Count(log, "panicNode") < 1 || strings.Count(log, "level=ERROR") != 1 {
		t.Errorf("log: %s", log)
	}
	func() {
		defer func() {
			if v := recover(); v != http.ErrAbortHandler {
				t.Errorf("an answer that had begun ended with %v", v)
			}
		}()
		x := &exchange{ResponseWriter: discard{}, s: s, route: s.unmatched, status: 200, out: getBuffer()}
		answerPanic(x, nil, "boom")
	}()
	if got := testutil.ToFloat64(s.metrics.inFlight); got != 0 {
		t.Errorf("%g requests in flight", got)
	}
}

// panicNode panics in the middle of a request.
type panicNode struct{ *fakeNode }

func (panicNode) IsLeader() bool { panic("panicNode") }

type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

func TestHealth(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, nil, nil)
	wantBody(t, call(t, s, "GET", "/livez", ""), 200, "ok\n")
	wantBody(t, call(t, s, "GET", "/healthz", ""), 200, "ok\n")
	wantBody(t, call(t, s, "GET", "/readyz", ""), 503, "[-]node failed: starting\n")
	n, _ := newFakeNode(t, "n1")
	n.checks = []cluster.Check{{Name: "leader", OK: true}, {Name: "applied", OK: true, Detail: "index 5"}}
	s.attach(n)
	wantBody(t, call(t, s, "GET", "/readyz", ""), 200, "[+]leader ok\n[+]applied ok\n")
	n.checks[1] = cluster.Check{Name: "applied", Detail: "12 entries behind"}
	wantBody(t, call(t, s, "GET", "/readyz", ""), 503, "[+]leader ok\n[-]applied failed: 12 entries behind\n")
	n.checks = nil
	s.Drain()
	s.Drain()
	wantBody(t, call(t, s, "GET", "/readyz", ""), 503, "[-]serving failed: shutting down\n")
	wantBody(t, call(t, s, "GET", "/livez", ""), 200, "ok\n")
}
