package api

import (
	"net/http"
	"strings"
)

// preferStrict is the preference (RFC 7240) for 409 instead of 200 while another request holds the lock.
const preferStrict = "handling=strict"

// prefersStrict reports whether a Prefer header asks for it. As the RFC has it, the first of two counts.
func prefersStrict(h http.Header) bool {
	for _, line := range h["Prefer"] {
		for preference := range strings.SplitSeq(line, ",") {
			preference, _, _ = strings.Cut(preference, ";")
			name, value, _ := strings.Cut(preference, "=")
			if strings.EqualFold(strings.TrimSpace(name), "handling") {
				return strings.EqualFold(strings.Trim(strings.TrimSpace(value), `"`), "strict")
			}
		}
	}
	return false
}
