package api

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/syllecta/syllecta/fsm"
)

const auditPath = "/v1/admin/audit"

// auditPage is an answer of the audit log.
type auditPage struct {
	Entries []struct {
		Seq, Index                                                uint64
		At, Actor, Role, RequestID, Address, Action, Target, Hash string
		Changes                                                   []struct{ Member, Before, After string }
	}
	Total, Next uint64
}

func readAudit(t *testing.T, s *Server, query string) (p auditPage) {
	t.Helper()
	w := call(t, s, "GET", auditPath+query, "", asAdmin)
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 200 {
		t.Fatalf("%d %v in %s", w.Code, err, w.Body)
	}
	return p
}

func TestAudit(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	w := call(t, s, "PATCH", "/v1/admin/tenants/demo", `{"name":"Näme\"","status":"suspended"}`, asAdmin)
	entries, _ := n.AuditLog(0, 10)
	hash := func(i int) string { return hex.EncodeToString(entries[i].Hash[:]) }
	wantBody(t, call(t, s, "GET", auditPath, "", asAdmin), 200, fmt.Sprintf(`{"entries":[`+
		`{"seq":1,"index":4,"at":"2026-11-20T12:00:00.000Z","actor":"cluster","role":"cluster","requestId":"","address":"",`+
		`"action":"cluster.raise-feature-level","target":"test","changes":[{"member":"featureLevel","before":"1","after":"4"},`+
		`{"member":"version","before":"","after":"test"}],"hash":"%s"},`+
		`{"seq":2,"index":5,"at":"2026-11-20T12:00:00.000Z","actor":"admin","role":"admin","requestId":"%s",`+
		`"address":"192.0.2.1","action":"tenant.update","target":"ten_1","changes":[{"member":"name","before":"Demo",`+
		`"after":"Näme\""},{"member":"status","before":"active","after":"suspended"}],"hash":"%s"}],"total":2}`,
		hash(0), w.Header().Get(requestIDHeader), hash(1)))
}

func TestAuditPages(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	const total = 1205
	for i := 1; i < total; i++ { // one is there
		n.apply(fsm.PutPlan{Plan: fsm.Plan{Name: "gold", MonthlyClaims: int64(i)}})
	}
	for _, c := range []struct {
		query              string
		first, count, next uint64
	}{
		{"", 1, 100, 100},
		{"?after=0", 1, 100, 100},
		{"?limit=1", 1, 1, 1},
		{"?limit=1000", 1, 1000, 1000},
		{"?after=1000&limit=1000", 1001, 205, 0},
		{"?after=1000&limit=205", 1001, 205, 0},
		{"?after=1000&limit=204&later=x", 1001, 204, 1204},
		{"?after=1204", 1205, 1, 0},
		{"?after=1205", 0, 0, 0},
		{"?after=9007199254740991", 0, 0, 0},
	} {
		p := readAudit(t, s, c.query)
		if uint64(len(p.Entries)) != c.count || p.Next != c.next || p.Total != total ||
			c.count > 0 && p.Entries[0].Seq != c.first {
			t.Errorf("%s: %d entries, next %d, total %d", c.query, len(p.Entries), p.Next, p.Total)
		}
	}
	if w := call(t, s, "GET", auditPath+"?after=1205", "", asAdmin); w.Body.String() != `{"entries":[],"total":1205}` {
		t.Error(w.Body)
	}
	for _, query := range []string{"after=-1", "after=+1", "after=x", "after=", "after=1.0", "after=9007199254740992",
		"after=1&after=1", "after=1_0", "after=%zz", "limit=0", "limit=1001", "limit=-1", "limit=", "limit=1e2",
		"limit=1&limit=2", "limit=99999999999999999999", "limit=%00"} {
		wantProblem(t, call(t, s, "GET", auditPath+"?"+query, "", asAdmin), invalidField)
	}
}

// TestEveryChangeIsAudited wants one entry per change that took effect, with the id of its request, and none of a repeated
// one.
func TestEveryChangeIsAudited(t *testing.T) {
	t.Parallel()
	for _, c := range controlCalls {
		n, key := newFakeNode(t, "n1")
		n.apply(fsm.PutPlan{Plan: fsm.Plan{Name: "spare"}})
		s := newTestServer(t, n, nil)
		before := readAudit(t, s, "").Total
		w := call(t, s, c.method, c.target, c.body, asAdmin)
		if w.Code/100 != 2 {
			t.Fatalf("%s %s %s: %d %s", c.method, c.target, c.body, w.Code, w.Body)
		}
		page := readAudit(t, s, fmt.Sprintf("?after=%d", before))
		if len(page.Entries) != 1 {
			t.Errorf("%s %s %s: %+v", c.method, c.target, c.body, page.Entries)
			continue
		}
		e := page.Entries[0]
		if e.Actor != "admin" || e.Role != "admin" || e.RequestID != w.Header().Get(requestIDHeader) ||
			e.Address != "192.0.2.1" || e.Action != c.action || c.audited != "" && e.Target != c.audited || len(e.Changes) == 0 {
			t.Errorf("%s %s %s: %+v", c.method, c.target, c.body, e)
		}
		if again := call(t, s, c.method, c.target, c.body, asAdmin); c.method == "PATCH" || c.method == "PUT" {
			if now := readAudit(t, s, ""); again.Code/100 != 2 || now.Total != page.Total {
				t.Errorf("%s %s %s again: %d, %d entries", c.method, c.target, c.body, again.Code, now.Total)
			}
		}
		checkNoSecrets(t, n, call(t, s, "GET", auditPath, "", asAdmin), key)
	}
}

