package api

import (
	"strconv"
	"strings"

	"github.com/syllecta/syllecta/fsm"
)

// How many locks one answer lists.
const (
	defaultListed = 100
	maxListed     = 1_000
)

// maxCursorBytes bounds a cursor of ours.
const maxCursorBytes = 64

// listRecords answers GET /v1/records: the caller's lapsed locks, work that was begun and of which nobody has told the
// outcome, or those that are held.
func listRecords(x *exchange) {
	q, cursor, p := decodeListing(x.r.URL.RawQuery)
	if p != nil {
		x.refuse(p)
		return
	}
	q.Tenant = x.caller.tenant.ID
	ctx, cancel := x.deadline(0)
	defer cancel()
	var found []fsm.HeldLock
	var next string
	if x.onLeader(ctx, func() (err error) {
		found, next, err = x.node.ListLocks(ctx, q, cursor)
		return err
	}) {
		x.out.b = appendListing(x.out.b[:0], found, next)
		x.ok("records")
	}
}

// decodeListing reads the parameters of GET /v1/records. Parameters it does not know are ignored.
func decodeListing(raw string) (q fsm.LockQuery, cursor string, p *problem) {
	var state, limit string
	p = eachParameter(raw, func(name, value string) *problem {
		switch name {
		case "scope":
			return once(&q.Scope, name, value, fsm.MaxScopeBytes)
		case "state":
			return once(&state, name, value, len("completed"))
		case "limit":
			return once(&limit, name, value, len("1000"))
		case "cursor":
			return once(&cursor, name, value, maxCursorBytes)
		default:
			return nil
		}
	})
	if p != nil {
		return q, "", p
	}
	switch state {
	case "", fsm.StateLapsed.String():
		q.State = fsm.StateLapsed
	case fsm.StateLocked.String():
		q.State = fsm.StateLocked
	default:
		return q, "", invalidField.problem("state is neither %q nor %q", fsm.StateLapsed, fsm.StateLocked)
	}
	q.Limit = defaultListed
	if limit != "" {
		n, err := strconv.Atoi(limit)
		if err != nil || n < 1 || n > maxListed {
			return q, "", invalidField.problem("limit is not a number from 1 to %d", maxListed)
		}
		q.Limit = n
	}
	return q, cursor, nil
}

func appendListing(b []byte, found []fsm.HeldLock, next string) []byte {
	b = append(b, `{"records":[`...)
	for i := range found {
		b = appendHeldLock(appendName(b, ""), &found[i])
	}
	b = append(b, ']')
	if next != "" {
		b = appendStringMember(b, "cursor", next)
	}
	return append(b, '}')
}

// appendHeldLock writes a lock, with its owner only where that is a caller's word, and without its token.
func appendHeldLock(b []byte, h *fsm.HeldLock) []byte {
	b = append(b, '{')
	b = appendStringMember(b, "scope", h.Scope)
	b = appendStringMember(b, "key", h.Key)
	b = appendStringMember(b, "state", h.State.String())
	b = appendIntMember(b, "fence", int64(h.Fence))
	if owner, named := strings.CutPrefix(h.Owner, namedOwner); named {
		b = appendStringMember(b, "owner", owner)
	}
	b = appendFingerprint(b, h.Fingerprint)
	b = appendTimeMember(b, "lockedAt", h.CreatedAtMs)
	if h.LeaseEndMs != fsm.NeverMs {
		b = appendTimeMember(b, "leaseEndsAt", h.LeaseEndMs)
		b = appendTimeMember(b, "expiresAt", h.ExpiresAtMs)
	}
	return append(b, '}')
}
