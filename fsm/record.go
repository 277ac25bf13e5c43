package fsm

import "bytes"

// The commands about records fill in the result where it is going to stay: it is large, and they are most of the log.

// claim decides a POST: the only way to a lock.
func (m *Machine) claim(c *claimView, r *Result) {
	key := m.storeKey(c.id)
	if rec := m.completed(key); rec != nil {
		replayRecord(rec, c.fingerprint, r)
		m.count(c.id.tenant, ReplayMeter(r.Outcome), 1)
		return
	}
	held, ok := m.locks.get(key)
	if !ok || held.expired(m.clockMs) {
		m.grant(c, key, held.ref, r)
		return
	}
	r.Fingerprint = string(held.fingerprint)
	switch {
	case mismatch(r.Fingerprint, c.fingerprint):
		r.Outcome = FingerprintMismatch
		m.count(c.id.tenant, MeterConflicts, 1)
	case !held.live(m.clockMs):
		if len(c.fingerprint) == 0 {
			c.fingerprint = []byte(r.Fingerprint)
		}
		m.grant(c, key, held.ref, r)
	case bytes.Equal(held.owner, c.owner):
		r.Reentered = true
		m.granted(&held, r)
	default:
		heldByAnother(&held, m.clockMs, r)
		m.count(c.id.tenant, MeterConflicts, 1)
	}
}

// mismatch reports whether a caller's fingerprint contradicts the one on record. Either may be absent.
func mismatch[T string | []byte](recorded string, given T) bool {
	return recorded != "" && len(given) != 0 && recorded != string(given)
}

// grant gives the caller the lock, in the place of the one at old, if any.
func (m *Machine) grant(c *claimView, key storeKey, old lockRef, r *Result) {
	if refused, ok := m.countGrant(c.id.tenant); !ok {
		*r = refused
		return
	}
	l := lock{
		key:         key.bytes,
		token:       c.token,
		fence:       m.nextFence(),
		owner:       c.owner,
		fingerprint: c.fingerprint,
		leaseMs:     c.leaseMs,
		leaseEndMs:  leaseEnd(m.clockMs, c.leaseMs),
		createdAtMs: m.clockMs,
		ttlMs:       c.ttlMs,
	}
	m.locks.put(key, &l, old, m.clockMs)
	r.Fingerprint = string(l.fingerprint)
	m.granted(&l, r)
}

func leaseEnd(nowMs, leaseMs int64) int64 {
	if leaseMs == NeverMs {
		return NeverMs
	}
	return nowMs + leaseMs
}

func (m *Machine) granted(l *lock, r *Result) {
	r.Outcome = Granted
	r.Token = l.token
	r.Fence = l.fence
	r.LeaseMs = l.remainingMs(m.clockMs)
	r.LeaseEndMs = l.leaseEndMs
}

func heldByAnother(l *lock, nowMs int64, r *Result) {
	remaining := l.remainingMs(nowMs)
	r.Outcome = InProgress
	r.RetryAfterMs = RetryDelayMs
	if remaining != NeverMs {
		r.RetryAfterMs = max(1, min(RetryDelayMs, remaining))
	}
	r.LeaseRemainingMs = remaining
	r.LeaseEndMs = l.leaseEndMs
}

// complete decides a PUT. Late is better than lost: only a token that someone else's has replaced is refused.
func (m *Machine) complete(c *completeView, r *Result) {
	key := m.storeKey(c.id)
	if done := m.completed(key); done != nil {
		var rec Record
		done.decode(&rec)
		r.Outcome, r.Fingerprint = AlreadyCompleted, rec.Fingerprint
		if sameValue(&rec, c) {
			r.Outcome, r.ExpiresAtMs = Stored, rec.ExpiresAtMs
		}
		return
	}
	held, locked := m.held(key)
	if !c.token.IsZero() && (!locked || held.token != c.token) {
		r.Outcome = LockLost
		return
	}
	rec := Record{
		Status:      c.status,
		Headers:     c.headers,
		Body:        c.body,
		CreatedAtMs: m.clockMs,
		ExpiresAtMs: m.clockMs + c.ttlMs,
	}
	if locked {
		rec.Fingerprint = string(held.fingerprint)
		if c.inheritTTL {
			rec.ExpiresAtMs = m.clockMs + held.ttlMs
		}
		m.locks.remove(key.hash, held.ref)
	}
	m.records.put(key, &rec, m.clockMs)
	m.countStored(c.id.tenant, &rec, len(c.id.scope)+len(c.id.key), 1)
	r.Outcome, r.ExpiresAtMs, r.Fingerprint = Stored, rec.ExpiresAtMs, rec.Fingerprint
}

