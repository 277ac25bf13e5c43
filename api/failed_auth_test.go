package api

import (
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

const failedAuthBurst = DefaultFailedAuthPerSecond * failedAuthWindow

// attempt reads a record from that address.
func attempt(t testing.TB, s *Server, remote string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	return from(t, s, remote, "GET", "/v1/record?scope=s&key=k", "", headers...)
}

// exhaust takes all tokens for refused credentials from an address.
func exhaust(t testing.TB, s *Server, remote string) {
	t.Helper()
	for range failedAuthBurst {
		wantProblem(t, attempt(t, s, remote), invalidAPIKey)
	}
}

func TestFailedAuthIsThrottledBeforeHashing(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	unknown, _ := NewAPIKey(strings.NewReader(strings.Repeat("abcdefghij", 100)))
	s := newTestServer(t, n, nil)
	hashed := countHashes(s)
	const remote = "192.0.2.1:1000"
	for i := range failedAuthBurst {
		headers := [][]string{nil, {asTenant(unknown)}, {"Authorization: Basic x"}, {asTenant("ck_x")}}[i%4]
		wantProblem(t, attempt(t, s, remote, headers...), invalidAPIKey)
	}
	if got := hashed.Load(); got != failedAuthBurst {
		t.Fatalf("%d keys were hashed, want %d: each refusal costs the same", got, failedAuthBurst)
	}
	answers := map[string]bool{}
	for _, headers := range [][]string{
		nil, {asTenant(unknown)}, {"Authorization: Basic x"}, {asTenant(key)}, {asAdmin}, {asTenant(key), asTenant(key)},
		{"X-Forwarded-For: 192.0.2.9"}, {hopsHeader + ": 1", requestIDHeader + ": x"},
	} {
		w := attempt(t, s, remote, headers...)
		wantQuota(t, w, `"failed-auth";q=50;w=5`, `"failed-auth";r=0;t=1`)
		if w.Header().Get("Retry-After") != "1" || w.Header().Get("Www-Authenticate") != "" {
			t.Errorf("headers %v", w.Header())
		}
		id := w.Header().Get(requestIDHeader)
		answers[strings.Replace(wantProblem(t, w, rateLimited), id, "", 1)] = true
	}
	if len(answers) != 1 {
		t.Errorf("the answers tell what was presented: %v", answers)
	}
	wantProblem(t, from(t, s, remote, "GET", "/v1/admin/status", "", asAdmin), rateLimited)
	if got := hashed.Load(); got != failedAuthBurst || limitedBy(s, limitedFailedAuth) != 9 {
		t.Errorf("%d keys were hashed, %g refusals counted", got, limitedBy(s, limitedFailedAuth))
	}
	n.advance(99 * time.Millisecond)
	wantProblem(t, attempt(t, s, remote), rateLimited)
	n.advance(time.Millisecond)
	wantProblem(t, attempt(t, s, remote), invalidAPIKey)
	wantProblem(t, attempt(t, s, remote), rateLimited)
	n.advance(100 * time.Millisecond)
	for range 3 {
		if w := attempt(t, s, remote, asTenant(key)); w.Code != 200 {
			t.Fatalf("a good key takes tokens: %d %s", w.Code, w.Body)
		}
	}
	wantProblem(t, attempt(t, s, remote), invalidAPIKey)
	wantProblem(t, attempt(t, s, remote), rateLimited)
}

func TestFailedAuthBySource(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	for _, c := range []struct{ exhausted, same, other string }{
		{"192.0.2.1:1", "192.0.2.1:65535", "192.0.2.2:1"},
		{"[::ffff:192.0.2.3]:1", "192.0.2.3:1", "[::ffff:192.0.2.4]:1"},
		{"[2001:db8::1]:1", "[2001:db8::ffff:ffff:ffff:ffff]:1", "[2001:db8:0:1::1]:1"},
		{"@", "not an address", "192.0.2.5:1"},
	} {
		exhaust(t, s, c.exhausted)
		wantProblem(t, attempt(t, s, c.same), rateLimited)
		wantProblem(t, attempt(t, s, c.other), invalidAPIKey)
	}
}

// TestFamiliarSecretsPass: callers that this node knows are not shut out by others of the same address.
func TestFamiliarSecretsPass(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	revoked := newKey(n, "key_2", "abcdefghij")
	s := newTestServer(t, n, nil)
	const remote = "192.0.2.1:1000"
	for _, credentials := range []string{asTenant(key), asTenant(revoked)} {
		if w := attempt(t, s, "192.0.2.2:1", credentials); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if w := from(t, s, "192.0.2.2:1", "GET", "/v1/admin/status", "", asAdmin); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	n.apply(fsm.RevokeKey{Tenant: 1, PublicID: "key_2"})
	exhaust(t, s, remote)
	for range 2 * failedAuthBurst {
		if w := attempt(t, s, remote, asTenant(key)); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if w := from(t, s, remote, "GET", "/v1/admin/status", "", asAdmin); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	missing, known := attempt(t, s, remote), attempt(t, s, remote, asTenant(revoked))
	if a, b := withoutID(missing), withoutID(known); a != b {
		t.Errorf("a key that was good once is told apart:\n%s\n%s", a, b)
	}
	wantProblem(t, known, rateLimited)
	wantProblem(t, from(t, s, remote, "GET", "/v1/admin/status", "", asTenant(key)), rateLimited)
}

func withoutID(w *httptest.ResponseRecorder) string {
	return strings.Replace(w.Body.String(), w.Header().Get(requestIDHeader), "", 1)
}

// TestTicketsAreThrottledApart: wrong keys do not keep tickets out, nor wrong tickets keys, and a body is not read for a
// ticket that is not looked at.
func TestTicketsAreThrottledApart(t *testing.T) {
	t.Parallel()
	p := newPair(t, FollowersRedirect)
	const remote = "192.0.2.1:1000"
	body := `{"scope":"s","key":"k"}`
	location := p.redirected(t, "POST", "/v1/record", body, asTenant(p.key))
	exhaust(t, p.leaderAPI, remote)
	if w := from(t, p.leaderAPI, remote, "POST", location, body); w.Code != 200 {
		t.Errorf("a good ticket: %d %s", w.Code, w.Body)
	}
	const other = "192.0.2.2:1000"
	for range failedAuthBurst {
		wantProblem(t, from(t, p.leaderAPI, other, "POST", location+"x", body), invalidAPIKey)
	}
	r := httptest.NewRequest("POST", location+"x", unreadable{t})
	r.RemoteAddr = other
	w := httptest.NewRecorder()
	p.leaderAPI.ServeHTTP(w, r)
	wantProblem(t, w, rateLimited)
	wantProblem(t, from(t, p.leaderAPI, other, "POST", location, body), rateLimited)
	if w := attempt(t, p.leaderAPI, other, asTenant(p.key)); w.Code != 200 {
		t.Errorf("a good key: %d %s", w.Code, w.Body)
	}
	p.leader.advance(100 * time.Millisecond)
	for range 3 {
		if w := from(t, p.leaderAPI, other, "POST", location, body); w.Code != 200 {
			t.Errorf("a good ticket takes tokens: %d %s", w.Code, w.Body)
		}
	}
}

// unreadable is a body that must not be read.
type unreadable struct{ t testing.TB }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

// TestForwardingIsNotAFailedAuth: a node may pass on any number of requests, and the source of one with a wrong key is
// throttled at the node that was asked.
func TestForwardingIsNotAFailedAuth(t *testing.T) {
	t.Parallel()
	p := newPair(t, FollowersForward)
	for i := range 2 * failedAuthBurst {
		if w := from(t, p.followerAPI, "192.0.2.1:1", "POST", "/v1/record", claimOf(i), asTenant(p.key)); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	exhaust(t, p.followerAPI, "192.0.2.2:1")
	wantProblem(t, attempt(t, p.followerAPI, "192.0.2.2:1"), rateLimited)
	wantProblem(t, attempt(t, p.followerAPI, "192.0.2.3:1"), invalidAPIKey)
	if len(p.leaderAPI.failedKeys.sources.byKey)+len(p.leaderAPI.failedTickets.sources.byKey) != 0 {
		t.Error("the leader has counted what it did not see")
	}
	// Tickets under a key of the leader's earlier life: whoever asked has done nothing wrong.
	p.peer.TicketKey = []byte("old")
	for range failedAuthBurst + 5 {
		wantProblem(t, from(t, p.followerAPI, "192.0.2.1:1", "POST", "/v1/record", claimOf(1), asTenant(p.key)), noLeader)
	}
	p.peer.TicketKey = p.leader.ticket
	p.leader.advance(100 * time.Millisecond)
	for range 3 {
		if w := from(t, p.followerAPI, "192.0.2.1:1", "POST", "/v1/record", claimOf(1), asTenant(p.key)); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

// TestFollowerDoesNotAskForAThrottledSource: an unknown key costs the leader a question, too.
func TestFollowerDoesNotAskForAThrottledSource(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n2")
	n.follow(&cluster.Peer{ID: "n1", HTTPURL: "http://n1", TicketKey: []byte("k")})
	s := newTestServer(t, n, nil)
	exhaust(t, s, "192.0.2.1:1")
	unknown, _ := NewAPIKey(strings.NewReader(strings.Repeat("abcdefghij", 100)))
	wantProblem(t, attempt(t, s, "192.0.2.1:1", asTenant(unknown)), rateLimited)
	if n.asked != 0 {
		t.Errorf("the leader was asked %d times", n.asked)
	}
}

func TestFailedAuthOff(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, func(c *Config) { c.FailedAuthPerSecond = NoLimit })
	for range 10 * failedAuthBurst {
		wantProblem(t, attempt(t, s, "192.0.2.1:1"), invalidAPIKey)
		wantProblem(t, attempt(t, s, "192.0.2.1:1", "X: y"), invalidAPIKey)
	}
	wantProblem(t, from(t, s, "192.0.2.1:1", "POST", "/v1/record?ticket=x", claimOf(1)), invalidAPIKey)
	attempt(t, s, "192.0.2.1:1", asTenant(key))
	if len(s.failedKeys.sources.byKey)+len(s.failedTickets.sources.byKey) != 0 || s.familiar.has(key) {
		t.Error("a limit that is off keeps accounts")
	}
}

// TestQuietOnceNothingFails: when no source can be without tokens, no request looks.
func TestQuietOnceNothingFails(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	if !s.failedKeys.quiet(s.now) {
		t.Error("looks before anything failed")
	}
	wantProblem(t, attempt(t, s, "192.0.2.1:1"), invalidAPIKey)
	n.advance(failedAuthWindow*time.Second - time.Millisecond)
	if s.failedKeys.quiet(s.now) {
		t.Error("does not look while a bucket may be empty")
	}
	n.advance(time.Millisecond)
	if !s.failedKeys.quiet(s.now) || s.failedKeys.until.Load() != 0 {
		t.Error("looks for longer than it takes to fill a bucket")
	}
}

// TestManySources: a flood of sources takes no more memory than the bound, and does not free one that goes on.
func TestManySources(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	s.failedKeys.sources.most = 100
	exhaust(t, s, "192.0.2.1:1")
	for i := range 1000 {
		wantProblem(t, attempt(t, s, fmt.Sprintf("[2001:db8:%x::1]:1", i)), invalidAPIKey)
		if i%50 == 0 {
			wantProblem(t, attempt(t, s, "192.0.2.1:1"), rateLimited)
		}
	}
	if got := len(s.failedKeys.sources.byKey); got != 100 {
		t.Errorf("%d buckets", got)
	}
}
