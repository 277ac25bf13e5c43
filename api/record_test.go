package api

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

// mask replaces what is drawn at random in an answer.
func mask(body string) string {
	return regexp.MustCompile(`[0-9a-f]{32}`).ReplaceAllString(body, "…")
}

// TestGuide walks through the flow of the public guide.
func TestGuide(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	auth, id := asTenant(key), `{"scope":"orders","key":"order-2001"}`
	post := func(want, retryAfter, replayed string) {
		t.Helper()
		w := call(t, s, "POST", "/v1/record", id, auth, "Content-Type: application/json")
		if got := mask(w.Body.String()); w.Code != 200 || got != want {
			t.Fatalf("got  %d %s\nwant %s", w.Code, got, want)
		}
		h := w.Header()
		if h.Get("Retry-After") != retryAfter || h.Get("Idempotent-Replayed") != replayed || h.Get("Syllecta-Index") == "" ||
			h.Get("Syllecta-Term") != "7" || h.Get("Content-Type") != "application/json" ||
			h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" ||
			!regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(h.Get("Syllecta-Request-Id")) {
			t.Fatalf("headers: %v", h)
		}
	}
	post(`{"cached":false,"locked":true,"token":"…","fence":1099511627777,"leaseMs":60000}`, "", "")
	post(`{"cached":false,"locked":false,"retryAfterMs":1500,"leaseRemainingMs":60000}`, "2", "")
	put := `{"scope":"orders","key":"order-2001","body":{"status":"paid"}}`
	stored := `{"ok":true,"expiresAt":"2026-11-21T12:00:00.000Z"}`
	wantBody(t, call(t, s, "PUT", "/v1/record", put, auth), 200, stored)
	wantBody(t, call(t, s, "PUT", "/v1/record", put, auth), 200, stored)
	other := strings.Replace(put, "paid", "open", 1)
	wantProblem(t, call(t, s, "PUT", "/v1/record", other, auth), alreadyCompleted)
	record := `{"status":200,"headers":{},"body":{"status":"paid"},"createdAt":"2026-11-20T12:00:00.000Z",` +
		`"expiresAt":"2026-11-21T12:00:00.000Z"}`
	post(`{"cached":true,"record":`+record+`}`, "", "true")
	query := "/v1/record?scope=orders&key=order-2001"
	wantBody(t, call(t, s, "GET", query, "", auth), 200, `{"cached":true,"record":`+record+
		`,"state":"completed","expiresAt":"2026-11-21T12:00:00.000Z"}`)
	wantBody(t, call(t, s, "DELETE", query, "", auth), 200, `{"ok":true,"existed":true}`)
	wantBody(t, call(t, s, "DELETE", "/v1/record", id, auth), 200, `{"ok":true,"existed":false}`)
	wantBody(t, call(t, s, "GET", query, "", auth), 200, `{"cached":false,"state":"absent"}`)
}

func TestLockCalls(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	auth := asTenant(key)
	w := call(t, s, "POST", "/v1/record", `{"scope":"s","fingerprint":"f","owner":"me"}`, auth, `Idempotency-Key: "k"`)
	var grant struct {
		Token       string
		Fingerprint string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &grant); err != nil || len(grant.Token) != 32 || grant.Fingerprint != "f" {
		t.Fatalf("%v in %s", err, w.Body)
	}
	again := call(t, s, "POST", "/v1/record", `{"scope":"s","key":"k","owner":"me"}`, auth)
	if !strings.Contains(again.Body.String(), grant.Token) {
		t.Fatalf("the owner does not get its lock again: %s", again.Body)
	}
	again = call(t, s, "POST", "/v1/record", `{"scope":"s","key":"k","fingerprint":"g"}`, auth)
	wantProblem(t, again, fingerprintMismatch)
	held := fmt.Sprintf(`{"scope":"s","key":"k","token":%q`, grant.Token)
	wantBody(t, call(t, s, "POST", "/v1/record/renew", held+`}`, auth), 200, `{"ok":true,"leaseMs":60000}`)
	wantBody(t, call(t, s, "POST", "/v1/record/renew", held+`,"lockMs":5000}`, auth), 200, `{"ok":true,"leaseMs":5000}`)
	wantBody(t, call(t, s, "GET", "/v1/record?scope=s&key=k", "", auth), 200,
		`{"cached":false,"state":"locked","fingerprint":"f","leaseRemainingMs":5000,"expiresAt":"2026-11-21T12:00:00.000Z"}`)
	stranger := `{"scope":"s","key":"k","token":"` + testTokenText + `"}`
	wantProblem(t, call(t, s, "POST", "/v1/record/renew", stranger, auth), lockLost)
	wantProblem(t, call(t, s, "POST", "/v1/record/release", stranger, auth), lockLost)
	wantProblem(t, call(t, s, "PUT", "/v1/record", stranger, auth), lockLost)
	wantBody(t, call(t, s, "POST", "/v1/record/release", held+`}`, auth), 200, `{"ok":true}`)
	wantBody(t, call(t, s, "POST", "/v1/record/release", held+`}`, auth), 200, `{"ok":true}`)
}

