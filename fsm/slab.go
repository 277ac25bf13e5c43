package fsm

import (
	"encoding/binary"
	"hash/maphash"
	"math"
)

// A completed record lies in a slab as
//
//	size u32 · created i64 · expires i64 · tenant u32 · status u16 · len(scope) u8 · reserved u8 ·
//	len(key) u16 · len(fingerprint) u16 · len(headers) u16 · len(body) u32 · scope · key · fingerprint · headers · body
//
// which is also how it lies in a snapshot. Empty headers are stored as nothing.
const slabHeaderBytes = 4 + 8 + 8 + 4 + 2 + 1 + 1 + 2 + 2 + 2 + 4

const (
	minChunkBytes = 4 << 10
	maxChunkBytes = 1 << 20
	// maxSlabRecordBytes bounds what a snapshot may hold as one record.
	maxSlabRecordBytes = slabHeaderBytes + MaxScopeBytes + MaxKeyBytes +
		MaxFingerprintBytes + MaxHeadersBytes + MaxBodyBytes
)

// emptyHeaders is what a record without headers answers.
var emptyHeaders = []byte("{}")

// slabRecord is one encoded record.
type slabRecord []byte

func (r slabRecord) createdAtMs() int64 { return int64(binary.LittleEndian.Uint64(r[4:])) }

func (r slabRecord) expiresAtMs() int64 { return int64(binary.LittleEndian.Uint64(r[12:])) }

func (r slabRecord) tenant() uint32 { return binary.LittleEndian.Uint32(r[20:]) }

// lens returns the lengths of the variable parts.
func (r slabRecord) lens() (scope, key, fingerprint, headers, body int) {
	le := binary.LittleEndian
	return int(r[26]), int(le.Uint16(r[28:])), int(le.Uint16(r[30:])), int(le.Uint16(r[32:])), int(le.Uint32(r[34:]))
}

// appendStoreKey appends the record's key as lockTable and recordStore know it.
func (r slabRecord) appendStoreKey(b []byte) []byte {
	scope, key, _, _, _ := r.lens()
	at := []byte(r[slabHeaderBytes:])
	return joinStoreKey(b, TenantID(r.tenant()), at[:scope], at[scope:scope+key])
}

// hasStoreKey reports whether r is the record of that store key.
func (r slabRecord) hasStoreKey(key []byte) bool {
	scope, keyLen, _, _, _ := r.lens()
	return len(key) == 5+scope+keyLen && int(key[4]) == scope &&
		string(key[:4]) == string(r[20:24]) &&
		string(key[5:]) == string(r[slabHeaderBytes:slabHeaderBytes+scope+keyLen])
}

// record decodes r. Byte slices alias it.
func (r slabRecord) record() Record {
	scope, key, fingerprint, headers, _ := r.lens()
	at := r[slabHeaderBytes+scope+key:]
	rec := Record{
		Status:      binary.LittleEndian.Uint16(r[24:]),
		CreatedAtMs: r.createdAtMs(),
		ExpiresAtMs: r.expiresAtMs(),
		Fingerprint: string(at[:fingerprint]),
		Headers:     at[fingerprint : fingerprint+headers : fingerprint+headers],
		Body:        at[fingerprint+headers : len(at) : len(at)],
	}
	if headers == 0 {
		rec.Headers = emptyHeaders
	}
	return rec
}

// valid reports whether r, read from outside, is one whole record within the limits.
func (r slabRecord) valid() bool {
	if len(r) < slabHeaderBytes || len(r) > maxSlabRecordBytes || int(binary.LittleEndian.Uint32(r)) != len(r) {
		return false
	}
	scope, key, fingerprint, headers, body := r.lens()
	status := binary.LittleEndian.Uint16(r[24:])
	return scope >= 1 && scope <= MaxScopeBytes && key >= 1 && key <= MaxKeyBytes &&
		fingerprint <= MaxFingerprintBytes && headers <= MaxHeadersBytes && body >= 1 && body <= MaxBodyBytes &&
		status >= MinStatus && status <= MaxStatus && r.tenant() >= 1 && r.tenant() <= MaxTenants && r[27] == 0 &&
		r.createdAtMs() >= 0 && r.createdAtMs() <= maxInstantMs &&
		r.expiresAtMs() >= 0 && r.expiresAtMs() <= maxInstantMs &&
		slabHeaderBytes+scope+key+fingerprint+headers+body == len(r)
}

