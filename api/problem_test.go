package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

func TestErrorTable(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, k := range errorKinds {
		if !regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`).MatchString(k.code) || seen[k.code] {
			t.Errorf("code %q is malformed or listed twice", k.code)
		}
		seen[k.code] = true
		if k.title == "" || strings.HasSuffix(k.title, ".") || http.StatusText(k.status) == "" || k.retry == 0 {
			t.Errorf("%s: incomplete: %+v", k.code, k)
		}
		mustWait := k.status == 429 || k.status == 503 || k.status == 507
		if mustWait && k.retryAfter == 0 || k.retry == retryNever && k.retryAfter != 0 {
			t.Errorf("%s: retry class %d with a pause of %s", k.code, k.retry, k.retryAfter)
		}
	}
	for _, code := range strings.Fields(`invalid_json missing_field invalid_field unsupported_media_type invalid_api_key
		forbidden not_found unknown_tenant method_not_allowed body_too_large lock_lost already_completed in_progress
		fingerprint_mismatch usage_limit_exceeded rate_limited no_leader busy outcome_unknown storage_full conflict limit_reached
		upgrade_pending tenant_suspended not_leader internal invalid_signature unreadable_webhook missing_event_id no_kek
		source_not_ready verifier_unavailable events_full`) {
		if !seen[code] {
			t.Errorf("%s is not in the table", code)
		}
	}
}

func TestEveryProblemIsAProblemDocument(t *testing.T) {
	t.Parallel()
	for _, k := range errorKinds {
		p := k.problem("line\nfeed %s", `"quoted"`)
		b := p.append(nil, "id")
		var doc struct {
			Type, Title, Detail, Code, RequestID string
			Status                               int
			RetryAfterMs                         int64
		}
		if err := json.Unmarshal(b, &doc); err != nil {
			t.Fatalf("%s: %v in %s", k.code, err, b)
		}
		if doc.Type != "/docs/errors#"+k.code || doc.Title != k.title || doc.Status != k.status || doc.Code != k.code ||
			doc.RequestID != "id" || doc.Detail != "line\nfeed \"quoted\"" || doc.RetryAfterMs != k.retryAfter.Milliseconds() {
			t.Errorf("%s: %s", k.code, b)
		}
		h := http.Header{}
		p.setHeaders(h, time.Now())
		if (h.Get("Retry-After") != "") != (doc.RetryAfterMs > 0) {
			t.Errorf("%s: header and member do not agree: %v, %s", k.code, h, b)
		}
	}
}

func TestDetailIsBounded(t *testing.T) {
	t.Parallel()
	p := invalidField.problem("%s", strings.Repeat("é", 10_000))
	if len(p.detail) > maxDetailBytes+len("…") || !strings.HasSuffix(p.detail, "é…") {
		t.Errorf("%d bytes: %q", len(p.detail), p.detail)
	}
}

func TestProblemOfError(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]*errorKind{
		cluster.ErrNotLeader:      noLeader,
		cluster.ErrBusy:           busy,
		cluster.ErrStorageFull:    storageFull,
		cluster.ErrOutcomeUnknown: outcomeUnknown,
		cluster.ErrUnavailable:    noLeader,
		cluster.ErrClosed:         noLeader,
		context.DeadlineExceeded:  outcomeUnknown,
		context.Canceled:          outcomeUnknown,
		errors.New("disk"):        internalError,
	} {
		if got := problemOfError(fmt.Errorf("wrapped: %w", err)); got.kind != want || strings.Contains(got.detail, "disk") {
			t.Errorf("%v: %+v", err, got)
		}
	}
	// What may have been done must never be reported as not done.
	if got := problemOfError(errors.Join(cluster.ErrBusy, cluster.ErrOutcomeUnknown)); got.kind != outcomeUnknown {
		t.Errorf("in doubt: %+v", got)
	}
}

func TestProblemOfResult(t *testing.T) {
	t.Parallel()
	for outcome, want := range map[fsm.Outcome]*errorKind{
		fsm.LockLost:            lockLost,
		fsm.AlreadyCompleted:    alreadyCompleted,
		fsm.FingerprintMismatch: fingerprintMismatch,
		fsm.UsageLimitExceeded:  usageLimitExceeded,
		fsm.StoredBytesExceeded: usageLimitExceeded,
		fsm.InProgress:          inProgress,
		fsm.NotFound:            notFound,
		fsm.Conflict:            conflict,
		fsm.LimitReached:        limitReached,
		fsm.TenantSuspended:     tenantSuspended,
		fsm.Granted:             internalError,
	} {
		if got := problemOfResult(&fsm.Result{Outcome: outcome}, time.Now()); got.kind != want {
			t.Errorf("%d: %+v", outcome, got)
		}
	}
}

func TestUsageLimitFields(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 30, 23, 59, 50, 500_000_000, time.UTC)
	reset := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	p := problemOfResult(&fsm.Result{Outcome: fsm.UsageLimitExceeded, Limit: 10_000, ResetAtMs: reset.UnixMilli()}, now)
	h := http.Header{}
	p.setHeaders(h, now)
	want := http.Header{
		"Retry-After":      {"10"},
		"RateLimit-Policy": {`"monthly-claims";q=10000;w=2592000`},
		"RateLimit":        {`"monthly-claims";r=0;t=10`},
	}
	if fmt.Sprint(h) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", h, want)
	}
	if doc := string(p.append(nil, "id")); !strings.Contains(doc, `"status":429`) ||
		!strings.HasSuffix(doc, `"retryAfterMs":9500,"limit":10000}`) {
		t.Error(doc)
	}
}
