package webhook

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Request is an HTTP request as it arrived. Nothing in here is trusted until it was verified.
type Request struct {
	Method string
	// URL is where the provider was pointed at, with scheme, host, path and query, and not what a proxy made of it.
	URL string
	// Header has its names in the canonical form of net/http.
	Header http.Header
	// Body is what was sent, byte by byte. Payloads are slices of it: it must not be changed afterwards.
	Body []byte
	// ReceivedAt is what signed timestamps are compared with.
	ReceivedAt time.Time
}

// header returns the value of a header that was sent exactly once, else "": of two values nobody can say which one the
// provider's own receivers would have taken.
func (r Request) header(name string) string {
	values := r.Header.Values(name)
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

// has reports whether a header was sent at all.
func (r Request) has(name string) bool { return len(r.Header.Values(name)) > 0 }

// query returns what follows the first question mark of the URL, as it was written.
func (r Request) query() string {
	_, query, _ := strings.Cut(r.URL, "?")
	return query
}

// queryValues returns the values of a name in the query. What else the query holds need not be a form.
func (r Request) queryValues(name string) (values []string) {
	for pair := range strings.SplitSeq(r.query(), "&") {
		key, value, _ := strings.Cut(pair, "=")
		if key, err := url.QueryUnescape(key); err != nil || key != name {
			continue
		}
		if value, err := url.QueryUnescape(value); err == nil {
			values = append(values, value)
		}
	}
	return values
}

// isForm reports whether the body says of itself that it is an HTML form.
func (r Request) isForm() bool {
	mediaType, _, _ := strings.Cut(r.header("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(mediaType), "application/x-www-form-urlencoded")
}