func TestStrictPreference(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	auth, strict := asTenant(key), "Prefer: handling=strict"
	id := `{"scope":"s","key":"k","lockMs":0}`
	w := call(t, s, "POST", "/v1/record", id, auth, strict)
	if w.Code != 200 || w.Header().Get("Preference-Applied") != "" {
		t.Fatalf("a grant: %d %v", w.Code, w.Header())
	}
	w = call(t, s, "POST", "/v1/record", id, auth, strict)
	if w.Header().Get("Preference-Applied") != "handling=strict" || w.Header().Get("Retry-After") != "2" {
		t.Errorf("headers: %v", w.Header())
	}
	doc := wantProblem(t, w, inProgress)
	if !strings.Contains(doc, `"status":409`) ||
		!strings.HasSuffix(doc, `"retryAfterMs":1500,"cached":false,"locked":false,"leaseRemainingMs":0}`) {
		t.Error(doc)
	}
}

func TestUsageLimit(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	n.apply(fsm.UpdateTenant{Tenant: 1, SetMonthlyClaims: true, MonthlyClaims: 1})
	s := newTestServer(t, n, nil)
	auth := asTenant(key)
	if w := call(t, s, "POST", "/v1/record", `{"scope":"s","key":"1"}`, auth); w.Code != 200 {
		t.Fatal(w.Body)
	}
	w := call(t, s, "POST", "/v1/record", `{"scope":"s","key":"2"}`, auth)
	if w.Header().Get("Retry-After") != "907200" {
		t.Errorf("headers: %v", w.Header())
	}
	wantProblem(t, w, usageLimitExceeded)
	if w := call(t, s, "PUT", "/v1/record", `{"scope":"s","key":"2"}`, auth); w.Code != 200 {
		t.Errorf("a result is refused: %s", w.Body)
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	n.apply(fsm.UpdateTenant{Tenant: 1, SetMonthlyClaims: true, MonthlyClaims: 2})
	s := newTestServer(t, n, nil)
	auth := asTenant(key)
	bad := `{"records":[{"scope":"s","key":"1"},{"scope":"s"}]}`
	wantProblem(t, call(t, s, "POST", "/v1/records", bad, auth), missingField)
	if len(n.proposed()) != 0 {
		t.Fatal("a batch with a bad claim was partly proposed")
	}
	put := `{"scope":"s","key":"done","body":1}`
	if w := call(t, s, "PUT", "/v1/record", put, auth); w.Code != 200 {
		t.Fatal(w.Body)
	}
	before := n.index
	w := call(t, s, "POST", "/v1/records", `{"records":[{"scope":"s","key":"1","fingerprint":"f"},{"scope":"s","key":"1"},
		{"scope":"s","key":"done"},{"scope":"s","key":"1","fingerprint":"g"},{"scope":"s","key":"2"},
		{"scope":"s","key":"3"}]}`, auth)
	if n.index != before+1 {
		t.Errorf("%d log entries", n.index-before)
	}
	var answer struct {
		Results []struct {
			Cached, Locked bool
			Code           string
			RetryAfterMs   int64
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 {
		t.Fatalf("%d %v in %s", w.Code, err, w.Body)
	}
	got := ""
	for _, r := range answer.Results {
		got += fmt.Sprintf("%v %v %s;", r.Cached, r.Locked, r.Code)
	}
	want := "false true ;false false ;true false ;false false fingerprint_mismatch;false true ;" +
		"false false usage_limit_exceeded;"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestBatchAnswerIsBounded: what does not fit any more is refused in its place, and grants are never left out.
func TestBatchAnswerIsBounded(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	body := `"` + strings.Repeat("x", DefaultMaxRecordBodyBytes-2) + `"`
	if w := call(t, s, "PUT", "/v1/record", `{"scope":"s","key":"big","body":`+body+`}`, asTenant(key)); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	claims := strings.Repeat(`{"scope":"s","key":"big"},`, maxBatch-1) + `{"scope":"s","key":"new"}`
	w := call(t, s, "POST", "/v1/records", `{"records":[`+claims+`]}`, asTenant(key))
	var answer struct {
		Results []struct {
			Cached, Locked bool
			Code           string
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || len(answer.Results) != maxBatch {
		t.Fatalf("%d results: %v", len(answer.Results), err)
	}
	first, refused, last := answer.Results[0], answer.Results[maxBatch-2], answer.Results[maxBatch-1]
	if !first.Cached || refused.Code != bodyTooLarge.code || !last.Locked {
		t.Errorf("%+v, %+v, %+v", first, refused, last)
	}
	if size := w.Body.Len(); size > maxBatchAnswerBytes+maxBatch*1024 {
		t.Errorf("the answer has %d bytes", size)
	}
}

func TestOwners(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	longest := strings.Repeat("o", fsm.MaxOwnerBytes)
	call(t, s, "POST", "/v1/record", `{"scope":"s","key":"1","owner":"`+longest+`"}`, asTenant(key))
	w := call(t, s, "POST", "/v1/record", `{"scope":"s","key":"2","waitMs":1500}`, asTenant(key))
	b := call(t, s, "POST", "/v1/records", `{"records":[{"scope":"s","key":"3"},{"scope":"s","key":"3"}]}`, asTenant(key))
	want := []string{
		"o:" + longest, "r:" + w.Header().Get(requestIDHeader),
		"r:" + b.Header().Get(requestIDHeader) + ":0", "r:" + b.Header().Get(requestIDHeader) + ":1",
	}
	for i, c := range n.proposed() {
		claim := c.Command.(fsm.Claim)
		if claim.Owner != want[i] || claim.Token.IsZero() || claim.ID.Tenant != 1 {
			t.Errorf("claim %d: %+v, want owner %s", i, claim, want[i])
		}
		if wait := time.Duration(0); i == 1 {
			if wait = 1500 * time.Millisecond; c.Wait != wait {
				t.Errorf("wait %s", c.Wait)
			}
		}
	}
}

func TestStaleReads(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	n.follow(nil)
	s := newTestServer(t, n, nil)
	query := "/v1/record?scope=s&key=k&consistency=stale"
	for age, want := range map[cluster.Staleness]string{
		{}: "unbounded",
		{Known: true, Max: 1500 * time.Microsecond}: "2",
		{Known: true}: "0",
	} {
		n.stale = age
		w := call(t, s, "GET", query, "", asTenant(key))
		wantBody(t, w, 200, `{"cached":false,"state":"absent"}`)
		if got := w.Header().Get(staleHeader); got != want {
			t.Errorf("%+v: %q", age, got)
		}
	}
}

func TestNodeErrors(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	calls := []struct{ method, target, body string }{
		{"PUT", "/v1/record", `{"scope":"s","key":"k"}`},
		{"POST", "/v1/record", `{"scope":"s","key":"k"}`},
		{"GET", "/v1/record?scope=s&key=k", ""},
	}
	for err, want := range map[error]*errorKind{
		cluster.ErrBusy: busy, cluster.ErrStorageFull: storageFull,
		cluster.ErrUnavailable: noLeader, cluster.ErrClosed: noLeader,
	} {
		for _, c := range calls {
			n.failure = []error{fmt.Errorf("proposing: %w", err)}
			w := call(t, s, c.method, c.target, c.body, asTenant(key))
			if w.Header().Get("Retry-After") == "" {
				t.Errorf("%v: no Retry-After", err)
			}
			wantProblem(t, w, want)
		}
	}
}

func TestDoubtfulClaimIsRepeated(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	post := func(failures ...error) (answer string, claims []fsm.Claim) {
		n.failure, n.calls = failures, nil
		w := call(t, s, "POST", "/v1/record", fmt.Sprintf(`{"scope":"s","key":"%d"}`, n.index), asTenant(key))
		for _, c := range n.proposed() {
			claims = append(claims, c.Command.(fsm.Claim))
		}
		return w.Body.String(), claims
	}
	answer, claims := post(cluster.ErrOutcomeUnknown)
	if !strings.Contains(answer, `"locked":true`) || len(claims) != 2 || claims[0] != claims[1] {
		t.Errorf("%s after %+v", answer, claims)
	}
	answer, claims = post(cluster.ErrOutcomeUnknown, cluster.ErrBusy)
	if !strings.Contains(answer, outcomeUnknown.code) || len(claims) != 2 {
		t.Errorf("a doubtful claim that then meets a full queue: %s after %d tries", answer, len(claims))
	}
	unknown := cluster.ErrOutcomeUnknown
	answer, claims = post(unknown, unknown, unknown, unknown)
	if !strings.Contains(answer, outcomeUnknown.code) || len(claims) != maxLeaderRounds {
		t.Errorf("%s after %d tries", answer, len(claims))
	}
	n.failure, n.calls = []error{unknown}, nil
	wantProblem(t, call(t, s, "PUT", "/v1/record", `{"scope":"s","key":"k"}`, asTenant(key)), outcomeUnknown)
	if got := len(n.proposed()); got != 1 {
		t.Errorf("a doubtful result was proposed %d times", got)
	}
}