func appendSlabRecord(b []byte, id RecordID, rec Record) []byte {
	le := binary.LittleEndian
	headers := rec.Headers
	if string(headers) == string(emptyHeaders) {
		headers = nil
	}
	size := slabHeaderBytes + len(id.Scope) + len(id.Key) + len(rec.Fingerprint) + len(headers) + len(rec.Body)
	b = le.AppendUint32(b, uint32(size))
	b = le.AppendUint64(b, uint64(rec.CreatedAtMs))
	b = le.AppendUint64(b, uint64(rec.ExpiresAtMs))
	b = le.AppendUint32(b, uint32(id.Tenant))
	b = le.AppendUint16(b, rec.Status)
	b = append(b, byte(len(id.Scope)), 0)
	b = le.AppendUint16(b, uint16(len(id.Key)))
	b = le.AppendUint16(b, uint16(len(rec.Fingerprint)))
	b = le.AppendUint16(b, uint16(len(headers)))
	b = le.AppendUint32(b, uint32(len(rec.Body)))
	b = append(b, id.Scope...)
	b = append(b, id.Key...)
	b = append(b, rec.Fingerprint...)
	b = append(b, headers...)
	return append(b, rec.Body...)
}

// appendStoreKey appends id as one byte string that no other id shares.
func appendStoreKey(b []byte, id RecordID) []byte {
	return joinStoreKey(b, id.Tenant, id.Scope, id.Key)
}

func joinStoreKey[T string | []byte](b []byte, tenant TenantID, scope, key T) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(tenant))
	b = append(b, byte(len(scope)))
	b = append(b, scope...)
	return append(b, key...)
}

// splitStoreKey is the inverse of appendStoreKey.
func splitStoreKey(key string) (id RecordID, ok bool) {
	if len(key) < 5 || len(key) < 5+int(key[4]) {
		return RecordID{}, false
	}
	scope := 5 + int(key[4])
	id = RecordID{
		Tenant: TenantID(binary.LittleEndian.Uint32([]byte(key[:4]))),
		Scope:  key[5:scope],
		Key:    key[scope:],
	}
	ok = id.Tenant >= 1 && id.Tenant <= MaxTenants && len(id.Scope) >= 1 && len(id.Scope) <= MaxScopeBytes &&
		len(id.Key) >= 1 && len(id.Key) <= MaxKeyBytes
	return id, ok
}

// position says where a record lies: chunk number in the upper half, offset in the lower.
type position uint64

func at(chunk uint32, offset int) position { return position(chunk)<<32 | position(uint32(offset)) }

func (p position) chunk() uint32 { return uint32(p >> 32) }

func (p position) offset() int { return int(uint32(p)) }

// chunk is a piece of a slab. Its capacity is fixed when it is made: its bytes never move, so they may be handed out.
type chunk struct {
	data []byte
	slab *slab
}

// slab holds the records that expire within the same bucket. It only ever grows, and goes as a whole.
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
	seed   maphash.Seed
	chunks map[uint32]*chunk
	nextID uint32
	slabs  expiryBuckets[*slab]
	// index finds a record by the hash of its store key. The seed is the process's own, so that nobody can prepare
	// keys that collide; clashes keeps the few that do all the same.
	index    map[uint64]position
	clashes  map[string]position
	hashMask uint64 // all ones, but where a test forces clashes
	scratch  []byte
}

func newRecordStore(seed maphash.Seed) *recordStore {
	return &recordStore{
		seed:     seed,
		chunks:   make(map[uint32]*chunk),
		index:    make(map[uint64]position),
		clashes:  make(map[string]position),
		hashMask: math.MaxUint64,
	}
}

func (s *recordStore) hash(key []byte) uint64 { return maphash.Bytes(s.seed, key) & s.hashMask }

func (s *recordStore) at(p position) slabRecord {
	b := s.chunks[p.chunk()].data[p.offset():]
	size := int(binary.LittleEndian.Uint32(b))
	return slabRecord(b[:size:size])
}

// len is the number of records that can be found, expired ones that were not reaped included.
func (s *recordStore) len() int { return len(s.index) + len(s.clashes) }

