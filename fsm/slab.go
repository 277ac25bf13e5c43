package fsm

import "encoding/binary"

// A completed record lies in a slab as
//
//	size u32 · created i64 · expires i64 · tenant u32 · status u16 · len(scope) u8 · reserved u8 ·
//	len(key) u16 · len(fingerprint) u16 · len(headers) u16 · len(body) u32 · scope · key · fingerprint · headers · body
//
// which is also how it lies in a snapshot. Empty headers are stored as nothing.
const slabHeaderBytes = 4 + 8 + 8 + 4 + 2 + 1 + 1 + 2 + 2 + 2 + 4

// maxSlabRecordBytes bounds what a snapshot may hold as one record.
const maxSlabRecordBytes = slabHeaderBytes + MaxScopeBytes + MaxKeyBytes +
	MaxFingerprintBytes + MaxHeadersBytes + MaxBodyBytes

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

// decode fills in rec, whose byte slices alias r.
func (r slabRecord) decode(rec *Record) {
	scope, key, fingerprint, headers, _ := r.lens()
	at := r[slabHeaderBytes+scope+key:]
	rec.Status = binary.LittleEndian.Uint16(r[24:])
	rec.CreatedAtMs = r.createdAtMs()
	rec.ExpiresAtMs = r.expiresAtMs()
	rec.Fingerprint = string(at[:fingerprint])
	rec.Headers = at[fingerprint : fingerprint+headers : fingerprint+headers]
	if headers == 0 {
		rec.Headers = emptyHeaders
	}
	rec.Body = at[fingerprint+headers : len(at) : len(at)]
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

// appendSlabRecord appends the record of a store key.
func appendSlabRecord(b, key []byte, rec *Record) []byte {
	le := binary.LittleEndian
	headers := rec.Headers
	if string(headers) == string(emptyHeaders) {
		headers = nil
	}
	size := slabHeaderBytes + len(key) - storeKeyHeaderBytes + len(rec.Fingerprint) + len(headers) + len(rec.Body)
	b = le.AppendUint32(b, uint32(size))
	b = le.AppendUint64(b, uint64(rec.CreatedAtMs))
	b = le.AppendUint64(b, uint64(rec.ExpiresAtMs))
	b = append(b, key[:4]...)
	b = le.AppendUint16(b, rec.Status)
	b = append(b, key[4], 0)
	b = le.AppendUint16(b, uint16(len(key)-storeKeyHeaderBytes-int(key[4])))
	b = le.AppendUint16(b, uint16(len(rec.Fingerprint)))
	b = le.AppendUint16(b, uint16(len(headers)))
	b = le.AppendUint32(b, uint32(len(rec.Body)))
	b = append(b, key[storeKeyHeaderBytes:]...)
	b = append(b, rec.Fingerprint...)
	b = append(b, headers...)
	return append(b, rec.Body...)
}
