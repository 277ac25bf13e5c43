package api

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

func TestBearer(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"Bearer abc": "abc", "bearer abc": "abc", "BEARER a_b-c.d": "a_b-c.d",
		"": "", "Bearer": "", "Bearer ": "", "Bearer  abc": "", "Bearer abc ": "", "Bearer abc def": "", "Bearer\tabc": "",
		" Bearer abc": "", "Basic abc": "", "Bearer abc,Bearer def": "", "abc": "",
	} {
		got, ok := bearer(http.Header{"Authorization": {value}})
		if got != want || ok != (want != "") {
			t.Errorf("%q: got %q, %v", value, got, ok)
		}
	}
	if _, ok := bearer(http.Header{"Authorization": {"Bearer abc", "Bearer abc"}}); ok {
		t.Error("two headers are accepted")
	}
}

func TestAPIKeys(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	unknown, _ := NewAPIKey(bytes.NewReader(bytes.Repeat([]byte("abcdefghij"), 100)))
	revoked, _ := NewAPIKey(bytes.NewReader(bytes.Repeat([]byte("ABCDEFGHIJ"), 100)))
	n.apply(fsm.CreateKey{Tenant: 1, PublicID: "key_2", Hash: HashKey(testKeySecret, revoked)})
	n.apply(fsm.RevokeKey{Tenant: 1, PublicID: "key_2"})
	s := newTestServer(t, n, nil)
	get := func(headers ...string) string {
		t.Helper()
		w := call(t, s, "GET", "/v1/record?scope=s&key=k", "", headers...)
		if w.Code == 200 {
			return ""
		}
		if w.Header().Get("Www-Authenticate") != "Bearer" {
			t.Errorf("no challenge")
		}
		return strings.Replace(wantProblem(t, w, invalidAPIKey), w.Header().Get(requestIDHeader), "", 1)
	}
	if got := get(asTenant(key)); got != "" {
		t.Fatalf("a good key: %s", got)
	}
	missing := get()
	for name, headers := range map[string][]string{
		"unknown":     {asTenant(unknown)},
		"revoked":     {asTenant(revoked)},
		"malformed":   {asTenant(key[:len(key)-1])},
		"checksum":    {asTenant(key[:len(key)-1] + "!")},
		"admin":       {asAdmin},
		"basic":       {"Authorization: Basic " + key},
		"twice":       {asTenant(key), asTenant(key)},
		"empty":       {"Authorization: "},
		"long":        {asTenant(strings.Repeat("k", 10_000))},
		"other field": {"X-Api-Key: " + key},
	} {
		if got := get(headers...); got != missing {
			t.Errorf("%s: the answer tells more than for a missing key:\n%s\n%s", name, got, missing)
		}
	}
	if n.asked != 0 {
		t.Error("a leader asked itself for a key")
	}
}

func TestFollowerAsksForAnUnknownKey(t *testing.T) {
	t.Parallel()
	behind, _ := newFakeNode(t, "n2")
	ahead, key := newFakeNode(t, "n1")
	behind.machine = newMachine()
	behind.follow(&cluster.Peer{ID: "n1", HTTPURL: "http://n1", TicketKey: []byte("k")})
	s := newTestServer(t, behind, nil)
	query := "/v1/record?scope=s&key=k&consistency=stale"
	wantProblem(t, call(t, s, "GET", query, "", asTenant("ck_malformed")), invalidAPIKey)
	wantProblem(t, call(t, s, "GET", query, ""), invalidAPIKey)
	if behind.asked != 0 {
		t.Error("the leader was asked for a key that cannot be one")
	}
	behind.failure = []error{cluster.ErrUnavailable}
	wantProblem(t, call(t, s, "GET", query, "", asTenant(key)), noLeader)
	wantProblem(t, call(t, s, "GET", query, "", asTenant(key)), invalidAPIKey)
	behind.catchUp = ahead.machine
	if w := call(t, s, "GET", query, "", asTenant(key)); w.Code != 200 {
		t.Errorf("a key that was just made: %d %s", w.Code, w.Body)
	}
	call(t, s, "GET", query, "", asTenant(key))
	if behind.asked != 3 {
		t.Errorf("asked %d times", behind.asked)
	}
}

func TestAdminAuthentication(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	if w := call(t, s, "GET", "/v1/admin/status", "", asAdmin); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	wantProblem(t, call(t, s, "GET", "/v1/admin/status", ""), invalidAPIKey)
	wantProblem(t, call(t, s, "GET", "/v1/admin/status", "", asAdmin+"x"), invalidAPIKey)
	wantProblem(t, call(t, s, "GET", "/v1/admin/status", "", asTenant(key)), forbidden)
	wantProblem(t, call(t, s, "GET", "/v1/record?scope=s&key=k", "", asAdmin), invalidAPIKey)

	off := newTestServer(t, n, func(c *Config) { c.AdminToken = "" })
	for _, credentials := range []string{asAdmin, asTenant(key), "Authorization: Bearer ", "X: y"} {
		doc := wantProblem(t, call(t, off, "GET", "/v1/admin/status", "", credentials), forbidden)
		if !strings.Contains(doc, "no admin token configured") {
			t.Error(doc)
		}
	}
	if off.admin.matches("") {
		t.Error("an empty token opens an admin API that is off")
	}
}
