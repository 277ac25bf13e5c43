package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

// tenantCalls has one request for each route of tenants, which a new fake node takes.
var tenantCalls = []struct {
	method, target, body string
	scope                fsm.Scopes
}{
	{"GET", "/v1/record?scope=s&key=k", "", fsm.ScopeRecordsRead},
	{"GET", "/v1/record?scope=s&key=k&consistency=stale", "", fsm.ScopeRecordsRead},
	{"POST", "/v1/record", `{"scope":"s","key":"k"}`, fsm.ScopeRecordsWrite},
	{"POST", "/v1/records", `{"records":[{"scope":"s","key":"k"}]}`, fsm.ScopeRecordsWrite},
	{"GET", "/v1/records", "", fsm.ScopeRecordsRead},
	{"PUT", "/v1/record", `{"scope":"s","key":"k"}`, fsm.ScopeRecordsWrite},
	{"DELETE", "/v1/record?scope=s&key=k", "", fsm.ScopeRecordsWrite},
	{"POST", "/v1/record/renew", `{"scope":"s","key":"k","token":"` + testTokenText + `"}`, fsm.ScopeRecordsWrite},
	{"POST", "/v1/record/release", `{"scope":"s","key":"k","token":"` + testTokenText + `"}`, fsm.ScopeRecordsWrite},
	{"GET", "/v1/usage", "", fsm.ScopeUsageRead},
	{"GET", "/v1/events", "", fsm.ScopeEventsRead},
	{"GET", "/v1/events/:event", "", fsm.ScopeEventsRead},
	{"POST", "/v1/events/:event/replay", "", fsm.ScopeWebhooksWrite},
	{"POST", "/v1/events/:event/ignore", "", fsm.ScopeWebhooksWrite},
	{"POST", "/v1/replays", "{}", fsm.ScopeWebhooksWrite},
	{"POST", "/v1/webhooks/:provider", `{}`, fsm.ScopeWebhooksWrite},
	{"POST", "/v1/simulate/chargeback", `{"provider":"stripe","amount":1,"currency":"usd"}`, fsm.ScopeWebhooksWrite},
	{"GET", "/v1/tenant", "", fsm.ScopeAdminTenant},
	{"PATCH", "/v1/tenant", `{"payloadPolicy":"redacted_payload"}`, fsm.ScopeAdminTenant},
	{"GET", "/v1/keys", "", fsm.ScopeAdminTenant},
	{"POST", "/v1/keys", `{"scopes":["admin:tenant"]}`, fsm.ScopeAdminTenant},
	{"DELETE", "/v1/keys/:key", "", fsm.ScopeAdminTenant},
	{"GET", "/v1/sources", "", fsm.ScopeWebhooksWrite},
	{"POST", "/v1/sources", `{"provider":"stripe"}`, fsm.ScopeWebhooksWrite},
	{"GET", "/v1/sources/:source", "", fsm.ScopeWebhooksWrite},
	{"PATCH", "/v1/sources/:source", `{"raw":true}`, fsm.ScopeWebhooksWrite},
	{"DELETE", "/v1/sources/:source", "", fsm.ScopeWebhooksWrite},
	{"POST", "/v1/sources/:source/secrets", `{"secret":"whsec_1"}`, fsm.ScopeWebhooksWrite},
	{"DELETE", "/v1/sources/:source/secrets/:secret", "", fsm.ScopeWebhooksWrite},
	{"POST", "/v1/sources/:source/signing-secret", "", fsm.ScopeWebhooksWrite},
}

// addKey gives a fake node's first tenant a key, without asking the API.
func (n *fakeNode) addKey(id string, scopes fsm.Scopes, expiresAtMs int64) (secret string) {
	secret, hint := NewAPIKey(bytes.NewReader(bytes.Repeat([]byte(id+"0123456789"), 100)))
	n.apply(fsm.Audited{By: fsm.Actor{Name: "a", Role: "a"}, Command: fsm.CreateKey{
		Tenant: 1, PublicID: id, Hash: HashKey(testKeySecret, secret), Hint: hint, Scopes: scopes, ExpiresAtMs: expiresAtMs,
	}})
	return secret
}

