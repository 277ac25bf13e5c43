package fsm

import "encoding/binary"

// maxListedPages is how many pages of locks one ListLocks looks through, so that Apply waits for half a millisecond or
// so.
const maxListedPages = 64

// LockQuery says which locks to list.
type LockQuery struct {
	Tenant TenantID
	Scope  string // "" is all scopes
	// State is StateLocked or StateLapsed.
	State State
	// After is where to go on, 0 for the beginning. It is good for this machine alone, not for one that was restored.
	After LockCursor
	Limit int
}

// LockCursor is how far a listing has come: at the place of a lock in memory, which is its own for as long as it is held.
type LockCursor uint32

// HeldLock is a lock as it is listed.
type HeldLock struct {
	Scope, Key  string
	Owner       string // with its prefix, see OwnerPrefixBytes
	Fingerprint string
	Fence       uint64
	State       State
	CreatedAtMs int64
	LeaseEndMs  int64 // NeverMs for a lock that is never taken over
	ExpiresAtMs int64 // NeverMs likewise
}

// ListLocks lists locks as they are at nowMs, or at the committed clock if that is ahead, in no order of theirs. It looks
// through a bounded part of the memory: more is false once there is nothing behind next; before that it may find none.
// A lock that is there from the first call to the last, and is not granted anew, is listed once. Several calls may run
// at once.
func (m *Machine) ListLocks(q LockQuery, nowMs int64) (found []HeldLock, next LockCursor, more bool) {
	nowMs = max(nowMs, m.clockMs)
	x := &m.locks.pages
	first := max(1, lockRef(q.After).page())
	for number := first; number < uint32(len(x.pages)); number++ {
		if number-first == maxListedPages {
			return found, LockCursor(number << lockUnitBits), true
		}
		s := &x.pages[number]
		for slot := uint16(0); slot < s.fresh; slot++ {
			ref := s.ref(number, slot)
			if ref < lockRef(q.After) || x.read(ref).tenant() != q.Tenant || !m.locks.holds(ref) {
				continue
			}
			l := x.read(ref).lock()
			held, ok := l.listed(q, nowMs)
			if !ok {
				continue
			}
			if len(found) == q.Limit {
				return found, LockCursor(ref), true
			}
			found = append(found, held)
		}
	}
	return found, 0, false
}

// holds reports whether there is a lock in a slot that was used once. A slot that was released still has its last key,
// which is elsewhere by now, or nowhere.
func (t *lockTable) holds(ref lockRef) bool { return t.find(t.key(t.pages.read(ref).key())) == ref }

// tenant returns whose the lock is.
func (s lockSlot) tenant() TenantID {
	return TenantID(binary.LittleEndian.Uint32(s[lockHeaderBytes:]))
}

// listed describes a lock, if it is one that was asked for.
func (l *lock) listed(q LockQuery, nowMs int64) (h HeldLock, ok bool) {
	state := StateLapsed
	if l.live(nowMs) {
		state = StateLocked
	}
	if state != q.State || l.expired(nowMs) {
		return h, false
	}
	id, ok := splitStoreKey(string(l.key))
	if !ok || id.Tenant != q.Tenant || q.Scope != "" && id.Scope != q.Scope {
		return h, false
	}
	return HeldLock{
		Scope: id.Scope, Key: id.Key, Owner: string(l.owner), Fingerprint: string(l.fingerprint), Fence: l.fence, State: state,
		CreatedAtMs: l.createdAtMs, LeaseEndMs: l.leaseEndMs, ExpiresAtMs: l.expiresAtMs(),
	}, true
}