// checkNoSecrets holds that an answer has no key, hash or secret of the cluster in it, in any spelling.
func checkNoSecrets(t *testing.T, n *fakeNode, w *httptest.ResponseRecorder, secrets ...string) {
	t.Helper()
	body := w.Body.String()
	dir := n.Directory()
	secrets = append(secrets, hex.EncodeToString(dir.KeyHashSecret[:]), testAdminToken)
	for _, k := range dir.Keys(1) {
		secrets = append(secrets, hex.EncodeToString(k.Hash[:]), string(k.Hash[:]))
	}
	for _, secret := range secrets {
		if strings.Contains(body, secret) {
			t.Errorf("a secret is shown: %s", body)
		}
	}
}

func TestMadeKeysAreAuditedWithoutTheirSecrets(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	w := call(t, s, "POST", "/v1/admin/tenants/demo/keys", `{"name":"ci","scopes":["usage:read"]}`, asAdmin)
	var made struct{ ID, Secret, Hint string }
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || made.Secret == "" {
		t.Fatalf("%v in %s", err, w.Body)
	}
	page := readAudit(t, s, "?after=1")
	if got, want := fmt.Sprint(page.Entries[0].Changes), "[{tenant  ten_1} {name  ci} {hint  "+made.Hint+"} "+
		"{scopes  usage:read}]"; got != want || page.Entries[0].Target != made.ID {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	checkNoSecrets(t, n, call(t, s, "GET", auditPath, "", asAdmin), made.Secret, made.Secret[:20])
	checkNoSecrets(t, n, call(t, s, "GET", "/v1/admin/tenants/demo/keys", "", asAdmin), made.Secret)
}

// TestRefusedChangesAreNotAudited: what was not done was not done.
func TestRefusedChangesAreNotAudited(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	before := readAudit(t, s, "").Total
	for _, c := range []struct {
		method, target, body string
		kind                 *errorKind
	}{
		{"POST", "/v1/admin/tenants", `{"slug":"demo"}`, conflict},
		{"POST", "/v1/admin/tenants", `{"slug":"x","plan":"nosuch"}`, invalidField},
		{"PATCH", "/v1/admin/tenants/demo", `{"plan":"nosuch","name":"x"}`, invalidField},
		{"PUT", plansPath + "/unlimited", `{}`, conflict},
		{"DELETE", plansPath + "/starter", ``, conflict},
	} {
		wantProblem(t, call(t, s, c.method, c.target, c.body, asAdmin), c.kind)
	}
	if after := readAudit(t, s, ""); after.Total != before {
		t.Errorf("%+v", after.Entries)
	}
}

func TestCallerAddress(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]string{
		"192.0.2.7:1234": "192.0.2.7", "[2001:db8::1]:1": "2001:db8::1", "[::ffff:192.0.2.7]:1": "192.0.2.7",
		"[fe80::1%eth0]:1": "fe80::1", "@": "", "": "", "localhost:1": "", "192.0.2.7": "",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = remote
		r.Header.Set(callerAddressHeader, "198.51.100.1") // which counts for nothing: no node sent it
		r.Header.Set("X-Forwarded-For", "198.51.100.2")
		if got := (&exchange{r: r}).callerAddress(); got != want {
			t.Errorf("%s: %q", remote, got)
		}
	}
	for header, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::1": "::1", "": "", "192.0.2.7:1": "", "nonsense": "", "fe80::1%x y": "fe80::1",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set(callerAddressHeader, header)
		if got := (&exchange{r: r, forwarded: true}).callerAddress(); got != want {
			t.Errorf("forwarded, %s: %q", header, got)
		}
	}
}

// TestAuditThroughAFollower has every change be made once, and be noted under the request's id and its caller's address,
// however it came to the leader.
func TestAuditThroughAFollower(t *testing.T) {
	t.Parallel()
	for _, c := range controlCalls {
		p := newPair(t, FollowersForward)
		p.leader.apply(fsm.PutPlan{Plan: fsm.Plan{Name: "spare"}})
		before := readAudit(t, p.leaderAPI, "").Total
		w := call(t, p.followerAPI, c.method, c.target, c.body, asAdmin, callerAddressHeader+": 198.51.100.1")
		page := readAudit(t, p.leaderAPI, fmt.Sprintf("?after=%d", before))
		if w.Code/100 != 2 || len(page.Entries) != 1 || len(p.follower.proposed()) != 0 {
			t.Fatalf("%s %s forwarded: %d %s, %+v", c.method, c.target, w.Code, w.Body, page.Entries)
		}
		if e := page.Entries[0]; e.RequestID != w.Header().Get(requestIDHeader) || e.Address != "192.0.2.1" {
			t.Errorf("%s %s forwarded: %+v", c.method, c.target, e)
		}

		p = newPair(t, FollowersRedirect)
		p.leader.apply(fsm.PutPlan{Plan: fsm.Plan{Name: "spare"}})
		location := p.redirected(t, c.method, c.target, c.body, asAdmin)
		w = call(t, p.leaderAPI, c.method, location, c.body, callerAddressHeader+": 198.51.100.1")
		page = readAudit(t, p.leaderAPI, fmt.Sprintf("?after=%d", before))
		if w.Code/100 != 2 || len(page.Entries) != 1 {
			t.Fatalf("%s %s redirected: %d %s, %+v", c.method, c.target, w.Code, w.Body, page.Entries)
		}
		if e := page.Entries[0]; e.RequestID != w.Header().Get(requestIDHeader) || e.Address != "192.0.2.1" {
			t.Errorf("%s %s redirected: %+v", c.method, c.target, e)
		}
	}
}
