package api

import (
	"github.com/syllecta/syllecta/cluster"
)

// redirect answers 307: the caller repeats the same request at the leader, with a ticket in place of its credentials.
func (x *exchange) redirect(leader cluster.Peer) {
	location, p := x.leaderURL(leader, "")
	if p != nil {
		x.refuse(p)
		return
	}
	h := x.Header()
	h["Location"] = []string{location}
	h[leaderHeader] = []string{leader.HTTPURL}
	p = notLeader.problem("repeat the request at the address in the Location header, within %s", ticketLife)
	p.leader = leader.HTTPURL
	x.refuse(p)
}

// leaderURL is this request's address at the leader, with a fresh ticket: for the caller, or for this node itself if it
// forwards the request under its id.
func (x *exchange) leaderURL(leader cluster.Peer, forwardID string) (string, *problem) {
	query, _, p := splitTicket(x.r.URL.RawQuery)
	if p != nil {
		return "", p
	}
	t := ticket{expiryMs: x.s.now().Add(ticketLife).UnixMilli(), role: x.caller.role}
	if x.caller.role == roleTenant {
		t.tenant, t.keyID = x.caller.tenant.ID, x.caller.key.PublicID
	}
	use := x.ticketUse(leader.ID, query)
	use.forwardID = forwardID
	text := t.seal(leader.TicketKey, use)
	if query != "" {
		query += "&"
	}
	return leader.HTTPURL + x.r.URL.EscapedPath() + "?" + query + ticketParameter + "=" + text, nil
}
