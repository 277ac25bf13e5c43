package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/syllecta/syllecta/api/webhook"
)

// nodeFields are what nodes tell each other when they forward a request. They are never a provider's.
var nodeFields = []string{hopsHeader, requestIDHeader, callerAddressHeader, calledURLHeader}

// unforwardedFields are the header fields of a webhook that do not go on to the leader: credentials, in whose place the
// ticket goes, and what belongs to the connection.
var unforwardedFields = append([]string{
	"Authorization", "Proxy-Authorization", "Cookie", "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "Content-Length", "Expect", "Host",
}, nodeFields...)

// copyWebhookFields copies what a provider has sent, since only its adapter knows what is signed.
func copyWebhookFields(to, from http.Header) {
	for name, values := range from {
		if !slices.Contains(unforwardedFields, name) && !ofConnection(from, name) {
			to[name] = values
		}
	}
}

// ofConnection reports whether the Connection header says that a field goes no further.
func ofConnection(h http.Header, name string) bool {
	for _, value := range h["Connection"] {
		for option := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(option), name) {
				return true
			}
		}
	}
	return false
}

// keptFields are the header fields that are kept with an event, wherever the request came in.
func keptFields(h http.Header) http.Header {
	kept := webhook.KeptHeaders(h)
	for _, name := range nodeFields {
		delete(kept, name)
	}
	return kept
}

// webhookRequest is this request as an adapter sees it.
func (x *exchange) webhookRequest() webhook.Request {
	return webhook.Request{
		Method: x.r.Method, URL: x.calledURL(), Header: x.r.Header, Body: x.body, ReceivedAt: x.s.now(),
	}
}

// calledURL is what the caller has called: at a node that the request was forwarded to, what the other node says. What
// proxies say of it counts for nothing, as everywhere. Behind one that ends TLS or changes the host, a source whose
// provider signs the URL is told it in its options.
func (x *exchange) calledURL() string {
	if x.forwarded {
		return x.r.Header.Get(calledURLHeader)
	}
	if !strings.HasPrefix(x.r.RequestURI, "/") {
		return x.r.URL.String() // in its absolute form, as a proxy is asked
	}
	scheme := "http"
	if x.r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + x.r.Host + x.r.RequestURI
}