// get returns the record of a key, or nil. The record may be expired.
func (s *recordStore) get(key []byte) slabRecord {
	p, ok := s.find(key)
	if !ok {
		return nil
	}
	return s.at(p)
}

func (s *recordStore) find(key []byte) (position, bool) {
	p, ok := s.index[s.hash(key)]
	if ok && s.at(p).hasStoreKey(key) {
		return p, true
	}
	if len(s.clashes) == 0 {
		return 0, false
	}
	p, ok = s.clashes[string(key)]
	return p, ok
}

// put stores a record under its key, in place of one that has expired.
func (s *recordStore) put(id RecordID, rec Record, key []byte, nowMs int64) {
	size := slabHeaderBytes + len(id.Scope) + len(id.Key) + len(rec.Fingerprint) + len(rec.Headers) + len(rec.Body)
	c, p := s.reserve(rec.ExpiresAtMs, size, nowMs)
	c.data = appendSlabRecord(c.data, id, rec)
	s.link(key, p)
}

// putEncoded stores a record that is already encoded, and reports whether it took the place of another.
func (s *recordStore) putEncoded(r slabRecord, key []byte, nowMs int64) (replaced bool) {
	c, p := s.reserve(r.expiresAtMs(), len(r), nowMs)
	c.data = append(c.data, r...)
	return s.link(key, p)
}

// reserve finds the chunk, and the place in it, for the next record of that expiry and size.
func (s *recordStore) reserve(expiresAtMs int64, size int, nowMs int64) (*chunk, position) {
	sl := s.slabs.at(bucketEnd(nowMs, expiresAtMs), func() *slab { return &slab{} })
	capacity := minChunkBytes
	if n := len(sl.chunks); n > 0 {
		open := s.chunks[sl.chunks[n-1]]
		if cap(open.data)-len(open.data) >= size {
			return open, at(sl.chunks[n-1], len(open.data))
		}
		capacity = min(2*cap(open.data), maxChunkBytes)
	}
	id := s.nextID
	s.nextID++
	c := &chunk{data: make([]byte, 0, max(capacity, size)), slab: sl}
	s.chunks[id] = c
	sl.chunks = append(sl.chunks, id)
	return c, at(id, 0)
}

// link makes p the place where a key is found, and reports whether it was found elsewhere before.
func (s *recordStore) link(key []byte, p position) (replaced bool) {
	hash := s.hash(key)
	old, taken := s.index[hash]
	if taken && !s.at(old).hasStoreKey(key) {
		_, replaced = s.clashes[string(key)]
		s.clashes[string(key)] = p
		return replaced
	}
	s.index[hash] = p
	return taken
}

// unlink forgets a key if p is where it lies.
func (s *recordStore) unlink(key []byte, p position) bool {
	hash := s.hash(key)
	if q, ok := s.index[hash]; ok && q == p {
		delete(s.index, hash)
		return true
	}
	if q, ok := s.clashes[string(key)]; ok && q == p {
		delete(s.clashes, string(key))
		return true
	}
	return false
}

// remove forgets a record before its time. Its bytes go with the slab.
func (s *recordStore) remove(key []byte) {
	p, ok := s.find(key)
	if !ok {
		return
	}
	s.unlink(key, p)
	sl := s.chunks[p.chunk()].slab
	sl.dead = append(sl.dead, p)
}

// reap walks the slabs whose time has passed, at most limit records of them, and drops each slab it has finished.
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
		for _, id := range sl.chunks {
			delete(s.chunks, id)
		}
		s.slabs.removeFirst()
	}
}

// sweepChunk unlinks at most limit records of the chunk the slab's sweep stands at.
func (s *recordStore) sweepChunk(sl *slab, limit int) (seen int) {
	id := sl.chunks[sl.sweptChunks]
	data := s.chunks[id].data
	for ; seen < limit && sl.sweptBytes < len(data); seen++ {
		p := at(id, sl.sweptBytes)
		r := s.at(p)
		sl.sweptBytes += len(r)
		s.scratch = r.appendStoreKey(s.scratch[:0])
		s.unlink(s.scratch, p)
	}
	if sl.sweptBytes == len(data) {
		sl.sweptChunks++
		sl.sweptBytes = 0
	}
	return seen
}
