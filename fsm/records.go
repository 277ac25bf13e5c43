package fsm

import (
	"encoding/binary"
	"slices"
)

// A chunk is not larger, because making one takes as long as zeroing it, and Apply waits for that.
const (
	minChunkBytes = 4 << 10
	maxChunkBytes = 256 << 10
	// maxSharedBytes is the size above which a record has a chunk of its own: little is wasted then where it would end.
	maxSharedBytes = maxChunkBytes / 8
)

// chunk is a piece of a slab. Its capacity is fixed when it is made: its bytes never move, so they may be handed out.
type chunk struct {
	data []byte
	slab *slab
}

// slab holds the records that expire within the same bucket. It only ever grows, and goes chunk by chunk when its time
// has passed.
type slab struct {
	chunks []uint32
	// dead lists the records that were deleted before their time; what was overwritten had expired, and needs no mark.
	dead []position
	// swept says how far reaping has come.
	sweptChunks, sweptBytes int
}

// recordStore holds the completed records: many, immutable, all dying of age. Neither the chunks nor the index hold a
// pointer, so the garbage collector has nothing to follow however many records there are.
type recordStore struct {
	*hasher
	chunks  []chunk  // by number; what is free is zero
	free    []uint32 // numbers to use again
	slabs   expiryBuckets[*slab]
	index   index
	scratch []byte
}

func newRecordStore(h *hasher) *recordStore { return &recordStore{hasher: h, chunks: make([]chunk, 1)} }

func (s *recordStore) at(p position) slabRecord {
	b := s.chunks[p.number()].data[p.offset():]
	size := int(binary.LittleEndian.Uint32(b))
	return slabRecord(b[:size:size])
}

// len is the number of records that can be found, expired ones that were not reaped included.
func (s *recordStore) len() int { return s.index.count }

// get returns the record of a key, or nil. The record may be expired.
func (s *recordStore) get(key storeKey) slabRecord {
	p, ok := s.find(key)
	if !ok {
		return nil
	}
	return s.at(p)
}

func (s *recordStore) find(key storeKey) (position, bool) {
	return s.index.find(key.hash, func(p position) bool { return s.at(p).hasStoreKey(key.bytes) })
}

// put stores a record under its key, in place of one that has expired.
func (s *recordStore) put(key storeKey, rec *Record, nowMs int64) {
	size := slabHeaderBytes + len(key.bytes) - storeKeyHeaderBytes + len(rec.Fingerprint) + len(rec.Headers) + len(rec.Body)
	c, p := s.reserve(rec.ExpiresAtMs, size, nowMs)
	c.data = appendSlabRecord(c.data, key.bytes, rec)
	s.link(key, p)
}

// reserve finds the chunk, and the place in it, for the next record of that expiry and at most that size.
func (s *recordStore) reserve(expiresAtMs int64, size int, nowMs int64) (*chunk, position) {
	sl := s.slabs.at(bucketEnd(nowMs, expiresAtMs), func() *slab { return &slab{} })
	open := len(sl.chunks) - 1 // the last chunk is the one that is being filled
	if size > maxSharedBytes {
		number := s.newChunk(sl, size)
		sl.chunks = slices.Insert(sl.chunks, max(0, open), number)
		return &s.chunks[number], at(number, 0)
	}
	capacity := minChunkBytes
	if open >= 0 {
		number := sl.chunks[open]
		c := &s.chunks[number]
		if cap(c.data)-len(c.data) >= size {
			return c, at(number, len(c.data))
		}
		capacity = min(2*cap(c.data), maxChunkBytes)
	}
	number := s.newChunk(sl, max(capacity, size))
	sl.chunks = append(sl.chunks, number)
	return &s.chunks[number], at(number, 0)
}

// newChunk makes a chunk, which the slab has yet to list.
func (s *recordStore) newChunk(sl *slab, capacity int) uint32 {
	number := s.number()
	s.chunks[number] = chunk{data: make([]byte, 0, capacity), slab: sl}
	return number
}

// number returns the number of a chunk that is free.
func (s *recordStore) number() uint32 {
	if n := len(s.free); n > 0 {
		number := s.free[n-1]
		s.free = s.free[:n-1]
		return number
	}
	s.chunks = append(s.chunks, chunk{})
	return uint32(len(s.chunks) - 1)
}

// link makes p the place where a key is found, and reports whether it was found elsewhere before.
func (s *recordStore) link(key storeKey, p position) (replaced bool) {
	old, replaced := s.find(key)
	if replaced {
		s.index.replace(key.hash, old, p)
	} else {
		s.index.add(key.hash, p)
	}
	return replaced
}

// remove forgets a record before its time. Its bytes go with the slab.
func (s *recordStore) remove(key storeKey) {
	p, ok := s.find(key)
	if !ok {
		return
	}
	s.index.remove(key.hash, p)
	sl := s.chunks[p.number()].slab
	sl.dead = append(sl.dead, p)
}

// reap walks the slabs whose time has passed, at most limit records of them, and drops each chunk it has finished.
func (s *recordStore) reap(nowMs int64, limit int) int {
	seen := 0
	for {
		end, sl, ok := s.slabs.first()
		if !ok || end > nowMs {
			return seen
		}
		for sl.sweptChunks < len(sl.chunks) {
			if seen == limit {
				return seen
			}
			seen += s.sweepChunk(sl, limit-seen)
		}
		s.slabs.removeFirst()
	}
}

// sweepChunk unlinks at most limit records of the chunk the slab's sweep stands at. A record that was deleted or
// overwritten is not linked any more.
func (s *recordStore) sweepChunk(sl *slab, limit int) (seen int) {
	number := sl.chunks[sl.sweptChunks]
	data := s.chunks[number].data
	for ; seen < limit && sl.sweptBytes < len(data); seen++ {
		p := at(number, sl.sweptBytes)
		r := s.at(p)
		sl.sweptBytes += len(r)
		s.scratch = r.appendStoreKey(s.scratch[:0])
		s.index.remove(s.key(s.scratch).hash, p)
	}
	if sl.sweptBytes == len(data) {
		sl.sweptChunks++
		sl.sweptBytes = 0
		s.chunks[number] = chunk{}
		s.free = append(s.free, number)
	}
	return seen
}
