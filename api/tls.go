package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
)

// serve answers requests on l, by TLS if it is configured.
//
// net/http makes each handshake in the goroutine of its connection, within readHeaderTimeout, and answers 400 to
// whoever speaks plain HTTP instead. l limits connections from when they are accepted, so those that have not finished
// their handshake count.
//
// HTTP/2 stays off: the bounds of this server, on connections, headers and time, are those of one request at a time on
// a connection, and so are the defences against smuggled requests.
func (s *Server) serve(hs *http.Server, l net.Listener) error {
	if s.cfg.TLS == nil {
		return hs.Serve(l)
	}
	hs.TLSConfig = s.cfg.TLS.Clone()
	hs.TLSConfig.MinVersion = max(hs.TLSConfig.MinVersion, tls.VersionTLS12)
	return hs.ServeTLS(l, "", "")
}

// dialTLS connects to a leader that speaks TLS, and verifies that it is the one its URL names.
func dialTLS(dialer *net.Dialer, roots func() *x509.CertPool) func(ctx context.Context, network, to string) (
	net.Conn, error) {
	return func(ctx context.Context, network, to string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, forwardTLSTimeout)
		defer cancel()
		config := &tls.Config{MinVersion: tls.VersionTLS12}
		if roots != nil {
			config.RootCAs = roots()
		}
		return (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext(ctx, network, to)
	}
}
