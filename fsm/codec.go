package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The log and snapshot encodings share these primitives: fixed little-endian numbers, signed and unsigned varints, and
// byte strings with a varint length. They are written by hand because they are decoded on every node for every
// command, and because a format this small is easy to fuzz.

// ErrMalformed is returned for bytes that are no entry, command or snapshot record.
var ErrMalformed = errors.New("malformed encoding")

// ErrUnsupported is returned for a version or command type that this build does not know. A node that meets one must
// stop: skipping the entry would make its state differ from the others'.
var ErrUnsupported = errors.New("written by a newer version")

func appendString[T string | []byte](b []byte, s T) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendRecordID(b []byte, id RecordID) []byte {
	b = binary.AppendUvarint(b, uint64(id.Tenant))
	b = appendString(b, id.Scope)
	return appendString(b, id.Key)
}

// decoder reads the primitives from a byte slice. The first failure sticks; the caller asks for it once, at the end.
type decoder struct {
	b       []byte
	version byte // of what is decoded, where that has several
	err     error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrMalformed, what)
		d.b = nil
	}
}

// finish returns the first failure, or one if bytes are left over.
func (d *decoder) finish() error {
	if d.err == nil && len(d.b) != 0 {
		d.fail("trailing bytes")
	}
	return d.err
}

func (d *decoder) take(n int, what string) []byte {
	if d.err != nil || n > len(d.b) {
		d.fail(what)
		return nil
	}
	taken := d.b[:n:n]
	d.b = d.b[n:]
	return taken
}

func (d *decoder) uvarint(what string) uint64 {
	if len(d.b) > 0 && d.b[0] < 0x80 { // most are lengths and small numbers
		v := d.b[0]
		d.b = d.b[1:]
		return uint64(v)
	}
	return d.longUvarint(what)
}

func (d *decoder) longUvarint(what string) uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail(what)
		return 0
	}
	d.b = d.b[n:]
	return v
}

// integer reads a signed varint that must lie in [lo, hi].
func (d *decoder) integer(lo, hi int64, what string) int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 || v < lo || v > hi {
		d.fail(what)
		return 0
	}
	d.b = d.b[n:]
	return v
}

// bytes reads a byte string of lo…hi bytes; the result aliases the input.
func (d *decoder) bytes(lo, hi int, what string) []byte {
	n := d.uvarint(what)
	if d.err != nil || n < uint64(lo) || n > uint64(hi) || n > uint64(len(d.b)) {
		d.fail(what)
		return nil
	}
	taken := d.b[:n:n]
	d.b = d.b[n:]
	return taken
}

func (d *decoder) string(lo, hi int, what string) string {
	return string(d.bytes(lo, hi, what))
}

func (d *decoder) bool(what string) bool {
	b := d.take(1, what)
	if len(b) == 1 && b[0] > 1 {
		d.fail(what)
	}
	return len(b) == 1 && b[0] == 1
}

func (d *decoder) token() (t Token) {
	copy(t[:], d.take(len(t), "token"))
	return t
}

func (d *decoder) hash() (h [32]byte) {
	copy(h[:], d.take(len(h), "hash"))
	return h
}

func (d *decoder) tenant() TenantID {
	v := d.uvarint("tenant")
	if v == 0 || v > MaxTenants {
		d.fail("tenant")
		return 0
	}
	return TenantID(v)
}

func (d *decoder) featureLevel() uint32 {
	v := d.uvarint("feature level")
	if v == 0 || v > MaxFeatureLevel {
		d.fail("feature level")
		return 0
	}
	return uint32(v)
}

func (d *decoder) scopes() Scopes {
	v := d.uvarint("scopes")
	if v > uint64(AllScopes) {
		d.fail("scopes")
		return 0
	}
	return Scopes(v)
}

func (d *decoder) nodeID() string { return d.string(1, MaxNodeIDBytes, "node id") }

func (d *decoder) diskID() string { return d.string(0, MaxDiskIDBytes, "disk id") }

// idView is a RecordID in the bytes it was decoded from.
type idView struct {
	tenant     TenantID
	scope, key []byte
}

func (d *decoder) recordID() idView {
	return idView{
		tenant: d.tenant(),
		scope:  d.bytes(1, MaxScopeBytes, "scope"),
		key:    d.bytes(1, MaxKeyBytes, "key"),
	}
}

func (v idView) id() RecordID { return RecordID{v.tenant, string(v.scope), string(v.key)} }
