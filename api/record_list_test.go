package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/syllecta/syllecta/fsm"
)

func TestListRecords(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	auth := asTenant(key)
	claims := []string{
		`{"scope":"orders","key":"1","owner":"worker-7","lockMs":1000,"fingerprint":"f"}`,
		`{"scope":"orders","key":"2","lockMs":1000}`,
		`{"scope":"mails","key":"3","lockMs":1000}`,
		`{"scope":"orders","key":"held"}`,
		`{"scope":"orders","key":"endless","lockMs":0}`,
	}
	wantStatus := func(body string) {
		t.Helper()
		if w := call(t, s, "POST", "/v1/record", body, auth); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	for _, body := range claims {
		wantStatus(body)
	}
	n.apply(fsm.CreateTenant{PublicID: "ten_x", Slug: "other"},
		fsm.Claim{ID: fsm.RecordID{Tenant: 2, Scope: "orders", Key: "foreign"}, Owner: "o:x", LeaseMs: 1000, TTLMs: 86_400_000})
	n.nowMs += 1000
	first := `{"scope":"orders","key":"1","state":"lapsed","fence":1099511627777,"owner":"worker-7","fingerprint":"f",` +
		`"lockedAt":"2026-11-20T12:00:00.000Z","leaseEndsAt":"2026-11-20T12:00:01.000Z","expiresAt":"2026-11-21T12:00:00.000Z"}`
	for _, tt := range []struct {
		query string
		want  []string // parts of each record, in any order
	}{
		{"", []string{first, `"key":"2"`, `"key":"3"`}},
		{"?state=lapsed&scope=orders", []string{first, `"key":"2"`}},
		{"?scope=mails", []string{`"key":"3"`}},
		{"?scope=none", nil},
		{"?state=locked", []string{`"key":"held"`, `"key":"endless","state":"locked"`}},
	} {
		w := call(t, s, "GET", "/v1/records"+tt.query, "", auth)
		body := w.Body.String()
		if w.Code != 200 || strings.Count(body, `{"scope":`) != len(tt.want) || strings.Contains(body, "cursor") ||
			strings.Contains(body, "token") || strings.Contains(body, "foreign") {
			t.Errorf("%q: %d %s", tt.query, w.Code, body)
		}
		for _, part := range tt.want {
			if !strings.Contains(body, part) {
				t.Errorf("%q: %s has no %s", tt.query, body, part)
			}
		}
	}
}

func TestListRecordsInPages(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	for i := range 7 {
		n.apply(fsm.Claim{ID: fsm.RecordID{Tenant: 1, Scope: "s", Key: fmt.Sprint("key-", i)}, Owner: "o:x", LeaseMs: 1000, TTLMs: 86_400_000})
	}
	seen, cursor := make(map[string]bool), ""
	for pages := 1; ; pages++ {
		w := call(t, s, "GET", "/v1/records?state=locked&limit=3"+cursor, "", asTenant(key))
		for i := range 7 {
			if name := fmt.Sprintf(`"key-%d"`, i); strings.Contains(w.Body.String(), name) {
				seen[name] = true
			}
		}
		_, rest, more := strings.Cut(w.Body.String(), `"cursor":"`)
		if !more {
			if pages != 3 || len(seen) != 7 {
				t.Errorf("%d records in %d pages", len(seen), pages)
			}
			return
		}
		cursor = "&cursor=" + strings.TrimSuffix(rest, `"}`)
	}
}

func TestListRecordsRefuses(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	for _, tt := range []struct{ query, words string }{
		{"state=completed", "state is neither"},
		{"state=", "state"},
		{"limit=0", "limit is not a number from 1 to 1000"},
		{"limit=1001", "limit is not"},
		{"limit=-1", "limit is not"},
		{"limit=ten", "limit is not"},
		{"limit=99999", "limit"},
		{"scope=" + strings.Repeat("x", fsm.MaxScopeBytes+1), "scope"},
		{"cursor=" + strings.Repeat("x", maxCursorBytes+1), "cursor"},
		{"cursor=old", "cursor is not, or no longer, good"},
		{"scope=a&scope=b", "scope is given twice"},
	} {
		w := call(t, s, "GET", "/v1/records?"+tt.query, "", asTenant(key))
		body := w.Body.String()
		wantProblem(t, w, invalidField)
		if !strings.Contains(body, tt.words) {
			t.Errorf("%s: %s does not tell %q", tt.query, body, tt.words)
		}
	}
}
