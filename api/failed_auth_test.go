package api

import (
	"fmt"
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

func TestFailedAuthIsThrottled(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	unknown, _ := NewAPIKey(strings.NewReader(strings.Repeat("abcdefghij", 100)))
	revoked := newKey(n, "key_2", "ABCDEFGHIJ")
	n.apply(fsm.RevokeKey{Tenant: 1, PublicID: "key_2"})
	s := newTestServer(t, n, nil)
	hashed := countHashes(s)
	const remote = "192.0.2.1:1000"
	for i := range failedAuthBurst {
		headers := [][]string{nil, {asTenant(unknown)}, {"Authorization: Basic x"}, {asTenant("ck_x")}}[i%4]
		wantProblem(t, attempt(t, s, remote, headers...), invalidAPIKey)
	}
	answers := map[string]bool{}
	for _, headers := range [][]string{
		nil, {asTenant(unknown)}, {asTenant(revoked)}, {"Authorization: Basic x"}, {asAdmin}, {asTenant(key), asTenant(key)},
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
	wantProblem(t, from(t, s, remote, "GET", "/v1/admin/status", "", asTenant(key)), rateLimited)
	if got := limitedBy(s, limitedFailedAuth); got != 9 || hashed.Load() != failedAuthBurst+9 {
		t.Errorf("%g refusals counted, %d keys hashed: each is to cost one", got, hashed.Load())
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

// TestGoodCredentialsPassBesideBadOnes: callers are not shut out by others of the same address, whether or not this node has
// met them before.
func TestGoodCredentialsPassBesideBadOnes(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	const remote, bad = "192.0.2.1:1000", 10_000
	unknown, _ := NewAPIKey(strings.NewReader(strings.Repeat("abcdefghij", 100)))
	good := 0
	for i := range bad {
		method := []string{"PUT", "POST"}[i%2]
		want := invalidAPIKey
		if i >= failedAuthBurst {
			want = rateLimited
		}
		wantProblem(t, from(t, s, remote, method, "/v1/record", claimOf(i), asTenant(unknown)), want)
		if i%100 < 2 {
			if w := from(t, s, remote, method, "/v1/record", claimOf(i), asTenant(key)); w.Code != 200 {
				t.Fatalf("%s beside %d bad keys: %d %s", method, i+1, w.Code, w.Body)
			}
			good++
		}
	}
	if good != bad/50 || limitedBy(s, limitedFailedAuth) != bad-failedAuthBurst {
		t.Errorf("%d good requests, %g throttled", good, limitedBy(s, limitedFailedAuth))
	}
	if w := from(t, s, remote, "GET", "/v1/admin/status", "", asAdmin); w.Code != 200 {
		t.Errorf("the admin: %d %s", w.Code, w.Body)
	}
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

// TestTicketsAreThrottled: bad tickets count like bad keys, and neither keeps good ones out.
func TestTicketsAreThrottled(t *testing.T) {
	t.Parallel()
	p := newPair(t, FollowersRedirect)
	body := `{"scope":"s","key":"k"}`
	location := p.redirected(t, "POST", "/v1/record", body, asTenant(p.key))
	for i, remote := range []string{"192.0.2.1:1000", "192.0.2.2:1000"} {
		for range failedAuthBurst {
			if i == 0 {
				wantProblem(t, attempt(t, p.leaderAPI, remote), invalidAPIKey)
			} else {
				wantProblem(t, from(t, p.leaderAPI, remote, "POST", location+"x", body), invalidAPIKey)
			}
		}
		wantProblem(t, attempt(t, p.leaderAPI, remote), rateLimited)
		wantProblem(t, from(t, p.leaderAPI, remote, "POST", location+"x", body), rateLimited)
		for range 3 {
			if w := from(t, p.leaderAPI, remote, "POST", location, body); w.Code != 200 {
				t.Errorf("a good ticket: %d %s", w.Code, w.Body)
			}
			if w := attempt(t, p.leaderAPI, remote, asTenant(p.key)); w.Code != 200 {
				t.Errorf("a good key: %d %s", w.Code, w.Body)
			}
		}
	}
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
	if len(p.leaderAPI.failedAuth.sources.byKey) != 0 {
		t.Error("the leader has counted what it did not see")
	}
	// Tickets under a key of the leader's earlier life: whoever asked has done nothing wrong.
	p.peer.TicketKey = []byte("old")
	for range failedAuthBurst + 5 {
		wantProblem(t, from(t, p.followerAPI, "192.0.2.1:1", "POST", "/v1/record", claimOf(1), asTenant(p.key)), noLeader)
	}
	p.peer.TicketKey = p.leader.ticket
	for range 3 {
		if w := from(t, p.followerAPI, "192.0.2.1:1", "POST", "/v1/record", claimOf(1), asTenant(p.key)); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

// TestFollowerDoesNotAskForAThrottledSource: an unknown key costs the leader a question. A key that was made elsewhere a
// moment ago is found as soon as the source has a token.
func TestFollowerDoesNotAskForAThrottledSource(t *testing.T) {
	t.Parallel()
	n, known := newFakeNode(t, "n2")
	ahead, _ := newFakeNode(t, "n1")
	made := newKey(ahead, "key_2", "abcdefghij")
	n.follow(&cluster.Peer{ID: "n1", HTTPURL: "http://n1", TicketKey: []byte("k")})
	n.catchUp = ahead.machine
	s := newTestServer(t, n, nil)
	const remote = "192.0.2.1:1"
	stale := func(key string) *httptest.ResponseRecorder {
		return from(t, s, remote, "GET", "/v1/record?scope=s&key=k&consistency=stale", "", asTenant(key))
	}
	exhaust(t, s, remote)
	wantProblem(t, stale(made), rateLimited)
	if w := stale(known); w.Code != 200 || n.asked != 0 {
		t.Errorf("a key of this node: %d %s, and the leader was asked %d times", w.Code, w.Body, n.asked)
	}
	n.advance(100 * time.Millisecond)
	if w := stale(made); w.Code != 200 || n.asked != 1 {
		t.Errorf("a key that was just made: %d %s, and the leader was asked %d times", w.Code, w.Body, n.asked)
	}
	wantProblem(t, attempt(t, s, remote), invalidAPIKey)
	wantProblem(t, attempt(t, s, remote), rateLimited)
	if w := stale(made); w.Code != 200 || n.asked != 1 {
		t.Errorf("once it is known here: %d %s, and the leader was asked %d times", w.Code, w.Body, n.asked)
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
	if len(s.failedAuth.sources.byKey) != 0 {
		t.Error("a limit that is off keeps accounts")
	}
}

// TestQuietOnceNothingFails: when no source can be without tokens, no request looks.
func TestQuietOnceNothingFails(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	if !s.failedAuth.quiet(s.now) {
		t.Error("looks before anything failed")
	}
	wantProblem(t, attempt(t, s, "192.0.2.1:1"), invalidAPIKey)
	n.advance(failedAuthWindow*time.Second - time.Millisecond)
	if s.failedAuth.quiet(s.now) {
		t.Error("does not look while a bucket may be empty")
	}
	n.advance(time.Millisecond)
	if !s.failedAuth.quiet(s.now) || s.failedAuth.until.Load() != 0 {
		t.Error("looks for longer than it takes to fill a bucket")
	}
}

// TestManySources: a flood of sources takes no more memory than the bound, and does not free one that goes on.
func TestManySources(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	s.failedAuth.sources.most = 100
	exhaust(t, s, "192.0.2.1:1")
	for i := range 1000 {
		wantProblem(t, attempt(t, s, fmt.Sprintf("[2001:db8:%x::1]:1", i)), invalidAPIKey)
		if i%50 == 0 {
			wantProblem(t, attempt(t, s, "192.0.2.1:1"), rateLimited)
		}
	}
	if got := len(s.failedAuth.sources.byKey); got != 100 {
		t.Errorf("%d buckets", got)
	}
}
