package api

import "github.com/syllecta/syllecta/fsm"

// unlimited is the requestRate of a server that no plan tells otherwise.
func unlimited(*fsm.Tenant) int { return 0 }

// takeClaims takes tokens for that many claims from the bucket of the caller's key, and tells the caller what is left.
// If it reports false, the answer is written.
//
// Only claims are limited: a client may come to a standstill before its work, never half-way, so whoever holds a lock
// can always store, renew, release and read. Which claims would be granted is not known before they are decided, so
// those that would find a result are limited as well.
//
// The tokens are taken where a claim is decided, and not by a follower that passes it on. So a key has one bucket in the
// cluster, at the leader, and a new leader begins with full ones.
func (x *exchange) takeClaims(n int) bool {
	perSecond := x.s.requestRate(x.caller.tenant)
	if perSecond <= 0 || !x.node.IsLeader() {
		return true
	}
	q, ok := x.s.perKey.take(x.caller.key.Hash, perSecond, n, x.s.now())
	if !ok {
		x.refuse(x.limited(limitedKey, q, "the limit of this API key is %d claims per second; nothing was changed",
			perSecond))
		return false
	}
	q.setFields(x.Header())
	return true
}

// dropQuota takes back what a node has told that no longer leads: the leader has a bucket of its own.
func (x *exchange) dropQuota() {
	delete(x.Header(), rateLimitHeader)
	delete(x.Header(), rateLimitPolicyHeader)
}
