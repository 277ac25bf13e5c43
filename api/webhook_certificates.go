package api

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
)

// Bounds of fetching the certificates that a provider signs with. A request names the URL before anybody knows who sent
// it, so few are fetched, and only of the provider's own hosts, to which the adapter keeps.
const (
	certificateTimeout     = 5 * time.Second
	certificateDialTimeout = 2 * time.Second
	maxCertificateBytes    = 64 << 10
	maxCertificateChain    = 8
	maxKeptChains          = 64
	certificateFetchEvery  = time.Second
	certificateFetchBurst  = 10
)

// certificates fetches chains of certificates, and keeps the last ones: what is at a URL does not change.
type certificates struct {
	client  *http.Client
	fetches *rate.Limiter
	flights singleflight.Group

	mu   sync.Mutex
	kept map[string][]*x509.Certificate
}

func newCertificates() *certificates {
	dialer := &net.Dialer{Timeout: certificateDialTimeout}
	return &certificates{
		client: &http.Client{
			Timeout: certificateTimeout,
			// No proxy, whatever the environment says.
			Transport:     &http.Transport{DialContext: dialer.DialContext, MaxResponseHeaderBytes: maxHeaderBytes},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		fetches: rate.NewLimiter(rate.Every(certificateFetchEvery), certificateFetchBurst),
		kept:    make(map[string][]*x509.Certificate),
	}
}

// fetch is a webhook.Certificates. However many ask for a URL at a time, it is fetched once.
func (c *certificates) fetch(url string) ([]*x509.Certificate, error) {
	if chain := c.keptChain(url); chain != nil {
		return chain, nil
	}
	v, err, _ := c.flights.Do(url, func() (any, error) {
		if chain := c.keptChain(url); chain != nil {
			return chain, nil
		}
		if !c.fetches.Allow() {
			return nil, errors.New("too many certificates were asked for")
		}
		chain, err := c.download(url)
		if err == nil {
			c.keep(url, chain)
		}
		return chain, err
	})
	if err != nil {
		return nil, err
	}
	return v.([]*x509.Certificate), nil
}

func (c *certificates) keptChain(url string) []*x509.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept[url]
}

// keep forgets any other chain if there are too many.
func (c *certificates) keep(url string, chain []*x509.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.kept) >= maxKeptChains {
		for other := range c.kept {
			delete(c.kept, other)
			break
		}
	}
	c.kept[url] = chain
}

// download is bounded by the client's own timeout. It ends with nobody's request: others may wait for the same.
func (c *certificates) download(url string) ([]*x509.Certificate, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("asking for a certificate: %w", err)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetching a certificate: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetching a certificate from %s: status %d", req.URL.Host, resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxCertificateBytes+1))
	if err != nil {
		return nil, fmt.Errorf("fetching a certificate: %w", err)
	}
	if len(text) > maxCertificateBytes {
		return nil, fmt.Errorf("the certificate at %s has more than %d bytes", req.URL.Host, maxCertificateBytes)
	}
	return parseChain(text)
}

// parseChain reads certificates in PEM, and passes over what else there is.
func parseChain(text []byte) (chain []*x509.Certificate, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if len(chain) == maxCertificateChain {
			return nil, fmt.Errorf("a chain has more than %d certificates", maxCertificateChain)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading a certificate: %w", err)
		}
		chain = append(chain, certificate)
	}
	if len(chain) == 0 {
		return nil, errors.New("there is no certificate in what was fetched")
	}
	return chain, nil
}
