package api

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

// pair is a leader that listens, and a follower that knows it. Both have applied the same entries.
type pair struct {
	leader, follower       *fakeNode
	leaderAPI, followerAPI *Server
	peer                   cluster.Peer
	key                    string
	leaderURL              string
	mu                     sync.Mutex
	requests               []*http.Request // what reached the leader
	beforeAnswer           func(w http.ResponseWriter, r *http.Request) bool
}

func newPair(t *testing.T, mode FollowerMode) *pair {
	t.Helper()
	p := new(pair)
	p.leader, p.key = newFakeNode(t, "n1")
	p.follower, _ = newFakeNode(t, "n2")
	change := func(c *Config) { c.Followers = mode }
	p.leaderAPI = newTestServer(t, p.leader, change)
	p.followerAPI = newTestServer(t, p.follower, change)
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.requests = append(p.requests, r)
		before := p.beforeAnswer
		p.mu.Unlock()
		if before == nil || before(w, r) {
			p.leaderAPI.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() {
		p.followerAPI.forwarder.CloseIdleConnections()
		ts.Close()
	})
	p.peer = cluster.Peer{ID: "n1", HTTPURL: ts.URL, TicketKey: p.leader.ticket}
	p.leaderURL = ts.URL
	p.follower.follow(&p.peer)
	return p
}

func (p *pair) reached() []*http.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*http.Request(nil), p.requests...)
}

// redirected has the follower redirect a request, and returns the address without the host.
func (p *pair) redirected(t *testing.T, method, target, body string, headers ...string) string {
	t.Helper()
	w := call(t, p.followerAPI, method, target, body, headers...)
	doc := wantProblem(t, w, notLeader)
	if w.Header().Get(leaderHeader) != p.leaderURL || !strings.Contains(doc, `"leader":"`+p.leaderURL+`"`) {
		t.Fatalf("the leader is not named: %v %s", w.Header(), doc)
	}
	location, ok := strings.CutPrefix(w.Header().Get("Location"), p.leaderURL)
	if !ok {
		t.Fatalf("Location: %s", w.Header().Get("Location"))
	}
	return location
}

func TestRedirect(t *testing.T) {
	t.Parallel()
	p := newPair(t, FollowersRedirect)
	auth, body := asTenant(p.key), `{"scope":"s","key":"k"}`
	for _, c := range []struct{ method, target, body string }{
		{"POST", "/v1/record", body},
		{"PUT", "/v1/record?x=1", `{"scope":"s","key":"k","body":"é"}`},
		{"GET", "/v1/record?scope=s&key=k%27%20l", ""},
		{"DELETE", "/v1/record?scope=s&key=k", ""},
		{"DELETE", "/v1/record", body},
		{"POST", "/v1/records", `{"records":[` + body + `]}`},
	} {
		location := p.redirected(t, c.method, c.target, c.body, auth)
		if w := call(t, p.leaderAPI, c.method, location, c.body); w.Code != 200 {
			t.Errorf("%s %s: %d %s", c.method, c.target, w.Code, w.Body)
		}
	}
	location := p.redirected(t, "POST", "/v1/record", `{"scope":"s"}`, auth, "Idempotency-Key: a")
	wantProblem(t, call(t, p.leaderAPI, "POST", location, `{"scope":"s"}`, "Idempotency-Key: b"), invalidAPIKey)
	if w := call(t, p.leaderAPI, "POST", location, `{"scope":"s"}`, "Idempotency-Key: a"); w.Code != 200 {
		t.Errorf("with the key in a header: %d %s", w.Code, w.Body)
	}
	location = p.redirected(t, "POST", "/v1/record", body, auth)
	for name, w := range map[string]*httptest.ResponseRecorder{
		"another body":   call(t, p.leaderAPI, "POST", location, `{"scope":"s","key":"l"}`),
		"another path":   call(t, p.leaderAPI, "POST", strings.Replace(location, "record", "records", 1), body),
		"another method": call(t, p.leaderAPI, "PUT", location, body),
		"another query":  call(t, p.leaderAPI, "POST", location+"&scope=t", body),
		"another node":   call(t, p.followerAPI, "POST", location, body),
		"a bad header":   call(t, p.leaderAPI, "POST", location, body, asTenant("ck_x")),
		"an admin route": call(t, p.leaderAPI, "POST", strings.Replace(location, "record", "admin/tenants", 1), body),
	} {
		t.Log(name)
		wantProblem(t, w, invalidAPIKey)
	}
	if w := call(t, p.leaderAPI, "POST", location+"x", body, auth); w.Code != 200 {
		t.Errorf("a good header beside a bad ticket: %d %s", w.Code, w.Body)
	}
	p.leader.advance(2*ticketLife + time.Second)
	wantProblem(t, call(t, p.leaderAPI, "POST", location, body), invalidAPIKey)
}

