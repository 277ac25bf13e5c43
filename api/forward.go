package api

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"github.com/syllecta/syllecta/cluster"
)

// Bounds of forwarding.
const (
	forwardDialTimeout = 2 * time.Second
	forwardTLSTimeout  = 4 * time.Second // dialling included
	forwardIdleTimeout = 30 * time.Second
	forwardIdleConns   = 64
	// maxRefusalBytes bounds what is read of a refusal before it is known whether to pass it on.
	maxRefusalBytes = 8 << 10
)

// requestFields are the header fields that mean something to the leader, and no others travel: not the credentials,
// in whose place the ticket goes.
var requestFields = []string{
	"Accept", "Content-Type", "Idempotency-Key", "Prefer", "Traceparent", "Tracestate", "User-Agent",
}

// connectionFields belong to the connection on which they came.
var connectionFields = []string{"Connection", "Date", "Keep-Alive", "Transfer-Encoding"}

func newForwarder(roots func() *x509.CertPool) *http.Transport {
	dialer := &net.Dialer{Timeout: forwardDialTimeout}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		DialTLSContext:         dialTLS(dialer, roots),
		MaxIdleConnsPerHost:    forwardIdleConns,
		IdleConnTimeout:        forwardIdleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		DisableCompression:     true,
	}
}

// forward passes the request on to the leader, by the same ticket as a redirect, and the answer back. The leader sees
// that it came this way and never passes it on again.
func (x *exchange) forward(ctx context.Context, leader cluster.Peer, doubtful bool) verdict {
	done, ok := x.takeForward()
	if !ok {
		x.err = cluster.ErrBusy
		if doubtful {
			x.giveUp(doubtful)
		} else {
			x.refuse(busy.problem("too many webhooks are on their way to the leader; nothing was accepted"))
		}
		return answered
	}
	defer done()
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
	req, p := x.forwardedRequest(httptrace.WithClientTrace(ctx, trace), leader)
	if p != nil {
		x.refuse(p)
		return answered
	}
	resp, err := x.s.forwarder.RoundTrip(req)
	if err == nil {
		defer resp.Body.Close()
		return x.relay(resp, doubtful)
	}
	x.err = err
	switch {
	case !connected.Load(), x.r.Method == http.MethodGet:
		return undone
	case x.route.claims && ctx.Err() == nil:
		return unsure
	default:
		x.fail(errors.Join(cluster.ErrOutcomeUnknown, err))
		return answered
	}
}

func (x *exchange) forwardedRequest(ctx context.Context, leader cluster.Peer) (*http.Request, *problem) {
	target, p := x.leaderURL(leader, x.id)
	if p != nil {
		return nil, p
	}
	req, err := http.NewRequestWithContext(ctx, x.r.Method, target, bytes.NewReader(x.body))
	if err != nil {
		x.err = err
		return nil, internalError.problem("the leader's advertised address cannot be used")
	}
	req.Header["User-Agent"] = nil // keeps the transport from adding its own
	x.copyFields(req.Header)
	req.Header[hopsHeader] = []string{"1"}
	req.Header[requestIDHeader] = []string{x.id}
	if address := x.callerAddress(); address != "" {
		req.Header[callerAddressHeader] = []string{address}
	}
	return req, nil
}

// copyFields copies what is to reach the leader.
func (x *exchange) copyFields(to http.Header) {
	if x.route.ingress {
		copyWebhookFields(to, x.r.Header)
		to[calledURLHeader] = []string{x.calledURL()}
		return
	}
	for _, name := range requestFields {
		if values := x.r.Header[name]; len(values) > 0 {
			to[name] = values
		}
	}
}

// relay passes the leader's answer on, except where it says that the leader could not decide.
func (x *exchange) relay(resp *http.Response, doubtful bool) verdict {
	body := io.Reader(resp.Body)
	switch status := resp.StatusCode; {
	case status == http.StatusForbidden:
		refusal, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusalBytes))
		if refusalCode(refusal) != tenantSuspended.code {
			// This node has identified the caller. What the leader refuses is the ticket, made under a key of its earlier
			// life, or the API key, revoked a moment ago: coming again tells which.
			x.giveUp(doubtful)
			return answered
		}
		body = bytes.NewReader(refusal) // decided in the log, where a claim that was granted before is granted again
	case status == http.StatusTooManyRequests && throttlesTickets(resp.Header):
		x.giveUp(doubtful)
		return answered
	case status == http.StatusServiceUnavailable, status == http.StatusTooManyRequests && doubtful:
		refusal, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusalBytes))
		if v := x.refusalVerdict(refusal, doubtful); v != answered {
			return v
		}
		body = bytes.NewReader(refusal)
	case status >= http.StatusInternalServerError && doubtful:
		return unsure
	}
	x.copyAnswer(resp, body)
	return answered
}

// throttlesTickets reports whether a 429 of the leader is about this ticket, which it refuses, and not about the caller.
func throttlesTickets(h http.Header) bool {
	return strings.HasPrefix(h.Get(rateLimitHeader), `"`+failedAuthPolicy+`";`)
}

// refusalVerdict reads a 503 or 429 of the leader: answered means that it is to be passed on.
func (x *exchange) refusalVerdict(refusal []byte, doubtful bool) verdict {
	switch code := refusalCode(refusal); {
	case code == noLeader.code:
		return undone
	case code == usageLimitExceeded.code:
		return answered // decided in the log, where a claim that was granted before is granted again
	case doubtful, code == outcomeUnknown.code && x.route.claims:
		return unsure
	default:
		return answered
	}
}

// refusalCode is the code of a problem document, "" if it is none.
func refusalCode(refusal []byte) (code string) {
	decodeObject(refusal, func(d *decoder, name []byte) *problem {
		if string(name) == "code" {
			return d.text(&code, "code", maxDetailBytes)
		}
		return d.skip()
	})
	return code
}

// copyAnswer streams the answer. One that breaks off half-way is cut off here as well, so that nobody takes it for a
// whole one.
func (x *exchange) copyAnswer(resp *http.Response, body io.Reader) {
	for _, name := range connectionFields {
		resp.Header.Del(name)
	}
	h := x.Header()
	for name, values := range resp.Header {
		h[name] = values
	}
	x.outcome = "forwarded"
	x.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(x, body); err != nil {
		x.err = err
		panic(http.ErrAbortHandler)
	}
}
