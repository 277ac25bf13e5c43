package api

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// failedAuth throttles sources whose credentials are refused: keys, admin tokens and tickets. Only a refusal takes a token,
// so a caller whose credentials are good is never counted.
//
// A source without tokens is still looked at, which is one HMAC in this node's own state: whoever is good by that passes,
// so one caller with a wrong key does not shut out all others behind the same proxy or translated address. All that is
// refused gets the same answer, 429, and nobody else is asked about it: a key that was made on another node a moment ago
// may have to wait until the source has a token.
type failedAuth struct {
	rate    int // refusals per second and source; 0 is no limit
	sources *buckets[netip.Addr]
	// until is when all buckets are full again, in Unix ns, and 0 if they are: then a request costs one load.
	until atomic.Int64
}

// failedAuthPolicy names the limit in the RateLimit fields.
const failedAuthPolicy = "failed-auth"

func newFailedAuth(rate int) *failedAuth {
	return &failedAuth{rate: max(rate, 0), sources: newBuckets[netip.Addr](failedAuthPolicy, failedAuthWindow)}
}

// quiet reports whether no source can be without tokens.
func (f *failedAuth) quiet(now func() time.Time) bool {
	until := f.until.Load()
	if until == 0 {
		return true
	}
	if now().UnixNano() < until {
		return false
	}
	f.until.CompareAndSwap(until, 0)
	return true
}

// throttles reports whether the source of a request has no tokens.
func (f *failedAuth) throttles(x *exchange) (quota, bool) {
	if f.quiet(x.s.now) {
		return quota{}, false
	}
	return f.sources.empty(x.source(), x.s.now())
}

// throttled is the refusal of credentials that are not good, from a source without tokens.
func (x *exchange) throttled(q quota) *problem {
	return x.limited(limitedFailedAuth, q, "too many requests with refused credentials came from this address")
}

// count takes a token for credentials that were refused.
func (f *failedAuth) count(x *exchange) {
	if f.rate == 0 {
		return
	}
	now := x.s.now()
	f.sources.take(x.source(), f.rate, 1, now)
	f.until.Store(now.Add(failedAuthWindow * time.Second).UnixNano())
}