func TestTicketOfARevokedKey(t *testing.T) {
	t.Parallel()
	p := newPair(t, FollowersRedirect)
	body := `{"scope":"s","key":"k"}`
	location := p.redirected(t, "POST", "/v1/record", body, asTenant(p.key))
	p.leader.apply(fsm.RevokeKey{Tenant: 1, PublicID: "key_1"})
	wantProblem(t, call(t, p.leaderAPI, "POST", location, body), invalidAPIKey)
}

func TestTicketIsPassedOn(t *testing.T) {
	t.Parallel()
	p := newPair(t, FollowersRedirect)
	body := `{"scope":"s","key":"k"}`
	first := p.redirected(t, "POST", "/v1/record?a=b", body, asTenant(p.key))
	third, _ := newFakeNode(t, "n3")
	thirdAPI := newTestServer(t, third, nil)
	p.leader.follow(&cluster.Peer{ID: "n3", HTTPURL: "http://n3", TicketKey: third.ticket})
	w := call(t, p.leaderAPI, "POST", first, body)
	wantProblem(t, w, notLeader)
	second, err := url.Parse(w.Header().Get("Location"))
	if err != nil || second.Host != "n3" || second.Query().Get("a") != "b" || len(second.Query()["ticket"]) != 1 {
		t.Fatalf("Location: %v, %v", second, err)
	}
	if w := call(t, thirdAPI, "POST", second.RequestURI(), body); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAdminIsRedirected(t *testing.T) {
	t.Parallel()
	p := newPair(t, FollowersRedirect)
	body := `{"slug":"acme"}`
	location := p.redirected(t, "POST", "/v1/admin/tenants", body, asAdmin)
	if w := call(t, p.leaderAPI, "POST", location, body); w.Code != 201 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	location = p.redirected(t, "GET", "/v1/admin/tenants/demo", "", asAdmin)
	if w := call(t, p.leaderAPI, "GET", location, ""); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := call(t, p.followerAPI, "GET", "/v1/admin/status", "", asAdmin); w.Code != 200 {
		t.Errorf("a follower's own view: %d %s", w.Code, w.Body)
	}
}

func TestNoLeader(t *testing.T) {
	t.Parallel()
	for _, mode := range []FollowerMode{FollowersRedirect, FollowersForward} {
		n, key := newFakeNode(t, "n1")
		s := newTestServer(t, n, func(c *Config) { c.Followers = mode })
		for name, leader := range map[string]*cluster.Peer{
			"nobody":          nil,
			"this node":       {ID: "n1", HTTPURL: "http://n1", TicketKey: n.ticket},
			"key not known":   {ID: "n2", HTTPURL: "http://n2"},
			"forwarded twice": {ID: "n2", HTTPURL: "http://n2", TicketKey: []byte("k")},
		} {
			n.follow(leader)
			target, body, headers := "/v1/record", `{"scope":"s","key":"k"}`, []string{asTenant(key)}
			if name == "forwarded twice" {
				id := strings.Repeat("ab", 16)
				target, headers = forwardTarget(s, n, id, body), []string{hopsHeader + ": 1", requestIDHeader + ": " + id}
			}
			w := call(t, s, "POST", target, body, headers...)
			if w.Header().Get("Retry-After") != "1" {
				t.Errorf("%s: headers %v", name, w.Header())
			}
			doc := wantProblem(t, w, noLeader)
			if !strings.Contains(doc, `"retryAfterMs":1000`) {
				t.Errorf("%s: %s", name, doc)
			}
		}
		if len(n.proposed()) != 0 {
			t.Error("a follower proposed")
		}
	}
}

func TestNodeThatJustTookOver(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	n.leader = &cluster.Peer{ID: "n1"}
	n.failure = []error{cluster.ErrNotLeader, cluster.ErrNotLeader}
	if w := call(t, s, "POST", "/v1/record", `{"scope":"s","key":"k"}`, asTenant(key)); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestNotAttached(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, nil, nil)
	w := call(t, s, "POST", "/v1/record", `{"scope":"s","key":"k"}`)
	if w.Header().Get("Retry-After") != "1" {
		t.Errorf("headers %v", w.Header())
	}
	wantProblem(t, w, noLeader)
	wantProblem(t, call(t, s, "GET", "/v1/admin/status", "", asAdmin), noLeader)
}

func TestForward(t *testing.T) {
	t.Parallel()
	p := newPair(t, FollowersForward)
	auth := asTenant(p.key)
	w := call(t, p.followerAPI, "POST", "/v1/record?x=y", `{"scope":"s"}`, auth,
		"Idempotency-Key: k", "Cookie: secret", "X-Other: 1", "Content-Type: application/json")
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"locked":true`) || w.Header().Get(indexHeader) == "" {
		t.Fatalf("%d %s %v", w.Code, w.Body, w.Header())
	}
	r := p.reached()[0]
	if r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" || r.Header.Get("X-Other") != "" ||
		r.Header.Get(hopsHeader) != "1" || r.Header.Get("User-Agent") != "" {
		t.Errorf("the leader was sent %v", r.Header)
	}
	id := w.Header().Get(requestIDHeader)
	if owner := p.leader.proposed()[0].Command.(fsm.Claim).Owner; owner != "r:"+id {
		t.Errorf("owner %s of request %s", owner, id)
	}
	w = call(t, p.followerAPI, "POST", "/v1/record", `{"scope":"s","key":"k"}`, auth, "Prefer: handling=strict")
	if w.Header().Get("Preference-Applied") == "" {
		t.Errorf("headers %v", w.Header())
	}
	wantProblem(t, w, inProgress)
	large := `{"scope":"s","key":"big","body":"` + strings.Repeat("x", 200_000) + `"}`
	if w := call(t, p.followerAPI, "PUT", "/v1/record", large, auth); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	w = call(t, p.followerAPI, "GET", "/v1/record?scope=s&key=big", "", auth)
	if w.Code != 200 || w.Body.Len() < 200_000 {
		t.Errorf("%d, %d bytes", w.Code, w.Body.Len())
	}
	if w := call(t, p.followerAPI, "POST", "/v1/admin/tenants", `{"slug":"acme"}`, asAdmin); w.Code != 201 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestRequestIDIsHonouredOnlyFromNodes(t *testing.T) {
	t.Parallel()
	p := newPair(t, FollowersRedirect)
	id, body := strings.Repeat("ab", 16), `{"scope":"s","key":"k"}`
	auth, hops := asTenant(p.key), hopsHeader+": 1"
	ticketed := p.redirected(t, "POST", "/v1/record", body, auth)
	forwarded := forwardTarget(p.leaderAPI, p.leader, id, body)
	for name, tt := range map[string]struct {
		target  string
		headers []string
		status  int
		want    bool
	}{
		"a ticket to forward":            {forwarded, []string{requestIDHeader + ": " + id, hops}, 200, true},
		"without saying so":              {forwarded, []string{requestIDHeader + ": " + id}, 403, false},
		"another id":                     {forwarded, []string{requestIDHeader + ": " + id[1:] + "0", hops}, 403, false},
		"a ticket of a redirect":         {ticketed, []string{requestIDHeader + ": " + id}, 200, false},
		"a redirect that says forwarded": {ticketed, []string{requestIDHeader + ": " + id, hops}, 403, false},
		"a key that says forwarded":      {"/v1/record", []string{requestIDHeader + ": " + id, hops, auth}, 200, false},
	} {
		w := call(t, p.leaderAPI, "POST", tt.target, body, tt.headers...)
		if got := w.Header().Get(requestIDHeader) == id; got != tt.want || w.Code != tt.status {
			t.Errorf("%s: %d, %v", name, w.Code, got)
		}
	}
}

// forwardTarget is where another node would send POST /v1/record with that body to, if it forwarded it under that id.
func forwardTarget(s *Server, n *fakeNode, id, body string) string {
	made := ticket{expiryMs: s.now().Add(ticketLife).UnixMilli(), role: roleTenant, tenant: 1, keyID: "key_1"}
	return "/v1/record?ticket=" + made.seal(n.TicketKey(), ticketUse{
		node: n.ID(), method: "POST", path: "/v1/record", bodyHash: sha256.Sum256([]byte(body)), forwardID: id,
	})
}

func TestForwardToNobody(t *testing.T) {
	t.Parallel()
	p := newPair(t, FollowersForward)
	dead := httptest.NewServer(nil)
	dead.Close()
	p.peer.HTTPURL = dead.URL
	for _, method := range []string{"POST", "PUT"} {
		wantProblem(t, call(t, p.followerAPI, method, "/v1/record", `{"scope":"s","key":"k"}`, asTenant(p.key)), noLeader)
	}
}

// hangUp cuts the connection of the leader's first n answers, after it has done what it was asked if done is set.
func (p *pair) hangUp(n int32, done bool) *atomic.Int32 {
	var left atomic.Int32
	left.Store(n)
	p.beforeAnswer = func(_ http.ResponseWriter, r *http.Request) bool {
		if left.Add(-1) < 0 {
			return true
		}
		if done {
			p.leaderAPI.ServeHTTP(httptest.NewRecorder(), r)
		}
		panic(http.ErrAbortHandler)
	}
	return &left
}

func TestForwardedClaimSurvivesALostAnswer(t *testing.T) {
	t.Parallel()
	p := newPair(t, FollowersForward)
	p.hangUp(1, true)
	w := call(t, p.followerAPI, "POST", "/v1/record", `{"scope":"s","key":"k"}`, asTenant(p.key))
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"locked":true`) || len(p.leader.proposed()) != 2 {
		t.Errorf("%d %s after %d proposals", w.Code, w.Body, len(p.leader.proposed()))
	}
}

