package delivery

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/syllecta/syllecta/fsm"
)

const (
	jsonContentType = "application/json"

	// maxPassedHeaders and maxPassedHeaderBytes bound the provider's headers that are passed on.
	maxPassedHeaders     = 64
	maxPassedHeaderBytes = 16 << 10
	// maxHeaderTextBytes bounds what of a provider's id is written into one header.
	maxHeaderTextBytes = 1 << 10
)

// The headers of ours that a delivery has, in the spelling of net/http.
const (
	idHeader        = "Webhook-Id"
	timestampHeader = "Webhook-Timestamp"
	signatureHeader = "Webhook-Signature"
	providerHeader  = "Syllecta-Provider"
	eventIDHeader   = "Syllecta-Event-Id"
	attemptHeader   = "Syllecta-Attempt"
	replayHeader    = "Syllecta-Replay"

	// ownPrefix begins the names that the provider's headers may not have; originalPrefix those under which the provider's
	// headers go on whose names are taken.
	ownPrefix      = "Syllecta-"
	originalPrefix = "Syllecta-Original-"
)

// headers returns the header of an attempt: what of the provider's is passed on, and ours.
func (o order) headers(provider http.Header, body []byte, contentType string, keys [][]byte, now time.Time, agent string) http.Header {
	e, id, seconds := o.event, o.event.ID.String(), now.Unix()
	own := http.Header{
		"Content-Type":    {contentType},
		"User-Agent":      {agent},
		"Idempotency-Key": {idempotencyKey(e)},
		idHeader:          {id},
		timestampHeader:   {strconv.FormatInt(seconds, 10)},
		providerHeader:    {headerText(e.Provider)},
		eventIDHeader:     {headerText(e.ProviderID)},
		attemptHeader:     {strconv.FormatUint(uint64(o.number()), 10)},
	}
	if !validValue(contentType) {
		own["Content-Type"] = []string{"application/octet-stream"}
	}
	if e.Replay != "" {
		own[replayHeader] = []string{headerText(e.Replay)}
	}
	if len(keys) > 0 {
		own[signatureHeader] = []string{signatures(keys, id, seconds, body)}
	}
	all := make(http.Header, len(provider)+len(own))
	for name, values := range passedOn(provider) {
		if _, taken := own[name]; taken && !slices.Equal(values, own[name]) {
			name = originalPrefix + name
		}
		all[name] = values
	}
	maps.Copy(all, own)
	return all
}

// kept are the headers that belong to a connection, to whom it was meant for, or to the body as it was carried. None is
// taken from what a provider sent.
var kept = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Proxy-Authenticate": true,
	"Proxy-Authorization": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
	"Http2-Settings": true, "Expect": true,
	"Authorization": true, "Cookie": true, "Set-Cookie": true, "Host": true,
	"Content-Length": true, "Content-Encoding": true, "Accept-Encoding": true,
}

// passedOn returns those of a provider's headers that a delivery may have, in canonical spelling.
func passedOn(provider http.Header) http.Header {
	hops := make(map[string]bool) // that the sender has declared to be of its connection
	for _, line := range provider.Values("Connection") {
		for name := range strings.SplitSeq(line, ",") {
			hops[http.CanonicalHeaderKey(strings.TrimSpace(name))] = true
		}
	}
	passed := make(http.Header)
	bytes := 0
	for _, name := range slices.Sorted(maps.Keys(provider)) {
		canonical := http.CanonicalHeaderKey(name)
		if kept[canonical] || hops[canonical] || strings.HasPrefix(canonical, ownPrefix) || !httpguts.ValidHeaderFieldName(name) {
			continue
		}
		for _, value := range provider[name] {
			bytes += len(name) + len(value)
			if bytes > maxPassedHeaderBytes || len(passed) >= maxPassedHeaders {
				return passed
			}
			if validValue(value) {
				passed.Add(canonical, value)
			}
		}
	}
	return passed
}

// validValue refuses line breaks and other control characters.
func validValue(value string) bool { return value != "" && httpguts.ValidHeaderFieldValue(value) }

// idempotencyKey is the same for every attempt and replay of an event, and another for every other event of the tenant.
func idempotencyKey(e *fsm.Event) string {
	return headerText(e.Provider + ":" + e.SourceName + ":" + e.ProviderID)
}

// headerText writes a text with visible ASCII alone: all else, and the percent sign, as %XX. Of one that is too long, the
// end is replaced by a hash of the whole.
func headerText(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c > ' ' && c < 0x7f && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	text := b.String()
	if len(text) <= maxHeaderTextBytes {
		return text
	}
	sum := sha256.Sum256([]byte(s))
	tail := "~" + hex.EncodeToString(sum[:])
	return text[:maxHeaderTextBytes-len(tail)] + tail
}