// allScopeSets are all sets of scopes, the one of everything, 0, first.
func allScopeSets() (sets []fsm.Scopes) {
	for s := range fsm.AllScopes + 1 {
		sets = append(sets, s)
	}
	return sets
}

func TestTenantCallsAreAllRoutes(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, nil, nil)
	listed := make(map[string]fsm.Scopes)
	for _, c := range tenantCalls {
		path, _, _ := strings.Cut(c.target, "?")
		listed[c.method+" "+path] = c.scope
	}
	for _, rt := range s.routes() {
		if rt.role == roleTenant && listed[rt.method+" "+rt.path] != rt.scope {
			t.Errorf("%s %s: scope %q", rt.method, rt.path, rt.scope)
		}
	}
}

// TestScopes calls each route with each set of scopes.
func TestScopes(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	s := newTestServer(t, n, func(c *Config) { c.FailedAuthPerSecond = NoLimit })
	for _, scopes := range allScopeSets() {
		key := n.addKey(fmt.Sprintf("key_s%d", scopes), scopes, 0)
		for _, c := range tenantCalls {
			before := len(n.proposed())
			w := call(t, s, c.method, c.target, c.body, asTenant(key))
			if allowed := scopes == 0 || scopes&c.scope != 0; allowed {
				if w.Code == 403 {
					t.Errorf("%s %s with %s: %s", c.method, c.target, scopes, w.Body)
				}
				continue
			}
			doc := wantProblem(t, w, forbidden)
			if !strings.Contains(doc, "needs an API key with the scope "+c.scope.String()+";") ||
				w.Header().Get("Www-Authenticate") != "Bearer" || len(n.proposed()) != before {
				t.Errorf("%s %s with %s: %s", c.method, c.target, scopes, doc)
			}
		}
		for _, target := range []string{"/v1/admin/status", "/v1/admin/audit", "/v1/admin/tenants/demo/usage"} {
			wantProblem(t, call(t, s, "GET", target, "", asTenant(key)), forbidden)
		}
	}
}

// TestScopesThroughAFollower: a follower refuses as the leader does, and the leader whoever sends the caller.
func TestScopesThroughAFollower(t *testing.T) {
	t.Parallel()
	for _, mode := range []FollowerMode{FollowersRedirect, FollowersForward} {
		for _, c := range tenantCalls {
			p := newPair(t, mode)
			wrong := fsm.AllScopes &^ c.scope
			for _, n := range []*fakeNode{p.leader, p.follower} {
				n.addKey("key_wrong", wrong, 0)
				n.addKey("key_right", c.scope, 0)
			}
			wrongKey, rightKey := p.leader.addKey("key_wrong", 0, 0), p.leader.addKey("key_right", 0, 0) // as they are
			wantProblem(t, call(t, p.followerAPI, c.method, c.target, c.body, asTenant(wrongKey)), forbidden)
			if len(p.reached()) != 0 {
				t.Errorf("%s %s reached the leader", c.method, c.target)
			}
			if strings.Contains(c.target, "stale") {
				continue
			}
			if mode == FollowersForward || strings.HasPrefix(c.target, "/v1/webhooks/") {
				if w := call(t, p.followerAPI, c.method, c.target, c.body, asTenant(rightKey)); w.Code == 403 {
					t.Errorf("%s %s forwarded: %s", c.method, c.target, w.Body)
				}
				continue
			}
			location := p.redirected(t, c.method, c.target, c.body, asTenant(rightKey))
			if w := call(t, p.leaderAPI, c.method, location, c.body); w.Code == 403 {
				t.Errorf("%s %s redirected: %s", c.method, c.target, w.Body)
			}
		}
	}
}

