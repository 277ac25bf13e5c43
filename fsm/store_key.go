package fsm

import (
	"encoding/binary"
	"hash/maphash"
	"math"
)

// A store key is
//
//	tenant u32 · len(scope) u8 · scope · key
//
// one byte string that no other identity shares.
const (
	storeKeyHeaderBytes = 4 + 1
	maxStoreKeyBytes    = storeKeyHeaderBytes + MaxScopeBytes + MaxKeyBytes
)

// appendStoreKey appends the store key of id.
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
	if len(key) < storeKeyHeaderBytes || len(key) < storeKeyHeaderBytes+int(key[4]) {
		return RecordID{}, false
	}
	scope := storeKeyHeaderBytes + int(key[4])
	id = RecordID{
		Tenant: TenantID(binary.LittleEndian.Uint32([]byte(key[:4]))),
		Scope:  key[storeKeyHeaderBytes:scope],
		Key:    key[scope:],
	}
	ok = id.Tenant >= 1 && id.Tenant <= MaxTenants && len(id.Scope) >= 1 && len(id.Scope) <= MaxScopeBytes &&
		len(id.Key) >= 1 && len(id.Key) <= MaxKeyBytes
	return id, ok
}

// hasher hashes store keys for the indexes. The seed is the process's own, so that nobody can prepare keys that clash.
type hasher struct {
	seed maphash.Seed
	mask uint64 // all ones, but where a test forces clashes
}

// storeKey is a store key with its hash.
type storeKey struct {
	bytes []byte
	hash  uint64
}

func newHasher(seed maphash.Seed) *hasher { return &hasher{seed, math.MaxUint64} }

func (h *hasher) key(b []byte) storeKey { return storeKey{b, maphash.Bytes(h.seed, b) & h.mask} }
