package api

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// testCertificate is good for 127.0.0.1, and roots trust it.
func testCertificate(t *testing.T) (pair tls.Certificate, roots *x509.CertPool) {
	t.Helper()
	ts := httptest.NewTLSServer(nil)
	ts.Close()
	roots = x509.NewCertPool()
	roots.AddCert(ts.Certificate())
	return ts.TLS.Certificates[0], roots
}

// withTLS makes a server speak TLS; what is less than 1.2 is raised.
func withTLS(pair tls.Certificate) func(*Config) {
	return func(c *Config) {
		get := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil }
		c.TLS = &tls.Config{MinVersion: tls.VersionTLS10, GetCertificate: get}
	}
}

func TestServeTLS(t *testing.T) {
	t.Parallel()
	certificate, roots := testCertificate(t)
	v := serve(t, newTestServer(t, nil, withTLS(certificate)))
	for _, c := range []struct {
		version uint16
		want    bool
	}{{tls.VersionTLS13, true}, {tls.VersionTLS12, true}, {tls.VersionTLS11, false}} {
		client := &http.Client{Transport: &http.Transport{
			ForceAttemptHTTP2: true, DisableKeepAlives: true,
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: c.version},
		}}
		resp, err := client.Get("https://" + v.addr + "/livez")
		if (err == nil) != c.want {
			t.Errorf("%s: %v", tls.VersionName(c.version), err)
		}
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode != 200 || resp.Proto != "HTTP/1.1" || resp.TLS.Version != c.version {
			t.Errorf("%s: %s, %s, %s", tls.VersionName(c.version), resp.Status, resp.Proto, tls.VersionName(resp.TLS.Version))
		}
	}
	got := v.raw(t, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.0 400 ") || !strings.Contains(got, "HTTP request to an HTTPS server") {
		t.Errorf("plain HTTP was answered %q", got)
	}
}

// TestHandshakeIsBounded: who connects and says nothing takes a place, and loses it again before saying a word.
func TestHandshakeIsBounded(t *testing.T) {
	t.Parallel()
	certificate, roots := testCertificate(t)
	v := serve(t, newTestServer(t, nil, func(c *Config) {
		withTLS(certificate)(c)
		c.MaxConnections = 1
	}))
	silent, err := net.Dial("tcp", v.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	second := make(chan error, 1)
	go func() {
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 20 * time.Second}, "tcp", v.addr, &tls.Config{RootCAs: roots})
		if err == nil {
			conn.Close()
		}
		second <- err
	}()
	select {
	case <-second:
		t.Error("a second connection is served beside the first")
	case <-time.After(50 * time.Millisecond):
	}
	_ = silent.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, err := silent.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the silent connection: %d bytes, %v", n, err)
	}
	if err := <-second; err != nil {
		t.Errorf("the second connection after the first: %v", err)
	}
}

func TestForwardByTLS(t *testing.T) {
	t.Parallel()
	certificate, roots := testCertificate(t)
	p := newPair(t, FollowersForward)
	v := serve(t, newTestServer(t, p.leader, withTLS(certificate)))
	p.peer.HTTPURL = "https://" + v.addr
	p.follower.follow(&p.peer)
	body := `{"scope":"s","key":"k"}`
	for _, c := range []struct {
		name  string
		roots func() *x509.CertPool
		url   string
		want  int
	}{
		{"the CAs of the system", nil, p.peer.HTTPURL, 503},
		{"no CA", x509.NewCertPool, p.peer.HTTPURL, 503},
		{"the leader's CA", func() *x509.CertPool { return roots }, p.peer.HTTPURL, 200},
		{"another name", func() *x509.CertPool { return roots },
			strings.Replace(p.peer.HTTPURL, "127.0.0.1", "localhost", 1), 503},
	} {
		follower := newTestServer(t, p.follower, func(cfg *Config) {
			cfg.Followers, cfg.ForwardRoots = FollowersForward, c.roots
		})
		peer := p.peer
		peer.HTTPURL = c.url
		p.follower.follow(&peer)
		w := call(t, follower, "POST", "/v1/record", body, asTenant(p.key))
		if w.Code != c.want {
			t.Errorf("%s: got %d %s, want %d", c.name, w.Code, w.Body, c.want)
		}
		follower.forwarder.CloseIdleConnections()
	}
}
