package api

import (
	"net/http"
	"strings"

	"github.com/syllecta/syllecta/fsm"
)

// keyed reads the header that may stand in for a record's key.
func keyed(next handler) handler {
	return func(x *exchange) {
		var p *problem
		if x.headerKey, p = idempotencyKey(x.r.Header); p != nil {
			x.refuse(p)
			return
		}
		next(x)
	}
}

// idempotencyKeyHeader is in the canonical form of net/http.
const idempotencyKeyHeader = "Idempotency-Key"

// idempotencyKey returns the Idempotency-Key header, which stands in for a record's key: an RFC 9651 string in quotes,
// or the bare key as many clients send it. It is "" if there is none.
func idempotencyKey(h http.Header) (string, *problem) {
	values := h[idempotencyKeyHeader]
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 {
		return "", invalidField.problem("the Idempotency-Key header is given twice")
	}
	key := values[0]
	if strings.HasPrefix(key, `"`) {
		var ok bool
		if key, ok = unquoteField(key); !ok {
			return "", invalidField.problem("the Idempotency-Key header is not a quoted string as in RFC 9651")
		}
	}
	if fault := textFault(key, fsm.MaxKeyBytes); fault != "" {
		return "", invalidField.problem("the Idempotency-Key header %s", fault)
	}
	return key, nil
}

// unquoteField decodes an RFC 9651 string: printable ASCII in quotes, in which \" and \\ are the only escapes.
func unquoteField(s string) (string, bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), i == len(s)-1
		case c == '\\':
			if i++; i == len(s) || s[i] != '"' && s[i] != '\\' {
				return "", false
			}
			b.WriteByte(s[i])
		case c < 0x20 || c > 0x7e:
			return "", false
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}
