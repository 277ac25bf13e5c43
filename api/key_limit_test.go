package api

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

// limitTo gives every API key of a server's tenants that many claims per second.
func limitTo(s *Server, perSecond int) {
	s.requestRate = func(*fsm.Tenant) int { return perSecond }
}

// claimOf is the body of a claim of a key of its own.
func claimOf(i int) string { return fmt.Sprintf(`{"scope":"s","key":"%d"}`, i) }

// batched counts the claims of all batches, so that each is of a key of its own.
var batched atomic.Int64

// batchOf is the body of a batch of that many claims.
func batchOf(n int) string {
	claims := make([]string, n)
	for i := range claims {
		claims[i] = fmt.Sprintf(`{"scope":"batch","key":"%d"}`, batched.Add(1))
	}
	return `{"records":[` + strings.Join(claims, ",") + `]}`
}

// wantQuota checks the fields that tell what is left; "" is for none.
func wantQuota(t testing.TB, w *httptest.ResponseRecorder, policy, left string) {
	t.Helper()
	got := [...]string{fieldOf(w, rateLimitPolicyHeader), fieldOf(w, rateLimitHeader)}
	if want := [...]string{policy, left}; got != want {
		t.Errorf("quota fields %q, want %q", got, want)
	}
}

// fieldOf is the header field of that name, which net/http spells in its own way when a node passes it on.
func fieldOf(w *httptest.ResponseRecorder, name string) string {
	var all []string
	for spelled, values := range w.Header() {
		if strings.EqualFold(spelled, name) {
			all = append(all, values...)
		}
	}
	return strings.Join(all, "\n")
}

func limitedBy(s *Server, reason limitReason) float64 {
	return testutil.ToFloat64(s.metrics.limited.WithLabelValues(string(reason)))
}

func TestClaimsAreLimitedByKey(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	limitTo(s, 2)
	claim := func(i int) *httptest.ResponseRecorder {
		return call(t, s, "POST", "/v1/record", claimOf(i), asTenant(key))
	}
	for i := range 4 {
		w := claim(i)
		if w.Code != 200 {
			t.Fatalf("claim %d: %d %s", i, w.Code, w.Body)
		}
		wantQuota(t, w, `"requests";q=4;w=2`, fmt.Sprintf(`"requests";r=%d;t=%d`, 3-i, 1+i/2))
	}
	w := claim(4)
	wantQuota(t, w, `"requests";q=4;w=2`, `"requests";r=0;t=1`)
	if w.Header().Get("Retry-After") != "1" {
		t.Errorf("headers %v", w.Header())
	}
	doc := wantProblem(t, w, rateLimited)
	if !strings.HasSuffix(doc, `"retryAfterMs":500,"limit":2}`) || !strings.Contains(doc, `"status":429`) {
		t.Error(doc)
	}
	n.advance(499 * time.Millisecond)
	wantProblem(t, claim(4), rateLimited)
	n.advance(time.Millisecond)
	if w := claim(4); w.Code != 200 {
		t.Errorf("after the pause: %d %s", w.Code, w.Body)
	}
	wantProblem(t, claim(5), rateLimited)
	if got := len(n.proposed()); got != 5 {
		t.Errorf("%d claims were decided", got)
	}
	if got := limitedBy(s, limitedKey); got != 3 {
		t.Errorf("%g are counted", got)
	}
}

