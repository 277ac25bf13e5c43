package envelope

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

const (
	// SealOverhead is by how much what was sealed is longer than before: a version, the salt of its key, nonce and tag.
	SealOverhead = 1 + saltBytes + gcmOverhead

	dataKeyBytes = 32
	saltBytes    = 16
	gcmOverhead  = 12 + 16 // nonce and tag

	// Versions of what this package writes. Each form has its own, as the first byte.
	wrappedVersion = 1
	sealedVersion  = 1

	// Labels keep what is made for one use from being good for another.
	wrapLabel = "syllecta data key"
	sealLabel = "syllecta sealed"
)

// DataKey seals and opens. It never changes, and may be used by several goroutines at a time.
type DataKey struct {
	secret  [dataKeyBytes]byte
	binding string
}

// NewDataKey draws a data key and wraps it under the current key-encryption key, bound to what binding names. It fails
// with ErrNoKEK only.
func (k *KEKs) NewDataKey(binding string) (wrapped []byte, key *DataKey, err error) {
	key = &DataKey{binding: binding}
	_, _ = rand.Read(key.secret[:]) // never fails (crypto/rand)
	wrapped, err = k.wrap(key)
	if err != nil {
		return nil, nil, err
	}
	return wrapped, key, nil
}

// wrap returns a version, the id of the key-encryption key after its length, and the key that is encrypted under it.
func (k *KEKs) wrap(key *DataKey) ([]byte, error) {
	under, err := k.current()
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, 2+len(under.id)+dataKeyBytes+gcmOverhead)
	b = append(b, wrappedVersion, byte(len(under.id)))
	b = append(b, under.id...)
	return under.aead.Seal(b, nil, key.secret[:], associated(wrapLabel, wrappedVersion, under.id, key.binding)), nil
}

// Unwrap opens a data key that was wrapped under any of the key-encryption keys for the same binding. It fails with
// ErrNoKEK if the one it needs is not there, and with ErrDamaged if it is not such a key.
func (k *KEKs) Unwrap(binding string, wrapped []byte) (*DataKey, error) {
	id, sealed, err := splitWrapped(wrapped)
	if err != nil {
		return nil, err
	}
	under, err := k.named(id)
	if err != nil {
		return nil, err
	}
	secret, err := under.aead.Open(nil, nil, sealed, associated(wrapLabel, wrappedVersion, id, binding))
	if err != nil || len(secret) != dataKeyBytes {
		return nil, fmt.Errorf("%w: the data key was changed, belongs to another tenant, or %s is another key now",
			ErrDamaged, id)
	}
	return &DataKey{secret: [dataKeyBytes]byte(secret), binding: binding}, nil
}

// Rewrap returns the same data key wrapped under the current key-encryption key; changed is false if it is already. It
// fails as Unwrap does.
func (k *KEKs) Rewrap(binding string, wrapped []byte) (again []byte, changed bool, err error) {
	key, err := k.Unwrap(binding, wrapped)
	if err != nil {
		return nil, false, err
	}
	current, err := k.current()
	if err != nil {
		return nil, false, err
	}
	if under, err := WrappedUnder(wrapped); err != nil || under == current.id {
		return wrapped, false, err
	}
	again, err = k.wrap(key)
	return again, err == nil, err
}

// WrappedUnder returns the id of the key-encryption key that a data key is wrapped under, or ErrDamaged.
func WrappedUnder(wrapped []byte) (id string, err error) {
	id, _, err = splitWrapped(wrapped)
	return id, err
}

func splitWrapped(wrapped []byte) (id string, sealed []byte, err error) {
	if len(wrapped) < 2 {
		return "", nil, fmt.Errorf("%w: a data key of %d bytes is cut", ErrDamaged, len(wrapped))
	}
	if wrapped[0] != wrappedVersion {
		return "", nil, fmt.Errorf("%w: the data key has version %d, this release reads version %d",
			ErrDamaged, wrapped[0], wrappedVersion)
	}
	rest, n := wrapped[2:], int(wrapped[1])
	if len(rest) != n+dataKeyBytes+gcmOverhead || !kekIDPattern.Match(rest[:n]) {
		return "", nil, fmt.Errorf("%w: the data key names no key-encryption key, or is cut", ErrDamaged)
	}
	return string(rest[:n]), rest[n:], nil
}

// Seal encrypts plain for a purpose: only who names the same purpose can open it. Every call gives other bytes.
func (d *DataKey) Seal(purpose string, plain []byte) []byte {
	b := make([]byte, 1+saltBytes, SealOverhead+len(plain))
	b[0] = sealedVersion
	_, _ = rand.Read(b[1:]) // never fails (crypto/rand)
	about := associated(sealLabel, sealedVersion, d.binding, purpose)
	return gcm(d.messageKey(b[1:], about)).Seal(b, nil, plain, about)
}

// Open returns what was sealed for the same purpose, or ErrDamaged.
func (d *DataKey) Open(purpose string, sealed []byte) ([]byte, error) {
	if len(sealed) < SealOverhead {
		return nil, fmt.Errorf("%w: what is sealed for %s has %d bytes and is cut", ErrDamaged, purpose, len(sealed))
	}
	if sealed[0] != sealedVersion {
		return nil, fmt.Errorf("%w: what is sealed for %s has version %d, this release reads version %d",
			ErrDamaged, purpose, sealed[0], sealedVersion)
	}
	about := associated(sealLabel, sealedVersion, d.binding, purpose)
	salt, text := sealed[1:1+saltBytes], sealed[1+saltBytes:]
	plain, err := gcm(d.messageKey(salt, about)).Open(nil, nil, text, about)
	if err != nil {
		return nil, fmt.Errorf("%w: it was changed, or not sealed for %s by this key", ErrDamaged, purpose)
	}
	return plain, nil
}

// messageKey derives the key of one message from its salt and what it is about.
func (d *DataKey) messageKey(salt, about []byte) []byte {
	key, err := hkdf.Key(sha256.New, d.secret[:], salt, string(about), dataKeyBytes)
	if err != nil {
		panic("a key of 32 bytes can always be derived: " + err.Error())
	}
	return key
}

// Format keeps the key out of whatever is printed, with any verb.
func (DataKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, "data key") }

// associated returns what is authenticated beside an encrypted text. Lengths keep one list of parts from looking like
// another.
func associated(label string, version byte, parts ...string) []byte {
	b := append([]byte(label), 0, version)
	for _, part := range parts {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}
