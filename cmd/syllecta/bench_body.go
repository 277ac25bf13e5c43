package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
)

const (
	// benchRunBytes is the length of the name of a run, which begins all its keys: no run meets the keys of another.
	benchRunBytes = 10
	// minKeyDigits leave room for 10^13 keys of a kind.
	minKeyDigits     = 13
	minBenchKeyBytes = benchRunBytes + 1 + minKeyDigits

	tokenBytes = 32 // of a lock's token, as text
)

// The kinds of keys of a run, by the letter after its name.
const (
	freshKey  = 'n'
	keptKey   = 'k' // completed before the measurement
	heldKey   = 'h' // locked before the measurement
	hotKey    = 'c'
	zeroToken = "00000000000000000000000000000000"
)

// keySpace makes the names of a run's keys, all of one length: a kind and a number.
type keySpace struct {
	run   string
	bytes int
}

func newKeySpace(keyBytes int) keySpace {
	return keySpace{run: strings.ToLower(rand.Text()[:benchRunBytes]), bytes: keyBytes}
}

// zero is the key number 0 of a kind.
func (s keySpace) zero(kind rune) string {
	prefix := s.run + string(kind)
	return prefix + strings.Repeat("0", s.bytes-len(prefix))
}

// benchBody is a request's JSON, made once: for each request only numbers of keys and the token are put in.
type benchBody struct {
	text   []byte
	keys   []int // where the digits of each key begin
	digits int
	token  int // where it begins
}

// newBody notes the places in a text that holds the key number 0 of a kind, once or more, and perhaps zeroToken.
func newBody(space keySpace, kind rune, text string) *benchBody {
	b := &benchBody{
		text: []byte(text), digits: space.bytes - benchRunBytes - 1,
		token: strings.Index(text, `"`+zeroToken+`"`) + 1,
	}
	name := []byte(`"` + space.zero(kind) + `"`)
	for from := 0; ; {
		at := bytes.Index(b.text[from:], name)
		if at < 0 {
			return b
		}
		b.keys = append(b.keys, from+at+1+benchRunBytes+1)
		from += at + len(name)
	}
}

// setKey makes key i the one with that number.
func (b *benchBody) setKey(i int, number uint64) {
	at := b.keys[i]
	for d := at + b.digits - 1; d >= at; d-- {
		b.text[d] = byte('0' + number%10)
		number /= 10
	}
}

func (b *benchBody) setToken(token []byte) { copy(b.text[b.token:b.token+tokenBytes], token) }

// workload is what all connections of a run have in common.
type workload struct {
	options benchOptions
	space   keySpace
	scope   string // as JSON
	result  string // as JSON
}

func newWorkload(o benchOptions) (*workload, error) {
	scope, err := json.Marshal(o.scope)
	if err != nil {
		return nil, fmt.Errorf("the scope as JSON: %w", err)
	}
	return &workload{
		options: o, space: newKeySpace(o.keyBytes), scope: string(scope),
		result: `"` + strings.Repeat("x", o.bodyBytes-minBodyBytes) + `"`,
	}, nil
}

// claim is one claim of a key of that kind; extra are more members, with a comma before them.
func (l *workload) claim(kind rune, extra string) string {
	return fmt.Sprintf(`{"scope":%s,"key":"%s","ttlSeconds":%d%s}`,
		l.scope, l.space.zero(kind), l.options.ttlSeconds, extra)
}

func (l *workload) claimBody(kind rune, extra string) *benchBody {
	return newBody(l.space, kind, l.claim(kind, extra))
}

// putBody completes a key; extra is as in claim.
func (l *workload) putBody(kind rune, extra string) *benchBody {
	return newBody(l.space, kind, fmt.Sprintf(`{"scope":%s,"key":"%s","ttlSeconds":%d%s,"body":%s}`,
		l.scope, l.space.zero(kind), l.options.ttlSeconds, extra, l.result))
}

const tokenMember = `,"token":"` + zeroToken + `"`

func (l *workload) releaseBody(kind rune) *benchBody {
	return newBody(l.space, kind, fmt.Sprintf(`{"scope":%s,"key":"%s"%s}`, l.scope, l.space.zero(kind), tokenMember))
}

func (l *workload) batchBody() *benchBody {
	claims := strings.Repeat(","+l.claim(freshKey, ""), l.options.batchSize)[1:]
	return newBody(l.space, freshKey, `{"records":[`+claims+`]}`)
}