// sameValue reports whether c would store what rec already holds: then it is a retry. Values are compared as bytes.
func sameValue(rec *Record, c *completeView) bool {
	return rec.Status == c.status && bytes.Equal(rec.Headers, c.headers) && bytes.Equal(rec.Body, c.body)
}

func (m *Machine) renew(c renewView, r *Result) {
	held, ok := m.held(m.storeKey(c.id))
	if !ok || held.token != c.token {
		r.Outcome = LockLost
		return
	}
	lease := held.leaseMs
	if !c.keepLease {
		lease = c.leaseMs
	}
	r.Outcome, r.LeaseMs, r.LeaseEndMs = Renewed, lease, leaseEnd(m.clockMs, lease)
	m.locks.setLease(held.ref, lease, r.LeaseEndMs, m.clockMs)
}

// release gives a lock back. A lock that is gone already, by completion too, needs no releasing: that is what a holder
// meets that releases on every way out.
func (m *Machine) release(c releaseView, r *Result) {
	key := m.storeKey(c.id)
	held, ok := m.held(key)
	switch {
	case !ok:
		r.Outcome = OK
	case held.token != c.token:
		r.Outcome = LockLost
	default:
		m.locks.remove(key.hash, held.ref)
		r.Outcome, r.Existed = OK, true
	}
}

func (m *Machine) delete(id idView, r *Result) {
	key := m.storeKey(id)
	r.Outcome = Deleted
	if done := m.completed(key); done != nil {
		var rec Record
		done.decode(&rec)
		m.countStored(id.tenant, &rec, len(id.scope)+len(id.key), -1)
		m.records.remove(key)
		r.Existed = true
	} else if held, ok := m.held(key); ok {
		m.locks.remove(key.hash, held.ref)
		r.Existed = true
	}
}

// held returns the lock on a key, live or lapsed, unless it has expired.
func (m *Machine) held(key storeKey) (lock, bool) {
	l, ok := m.locks.get(key)
	if !ok || l.expired(m.clockMs) {
		return lock{}, false
	}
	return l, true
}

// completed returns the record of a key, or nil if there is none or it has expired.
func (m *Machine) completed(key storeKey) slabRecord {
	r := m.records.get(key)
	if r == nil || r.expiresAtMs() <= m.clockMs {
		return nil
	}
	return r
}

// storeKey encodes id in the machine's own buffer, which the next call overwrites.
func (m *Machine) storeKey(id idView) storeKey {
	m.keyBuf = joinStoreKey(m.keyBuf[:0], id.tenant, id.scope, id.key)
	return m.hasher.key(m.keyBuf)
}

// ViewAt is View at a clock that may be ahead of the committed one: what the record becomes if no entry comes before.
func (m *Machine) ViewAt(id RecordID, nowMs int64) View {
	later := *m
	later.clockMs = max(m.clockMs, nowMs)
	return later.View(id)
}

// View reads a record at the committed clock. Several calls may run at once.
func (m *Machine) View(id RecordID) View {
	key := m.hasher.key(appendStoreKey(make([]byte, 0, 128), id))
	if done := m.completed(key); done != nil {
		v := View{State: StateCompleted}
		done.decode(&v.Record)
		v.Fingerprint = v.Record.Fingerprint
		v.ExpiresAtMs, v.ChangesAtMs = v.Record.ExpiresAtMs, v.Record.ExpiresAtMs
		return v
	}
	held, ok := m.held(key)
	if !ok {
		return View{}
	}
	v := View{
		State:       StateLapsed,
		Fingerprint: string(held.fingerprint),
		LeaseEndMs:  held.leaseEndMs,
		ExpiresAtMs: held.expiresAtMs(),
		ChangesAtMs: held.expiresAtMs(),
	}
	if held.live(m.clockMs) {
		v.State = StateLocked
		v.LeaseRemainingMs = held.remainingMs(m.clockMs)
		v.ChangesAtMs = held.leaseEndMs
	}
	return v
}
