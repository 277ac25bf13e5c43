package webhook

import (
	"crypto/subtle"
	"hash"
	"strings"
)

// scheme is how a provider signs with an HMAC.
type scheme struct {
	header   string           // the header of the signature, or of the list of them
	prefix   string           // what precedes a signature that stands alone, such as "sha256="
	list     *list            // how a list is written; nil if one signature stands alone
	hash     func() hash.Hash // the hash of the HMAC
	encoding *encoding        // how a signature is written
	key      keyDecoding      // how a secret becomes a key
	signed   string           // the template of what is signed
	idHeader string           // the header of {id}
	atHeader string           // the header of {timestamp}, unless it is in the list
	atFormat timestampFormat  // how {timestamp} is written
}

// timed reports whether a timestamp is part of what is signed.
func (c *scheme) timed() bool { return c.atHeader != "" || c.list != nil && c.list.timestamp != "" }

// verify returns the index of a secret by which one of the signatures was made, or noSecret.
func (c *scheme) verify(s Source, r Request) int { return c.verifyURL(s, r, s.signedURL(r)) }

// verifyURL is verify for a URL that the provider may have signed. Every secret is tried on every signature, whatever
// was found before, and the timestamp is judged last: the time it takes tells nothing.
func (c *scheme) verifyURL(s Source, r Request, url string) int {
	texts, values, ok := c.parse(r)
	if !ok {
		return noSecret
	}
	values.url = url
	signatures := decodeAll(texts, c.encoding, c.hash().Size())
	matched := noSecret
	for i, secret := range s.Secrets {
		key, err := c.key(secret)
		if err != nil {
			continue // a secret of another scheme of this provider
		}
		if matchesAny(c.sum(key, values), signatures) {
			matched = i
		}
	}
	if c.timed() && !c.fresh(s, r, values.timestamp) {
		return noSecret
	}
	return matched
}

// parse takes the signatures and what is signed beside the body from the headers.
func (c *scheme) parse(r Request) ([]string, signedValues, bool) {
	values := signedValues{method: r.Method, body: r.Body}
	header := r.header(c.header)
	if header == "" || len(header) > maxSignatureBytes {
		return nil, values, false
	}
	var signatures []string
	if c.list == nil {
		text, found := strings.CutPrefix(header, c.prefix)
		if !found {
			return nil, values, false
		}
		signatures = []string{text}
	} else {
		var ok bool
		if signatures, values.timestamp, ok = c.list.parse(header); !ok {
			return nil, values, false
		}
	}
	if c.atHeader != "" {
		if values.timestamp = r.header(c.atHeader); values.timestamp == "" {
			return nil, values, false
		}
	}
	if c.idHeader != "" {
		if values.id = r.header(c.idHeader); values.id == "" {
			return nil, values, false
		}
	}
	return signatures, values, true
}

func (c *scheme) sum(key []byte, values signedValues) []byte {
	mac := newMAC(c.hash, key)
	values.write(mac, c.signed)
	return mac.Sum(nil)
}

func (c *scheme) fresh(s Source, r Request, timestamp string) bool {
	return fresh(timestamp, c.atFormat, r.ReceivedAt, s.tolerance(DefaultTolerance))
}

// matchesAny compares with all signatures, in a time that depends on their number only.
func matchesAny(sum []byte, signatures [][]byte) bool {
	equal := 0
	for _, signature := range signatures {
		equal |= subtle.ConstantTimeCompare(sum, signature)
	}
	return equal == 1
}

// bySchemes verifies by the first scheme whose header was sent. A request cannot fall back from a scheme to one behind
// it by getting the first one wrong.
func bySchemes(schemes ...*scheme) func(Source, Request) (int, error) {
	return func(s Source, r Request) (int, error) {
		for _, c := range schemes {
			if r.has(c.header) {
				return verdict(c.verify(s, r))
			}
		}
		return verdict(noSecret)
	}
}

// verdict adds the error to an index that is none.
func verdict(secret int) (int, error) {
	if secret == noSecret {
		return noSecret, ErrInvalidSignature
	}
	return secret, nil
}
