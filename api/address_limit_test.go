package api

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// from makes a request from that address.
func from(t testing.TB, s *Server, remote, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.RemoteAddr = remote
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestRequestsPerAddress(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, func(c *Config) { c.RequestsPerAddress = 2 })
	get := func(remote string, headers ...string) *httptest.ResponseRecorder {
		return from(t, s, remote, "GET", "/v1/record?scope=s&key=k", "", append(headers, asTenant(key))...)
	}
	for i := range 4 {
		if w := get(fmt.Sprintf("[2001:db8::%d]:1", i)); w.Code != 200 {
			t.Fatalf("request %d: %d %s", i, w.Code, w.Body)
		}
	}
	w := get("[2001:db8::99]:1")
	wantQuota(t, w, `"address";q=4;w=2`, `"address";r=0;t=1`)
	if w.Header().Get("Retry-After") != "1" {
		t.Errorf("headers %v", w.Header())
	}
	if doc := wantProblem(t, w, rateLimited); !strings.HasSuffix(doc, `"retryAfterMs":500,"limit":2}`) {
		t.Error(doc)
	}
	wantProblem(t, get("[2001:db8::99]:1", "X-Forwarded-For: 192.0.2.7", "Forwarded: for=192.0.2.7"), rateLimited)
	for _, other := range []string{"[2001:db8:0:1::1]:1", "192.0.2.1:1", "@"} {
		if w := get(other); w.Code != 200 {
			t.Errorf("%s: %d %s", other, w.Code, w.Body)
		}
	}
	for _, rt := range s.routes() {
		path := strings.NewReplacer(":tenant", testTenant, ":key", "key_9", ":node", "n9").Replace(rt.path)
		w := from(t, s, "[2001:db8::1]:1", rt.method, path, "{}", asTenant(key))
		if (w.Code == 429) != (rt.role != rolePublic) {
			t.Errorf("%s %s: %d %s", rt.method, rt.path, w.Code, w.Body)
		}
	}
	n.advance(500 * time.Millisecond)
	if w := get("[2001:db8::1]:1"); w.Code != 200 {
		t.Errorf("after the pause: %d %s", w.Code, w.Body)
	}
	if got := limitedBy(s, limitedAddress); got < 20 {
		t.Errorf("%g are counted", got)
	}
}

// TestForwardedRequestsAreNotOfTheirNode: the node that was asked counts the source, and the leader does not count the
// node; nobody else is believed who says so.
func TestForwardedRequestsAreNotOfTheirNode(t *testing.T) {
	t.Parallel()
	p := newPair(t, FollowersForward)
	p.leaderAPI.cfg.RequestsPerAddress, p.followerAPI.cfg.RequestsPerAddress = 1, 1
	for i := range 10 {
		remote := fmt.Sprintf("192.0.2.%d:1", i)
		if w := from(t, p.followerAPI, remote, "POST", "/v1/record", claimOf(i), asTenant(p.key)); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if len(p.leaderAPI.perAddress.byKey) != 0 || len(p.followerAPI.perAddress.byKey) != 10 {
		t.Errorf("the leader counted %d sources, the follower %d",
			len(p.leaderAPI.perAddress.byKey), len(p.followerAPI.perAddress.byKey))
	}
	id := strings.Repeat("ab", 16)
	says := []string{hopsHeader + ": 1", requestIDHeader + ": " + id}
	for range 2 {
		wantProblem(t, from(t, p.leaderAPI, "192.0.2.7:1", "POST", "/v1/record?ticket=x", claimOf(1), says...), invalidAPIKey)
	}
	wantProblem(t, from(t, p.leaderAPI, "192.0.2.7:1", "POST", "/v1/record?ticket=x", claimOf(1), says...), rateLimited)
	hashed := countHashes(p.leaderAPI)
	for _, target := range []string{"/v1/record?scope=s&key=k", "/v1/record?scope=s&key=k&ticket=x"} {
		wantProblem(t, from(t, p.leaderAPI, "192.0.2.7:1", "GET", target, "", append(says, asTenant(p.key))...), rateLimited)
	}
	if got := hashed.Load(); got != 0 {
		t.Errorf("%d keys were hashed of an address that is over its limit", got)
	}
	proven := forwardTarget(p.leaderAPI, p.leader, id, claimOf(1))
	if w := from(t, p.leaderAPI, "192.0.2.7:1", "POST", proven, claimOf(1), says...); w.Code != 200 {
		t.Errorf("a node from the same address: %d %s", w.Code, w.Body)
	}
}
