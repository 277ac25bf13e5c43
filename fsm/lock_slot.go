package fsm

import "encoding/binary"

// lockSlot is a lock as it lies in a page:
//
//	previous u32 · next u32 · bucket end i64 · token [16] · fence u64 · lease i64 · lease end i64 · created i64 · TTL i64 ·
//	len(key) u16 · len(fingerprint) u16 · len(owner) u8 · key · fingerprint · owner
//
// Previous and next are its neighbours in the bucket with that end. The slice reaches beyond the lock, to the end of the
// page.
type lockSlot []byte

const (
	lockHeaderBytes  = 4 + 4 + 8 + 16 + 5*8 + 2 + 2 + 1
	maxLockSlotBytes = lockHeaderBytes + maxStoreKeyBytes + MaxFingerprintBytes + MaxOwnerBytes + OwnerPrefixBytes
)

func lockSlotBytes(l *lock) int {
	return lockHeaderBytes + len(l.key) + len(l.fingerprint) + len(l.owner)
}

func (s lockSlot) links() (prev, next lockRef, end int64) {
	le := binary.LittleEndian
	return lockRef(le.Uint32(s)), lockRef(le.Uint32(s[4:])), int64(le.Uint64(s[8:]))
}

func (s lockSlot) setLinks(prev, next lockRef, end int64) {
	s.setPrev(prev)
	s.setNext(next)
	binary.LittleEndian.PutUint64(s[8:], uint64(end))
}

func (s lockSlot) setPrev(ref lockRef) { binary.LittleEndian.PutUint32(s, uint32(ref)) }

func (s lockSlot) setNext(ref lockRef) { binary.LittleEndian.PutUint32(s[4:], uint32(ref)) }

func (s lockSlot) lease() (leaseMs, leaseEndMs int64) {
	return int64(binary.LittleEndian.Uint64(s[40:])), int64(binary.LittleEndian.Uint64(s[48:]))
}

func (s lockSlot) expiresAtMs() int64 {
	_, end := s.lease()
	le := binary.LittleEndian
	return lockExpiry(end, int64(le.Uint64(s[56:])), int64(le.Uint64(s[64:])))
}

func (s lockSlot) setLease(leaseMs, leaseEndMs int64) {
	binary.LittleEndian.PutUint64(s[40:], uint64(leaseMs))
	binary.LittleEndian.PutUint64(s[48:], uint64(leaseEndMs))
}

func (s lockSlot) key() []byte {
	end := lockHeaderBytes + int(binary.LittleEndian.Uint16(s[72:]))
	return s[lockHeaderBytes:end:end]
}

// lock decodes s. Byte slices alias it.
func (s lockSlot) lock() lock {
	le := binary.LittleEndian
	key := s.key()
	fingerprint := lockHeaderBytes + len(key)
	owner := fingerprint + int(le.Uint16(s[74:]))
	end := owner + int(s[76])
	return lock{
		key:         key,
		token:       Token(s[16:32]),
		fence:       le.Uint64(s[32:]),
		owner:       s[owner:end:end],
		fingerprint: s[fingerprint:owner:owner],
		leaseMs:     int64(le.Uint64(s[40:])),
		leaseEndMs:  int64(le.Uint64(s[48:])),
		createdAtMs: int64(le.Uint64(s[56:])),
		ttlMs:       int64(le.Uint64(s[64:])),
	}
}

// set encodes all of l; its links are set apart.
func (s lockSlot) set(l *lock) {
	le := binary.LittleEndian
	copy(s[16:32], l.token[:])
	le.PutUint64(s[32:], l.fence)
	s.setLease(l.leaseMs, l.leaseEndMs)
	le.PutUint64(s[56:], uint64(l.createdAtMs))
	le.PutUint64(s[64:], uint64(l.ttlMs))
	le.PutUint16(s[72:], uint16(len(l.key)))
	le.PutUint16(s[74:], uint16(len(l.fingerprint)))
	s[76] = byte(len(l.owner))
	n := lockHeaderBytes
	n += copy(s[n:], l.key)
	n += copy(s[n:], l.fingerprint)
	copy(s[n:], l.owner)
}
