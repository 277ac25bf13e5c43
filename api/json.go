package api

import (
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// instant is RFC 3339 with milliseconds.
const instant = "2006-01-02T15:04:05.000Z"

const (
	bufferBytes    = 1 << 10
	maxBufferBytes = 64 << 10 // larger ones are left to the garbage collector
)

// buffer is where an answer is built.
type buffer struct{ b []byte }

var buffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, bufferBytes)} }}

func getBuffer() *buffer { return buffers.Get().(*buffer) }

func (b *buffer) free() {
	if cap(b.b) <= maxBufferBytes {
		b.b = b.b[:0]
		buffers.Put(b)
	}
}

// appendName starts a member, or with name "" an element. A comma is due unless b has just opened an object or array.
func appendName(b []byte, name string) []byte {
	if last := b[len(b)-1]; last != '{' && last != '[' {
		b = append(b, ',')
	}
	if name == "" {
		return b
	}
	b = append(b, '"')
	b = append(b, name...)
	return append(b, '"', ':')
}

func appendStringMember(b []byte, name, value string) []byte {
	return appendQuoted(appendName(b, name), value)
}

func appendIntMember(b []byte, name string, value int64) []byte {
	return strconv.AppendInt(appendName(b, name), value, 10)
}

func appendBoolMember(b []byte, name string, value bool) []byte {
	return strconv.AppendBool(appendName(b, name), value)
}

func appendTimeMember(b []byte, name string, unixMs int64) []byte {
	b = append(appendName(b, name), '"')
	b = time.UnixMilli(unixMs).UTC().AppendFormat(b, instant)
	return append(b, '"')
}

// appendQuoted writes a JSON string. Bytes that are not UTF-8 can only come from our own texts (an error's, say) and
// become U+FFFD, so the error that AppendQuote reports beside a good result has no one to go to.
func appendQuoted(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s)
	return b
}
