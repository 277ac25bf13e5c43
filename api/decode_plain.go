package api

import (
	"bytes"

	"github.com/syllecta/syllecta/fsm"
)

// plainReader reads claims in the form in which nearly all of them come: flat objects of known members, each at most
// once, whose strings are printable ASCII without escapes and whose integers are plain digits, all within the limits. It
// tells nothing of what is wrong: whatever it does not read is for the strict decoder to read or to refuse.
type plainReader struct {
	data []byte
	at   int
}

// plainClaim reads the body of POST /v1/record.
func plainClaim(body []byte, l limits) (f claimFields, ok bool) {
	r := plainReader{data: body}
	ok = r.claim(&f, l) && r.end()
	return f, ok
}

// plainClaims reads the body of POST /v1/records.
func plainClaims(body []byte, l limits) (claims []claim, ok bool) {
	r := plainReader{data: body}
	if !r.next('{') || string(r.text()) != "records" || !r.next(':') || !r.next('[') {
		return nil, false
	}
	claims = make([]claim, 0, min(bytes.Count(body, []byte{'}'}), maxBatch))
	for more := true; more; more = r.next(',') {
		var f claimFields
		if len(claims) == maxBatch || !r.claim(&f, l) {
			return nil, false
		}
		c, p := f.claim("", "", l)
		if p != nil {
			return nil, false
		}
		claims = append(claims, c)
	}
	return claims, r.next(']') && r.next('}') && r.end()
}

// claim reads an object.
func (r *plainReader) claim(f *claimFields, l limits) bool {
	if !r.next('{') {
		return false
	}
	for more := true; more; more = r.next(',') {
		name := r.text()
		if !r.next(':') || !r.member(f, name, l) {
			return false
		}
	}
	return r.next('}')
}

func (r *plainReader) member(f *claimFields, name []byte, l limits) bool {
	switch string(name) {
	case "scope":
		return r.textInto(&f.scope, fsm.MaxScopeBytes)
	case "key":
		return r.textInto(&f.key, fsm.MaxKeyBytes)
	case "owner":
		return r.textInto(&f.owner, fsm.MaxOwnerBytes)
	case "fingerprint":
		return r.textInto(&f.fingerprint, fsm.MaxFingerprintBytes)
	case "ttlSeconds":
		return r.integerInto(&f.ttlSeconds, 1, l.maxTTLSeconds)
	case "lockMs":
		return r.integerInto(&f.lockMs, 0, fsm.MaxLeaseMs) && validLease(f.lockMs.value)
	case "waitMs":
		return r.integerInto(&f.waitMs, 0, maxWaitMs)
	default:
		return false
	}
}

// next passes over white space and one byte, if that is the one.
func (r *plainReader) next(c byte) bool {
	r.space()
	if r.at == len(r.data) || r.data[r.at] != c {
		return false
	}
	r.at++
	return true
}

func (r *plainReader) end() bool {
	r.space()
	return r.at == len(r.data)
}

func (r *plainReader) space() {
	for r.at < len(r.data) {
		switch r.data[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
	}
}

// text reads a string; nil if the next value is none, or not a plain one.
func (r *plainReader) text() []byte {
	if !r.next('"') {
		return nil
	}
	start := r.at
	for ; r.at < len(r.data); r.at++ {
		switch c := r.data[r.at]; {
		case c == '"':
			r.at++
			return r.data[start : r.at-1]
		case c < 0x20 || c >= 0x7f || c == '\\':
			return nil
		}
	}
	return nil
}

// textInto reads a string of 1 to limit bytes, once.
func (r *plainReader) textInto(dst *string, limit int) bool {
	text := r.text()
	if len(text) == 0 || len(text) > limit || *dst != "" {
		return false
	}
	*dst = string(text)
	return true
}

// maxPlainDigits keeps an integer from overflowing; every limit has fewer digits.
const maxPlainDigits = 15

// integerInto reads an integer between low and high, once.
func (r *plainReader) integerInto(dst *optionalInt, low, high int64) bool {
	r.space()
	start, n := r.at, int64(0)
	for ; r.at < len(r.data) && r.data[r.at] >= '0' && r.data[r.at] <= '9'; r.at++ {
		if r.at-start == maxPlainDigits {
			return false
		}
		n = 10*n + int64(r.data[r.at]-'0')
	}
	digits := r.at - start
	if digits == 0 || digits > 1 && r.data[start] == '0' || n < low || n > high || dst.set {
		return false
	}
	*dst = optionalInt{n, true}
	return true
}
