package api

import (
	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

// planRate is how many claims per second a tenant's plan allows each API key; 0 is no limit.
func (s *Server) planRate(t *fsm.Tenant) int {
	if t.Plan == "" {
		return 0
	}
	return int(s.attached().Directory().PlanOf(t).RequestsPerSecond)
}

// takeClaims takes a token for each of the claims that may be granted a lock from the bucket of the caller's key, and tells the caller what is left.
// If it reports false, the answer is written.
//
// Only what may grant a lock is limited: a client may come to a standstill before its work, never half-way, so whoever
// holds a lock can always store, renew, release, read and come back into it. Who is told of results and locks that are
// there needs no token either.
//
// The tokens are taken where a claim is decided, and not by a follower that passes it on. So a key has one bucket in the
// cluster, at the leader, and a new leader begins with full ones.
func (x *exchange) takeClaims(calls ...cluster.Call) bool {
	perSecond := x.s.requestRate(x.caller.tenant)
	if perSecond <= 0 || !x.node.IsLeader() {
		return true
	}
	grants := x.node.MayGrant(calls...)
	if grants == 0 {
		return true
	}
	q, ok := x.s.perKey.take(x.caller.key.Hash, perSecond, grants, x.s.now())
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
