package webhook

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/syllecta/syllecta/fsm"
)

// Bounds of what is kept of an event's request.
const (
	// MaxStoredBytes bounds a Stored once it is encoded. What encrypts it needs the rest of fsm.MaxEventPayloadBytes.
	MaxStoredBytes = fsm.MaxEventPayloadBytes - 1<<10
	// MaxStoredHeaders bounds the headers, each value counted.
	MaxStoredHeaders = 1_000
)

var (
	// ErrTooLarge means that a request has more to keep than MaxStoredBytes or MaxStoredHeaders.
	ErrTooLarge = errors.New("webhook: there is too much to keep of the request")
	// ErrDamaged means that DecodeStored was given what EncodeStored never returns.
	ErrDamaged = errors.New("webhook: what was kept of the request cannot be read")
)

// Stored is what is kept of an event, and encrypted, until it has been delivered.
type Stored struct {
	// Headers are those of the provider's request, as KeptHeaders chooses them.
	Headers http.Header
	// Payload is Event.Payload: JSON, though it may hold what strict readers refuse.
	Payload json.RawMessage
	// Raw is what a source with fsm.Source.Raw delivers: the body of the request. Of a request of several events each has
	// its Payload there instead, as the body is no single one's.
	Raw []byte
	// ContentType is the media type of Raw; "" if the provider named none.
	ContentType string
}

// The encoding, in which every Stored has one form only: lengths and counts are uvarints.
//
//	version 1 | content type | number of header values | name, value… sorted by name | payload | form of raw | raw
const (
	storedVersion = 1

	rawNone    = 0 // and nothing follows
	rawPayload = 1 // the payload once more, and nothing follows
	rawOwn     = 2
)

// EncodeStored returns an error that wraps ErrTooLarge if that is so, and another if there is no payload.
func EncodeStored(s Stored) ([]byte, error) {
	if len(s.Payload) == 0 {
		return nil, errors.New("webhook: an event without a payload is to be kept")
	}
	form, own := rawForm(s)
	count, size := 0, len(s.ContentType)+len(s.Payload)+len(own)
	for name, values := range s.Headers {
		for _, value := range values {
			count++
			size += len(name) + len(value)
		}
	}
	if count > MaxStoredHeaders || size > MaxStoredBytes {
		return nil, tooLarge(size, count)
	}
	b := append(make([]byte, 0, size+8*count+32), storedVersion)
	b = appendSized(b, s.ContentType)
	b = binary.AppendUvarint(b, uint64(count))
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		for _, value := range s.Headers[name] {
			b = appendSized(appendSized(b, name), value)
		}
	}
	b = append(appendSized(b, s.Payload), form)
	b = append(b, own...)
	if len(b) > MaxStoredBytes {
		return nil, tooLarge(len(b), count)
	}
	return b, nil
}

func tooLarge(size, headers int) error {
	return fmt.Errorf("%w: %d bytes and %d headers, at most %d and %d are kept",
		ErrTooLarge, size, headers, MaxStoredBytes, MaxStoredHeaders)
}

// rawForm says how Raw is written, and what of it follows.
func rawForm(s Stored) (form byte, own []byte) {
	switch {
	case len(s.Raw) == 0:
		return rawNone, nil
	case bytes.Equal(s.Raw, s.Payload):
		return rawPayload, nil
	default:
		return rawOwn, s.Raw
	}
}

func appendSized[T ~string | ~[]byte](b []byte, v T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// DecodeStored is the reverse of EncodeStored. The result shares the memory of b. The error wraps ErrDamaged.
func DecodeStored(b []byte) (Stored, error) {
	d := storedDecoder{rest: b, ok: len(b) > 0 && len(b) <= MaxStoredBytes}
	if d.number(storedVersion) != storedVersion {
		d.ok = false
	}
	s := Stored{ContentType: string(d.sized())}
	s.Headers = d.headers()
	s.Payload = d.sized()
	switch form := d.number(rawOwn); {
	case form == rawPayload:
		s.Raw = s.Payload
	case form == rawOwn:
		s.Raw, d.rest = d.rest, nil
		d.ok = d.ok && len(s.Raw) > 0 && !bytes.Equal(s.Raw, s.Payload)
	}
	if !d.ok || len(d.rest) > 0 || len(s.Payload) == 0 {
		return Stored{}, ErrDamaged
	}
	return s, nil
}

// storedDecoder reads from rest as long as it is ok; what it returns otherwise means nothing.
type storedDecoder struct {
	rest []byte
	ok   bool
}

// number reads an integer of at most limit, in its shortest form.
func (d *storedDecoder) number(limit uint64) uint64 {
	v, n := binary.Uvarint(d.rest)
	if !d.ok || n <= 0 || v > limit || n > 1 && d.rest[n-1] == 0 {
		d.ok = false
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *storedDecoder) sized() []byte {
	n := d.number(MaxStoredBytes)
	if !d.ok || n > uint64(len(d.rest)) {
		d.ok = false
		return nil
	}
	v := d.rest[:n:n]
	d.rest = d.rest[n:]
	return v
}

// headers reads names in rising order; nil if there are none.
func (d *storedDecoder) headers() http.Header {
	count := d.number(MaxStoredHeaders)
	if !d.ok || count == 0 {
		return nil
	}
	h, last := make(http.Header), ""
	for i := range count {
		name, value := string(d.sized()), string(d.sized())
		if !d.ok || i > 0 && name < last {
			d.ok = false
			return nil
		}
		h[name], last = append(h[name], value), name
	}
	return h
}

// droppedHeaders are not kept: credentials, what belongs to the connection, and what a new request has of its own.
var droppedHeaders = map[string]bool{
	"Authorization": true, "Proxy-Authorization": true, "Cookie": true,
	http.CanonicalHeaderKey(gitlabTokenHeader): true, // the secret itself
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Trailer": true,
	"Transfer-Encoding": true, "Upgrade": true, "Expect": true, "Host": true, "Content-Length": true,
	"Accept-Encoding": true,
}

// KeptHeaders returns those headers of a provider's request that are kept with its events and go on with them.
// Signatures are among them: they prove, and open nothing. The values are shared with h.
func KeptHeaders(h http.Header) http.Header {
	kept := make(http.Header, len(h))
	for name, values := range h {
		if !droppedHeaders[name] && len(values) > 0 {
			kept[name] = values
		}
	}
	return kept
}
