package fsm

import "bytes"

// claim decides a POST: the only way to a lock.
func (m *Machine) claim(c *claimView) Result {
	key := m.storeKey(c.id)
	if rec, ok := m.completed(key); ok {
		return replayed(rec, c.fingerprint)
	}
	held, ok := m.locks.get(key)
	if !ok || held.expired(m.clockMs) {
		return m.grant(c, key, held.ref)
	}
	fingerprint := string(held.fingerprint)
	if mismatch(fingerprint, c.fingerprint) {
		return Result{Outcome: FingerprintMismatch, Fingerprint: fingerprint}
	}
	if !held.live(m.clockMs) {
		if len(c.fingerprint) == 0 {
			c.fingerprint = []byte(fingerprint)
		}
		return m.grant(c, key, held.ref)
	}
	if bytes.Equal(held.owner, c.owner) {
		r := m.granted(&held)
		r.Reentered = true
		return r
	}
	return heldByAnother(&held, m.clockMs)
}

// mismatch reports whether a caller's fingerprint contradicts the one on record. Either may be absent.
func mismatch[T string | []byte](recorded string, given T) bool {
	return recorded != "" && len(given) != 0 && recorded != string(given)
}

// grant gives the caller the lock, in the place of the one at old, if any.
func (m *Machine) grant(c *claimView, key storeKey, old lockRef) Result {
	if refused, ok := m.countGrant(c.id.tenant); !ok {
		return refused
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
	return m.granted(&l)
}

func leaseEnd(nowMs, leaseMs int64) int64 {
	if leaseMs == NeverMs {
		return NeverMs
	}
	return nowMs + leaseMs
}

func (m *Machine) granted(l *lock) Result {
	return Result{
		Outcome:     Granted,
		Token:       l.token,
		Fence:       l.fence,
		LeaseMs:     l.remainingMs(m.clockMs),
		LeaseEndMs:  l.leaseEndMs,
		Fingerprint: string(l.fingerprint),
	}
}

func heldByAnother(l *lock, nowMs int64) Result {
	remaining := l.remainingMs(nowMs)
	retry := RetryDelayMs
	if remaining != NeverMs {
		retry = max(1, min(retry, remaining))
	}
	return Result{
		Outcome:          InProgress,
		RetryAfterMs:     retry,
		LeaseRemainingMs: remaining,
		LeaseEndMs:       l.leaseEndMs,
		Fingerprint:      string(l.fingerprint),
	}
}

// complete decides a PUT. Late is better than lost: only a token that someone else's has replaced is refused.
func (m *Machine) complete(c *completeView) Result {
	key := m.storeKey(c.id)
	if rec, ok := m.completed(key); ok {
		if !sameValue(rec, c) {
			return Result{Outcome: AlreadyCompleted, Fingerprint: rec.Fingerprint}
		}
		return Result{Outcome: Stored, ExpiresAtMs: rec.ExpiresAtMs, Fingerprint: rec.Fingerprint}
	}
	held, locked := m.held(key)
	if !c.token.IsZero() && (!locked || held.token != c.token) {
		return Result{Outcome: LockLost}
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
	m.records.put(key, rec, m.clockMs)
	return Result{Outcome: Stored, ExpiresAtMs: rec.ExpiresAtMs, Fingerprint: rec.Fingerprint}
}

// sameValue reports whether c would store what rec already holds: then it is a retry. Values are compared as bytes.
func sameValue(rec Record, c *completeView) bool {
	return rec.Status == c.status && bytes.Equal(rec.Headers, c.headers) && bytes.Equal(rec.Body, c.body)
}

func (m *Machine) renew(c renewView) Result {
	key := m.storeKey(c.id)
	held, ok := m.held(key)
	if !ok || held.token != c.token {
		return Result{Outcome: LockLost}
	}
	lease := held.leaseMs
	if !c.keepLease {
		lease = c.leaseMs
	}
	end := leaseEnd(m.clockMs, lease)
	m.locks.setLease(held.ref, lease, end, m.clockMs)
	return Result{Outcome: Renewed, LeaseMs: lease, LeaseEndMs: end}
}

// release gives a lock back. A lock that is gone already, by completion too, needs no releasing: that is what a holder
// meets that releases on every way out.
func (m *Machine) release(c releaseView) Result {
	key := m.storeKey(c.id)
	held, ok := m.held(key)
	if !ok {
		return Result{Outcome: OK}
	}
	if held.token != c.token {
		return Result{Outcome: LockLost}
	}
	m.locks.remove(key.hash, held.ref)
	return Result{Outcome: OK, Existed: true}
}

func (m *Machine) delete(id idView) Result {
	key := m.storeKey(id)
	if _, ok := m.completed(key); ok {
		m.records.remove(key)
		return Result{Outcome: Deleted, Existed: true}
	}
	if held, ok := m.held(key); ok {
		m.locks.remove(key.hash, held.ref)
		return Result{Outcome: Deleted, Existed: true}
	}
	return Result{Outcome: Deleted}
}

// held returns the lock on a key, live or lapsed, unless it has expired.
func (m *Machine) held(key storeKey) (lock, bool) {
	l, ok := m.locks.get(key)
	if !ok || l.expired(m.clockMs) {
		return lock{}, false
	}
	return l, true
}

// completed returns the record of a key unless it has expired.
func (m *Machine) completed(key storeKey) (Record, bool) {
	r := m.records.get(key)
	if r == nil || r.expiresAtMs() <= m.clockMs {
		return Record{}, false
	}
	return r.record(), true
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
	if rec, ok := m.completed(key); ok {
		return View{
			State:       StateCompleted,
			Record:      rec,
			Fingerprint: rec.Fingerprint,
			ExpiresAtMs: rec.ExpiresAtMs,
			ChangesAtMs: rec.ExpiresAtMs,
		}
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