// TestTicketsAreNoWayAroundScopes has a node vouch for a key that is not good for the request.
func TestTicketsAreNoWayAroundScopes(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	n.addKey("key_r", fsm.ScopeRecordsRead, 0)
	for _, id := range []string{"", strings.Repeat("ab", 16)} {
		const body = `{"scope":"s","key":"k"}`
		x := &exchange{r: httptest.NewRequest("POST", "/v1/record", nil), body: []byte(body)}
		use := x.ticketUse("n1", "")
		use.forwardID = id
		made := ticket{expiryMs: s.now().Add(ticketLife).UnixMilli(), role: roleTenant, tenant: 1, keyID: "key_r"}
		headers := []string{"X: y"}
		if id != "" {
			headers = []string{hopsHeader + ": 1", requestIDHeader + ": " + id}
		}
		target := "/v1/record?ticket=" + made.seal(n.TicketKey(), use)
		doc := wantProblem(t, call(t, s, "POST", target, body, headers...), forbidden)
		if !strings.Contains(doc, "records:write") || len(n.proposed()) != 0 {
			t.Error(doc)
		}
	}
}

func TestKeyMembers(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	const path = "/v1/admin/tenants/demo/keys"
	for _, c := range []struct{ body, members string }{
		{``, `"name":"","hint":"…","scopes":["*"],"createdAt":"2026-11-20T12:00:00.000Z"`},
		{`{"scopes":null,"expiresAt":null}`, `"name":"","hint":"…","scopes":["*"],"createdAt":"2026-11-20T12:00:00.000Z"`},
		{`{"name":"ci","scopes":["usage:read","records:read"],"expiresAt":"2026-11-20T13:00:00.0005+01:00"}`, "400"},
		{`{"name":"ci","scopes":["usage:read","records:read"],"expiresAt":"2026-11-20T13:00:00.001+01:00"}`,
			`"name":"ci","hint":"…","scopes":["records:read","usage:read"],"createdAt":"2026-11-20T12:00:00.000Z",` +
				`"expiresAt":"2026-11-20T12:00:00.001Z"`},
		{`{"scopes":["records:write","records:read","usage:read"]}`,
			`"name":"","hint":"…","scopes":["records:read","records:write","usage:read"],"createdAt":"2026-11-20T12:00:00.000Z"`},
		{`{"expiresAt":"9999-12-31T23:59:59.999Z","later":[{}]}`, `"name":"","hint":"…","scopes":["*"],` +
			`"createdAt":"2026-11-20T12:00:00.000Z","expiresAt":"9999-12-31T23:59:59.999Z"`},
	} {
		w := call(t, s, "POST", path, c.body, asAdmin)
		if c.members == "400" {
			wantProblem(t, w, invalidField)
			continue
		}
		var made struct{ ID, Hint, Secret string }
		if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil {
			t.Fatal(err)
		}
		members := `{"id":"` + made.ID + `",` + strings.Replace(c.members, "…", made.Hint, 1)
		wantBody(t, w, 201, members+`,"secret":"`+made.Secret+`"}`)
		if listed := call(t, s, "GET", path, "", asAdmin).Body.String(); !strings.HasSuffix(listed, members+"}]}") {
			t.Errorf("%s: listed as %s", c.body, listed)
		}
	}
	n.apply(fsm.Tally{Uses: []fsm.KeyUse{{Tenant: 1, PublicID: "key_1", AtMs: n.nowMs + 3_599_999}}})
	want := `"scopes":["*"],"createdAt":"2026-11-20T12:00:00.000Z","lastUsedAt":"2026-11-20T12:00:00.000Z"},`
	if listed := call(t, s, "GET", path, "", asAdmin).Body.String(); !strings.Contains(listed, want) {
		t.Error(listed)
	}
}

