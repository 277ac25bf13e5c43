package fsm

// lock is a held or lapsed lock. One that was read from the table aliases it: its bytes are good until the table is
// changed.
type lock struct {
	ref         lockRef // where it was read; 0 for one that was not
	key         []byte  // as made by appendStoreKey
	token       Token
	fence       uint64
	owner       []byte
	fingerprint []byte
	leaseMs     int64 // length the holder asked for; NeverMs for a lock that is never taken over
	leaseEndMs  int64 // NeverMs likewise
	createdAtMs int64
	ttlMs       int64
}

// live reports whether the lease protects the holder at nowMs.
func (l *lock) live(nowMs int64) bool { return l.leaseEndMs == NeverMs || nowMs < l.leaseEndMs }

// expiresAtMs is when the lock is forgotten: its own life is over and so is its lease.
func (l *lock) expiresAtMs() int64 { return lockExpiry(l.leaseEndMs, l.createdAtMs, l.ttlMs) }

func lockExpiry(leaseEndMs, createdAtMs, ttlMs int64) int64 {
	if leaseEndMs == NeverMs {
		return NeverMs
	}
	return max(leaseEndMs, createdAtMs+ttlMs)
}

func (l *lock) expired(nowMs int64) bool {
	at := l.expiresAtMs()
	return at != NeverMs && at <= nowMs
}

// remainingMs is what is left of a live lease at nowMs.
func (l *lock) remainingMs(nowMs int64) int64 {
	if l.leaseEndMs == NeverMs {
		return NeverMs
	}
	return l.leaseEndMs - nowMs
}

// lockTable holds the locks: changing all the time, few where callers complete what they claim, millions where they do
// not. They lie encoded in pages, and are linked into the bucket in which they expire by numbers, so that the garbage
// collector has nothing to follow and a snapshot captures them by the page.
type lockTable struct {
	*hasher
	pages   lockPages
	index   index // of positions whose number is a lockRef
	buckets expiryBuckets[*lockBucket]
	forever lockBucket // locks that never expire
}

// lockBucket is a list in order of insertion.
type lockBucket struct{ head, tail lockRef }

func newLockTable(h *hasher) *lockTable { return &lockTable{hasher: h} }

func (t *lockTable) len() int { return t.index.count }

// get returns the lock on a key, if there is one. The lock may be expired.
func (t *lockTable) get(key storeKey) (lock, bool) {
	ref := t.find(key)
	if ref == 0 {
		return lock{}, false
	}
	l := t.pages.read(ref).lock()
	l.ref = ref
	return l, true
}

// find returns where the lock on a key is, or 0.
func (t *lockTable) find(key storeKey) lockRef {
	p, _ := t.index.find(key.hash, func(p position) bool {
		return string(t.pages.read(lockRef(p.number())).key()) == string(key.bytes)
	})
	return lockRef(p.number())
}

// put sets the lock on a key, which is l.key. The one that was there before, if any, is at old. Nothing of l may alias the
// table.
func (t *lockTable) put(key storeKey, l *lock, old lockRef, nowMs int64) {
	if old != 0 {
		t.remove(key.hash, old)
	}
	ref := t.pages.allocate(lockSlotBytes(l))
	t.pages.write(ref).set(l)
	t.index.add(key.hash, at(uint32(ref), 0))
	t.link(ref, l.expiresAtMs(), nowMs)
}

// setLease changes the lease of the lock at ref.
func (t *lockTable) setLease(ref lockRef, leaseMs, leaseEndMs, nowMs int64) {
	s := t.pages.write(ref)
	before := s.expiresAtMs()
	s.setLease(leaseMs, leaseEndMs)
	if after := s.expiresAtMs(); after != before {
		t.unlink(ref)
		t.link(ref, after, nowMs)
	}
}

// extend adds to the leases that are live at nowMs and have an end. The clock is at laterMs then.
func (t *lockTable) extend(byMs, nowMs, laterMs int64) {
	var live []lockRef
	for ref, s := range t.slots {
		if _, end := s.lease(); end > nowMs {
			live = append(live, ref)
		}
	}
	for _, ref := range live {
		lease, end := t.pages.read(ref).lease()
		t.setLease(ref, lease, end+byMs, laterMs)
	}
}

// remove forgets the lock at ref, whose key has that hash.
func (t *lockTable) remove(hash uint64, ref lockRef) {
	t.unlink(ref)
	t.index.remove(hash, at(uint32(ref), 0))
	t.pages.release(ref)
}

// reap removes at most limit locks whose time has passed, oldest bucket first, and returns how many.
func (t *lockTable) reap(nowMs int64, limit int) int {
	removed := 0
	for {
		end, b, ok := t.buckets.first()
		if !ok || end > nowMs {
			return removed
		}
		for b.head != 0 {
			if removed == limit {
				return removed
			}
			t.remove(t.key(t.pages.read(b.head).key()).hash, b.head)
			removed++
		}
		t.buckets.removeFirst()
	}
}

// link puts a lock at the end of the bucket in which it expires.
func (t *lockTable) link(ref lockRef, expiresAtMs, nowMs int64) {
	end, b := NeverMs, &t.forever
	if expiresAtMs != NeverMs {
		end = bucketEnd(nowMs, expiresAtMs)
		b = t.buckets.at(end, func() *lockBucket { return &lockBucket{} })
	}
	t.pages.write(ref).setLinks(b.tail, 0, end)
	if b.tail == 0 {
		b.head = ref
	} else {
		t.pages.write(b.tail).setNext(ref)
	}
	b.tail = ref
}

// unlink takes a lock out of its bucket. Where its own slot says it stands is left there.
func (t *lockTable) unlink(ref lockRef) {
	prev, next, end := t.pages.read(ref).links()
	if prev != 0 && next != 0 {
		t.pages.write(prev).setNext(next)
		t.pages.write(next).setPrev(prev)
		return
	}
	b := &t.forever
	if end != NeverMs {
		b = t.buckets.byEnd[end]
	}
	if prev == 0 {
		b.head = next
	} else {
		t.pages.write(prev).setNext(next)
	}
	if next == 0 {
		b.tail = prev
	} else {
		t.pages.write(next).setPrev(prev)
	}
}

// lists returns where each bucket begins, in an order that depends only on the commands applied.
func (t *lockTable) lists() []lockRef {
	heads := make([]lockRef, 0, 1+len(t.buckets.ends))
	heads = append(heads, t.forever.head)
	for _, b := range t.buckets.all {
		heads = append(heads, b.head)
	}
	return heads
}

// slots calls yield for every lock, in the order of lists. The table must not be changed meanwhile.
func (t *lockTable) slots(yield func(lockRef, lockSlot) bool) {
	for _, ref := range t.lists() {
		for ref != 0 {
			s := t.pages.read(ref)
			if !yield(ref, s) {
				return
			}
			_, ref, _ = s.links()
		}
	}
}

// locksSnapshot is the table at one instant.
type locksSnapshot struct {
	pages []*lockPage
	lists []lockRef
	count int
}

// snapshot captures the table by its pages, which are shared until they are changed.
func (t *lockTable) snapshot() locksSnapshot {
	return locksSnapshot{pages: t.pages.share(), lists: t.lists(), count: t.len()}
}

// all calls yield for every lock, in the order in which the table has them.
func (s *locksSnapshot) all(yield func(lock) bool) {
	for _, ref := range s.lists {
		for ref != 0 {
			slot := ref.in(s.pages[ref.page()])
			if !yield(slot.lock()) {
				return
			}
			_, ref, _ = slot.links()
		}
	}
}
