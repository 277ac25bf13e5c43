package api

import (
	"encoding/hex"
	"strconv"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// What the record calls answer. Members come in the documented order, those of the public reference first; a client
// that knows only those is never disturbed.

// claimOutcome names the outcome of a claim for the metrics; "" if it is a refusal.
func claimOutcome(r *fsm.Result) string {
	switch r.Outcome {
	case fsm.Granted:
		return "granted"
	case fsm.InProgress:
		return "in_progress"
	case fsm.Cached:
		return "cached"
	default:
		return ""
	}
}

// appendClaim writes the answer to one claim, a refusal as a problem object.
func appendClaim(b []byte, r *fsm.Result, requestID string, now time.Time) []byte {
	switch r.Outcome {
	case fsm.Granted:
		return appendGrant(b, r)
	case fsm.InProgress:
		return appendInProgress(b, r)
	case fsm.Cached:
		b = append(b, `{"cached":true,"record":`...)
		b = appendRecord(b, &r.Record)
		return append(b, '}')
	default:
		return problemOfResult(r, now).append(b, requestID)
	}
}

func appendGrant(b []byte, r *fsm.Result) []byte {
	b = append(b, `{"cached":false,"locked":true,"token":"`...)
	b = hex.AppendEncode(b, r.Token[:])
	b = append(b, `","fence":`...)
	b = strconv.AppendUint(b, r.Fence, 10)
	b = appendIntMember(b, "leaseMs", r.LeaseMs)
	b = appendFingerprint(b, r.Fingerprint)
	return append(b, '}')
}

// appendLeaseRemaining leaves the member out for a lock that is never taken over.
func appendLeaseRemaining(b []byte, ms int64) []byte {
	if ms == fsm.NeverMs {
		return b
	}
	return appendIntMember(b, "leaseRemainingMs", ms)
}

func appendInProgress(b []byte, r *fsm.Result) []byte {
	b = append(b, `{"cached":false,"locked":false`...)
	b = appendIntMember(b, "retryAfterMs", r.RetryAfterMs)
	b = appendLeaseRemaining(b, r.LeaseRemainingMs)
	b = appendFingerprint(b, r.Fingerprint)
	return append(b, '}')
}

// appendRecord writes a stored result. Headers and body are the caller's own bytes, which were checked when they came.
func appendRecord(b []byte, r *fsm.Record) []byte {
	b = append(b, `{"status":`...)
	b = strconv.AppendUint(b, uint64(r.Status), 10)
	b = append(b, `,"headers":`...)
	b = append(b, r.Headers...)
	b = append(b, `,"body":`...)
	b = append(b, r.Body...)
	b = appendTimeMember(b, "createdAt", r.CreatedAtMs)
	b = appendTimeMember(b, "expiresAt", r.ExpiresAtMs)
	b = appendFingerprint(b, r.Fingerprint)
	return append(b, '}')
}

func appendFingerprint(b []byte, fingerprint string) []byte {
	if fingerprint == "" {
		return b
	}
	return appendStringMember(b, "fingerprint", fingerprint)
}

func appendStored(b []byte, r *fsm.Result) []byte {
	b = append(b, `{"ok":true`...)
	b = appendTimeMember(b, "expiresAt", r.ExpiresAtMs)
	return append(b, '}')
}

func appendRenewed(b []byte, r *fsm.Result) []byte {
	b = append(b, `{"ok":true`...)
	b = appendIntMember(b, "leaseMs", r.LeaseMs)
	return append(b, '}')
}

func appendReleased(b []byte, _ *fsm.Result) []byte { return append(b, `{"ok":true}`...) }

func appendDeleted(b []byte, r *fsm.Result) []byte {
	b = append(b, `{"ok":true`...)
	b = appendBoolMember(b, "existed", r.Existed)
	return append(b, '}')
}

// appendView writes what a read sees.
func appendView(b []byte, v *fsm.View) []byte {
	if v.State == fsm.StateCompleted {
		b = append(b, `{"cached":true,"record":`...)
		b = appendRecord(b, &v.Record)
	} else {
		b = append(b, `{"cached":false`...)
	}
	b = appendStringMember(b, "state", v.State.String())
	if v.State == fsm.StateAbsent {
		return append(b, '}')
	}
	b = appendFingerprint(b, v.Fingerprint)
	if v.State == fsm.StateLocked {
		b = appendLeaseRemaining(b, v.LeaseRemainingMs)
	}
	if v.ExpiresAtMs != fsm.NeverMs {
		b = appendTimeMember(b, "expiresAt", v.ExpiresAtMs)
	}
	return append(b, '}')
}