func TestKeysMalformed(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	all := []refusal{
		{"", `{"scopes":[]}`, invalidField, "scopes is empty"},
		{"", `{"scopes":{}}`, invalidField, "scopes is not an array"},
		{"", `{"scopes":"records:read"}`, invalidField, "scopes is not an array"},
		{"", `{"scopes":["*"]}`, invalidField, "scopes[0] is none of"},
		{"", `{"scopes":["all"]}`, invalidField, "scopes[0] is none of"},
		{"", `{"scopes":[""]}`, invalidField, "scopes[0] is none of"},
		{"", `{"scopes":["records:read","Records:write"]}`, invalidField, "scopes[1] is none of"},
		{"", `{"scopes":["records:read "]}`, invalidField, "scopes[0] is none of"},
		{"", `{"scopes":["records:read","records:read"]}`, invalidField, "scopes has an element twice"},
		{"", `{"scopes":[null]}`, invalidField, "scopes[0] is not a string"},
		{"", `{"scopes":[1]}`, invalidField, "scopes[0] is not a string"},
		{"", `{"scopes":[["records:read"]]}`, invalidField, "scopes[0] is not a string"},
		{"", `{"scopes":["records:read"`, invalidJSON, ""},
		{"", `{"scopes":["records:read",]}`, invalidJSON, ""},
		{"", `{"scopes":["records:read" "usage:read"]}`, invalidJSON, ""},
		{"", `{"expiresAt":1800000000}`, invalidField, "expiresAt is not a string"},
		{"", `{"expiresAt":"2026-11-20T12:00:00Z"}`, invalidField, "expiresAt is not in the future"},
		{"", `{"expiresAt":"1969-01-01T00:00:00Z"}`, invalidField, "expiresAt is not in the future"},
		{"", `{"expiresAt":"9999-12-31T23:59:59-01:00"}`, invalidField, "expiresAt is not in the future, or too far"},
		{"", `{"name":1}`, invalidField, "name is not a string"},
	}
	for _, text := range []string{"", "tomorrow", "2030-01-01", "2030-01-01T00:00:00", "2030-01-01 00:00:00Z",
		"2030-1-1T00:00:00Z", "2030-02-30T00:00:00Z", "2030-01-01T24:00:00Z", "2030-01-01T00:00:60Z", "2030-01-01T1:00:00Z", "2030-01-01T00:00:00,5Z",
		"10000-01-01T00:00:00Z", " 2030-01-01T00:00:00Z", "2030-01-01T00:00:00+24:00"} {
		all = append(all, refusal{"", `{"expiresAt":"` + text + `"}`, invalidField, "expiresAt is not an instant"})
	}
	for _, r := range append(all, notJSON[1:]...) { // no body at all is a key without a name
		doc := wantProblem(t, call(t, s, "POST", "/v1/admin/tenants/demo/keys", r.body, asAdmin), r.kind)
		if !strings.Contains(doc, r.detail) {
			t.Errorf("%s: %s", r.body, doc)
		}
	}
	if len(n.proposed()) != 0 {
		t.Errorf("what was refused reached the log: %+v", n.proposed())
	}
}

// TestExpiredKeys wants an expired key to be answered exactly as one that never was, from its instant on.
func TestExpiredKeys(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	key := n.addKey("key_x", 0, n.nowMs+1)
	get := func(auth, target string) string {
		w := call(t, s, "GET", target, "", auth)
		return fmt.Sprint(w.Code, w.Header().Get("Www-Authenticate"),
			strings.Replace(w.Body.String(), w.Header().Get(requestIDHeader), "", 1))
	}
	const record, admin = "/v1/record?scope=s&key=k", "/v1/admin/status"
	if got := get(asTenant(key), record); !strings.HasPrefix(got, "200") {
		t.Fatal(got)
	}
	if got := get(asTenant(key), admin); !strings.Contains(got, forbidden.code) {
		t.Fatal(got)
	}
	n.advance(time.Millisecond)
	for _, target := range []string{record, admin} {
		if got, unknown := get(asTenant(key), target), get("Authorization: Bearer ck_x", target); got != unknown {
			t.Errorf("%s\nexpired: %s\nunknown: %s", target, got, unknown)
		}
	}
	if n.asked != 0 {
		t.Error("a leader asked itself for a key")
	}
}

