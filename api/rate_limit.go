package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// NoLimit is a rate without a limit where 0 means the default.
const NoLimit = -1

// maxRate bounds a rate that is configured, in requests per second.
const maxRate = 1_000_000

// Seconds after which an empty bucket is full again; as many times the rate is the burst.
const (
	requestWindow    = 2
	addressWindow    = 2
	failedAuthWindow = 5
	replayWindow     = 5
	listingWindow    = 5
	changeWindow     = 60
)

// limitReason says which limit refused a request, for the metrics.
type limitReason string

const (
	limitedKey        limitReason = "key"
	limitedAddress    limitReason = "address"
	limitedFailedAuth limitReason = "failed_auth"
	limitedReplays    limitReason = "replays"
	limitedListings   limitReason = "listings"
	limitedChanges    limitReason = "changes"
)

var limitReasons = []limitReason{limitedKey, limitedAddress, limitedFailedAuth, limitedReplays, limitedListings, limitedChanges}

// limited is the refusal of a request for which a bucket has too few tokens.
func (x *exchange) limited(reason limitReason, q quota, format string, args ...any) *problem {
	x.s.metrics.limited.WithLabelValues(string(reason)).Inc()
	q.wait = max((q.wait + time.Millisecond - 1).Truncate(time.Millisecond), time.Millisecond)
	p := rateLimited.problem(format, args...)
	p.quota, p.limit, p.retryAfter = &q, int64(q.rate), q.wait
	return p
}

// takeOfTenant takes tokens from a tenant's bucket, at the leader: so a tenant has one in the cluster. If it reports false,
// the answer is written.
func (x *exchange) takeOfTenant(b *buckets[fsm.TenantID], t *fsm.Tenant, perSecond, tokens int, reason limitReason,
	words string,
) bool {
	if !x.node.IsLeader() {
		return true
	}
	q, ok := b.take(t.ID, perSecond, tokens, x.s.now())
	if !ok {
		x.refuse(x.limited(reason, q, "%s; nothing was changed", words))
	}
	return ok
}

// Header fields of draft-ietf-httpapi-ratelimit-headers.
const (
	rateLimitHeader       = "RateLimit"
	rateLimitPolicyHeader = "RateLimit-Policy"
)

// setFields writes how many tokens are left, and when there are more: the time of Retry-After for whoever was refused,
// for others that of a full bucket.
func (q *quota) setFields(h http.Header) {
	var room [48]byte
	b := append(room[:0], '"')
	b = append(b, q.policy...)
	b = append(b, `";r=`...)
	b = strconv.AppendInt(b, int64(q.left), 10)
	b = append(b, `;t=`...)
	b = append(b, wholeSeconds(q.wait)...)
	h[rateLimitHeader] = []string{string(b)}
	h[rateLimitPolicyHeader] = q.allowed
}
