package cluster

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"

	"github.com/syllecta/syllecta/fsm"
)

// maxListedParts is how many parts of the memory one ListLocks looks through: some 200,000 locks.
const maxListedParts = 64

// ErrCursor is returned for a cursor that is none, or that is not good any more: another node leads, or the state was
// replaced. The caller begins anew.
var ErrCursor = errors.New("the cursor is not, or no longer, good")

// listing tells the cursors of this state in this process from all others.
type listing [8]byte

func newListing() (l listing) {
	_, _ = rand.Read(l[:]) // never fails (crypto/rand)
	return l
}

// cursor is a position as a text; "" is the end.
func (l listing) cursor(at fsm.LockCursor, more bool) string {
	if !more {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(l[:], uint32(at)))
}

// position is the reverse; "" is the beginning.
func (l listing) position(cursor string) (fsm.LockCursor, error) {
	if cursor == "" {
		return 0, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(b) != len(l)+4 || listing(b) != l {
		return 0, ErrCursor
	}
	return fsm.LockCursor(binary.BigEndian.Uint32(b[len(l):])), nil
}

// ListLocks lists locks of a tenant on the leader, at most query.Limit, from the cursor on that an earlier call returned;
// query.After is ignored. What was granted before the call is listed if it is still there; what comes or goes until the
// last call may be. next is "" at the end; before that a call may find none. It fails with ErrCursor, or as CatchUp does.
func (n *Node) ListLocks(ctx context.Context, query fsm.LockQuery, cursor string) (found []fsm.HeldLock, next string, err error) {
	if !n.IsLeader() {
		return nil, "", ErrNotLeader
	}
	term := n.readyTerm.Load()
	if err := n.confirmer.confirm(ctx); err != nil {
		return nil, "", err
	}
	list := n.applier.listing.Load()
	if query.After, err = list.position(cursor); err != nil {
		return nil, "", err
	}
	limit, nowMs := query.Limit, n.clock.nowMs()
	more := true
	for parts := 0; more && len(found) < limit && parts < maxListedParts && ctx.Err() == nil; parts++ {
		query.Limit = limit - len(found)
		var part []fsm.HeldLock
		n.applier.read(func(m *fsm.Machine) { part, query.After, more = m.ListLocks(query, nowMs) })
		found = append(found, part...)
	}
	next = list.cursor(query.After, more)
	if !n.servedBy(term) || n.applier.listing.Load() != list || ctx.Err() != nil {
		return nil, "", ErrUnavailable
	}
	return found, next, nil
}
