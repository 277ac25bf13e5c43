package fsm

import "bytes"

// claim decides a POST: the only way to a lock.
func (m *Machine) claim(c Claim) Result {
	key := m.storeKey(c.ID)
	if rec, ok := m.completed(key); ok {
		return replayed(rec, c)
	}
	held := m.held(key)
	if held == nil {
		return m.grant(c, key)
	}
	if mismatch(held.fingerprint, c.Fingerprint) {
		return Result{Outcome: FingerprintMismatch, Fingerprint: held.fingerprint}
	}
	if !held.live(m.clockMs) {
		if c.Fingerprint == "" {
			c.Fingerprint = held.fingerprint
		}
		return m.grant(c, key)
	}
	if held.owner == c.Owner {
		r := m.granted(held)
		r.Reentered = true
		return r
	}
	return heldByAnother(held, m.clockMs)
}

// mismatch reports whether a caller's fingerprint contradicts the one on record. Either may be absent.
func mismatch(recorded, given string) bool { return recorded != "" && given != "" && recorded != given }

func (m *Machine) grant(c Claim, key []byte) Result {
	if refused, ok := m.countGrant(c.ID.Tenant); !ok {
		return refused
	}
	l := &lock{
		key:         string(key),
		token:       c.Token,
		fence:       m.nextFence(),
		owner:       c.Owner,
		fingerprint: c.Fingerprint,
		leaseMs:     c.LeaseMs,
		leaseEndMs:  leaseEnd(m.clockMs, c.LeaseMs),
		createdAtMs: m.clockMs,
		ttlMs:       c.TTLMs,
	}
	m.locks.put(l, m.clockMs)
	return m.granted(l)
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
		Fingerprint: l.fingerprint,
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
		Fingerprint:      l.fingerprint,
	}
}

// complete decides a PUT. Late is better than lost: only a token that someone else's has replaced is refused.
func (m *Machine) complete(c Complete) Result {
	key := m.storeKey(c.ID)
	if rec, ok := m.completed(key); ok {
		if !sameValue(rec, c) {
			return Result{Outcome: AlreadyCompleted, Fingerprint: rec.Fingerprint}
		}
		return Result{Outcome: Stored, ExpiresAtMs: rec.ExpiresAtMs, Fingerprint: rec.Fingerprint}
	}
	held := m.held(key)
	if !c.Token.IsZero() && (held == nil || held.token != c.Token) {
		return Result{Outcome: LockLost}
	}
	rec := Record{
		Status:      c.Status,
		Headers:     c.Headers,
		Body:        c.Body,
		CreatedAtMs: m.clockMs,
		ExpiresAtMs: m.clockMs + c.TTLMs,
	}
	if held != nil {
		rec.Fingerprint = held.fingerprint
		if c.InheritTTL {
			rec.ExpiresAtMs = m.clockMs + held.ttlMs
		}
		m.locks.remove(held.key)
	}
	m.records.put(c.ID, rec, key, m.clockMs)
	return Result{Outcome: Stored, ExpiresAtMs: rec.ExpiresAtMs, Fingerprint: rec.Fingerprint}
}

// sameValue reports whether c would store what rec already holds: then it is a retry. Values are compared as bytes.
func sameValue(rec Record, c Complete) bool {
	return rec.Status == c.Status && bytes.Equal(rec.Headers, c.Headers) && bytes.Equal(rec.Body, c.Body)
}

func (m *Machine) renew(c Renew) Result {
	held := m.held(m.storeKey(c.ID))
	if held == nil || held.token != c.Token {
		return Result{Outcome: LockLost}
	}
	renewed := *held
	if !c.KeepLease {
		renewed.leaseMs = c.LeaseMs
	}
	renewed.leaseEndMs = leaseEnd(m.clockMs, renewed.leaseMs)
	m.locks.put(&renewed, m.clockMs)
	return Result{Outcome: Renewed, LeaseMs: renewed.leaseMs, LeaseEndMs: renewed.leaseEndMs}
}

// release gives a lock back. A lock that is gone already, by completion too, needs no releasing: that is what a holder
// meets that releases on every way out.
func (m *Machine) release(c Release) Result {
	held := m.held(m.storeKey(c.ID))
	if held == nil {
		return Result{Outcome: OK}
	}
	if held.token != c.Token {
		return Result{Outcome: LockLost}
	}
	m.locks.remove(held.key)
	return Result{Outcome: OK, Existed: true}
}

func (m *Machine) delete(c Delete) Result {
	key := m.storeKey(c.ID)
	if _, ok := m.completed(key); ok {
		m.records.remove(key)
		return Result{Outcome: Deleted, Existed: true}
	}
	if held := m.held(key); held != nil {
		m.locks.remove(held.key)
		return Result{Outcome: Deleted, Existed: true}
	}
	return Result{Outcome: Deleted}
}

// held returns the lock on a key, live or lapsed, unless it has expired.
func (m *Machine) held(key []byte) *lock {
	if l := m.locks.get(key); l != nil && !l.expired(m.clockMs) {
		return l
	}
	return nil
}

// completed returns the record of a key unless it has expired.
func (m *Machine) completed(key []byte) (Record, bool) {
	r := m.records.get(key)
	if r == nil || r.expiresAtMs() <= m.clockMs {
		return Record{}, false
	}
	return r.record(), true
}

// storeKey encodes id in the machine's own buffer, which the next call overwrites.
func (m *Machine) storeKey(id RecordID) []byte {
	m.keyBuf = appendStoreKey(m.keyBuf[:0], id)
	return m.keyBuf
}

// ViewAt is View at a clock that may be ahead of the committed one: what the record becomes if no entry comes before.
func (m *Machine) ViewAt(id RecordID, nowMs int64) View {
	later := *m
	later.clockMs = max(m.clockMs, nowMs)
	return later.View(id)
}

// View reads a record at the committed clock. Several calls may run at once.
func (m *Machine) View(id RecordID) View {
	key := appendStoreKey(make([]byte, 0, 128), id)
	if rec, ok := m.completed(key); ok {
		return View{
			State:       StateCompleted,
			Record:      rec,
			Fingerprint: rec.Fingerprint,
			ExpiresAtMs: rec.ExpiresAtMs,
			ChangesAtMs: rec.ExpiresAtMs,
		}
	}
	held := m.held(key)
	if held == nil {
		return View{}
	}
	v := View{
		State:       StateLapsed,
		Fingerprint: held.fingerprint,
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
