package fsm

// Replay answers a claim that would change nothing if an entry stamped nowMs brought it: the record is completed, or
// another owner holds a live lock. The answer is what [Machine.Apply] would give at that stamp, or at the committed
// clock if that is ahead.
//
// ok is false for a claim that only the log may decide: one that would be granted or that re-enters its own lock, and
// one whose answer the stamp decides, because no later leader is bound by a stamp that no entry carries. Several calls
// may run at once.
func (m *Machine) Replay(c Claim, nowMs int64) (r Result, ok bool) {
	nowMs = max(nowMs, m.clockMs)
	key := m.hasher.key(appendStoreKey(make([]byte, 0, 128), c.ID))
	if rec := m.completed(key); rec != nil {
		replayRecord(rec, c.Fingerprint, &r)
		return r, rec.expiresAtMs() > nowMs
	}
	held, found := m.locks.get(key)
	if !found || held.expired(m.clockMs) || !held.live(nowMs) {
		return Result{}, false
	}
	r.Fingerprint = string(held.fingerprint)
	if mismatch(r.Fingerprint, c.Fingerprint) {
		r.Outcome = FingerprintMismatch
		return r, true
	}
	heldByAnother(&held, nowMs, &r)
	return r, string(held.owner) != c.Owner
}

// MayGrant reports whether a claim would be granted a lock, not one that its owner holds already, if an entry stamped
// nowMs brought it: by the state as it is. One that waits may be granted what another holds. Several calls may run at
// once.
func (m *Machine) MayGrant(c Claim, waits bool, nowMs int64) bool {
	nowMs = max(nowMs, m.clockMs)
	key := m.hasher.key(appendStoreKey(make([]byte, 0, 128), c.ID))
	if rec := m.completed(key); rec != nil && rec.expiresAtMs() > nowMs {
		return false
	}
	held, found := m.locks.get(key)
	if !found || held.expired(nowMs) || !held.live(nowMs) {
		return true
	}
	return waits && string(held.owner) != c.Owner
}

// ReplayMeter returns the meter on which the answer of a claim counts that changed nothing.
func ReplayMeter(o Outcome) Meter {
	if o == Cached {
		return MeterReplays
	}
	return MeterConflicts
}

// replayRecord answers a claim of a completed record.
func replayRecord[T string | []byte](rec slabRecord, fingerprint T, r *Result) {
	rec.decode(&r.Record)
	r.Outcome = Cached
	if mismatch(r.Record.Fingerprint, fingerprint) {
		*r = Result{Outcome: FingerprintMismatch, Fingerprint: r.Record.Fingerprint}
	}
}