func TestForwardedRequestInDoubt(t *testing.T) {
	t.Parallel()
	p := newPair(t, FollowersForward)
	p.hangUp(100, true)
	auth, body := asTenant(p.key), `{"scope":"s","key":"k"}`
	wantProblem(t, call(t, p.followerAPI, "POST", "/v1/record", body, auth), outcomeUnknown)
	if got := len(p.leader.proposed()); got != maxLeaderRounds {
		t.Errorf("%d proposals", got)
	}
	wantProblem(t, call(t, p.followerAPI, "PUT", "/v1/record", body, auth), outcomeUnknown)
	wantProblem(t, call(t, p.followerAPI, "GET", "/v1/record?scope=s&key=k", "", auth), noLeader)
}

func TestForwardedRefusals(t *testing.T) {
	t.Parallel()
	body := `{"scope":"s","key":"k"}`
	for _, tt := range []struct {
		name    string
		prepare func(*pair)
		want    *errorKind
	}{
		{"ticket under an old key", func(p *pair) { p.peer.TicketKey = []byte("old") }, noLeader},
		{"leadership lost", func(p *pair) { p.leader.follow(nil) }, noLeader},
		{"busy", func(p *pair) { p.leader.failure = []error{cluster.ErrBusy} }, busy},
		{"doubt, then busy", func(p *pair) {
			// The leader itself sends a doubtful claim again.
			u := cluster.ErrOutcomeUnknown
			p.leader.failure = []error{u, u, u, cluster.ErrBusy, cluster.ErrBusy}
		}, outcomeUnknown},
		{"full", func(p *pair) { p.leader.failure = []error{cluster.ErrStorageFull} }, storageFull},
		{"limit", func(p *pair) {
			p.leader.apply(fsm.UpdateTenant{Tenant: 1, SetMonthlyClaims: true, MonthlyClaims: 1},
				fsm.Claim{ID: fsm.RecordID{Tenant: 1, Scope: "s", Key: "x"}, Owner: "o:", LeaseMs: 1000, TTLMs: 1000})
		}, usageLimitExceeded},
		{"doubt, then limit", func(p *pair) {
			p.leader.apply(fsm.UpdateTenant{Tenant: 1, SetMonthlyClaims: true, MonthlyClaims: 1},
				fsm.Claim{ID: fsm.RecordID{Tenant: 1, Scope: "s", Key: "x"}, Owner: "o:", LeaseMs: 1000, TTLMs: 1000})
			p.hangUp(1, false)
		}, usageLimitExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(t, FollowersForward)
			tt.prepare(p)
			w := call(t, p.followerAPI, "POST", "/v1/record", body, asTenant(p.key))
			if w.Header().Get("Retry-After") == "" {
				t.Errorf("headers %v", w.Header())
			}
			wantProblem(t, w, tt.want)
		})
	}
}

func TestBrokenForwardedAnswerIsCut(t *testing.T) {
	t.Parallel()
	p := newPair(t, FollowersForward)
	p.beforeAnswer = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, `{"cached":false`)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	ts := httptest.NewServer(p.followerAPI)
	defer ts.Close()
	req, err := http.NewRequest("GET", ts.URL+"/v1/record?scope=s&key=k", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.key)
	resp, err := ts.Client().Do(req)
	if err != nil {
		return // cut before the header arrived, which will do
	}
	defer resp.Body.Close()
	var b strings.Builder
	if err := resp.Write(&b); err == nil {
		t.Errorf("half an answer looks whole: %s", b.String())
	}
}
