package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

func TestOwnTenant(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	key := n.addKey("key_a", fsm.ScopeAdminTenant, 0)
	tenant := func(policy string) string {
		return `{"id":"ten_1","slug":"demo","name":"Demo","plan":"unlimited","status":"active","monthlyClaims":0,` +
			`"payloadPolicy":"` + policy + `","createdAt":"2026-11-20T12:00:00.000Z"`
	}
	const usage = `,"usage":{"month":"2026-11","claims":0,"limit":0,"resetsAt":"2026-12-01T00:00:00.000Z","events":0,"eventLimit":0,"storedBytes":0,"storedBytesLimit":0}}`
	wantBody(t, call(t, s, "GET", "/v1/tenant", "", asTenant(key)), 200, tenant("metadata_only")+usage)
	for _, policy := range []string{"raw_debug_window", "metadata_only", "redacted_payload"} {
		wantBody(t, call(t, s, "PATCH", "/v1/tenant", `{"payloadPolicy":"`+policy+`"}`, asTenant(key)), 200, tenant(policy)+`}`)
	}
	wantBody(t, call(t, s, "PATCH", "/v1/tenant", `{"payloadPolicy":null}`, asTenant(key)), 200, tenant("redacted_payload")+`}`)
	page := readAudit(t, s, "?after=2").Entries
	if last := page[len(page)-1]; last.Actor != "key_a" || last.Role != "tenant" || last.Action != "tenant.update" {
		t.Errorf("audited %+v", last)
	}
	before := len(n.proposed())
	for body, kind := range map[string]*errorKind{
		`{"plan":"starter"}`: forbidden, `{"status":"active"}`: forbidden, `{"monthlyClaims":1}`: forbidden, `{"name":"x"}`: forbidden,
		`{"slug":"x"}`: invalidField, `{"payloadPolicy":"none"}`: invalidField, `{"payloadPolicy":1}`: invalidField, ``: invalidJSON,
		`{"payloadPolicy":"metadata_only","status":"active"}`: forbidden,
	} {
		wantProblem(t, call(t, s, "PATCH", "/v1/tenant", body, asTenant(key)), kind)
	}
	if len(n.proposed()) != before {
		t.Error("what was refused reached the log")
	}
}

// TestKeysGiveNoMoreThanTheyHave is about keys that are made by a tenant's key.
func TestKeysGiveNoMoreThanTheyHave(t *testing.T) {
	t.Parallel()
	n, all := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	end := n.nowMs + time.Hour.Milliseconds()
	some := n.addKey("key_some", fsm.ScopeAdminTenant|fsm.ScopeRecordsRead, 0)
	ends := n.addKey("key_ends", 0, end)
	at := func(ms int64) string { return `"expiresAt":"` + time.UnixMilli(ms).UTC().Format(instant) + `"` }
	for _, c := range []struct {
		key, body string
		made      bool
		detail    string
	}{
		{all, ``, true, ""},
		{all, `{"scopes":["records:write","admin:tenant"]}`, true, ""},
		{some, `{"scopes":["records:read"]}`, true, ""},
		{some, `{"scopes":["records:read","admin:tenant"],` + at(end) + `}`, true, ""},
		{some, ``, false, "scopes must name some of records:read admin:tenant"},
		{some, `{"scopes":["records:write"]}`, false, "scopes must name some of records:read admin:tenant"},
		{some, `{"scopes":["records:read","events:read"]}`, false, "scopes must name some of"},
		{ends, `{` + at(end) + `}`, true, ""},
		{ends, `{"scopes":["usage:read"],` + at(end-1) + `}`, true, ""},
		{ends, ``, false, "expiresAt must not be later than its own"},
		{ends, `{` + at(end+1) + `}`, false, "expiresAt must not be later than its own"},
	} {
		before := len(n.Directory().Keys(1))
		w := call(t, s, "POST", "/v1/keys", c.body, asTenant(c.key))
		if !c.made {
			doc := wantProblem(t, w, forbidden)
			if !strings.Contains(doc, c.detail) || len(n.Directory().Keys(1)) != before {
				t.Errorf("%s: %s", c.body, doc)
			}
			continue
		}
		var made struct{ ID, Secret string }
		if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || w.Code != 201 || len(n.Directory().Keys(1)) != before+1 {
			t.Fatalf("%s: %d %s", c.body, w.Code, w.Body)
		}
		if w := call(t, s, "GET", "/livez", "", asTenant(made.Secret)); w.Code != 200 {
			t.Errorf("%d", w.Code)
		}
	}
	if w := call(t, s, "GET", "/v1/keys", "", asTenant(some)); w.Body.String() !=
		call(t, s, "GET", "/v1/admin/tenants/demo/keys", "", asAdmin).Body.String() || strings.Contains(w.Body.String(), "ck_") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestRevokingByATenantsKey(t *testing.T) {
	t.Parallel()
	n, all := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	n.addKey("key_a", fsm.ScopeAdminTenant, 0)
	n.apply(fsm.CreateTenant{PublicID: "ten_2", Slug: "other"}, fsm.CreateKey{Tenant: 2, PublicID: "key_2", Hash: [32]byte{2}})
	doc := wantProblem(t, call(t, s, "DELETE", "/v1/keys/key_1", "", asTenant(all)), conflict)
	if !strings.Contains(doc, "a key does not revoke itself") {
		t.Error(doc)
	}
	var docs []string
	for _, id := range []string{"key_2", "key_9"} { // another tenant's is as one that does not exist
		w := call(t, s, "DELETE", "/v1/keys/"+id, "", asTenant(all))
		docs = append(docs, strings.Replace(wantProblem(t, w, notFound), w.Header().Get(requestIDHeader), "", 1))
	}
	if docs[0] != docs[1] || len(n.proposed()) != 0 {
		t.Errorf("%q", docs)
	}
	w := call(t, s, "DELETE", "/v1/keys/key_a", "", asTenant(all))
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"revokedAt":"`) || n.Directory().Keys(2)[0].RevokedAtMs != 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestOwnCallsBelowTheLevel: before sources came only admins changed tenants and keys.
func TestOwnCallsBelowTheLevel(t *testing.T) {
	t.Parallel()
	n, key := newOldFakeNode(t, "n1")
	n.apply(fsm.RaiseFeatureLevel{Level: 3, Version: "test"})
	s := newTestServer(t, n, nil)
	for _, c := range []struct{ method, path, body string }{
		{"PATCH", "/v1/tenant", `{"payloadPolicy":"metadata_only"}`}, {"POST", "/v1/keys", ``}, {"DELETE", "/v1/keys/key_9", ""},
	} {
		wantProblem(t, call(t, s, c.method, c.path, c.body, asTenant(key)), upgradePending)
	}
	if len(n.proposed()) != 0 {
		t.Error(fmt.Sprint(n.proposed()))
	}
	for _, path := range []string{"/v1/tenant", "/v1/keys"} {
		if w := call(t, s, "GET", path, "", asTenant(key)); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}
