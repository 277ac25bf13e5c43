package api

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/syllecta/syllecta/api/webhook"
	"github.com/syllecta/syllecta/fsm"
)

// certificateHost serves certificates under every name, and counts what is asked for.
type certificateHost struct {
	*httptest.Server
	asked  atomic.Int64
	answer func(w http.ResponseWriter, r *http.Request)
}

// newCertificateHost returns a host, and certificates that are fetched from it.
func newCertificateHost(t *testing.T) (*certificateHost, *certificates) {
	t.Helper()
	h := new(certificateHost)
	h.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.asked.Add(1)
		h.answer(w, r)
	}))
	t.Cleanup(h.Close)
	h.answer = func(w http.ResponseWriter, _ *http.Request) { w.Write(h.pem()) }
	c := newCertificates()
	transport := h.Client().Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.ServerName = "example.com" // whom the test's certificate is for
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, h.Listener.Addr().String())
	}
	c.client.Transport = transport
	t.Cleanup(c.client.CloseIdleConnections)
	return h, c
}

func (h *certificateHost) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw})
}

func TestCertificatesAreFetchedOnce(t *testing.T) {
	t.Parallel()
	h, c := newCertificateHost(t)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			chain, err := c.fetch("https://api.paypal.com/cert")
			if err != nil || len(chain) != 1 || !chain[0].Equal(h.Certificate()) {
				t.Errorf("%d certificates, %v", len(chain), err)
			}
		})
	}
	all.Wait()
	if got := h.asked.Load(); got != 1 {
		t.Errorf("asked %d times", got)
	}
}

func TestCertificatesThatAreRefused(t *testing.T) {
	t.Parallel()
	h, c := newCertificateHost(t)
	for want, answer := range map[string]func(w http.ResponseWriter, r *http.Request){
		"status 404": http.NotFound,
		"status 302": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://127.0.0.1/", http.StatusFound)
		},
		"more than": func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, maxCertificateBytes+1)) },
		"there is no certificate": func(w http.ResponseWriter, _ *http.Request) {
			pem.Encode(w, &pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})
		},
		"reading a certificate": func(w http.ResponseWriter, _ *http.Request) {
			pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})
		},
		"a chain has more than 8": func(w http.ResponseWriter, _ *http.Request) {
			w.Write(bytes.Repeat(h.pem(), maxCertificateChain+1))
		},
		"EOF": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		h.answer = answer
		if chain, err := c.fetch("https://api.paypal.com/cert"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %d certificates, %v", want, len(chain), err)
		}
	}
}

// TestCertificatesAreBounded: strangers can name URLs, so few are fetched and few are kept.
func TestCertificatesAreBounded(t *testing.T) {
	t.Parallel()
	h, c := newCertificateHost(t)
	for i := range certificateFetchBurst {
		if _, err := c.fetch(fmt.Sprintf("https://api.paypal.com/%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.fetch("https://api.paypal.com/more"); err == nil || h.asked.Load() != certificateFetchBurst {
		t.Errorf("%v after %d", err, h.asked.Load())
	}
	if _, err := c.fetch("https://api.paypal.com/0"); err != nil {
		t.Errorf("what is kept costs nothing: %v", err)
	}
	for i := range 2 * maxKeptChains {
		c.keep(fmt.Sprint(i), []*x509.Certificate{h.Certificate()})
	}
	if len(c.kept) > maxKeptChains {
		t.Errorf("%d are kept", len(c.kept))
	}
}

// TestPayPalWebhook: what cannot be fetched is the provider's to send again, and is no bad signature.
func TestPayPalWebhook(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	h, c := newCertificateHost(t)
	g.s.certificates = c
	g.addSource(t, fsm.Source{Provider: "paypal", Options: []byte(`{"webhookId":"WH-1"}`)})
	post := func(url string) *httptest.ResponseRecorder {
		return call(t, g.s, "POST", "/v1/t/demo/webhooks/paypal", `{"id":"WH-2"}`, "Paypal-Transmission-Id: a",
			"Paypal-Transmission-Time: "+g.s.now().Format(time.RFC3339), "Paypal-Transmission-Sig: AAAA",
			"Paypal-Auth-Algo: SHA256withRSA", "Paypal-Cert-Url: "+url)
	}
	h.answer = http.NotFound
	wantWebhookProblem(t, post("https://api.paypal.com/cert"), verifierUnavailable, "verifier unavailable")
	h.answer = func(w http.ResponseWriter, _ *http.Request) { w.Write(h.pem()) }
	wantWebhookProblem(t, post("https://api.paypal.com/cert"), invalidSignature, "invalid signature")
	before := h.asked.Load()
	wantWebhookProblem(t, post("https://paypal.evil.example/cert"), invalidSignature, "invalid signature")
	if h.asked.Load() != before {
		t.Error("a certificate of somebody else was fetched")
	}
	var _ webhook.Certificates = c.fetch
}
