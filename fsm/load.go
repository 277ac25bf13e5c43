package fsm

import "fmt"

// loadBatch is how many records a recordLoader links at a time.
const loadBatch = 64

// recordLoader stores the records of a snapshot. Most of the time that takes is waiting for the memory of the index,
// which is entered in no order. So records are linked some at a time, and their places looked at before: the processor
// then waits for all of them at once.
type recordLoader struct {
	store   *recordStore
	nowMs   int64
	pending [loadBatch]loadedRecord
	count   int
	key     []byte
	touched uint32 // keeps the looking from being optimised away
}

// loadedRecord is stored, but cannot be found yet.
type loadedRecord struct {
	hash uint64
	at   position
}

// add stores a record. Its error may be about one that was added before.
func (l *recordLoader) add(r slabRecord) error {
	c, p := l.store.reserve(r.expiresAtMs(), len(r), l.nowMs)
	c.data = append(c.data, r...)
	l.key = r.appendStoreKey(l.key[:0])
	l.pending[l.count] = loadedRecord{l.store.key(l.key).hash, p}
	if l.count++; l.count < loadBatch {
		return nil
	}
	return l.link()
}

// link makes all records that were added findable, and refuses one whose key has occurred before.
func (l *recordLoader) link() error {
	pending := l.pending[:l.count]
	l.count = 0
	for _, r := range pending {
		l.touched += l.store.index.touch(r.hash)
	}
	for _, r := range pending {
		l.key = l.store.at(r.at).appendStoreKey(l.key[:0])
		if replaced := l.store.link(storeKey{l.key, r.hash}, r.at); replaced {
			return fmt.Errorf("%w: record twice", ErrMalformed)
		}
	}
	return nil
}
