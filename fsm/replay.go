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
	if rec, found := m.completed(key); found {
		return replayed(rec, c.Fingerprint), rec.ExpiresAtMs > nowMs
	}
	held, found := m.held(key)
	if !found || !held.live(nowMs) {
		return Result{}, false
	}
	if fingerprint := string(held.fingerprint); mismatch(fingerprint, c.Fingerprint) {
		return Result{Outcome: FingerprintMismatch, Fingerprint: fingerprint}, true
	}
	return heldByAnother(&held, nowMs), string(held.owner) != c.Owner
}

// replayed answers a claim of a completed record.
func replayed[T string | []byte](rec Record, fingerprint T) Result {
	if mismatch(rec.Fingerprint, fingerprint) {
		return Result{Outcome: FingerprintMismatch, Fingerprint: rec.Fingerprint}
	}
	return Result{Outcome: Cached, Record: rec}
}
