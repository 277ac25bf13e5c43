package delivery

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// Bounds of one attempt.
const (
	// AttemptTimeout is how long an attempt may take, from looking up the name to the end of the answer.
	AttemptTimeout   = 15 * time.Second
	handshakeTimeout = 10 * time.Second
	// maxAnswerHeader bounds the header of an answer, all 1xx answers before it included; maxAnswerBody what is read of
	// its body, so that the connection can be used again. Nothing of either is kept.
	maxAnswerHeader = 32 << 10
	maxAnswerBody   = 64 << 10
	// idleTimeout is shorter than the 5 s after which common servers close a connection, so that a request seldom meets one
	// that is being closed.
	idleTimeout        = 4 * time.Second
	maxIdleConnections = maxInFlight
	// pingAfter and pingTimeout are how a connection of HTTP/2 is found dead that many requests share.
	pingAfter   = 10 * time.Second
	pingTimeout = 5 * time.Second
)

// transports carry callbacks, those with TLS and those without it apart: what the guard lets through differs.
type transports struct{ secure, plain *http.Transport }

// newTransports returns transports that go nowhere but through the guard. roots are the certificate authorities that
// destinations are trusted by; nil is the system's.
func newTransports(g *Guard, roots *x509.CertPool) transports {
	return transports{secure: newTransport(g, roots, true), plain: newTransport(g, nil, false)}
}

// newTransport returns a transport without a proxy, whatever the environment says. It follows no redirect and keeps no
// cookie, since that is what an http.Client would add; it decompresses nothing.
func newTransport(g *Guard, roots *x509.CertPool, secure bool) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(secure)
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            g.dialer(secure).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    handshakeTimeout,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxAnswerHeader,
		MaxIdleConns:           maxIdleConnections,
		MaxIdleConnsPerHost:    fsm.MaxSourceConcurrency,
		IdleConnTimeout:        idleTimeout,
		Protocols:              protocols,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
}

// of returns the transport for a URL that parseURL took.
func (t transports) of(scheme string) *http.Transport {
	if scheme == "https" {
		return t.secure
	}
	return t.plain
}

// close gives up the connections that nobody uses. Those of attempts end with the attempts.
func (t transports) close() {
	t.secure.CloseIdleConnections()
	t.plain.CloseIdleConnections()
}
