package redact

import "net/http"

// sensitiveHeaders are sensitive names beside those of members: what says who somebody is at a proxy.
var sensitiveHeaders = map[string]bool{"xclientcert": true, "xforwardedclientcert": true}

// Header returns a copy of headers in which the values of sensitive ones are Redacted, and those that look sensitive.
// Nil stays nil.
func Header(h http.Header) http.Header {
	if h == nil {
		return nil
	}
	out := make(http.Header, len(h))
	for name, values := range h {
		of := parseLabel(name)
		hide := of.rule() != nothing || sensitiveHeaders[of.joined]
		kept := make([]string, len(values))
		for i, value := range values {
			switch {
			case value == "":
			case hide:
				kept[i] = Redacted
			default:
				kept[i] = redactText(value, 0)
			}
		}
		out[name] = kept
	}
	return out
}