func TestEachKeyHasItsOwnLimit(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	other := newKey(n, "key_2", "abcdefghij")
	s := newTestServer(t, n, nil)
	limitTo(s, 1)
	for i := range 2 {
		call(t, s, "POST", "/v1/record", claimOf(i), asTenant(key))
	}
	wantProblem(t, call(t, s, "POST", "/v1/record", claimOf(2), asTenant(key)), rateLimited)
	if w := call(t, s, "POST", "/v1/record", claimOf(3), asTenant(other)); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// newKey makes another API key of the tenant of newFakeNode.
func newKey(n *fakeNode, publicID, random string) (secret string) {
	secret, hint := NewAPIKey(strings.NewReader(strings.Repeat(random, 100)))
	n.apply(fsm.CreateKey{Tenant: 1, PublicID: publicID, Hash: HashKey(testKeySecret, secret), Hint: hint})
	return secret
}

func TestBatchCostsItsClaims(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	limitTo(s, 10)
	batch := func(size int) *httptest.ResponseRecorder {
		return call(t, s, "POST", "/v1/records", batchOf(size), asTenant(key))
	}
	w := batch(15)
	wantQuota(t, w, `"requests";q=20;w=2`, `"requests";r=5;t=2`)
	w = batch(6)
	wantQuota(t, w, `"requests";q=20;w=2`, `"requests";r=5;t=1`)
	wantProblem(t, w, rateLimited)
	if w = batch(5); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	n.advance(1999 * time.Millisecond)
	wantProblem(t, batch(maxBatch), rateLimited)
	n.advance(time.Millisecond)
	w = batch(maxBatch) // owes 236
	wantQuota(t, w, `"requests";q=20;w=2`, `"requests";r=0;t=26`)
	w = batch(1)
	wantQuota(t, w, `"requests";q=20;w=2`, `"requests";r=0;t=24`)
	wantProblem(t, w, rateLimited)
	n.advance(23_700 * time.Millisecond)
	if w = batch(1); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestOnlyClaimsAreLimited calls every route with a key that has no token left.
func TestOnlyClaimsAreLimited(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	limitTo(s, 1)
	id := `"scope":"s","key":"k"`
	call(t, s, "POST", "/v1/record", `{`+id+`}`, asTenant(key))
	call(t, s, "POST", "/v1/record", claimOf(0), asTenant(key))
	limited := 0
	for _, rt := range s.routes() {
		path := strings.NewReplacer(":tenant", testTenant, ":key", "key_9", ":node", "n9").Replace(rt.path)
		credentials, body := asTenant(key), `{`+id+`,"token":"00000000000000000000000000000000"}`
		switch {
		case rt.role == roleAdmin:
			credentials = asAdmin
		case rt.path == "/v1/records":
			body = batchOf(1)
		case rt.path == "/v1/record" && rt.method == "POST":
			body = claimOf(1)
		}
		w := call(t, s, rt.method, path, body, credentials)
		claims := rt.method == "POST" && (rt.path == "/v1/record" || rt.path == "/v1/records")
		if (w.Code == 429) != claims || (claims || rt.ingress) != rt.claims {
			t.Errorf("%s %s: %d %s", rt.method, rt.path, w.Code, w.Body)
		}
		if claims {
			limited++
		} else {
			wantQuota(t, w, "", "")
		}
	}
	if limited != 2 {
		t.Errorf("%d routes are limited", limited)
	}
	if w := call(t, s, "PUT", "/v1/record", `{`+id+`,"body":1}`, asTenant(key)); w.Code != 200 {
		t.Errorf("the work that was begun cannot be saved: %d %s", w.Code, w.Body)
	}
}

// TestReplaysAreNotLimited: who has no token left is told of results and locks that are there, and granted nothing.
func TestReplaysAreNotLimited(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	limitTo(s, 1)
	for i := range 2 {
		call(t, s, "POST", "/v1/record", claimOf(i), asTenant(key))
	}
	call(t, s, "PUT", "/v1/record", `{"scope":"s","key":"0","body":7}`, asTenant(key))
	for _, tt := range []struct{ path, body, want string }{
		{"/v1/record", claimOf(0), `{"cached":true,"record":{"status":200,"headers":{},"body":7,`},
		{"/v1/record", claimOf(1), `{"cached":false,"locked":false,`},
		{"/v1/records", `{"records":[` + claimOf(0) + `,` + claimOf(1) + `]}`, `{"results":[{"cached":true,`},
	} {
		for range 5 {
			if w := call(t, s, "POST", tt.path, tt.body, asTenant(key)); w.Code != 200 || !strings.HasPrefix(w.Body.String(), tt.want) {
				t.Fatalf("%s: %d %s", tt.body, w.Code, w.Body)
			}
		}
	}
	// Coming back into one's own lock is none either.
	n.advance(10 * time.Second)
	own := `{"scope":"s","key":"own","owner":"me"}`
	call(t, s, "POST", "/v1/record", own, asTenant(key))
	for range 20 { // and what needs no token takes none
		call(t, s, "POST", "/v1/record", own, asTenant(key))
		call(t, s, "POST", "/v1/record", claimOf(0), asTenant(key))
	}
	if w := call(t, s, "POST", "/v1/record", claimOf(3), asTenant(key)); w.Code != 200 {
		t.Errorf("the second token: %d %s", w.Code, w.Body)
	}
	if w := call(t, s, "POST", "/v1/record", own, asTenant(key)); w.Code != 200 || !strings.Contains(w.Body.String(), `"locked":true`) {
		t.Errorf("back in one's own lock: %d %s", w.Code, w.Body)
	}
	for path, body := range map[string]string{
		"/v1/record":  `{"scope":"s","key":"1","waitMs":1}`, // it may be granted
		"/v1/records": `{"records":[` + claimOf(0) + `,` + claimOf(2) + `]}`,
	} {
		wantProblem(t, call(t, s, "POST", path, body, asTenant(key)), rateLimited)
	}
}

// TestPlansLimitRequests: the limit is that of the plan, from the next claim on.
func TestPlansLimitRequests(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	n.apply(fsm.PutPlan{Plan: fsm.Plan{Name: "slow", RequestsPerSecond: 1}})
	claim := func(i int) *httptest.ResponseRecorder {
		return call(t, s, "POST", "/v1/record", claimOf(i), asTenant(key))
	}
	wantQuota(t, claim(0), "", "")
	n.apply(fsm.UpdateTenant{Tenant: 1, SetPlan: true, Plan: "slow"})
	wantQuota(t, claim(1), `"requests";q=2;w=2`, `"requests";r=1;t=1`)
	claim(2)
	wantProblem(t, claim(3), rateLimited)
	n.apply(fsm.UpdateTenant{Tenant: 1, SetPlan: true})
	wantQuota(t, claim(4), "", "")
}

// TestRefusedClaimsCostNothing: what is not valid, and what no key stands for, takes no token.
func TestRefusedClaimsCostNothing(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	limitTo(s, 1)
	for range 10 {
		call(t, s, "POST", "/v1/record", `{"scope":"s"}`, asTenant(key))
		call(t, s, "POST", "/v1/records", `{"records":[]}`, asTenant(key))
		call(t, s, "POST", "/v1/record", claimOf(1), asTenant(key[1:]))
	}
	for range 2 {
		if w := call(t, s, "POST", "/v1/record", claimOf(1), asTenant(key)); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

func TestNoLimitLeavesNoTrace(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	for i := range 1000 {
		w := call(t, s, "POST", "/v1/record", claimOf(i), asTenant(key))
		wantQuota(t, w, "", "")
		if w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if len(s.perKey.byKey)+len(s.perAddress.byKey)+len(s.failedAuth.sources.byKey) != 0 {
		t.Error("there are buckets")
	}
}

// TestUsageLimitWins: the fields tell of the limit that keeps a caller longest.
func TestUsageLimitWins(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	n.apply(fsm.UpdateTenant{Tenant: 1, SetMonthlyClaims: true, MonthlyClaims: 1})
	s := newTestServer(t, n, nil)
	limitTo(s, 10)
	call(t, s, "POST", "/v1/record", claimOf(1), asTenant(key))
	w := call(t, s, "POST", "/v1/record", claimOf(2), asTenant(key))
	wantQuota(t, w, `"monthly-claims";q=1;w=2592000`, `"monthly-claims";r=0;t=907200`)
	wantProblem(t, w, usageLimitExceeded)
}

// TestTokensAreTakenByTheLeader: a follower takes none, whether it redirects or forwards.
func TestTokensAreTakenByTheLeader(t *testing.T) {
	t.Parallel()
	for _, mode := range []FollowerMode{FollowersRedirect, FollowersForward} {
		p := newPair(t, mode)
		limitTo(p.leaderAPI, 1)
		limitTo(p.followerAPI, 1)
		claim := func(i int) *httptest.ResponseRecorder {
			if mode == FollowersForward {
				return call(t, p.followerAPI, "POST", "/v1/record", claimOf(i), asTenant(p.key))
			}
			w := call(t, p.followerAPI, "POST", "/v1/record", claimOf(i), asTenant(p.key))
			wantQuota(t, w, "", "")
			location := strings.TrimPrefix(w.Header().Get("Location"), p.leaderURL)
			return call(t, p.leaderAPI, "POST", location, claimOf(i))
		}
		for i := range 2 {
			if w := claim(i); w.Code != 200 || fieldOf(w, rateLimitPolicyHeader) != `"requests";q=2;w=2` {
				t.Fatalf("%s: %d %s, headers %v", mode, w.Code, w.Body, w.Header())
			}
		}
		w := claim(2)
		if w.Header().Get("Retry-After") != "1" || fieldOf(w, rateLimitHeader) != `"requests";r=0;t=1` {
			t.Errorf("%s: headers %v", mode, w.Header())
		}
		wantProblem(t, w, rateLimited)
		if len(p.followerAPI.perKey.byKey) != 0 || limitedBy(p.followerAPI, limitedKey) != 0 {
			t.Errorf("%s: the follower takes tokens", mode)
		}
		// The same bucket, whichever way the claim comes.
		wantProblem(t, call(t, p.leaderAPI, "POST", "/v1/record", claimOf(3), asTenant(p.key)), rateLimited)
	}
}

// TestForwardedClaimInDoubtIsNotRefused: after an answer was lost, a refusal for want of tokens would say too much.
func TestForwardedClaimInDoubtIsNotRefused(t *testing.T) {
	t.Parallel()
	p := newPair(t, FollowersForward)
	limitTo(p.leaderAPI, 1)
	call(t, p.leaderAPI, "POST", "/v1/record", claimOf(1), asTenant(p.key))
	p.hangUp(1, true)
	// It was granted, and whoever comes back into its own lock needs no token.
	if w := call(t, p.followerAPI, "POST", "/v1/record", claimOf(2), asTenant(p.key)); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	p.hangUp(1, false)
	wantProblem(t, call(t, p.followerAPI, "POST", "/v1/record", claimOf(3), asTenant(p.key)), outcomeUnknown)
}

// TestLeaderThatLosesItsPlaceKeepsItsQuota: what it told of its bucket is not mixed with what the next leader tells.
func TestLeaderThatLosesItsPlaceKeepsItsQuota(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	limitTo(s, 1)
	n.leader = &cluster.Peer{ID: "n2", HTTPURL: "http://n2", TicketKey: []byte("k")}
	n.failure = []error{cluster.ErrNotLeader}
	w := call(t, s, "POST", "/v1/record", claimOf(1), asTenant(key))
	wantQuota(t, w, "", "")
	wantProblem(t, w, notLeader)
}