// TestExpiredKeysOnAFollower wants the leader to be asked for an expired key as for an unknown one, so that the time it
// takes tells nothing.
func TestExpiredKeysOnAFollower(t *testing.T) {
	t.Parallel()
	n, first := newFakeNode(t, "n2")
	n.follow(&cluster.Peer{ID: "n1", HTTPURL: "http://n1", TicketKey: []byte("k")})
	s := newTestServer(t, n, nil)
	expired := n.addKey("key_x", 0, n.nowMs)
	unknown, _ := NewAPIKey(bytes.NewReader(bytes.Repeat([]byte("abcdefghij"), 100)))
	const query = "/v1/record?scope=s&key=k&consistency=stale"
	var docs []string
	for i, key := range []string{expired, unknown} {
		w := call(t, s, "GET", query, "", asTenant(key))
		docs = append(docs, strings.Replace(wantProblem(t, w, invalidAPIKey), w.Header().Get(requestIDHeader), "", 1))
		if n.asked != i+1 {
			t.Errorf("key %d: asked %d times", i, n.asked)
		}
	}
	if docs[0] != docs[1] {
		t.Errorf("expired: %s\nunknown: %s", docs[0], docs[1])
	}
	if w := call(t, s, "GET", query, "", asTenant(first)); w.Code != 200 || n.asked != 2 {
		t.Errorf("a good key: %d, asked %d times", w.Code, n.asked)
	}
	n.failure = []error{cluster.ErrUnavailable}
	wantProblem(t, call(t, s, "GET", query, "", asTenant(expired)), noLeader)
}

func TestTicketOfAnExpiredKey(t *testing.T) {
	t.Parallel()
	p := newPair(t, FollowersRedirect)
	body := `{"scope":"s","key":"k"}`
	end := p.leader.nowMs + 1
	key := p.follower.addKey("key_x", 0, end)
	p.leader.addKey("key_x", 0, end)
	location := p.redirected(t, "POST", "/v1/record", body, asTenant(key))
	p.leader.advance(time.Millisecond)
	wantProblem(t, call(t, p.leaderAPI, "POST", location, body), invalidAPIKey)
}

// TestUsesOfKeysAreNoted: by the leader, whoever sends the caller, and only of a tenant's key that was accepted.
func TestUsesOfKeysAreNoted(t *testing.T) {
	t.Parallel()
	for _, mode := range []FollowerMode{FollowersRedirect, FollowersForward} {
		p := newPair(t, mode)
		body, auth := `{"scope":"s","key":"k"}`, asTenant(p.key)
		for _, headers := range [][]string{{asAdmin}, {asTenant("ck_x")}, {"X: y"}} {
			call(t, p.leaderAPI, "POST", "/v1/record", body, headers...)
			call(t, p.leaderAPI, "GET", "/v1/admin/status", "", headers...)
		}
		call(t, p.leaderAPI, "GET", "/v1/admin/status", "", auth)
		if len(p.leader.used) != 0 {
			t.Errorf("%s: noted %v", mode, p.leader.used)
		}
		call(t, p.leaderAPI, "POST", "/v1/record", body, auth)
		if mode == FollowersForward {
			call(t, p.followerAPI, "POST", "/v1/record", body, auth)
		} else {
			call(t, p.leaderAPI, "POST", p.redirected(t, "POST", "/v1/record", body, auth), body)
		}
		if !slices.Equal(p.leader.used, []string{"key_1", "key_1"}) || len(p.follower.used) != 0 {
			t.Errorf("%s: noted %v and %v", mode, p.leader.used, p.follower.used)
		}
	}
}
