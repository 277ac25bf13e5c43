package api

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// Header fields between nodes, and towards callers.
const (
	requestIDHeader = "Syllecta-Request-Id"
	hopsHeader      = "Syllecta-Hops"
	leaderHeader    = "Syllecta-Leader"
	indexHeader     = "Syllecta-Index"
	termHeader      = "Syllecta-Term"
	staleHeader     = "Syllecta-Stale-Ms"
	// calledURLHeader is what a provider has called, when another node forwards it.
	calledURLHeader = "Syllecta-Called-Url"
)

const requestIDBytes = 16

// newRequestID draws 16 bytes, as hexadecimal digits.
func newRequestID() string {
	var raw [requestIDBytes]byte
	rand.Read(raw[:]) // never fails
	return hex.EncodeToString(raw[:])
}

// forwardID returns the request id of the node that says it forwards this request; "" if nobody does. It holds only
// if the ticket covers it: then it becomes this request's id, so that a claim the node sends twice has one owner.
func (x *exchange) forwardID() string {
	if x.r.Header.Get(hopsHeader) == "" {
		return ""
	}
	return x.r.Header.Get(requestIDHeader)
}

// saysForwarded reports whether the request claims to come from another node, which a ticket is to prove.
func (x *exchange) saysForwarded() bool {
	_, authorization := x.r.Header["Authorization"]
	return !authorization && x.forwardID() != "" && strings.Contains(x.r.URL.RawQuery, ticketParameter+"=")
}
