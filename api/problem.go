package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

// maxDetailBytes bounds what a problem repeats of the caller's own words.
const maxDetailBytes = 256

// problem is one refusal: a kind, and what is particular to this occurrence.
type problem struct {
	kind       *errorKind
	detail     string
	retryAfter time.Duration // instead of the kind's
	limit      int64         // the limit that was met; 0 if none
	leader     string        // who to ask instead
	resetAtMs  int64         // when the usage limit is lifted
	held       *fsm.Result   // the lock that is in the way
	quota      *quota        // what the bucket says that has too few tokens
	meter      string        // what the usage limit is of, as limits by the month are named; "" are claims
	word       string        // the member error, which the documented answers to webhooks have
}

func (k *errorKind) problem(format string, args ...any) *problem {
	detail := format
	if len(args) > 0 {
		detail = fmt.Sprintf(format, args...)
	}
	return &problem{kind: k, detail: clip(detail, maxDetailBytes)}
}

// clip shortens s to at most n bytes of whole characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

func tooLarge(what string, limit int64) *problem {
	p := bodyTooLarge.problem("%s is larger than the limit of %d bytes", what, limit)
	p.limit = limit
	return p
}

// pause is how long the caller should wait before trying again; 0 if that would not help.
func (p *problem) pause() time.Duration {
	if p.retryAfter > 0 {
		return p.retryAfter
	}
	return p.kind.retryAfter
}

// append writes the problem as an RFC 9457 object.
func (p *problem) append(b []byte, requestID string) []byte {
	b = append(b, '{')
	if p.word != "" {
		b = appendStringMember(b, "error", p.word)
	}
	b = appendStringMember(b, "type", "/docs/errors#"+p.kind.code)
	b = appendStringMember(b, "title", p.kind.title)
	b = appendIntMember(b, "status", int64(p.kind.status))
	b = appendStringMember(b, "detail", p.detail)
	b = appendStringMember(b, "code", p.kind.code)
	b = appendStringMember(b, "requestId", requestID)
	if d := p.pause(); d > 0 {
		b = appendIntMember(b, "retryAfterMs", d.Milliseconds())
	}
	if p.limit > 0 {
		b = appendIntMember(b, "limit", p.limit)
	}
	if p.leader != "" {
		b = appendStringMember(b, "leader", p.leader)
	}
	if p.held != nil {
		b = appendBoolMember(b, "cached", false)
		b = appendBoolMember(b, "locked", false)
		b = appendIntMember(b, "leaseRemainingMs", p.held.LeaseRemainingMs)
		b = appendFingerprint(b, p.held.Fingerprint)
	}
	return append(b, '}')
}

// setHeaders writes the header fields that belong to the problem.
func (p *problem) setHeaders(h http.Header, now time.Time) {
	if d := p.pause(); d > 0 {
		h["Retry-After"] = []string{wholeSeconds(d)}
	}
	switch p.kind {
	case invalidAPIKey, forbidden:
		h["Www-Authenticate"] = []string{"Bearer"}
	case usageLimitExceeded:
		if p.resetAtMs != 0 { // else it is no month that is full
			p.setMonthlyFields(h, now)
		}
	}
	if p.quota != nil {
		p.quota.setFields(h)
	}
}

// wholeSeconds rounds up, so that nobody comes back too early.
func wholeSeconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// problemOfError maps what a node fails with to what the caller is told.
func problemOfError(err error) *problem {
	var refusal *cluster.Refusal
	switch {
	case errors.As(err, &refusal):
		return problemOfRefusal(refusal)
	case errors.Is(err, cluster.ErrCursor):
		return invalidField.problem("cursor is not, or no longer, good: begin without one")
	case errors.Is(err, cluster.ErrOutcomeUnknown):
		return unknownOutcome()
	case errors.Is(err, cluster.ErrBusy):
		return busy.problem("too many requests are queued; nothing was changed")
	case errors.Is(err, cluster.ErrStorageFull):
		return storageFull.problem("no new locks are granted until there is room; results are still stored")
	case errors.Is(err, cluster.ErrNotLeader), errors.Is(err, cluster.ErrUnavailable),
		errors.Is(err, cluster.ErrClosed):
		return withoutLeader()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return unknownOutcome()
	default:
		return internalError.problem("the request failed inside the node; its log tells more")
	}
}

func unknownOutcome() *problem {
	return outcomeUnknown.problem("the answer was lost; repeat the request, a claim with the same owner")
}

func withoutLeader() *problem {
	return noLeader.problem("the cluster has no leader that can be reached; nothing was changed")
}

// problemOfResult maps a command's refusal, decided in the log, to what the caller is told.
func problemOfResult(r *fsm.Result, now time.Time) *problem {
	switch r.Outcome {
	case fsm.LockLost:
		return lockLost.problem("the token holds no lock on this record; nothing was changed")
	case fsm.AlreadyCompleted:
		return alreadyCompleted.problem("the record is completed with another value; nothing was changed")
	case fsm.FingerprintMismatch:
		return fingerprintMismatch.problem("the record belongs to a request with another fingerprint")
	case fsm.UsageLimitExceeded:
		p := usageLimitExceeded.problem("the tenant's limit of %d claims per month is used up", r.Limit)
		p.limit, p.resetAtMs = r.Limit, r.ResetAtMs
		p.retryAfter = max(time.UnixMilli(r.ResetAtMs).Sub(now).Truncate(time.Millisecond), time.Second)
		return p
	case fsm.StoredBytesExceeded:
		p := usageLimitExceeded.problem("as many bytes are stored for the tenant as its plan allows, %d; stored results can "+
			"be deleted, or expire", r.Limit)
		p.limit, p.retryAfter = r.Limit, time.Minute
		return p
	case fsm.TenantSuspended:
		return tenantSuspended.problem("no new locks are granted, and nothing was changed; what was begun can be completed")
	case fsm.InProgress:
		p := inProgress.problem("another request holds the lock on this record")
		p.retryAfter, p.held = time.Duration(r.RetryAfterMs)*time.Millisecond, r
		return p
	case fsm.NotFound:
		return notFound.problem("the tenant or key does not exist")
	case fsm.Conflict:
		return conflict.problem("the slug or identifier is taken")
	case fsm.LimitReached:
		p := limitReached.problem("the tenants, or the keys of this one, have reached their limit of %d", r.Limit)
		p.limit = r.Limit
		return p
	default:
		return internalError.problem("the command had an outcome that does not belong to it")
	}
}
