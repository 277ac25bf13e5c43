package fsm

// lock is a held or lapsed lock. It never changes once it is in the table: a change replaces it, so that a snapshot
// may read it beside Apply.
type lock struct {
	key         string // as made by appendStoreKey
	token       Token
	fence       uint64
	owner       string
	fingerprint string
	leaseMs     int64 // length the holder asked for; NeverMs for a lock that is never taken over
	leaseEndMs  int64 // NeverMs likewise
	createdAtMs int64
	ttlMs       int64
}

// live reports whether the lease protects the holder at nowMs.
func (l *lock) live(nowMs int64) bool { return l.leaseEndMs == NeverMs || nowMs < l.leaseEndMs }

// expiresAtMs is when the lock is forgotten: its own life is over and so is its lease.
func (l *lock) expiresAtMs() int64 {
	if l.leaseEndMs == NeverMs {
		return NeverMs
	}
	return max(l.leaseEndMs, l.createdAtMs+l.ttlMs)
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

// lockTable holds the locks: few, short-lived, changing.
type lockTable struct {
	byKey   map[string]*lockEntry
	buckets expiryBuckets[*lockBucket]
	forever lockBucket // locks that never expire
}

// lockEntry links a lock into its bucket, so that removing it costs the same wherever it stands.
type lockEntry struct {
	lock       *lock
	bucket     *lockBucket
	prev, next *lockEntry
}

// lockBucket is a list in order of insertion.
type lockBucket struct{ head, tail *lockEntry }

func newLockTable() *lockTable { return &lockTable{byKey: make(map[string]*lockEntry)} }

// get returns the lock on a key, or nil. The lock may be expired.
func (t *lockTable) get(key []byte) *lock {
	if e := t.byKey[string(key)]; e != nil {
		return e.lock
	}
	return nil
}

// put sets the lock on l.key.
func (t *lockTable) put(l *lock, nowMs int64) {
	e := t.byKey[l.key]
	if e == nil {
		e = &lockEntry{}
		t.byKey[l.key] = e
	} else {
		e.unlink()
	}
	e.lock = l
	t.bucketFor(l, nowMs).append(e)
}

func (t *lockTable) bucketFor(l *lock, nowMs int64) *lockBucket {
	due := l.expiresAtMs()
	if due == NeverMs {
		return &t.forever
	}
	return t.buckets.at(bucketEnd(nowMs, due), func() *lockBucket { return &lockBucket{} })
}

func (t *lockTable) remove(key string) {
	if e := t.byKey[key]; e != nil {
		e.unlink()
		delete(t.byKey, key)
	}
}

// reap removes at most limit locks whose time has passed, oldest bucket first, and returns how many.
func (t *lockTable) reap(nowMs int64, limit int) int {
	removed := 0
	for {
		end, b, ok := t.buckets.first()
		if !ok || end > nowMs {
			return removed
		}
		for b.head != nil {
			if removed == limit {
				return removed
			}
			t.remove(b.head.lock.key)
			removed++
		}
		t.buckets.removeFirst()
	}
}

// all calls yield for every lock, in an order that depends only on the commands applied.
func (t *lockTable) all(yield func(*lock) bool) {
	for e := t.forever.head; e != nil; e = e.next {
		if !yield(e.lock) {
			return
		}
	}
	for _, b := range t.buckets.all {
		for e := b.head; e != nil; e = e.next {
			if !yield(e.lock) {
				return
			}
		}
	}
}

func (b *lockBucket) append(e *lockEntry) {
	e.bucket, e.prev, e.next = b, b.tail, nil
	if b.tail == nil {
		b.head = e
	} else {
		b.tail.next = e
	}
	b.tail = e
}

func (e *lockEntry) unlink() {
	if e.prev == nil {
		e.bucket.head = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		e.bucket.tail = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.bucket, e.prev, e.next = nil, nil, nil
}
