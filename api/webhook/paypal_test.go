package webhook

import (
	"crypto/x509"
	"errors"
	"hash/crc32"
	"math/big"
	"strconv"
	"testing"
	"time"
)

func TestPayPal(t *testing.T) {
	t.Parallel()
	s := paypalSample(t)
	receipt, err := Accept(s.source, s.request)
	if err != nil || len(receipt.Events) != 1 {
		t.Fatalf("got %+v, %v", receipt, err)
	}
	e := receipt.Events[0]
	if e.ID != "WH-9UG43882HX7271132-6E0871324L7949614" || e.Type != "payment.succeeded" || e.OccurredAt.Unix() != 1474495245 {
		t.Errorf("got %+v", e)
	}
}

// TestPayPalCertificateURL holds that nothing is fetched from where the request says, unless PayPal is there.
func TestPayPalCertificateURL(t *testing.T) {
	t.Parallel()
	for url, good := range map[string]bool{
		"https://api.paypal.com/v1/notifications/certs/CERT-1":         true,
		"https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1": true,
		"https://API.PAYPAL.COM/x":                                     true,
		"https://paypal.com/x":                                         true,
		"":                                                             false,
		"http://api.paypal.com/x":                                      false,
		"HTTPS://api.paypal.com.evil.example":                          false,
		"https://evilpaypal.com/x":                                     false,
		"https://api.paypal.com@evil.example":                          false,
		"https://evil@api.paypal.com/x":                                false,
		"https://evil.example/api.paypal.com":                          false,
		"https://evil.example#.paypal.com":                             false,
		"https://evil.example?.paypal.com":                             false,
		`https://evil.example\.paypal.com`:                             false,
		"https://evil.example%2f.paypal.com":                           false,
		"https://evil.example%00.paypal.com":                           false,
		"https://api.paypal.com:8443/x":                                false,
		"https://api.paypal.com./x":                                    false,
		"https://[::1]/.paypal.com":                                    false,
		"https:api.paypal.com/x":                                       false,
		"//api.paypal.com/x":                                           false,
		"https://api.paypal.com/x#y":                                   false,
		"https://раураl.paypal.com/x":                                  false,
	} {
		if isPayPalURL(url) != good {
			t.Errorf("%q: got %v, want %v", url, !good, good)
		}
		s := paypalSample(t).clone()
		s.request.Header.Set(paypalCertURL, url)
		fetch, asked := s.source.Certificates, false
		s.source.Certificates = func(u string) ([]*x509.Certificate, error) {
			asked = true
			return fetch(u)
		}
		if s.valid() != good || asked != good {
			t.Errorf("%q: valid %v, fetched %v, want %v", url, s.valid(), asked, good)
		}
	}
}

func TestPayPalCertificates(t *testing.T) {
	t.Parallel()
	p := newPayPalPKI()
	stranger := p
	stranger.key = mustRSA()
	for name, chain := range map[string][]*x509.Certificate{
		"none":              nil,
		"another host's":    {p.issue("evil.example")},
		"a lookalike's":     {p.issue("evilpaypal.com")},
		"the root itself":   {p.root},
		"another key's":     {stranger.issue("api.paypal.com")},
		"nothing at all":    {nil},
		"an endless chain":  make([]*x509.Certificate, maxCertificates+1),
		"signed by no root": {selfSigned()},
	} {
		s := paypalSample(t).clone()
		s.source.Certificates = func(string) ([]*x509.Certificate, error) { return chain, nil }
		s.refused(t, name)
	}
	s := paypalSample(t).clone()
	s.request.ReceivedAt = time.Unix(1_711_000_000, 0)
	s.refused(t, "an expired certificate")
	s.request.ReceivedAt = time.Unix(1_680_000_000, 0)
	s.refused(t, "a certificate that is not valid yet")

	s = paypalSample(t).clone()
	s.source.WebhookID = "another"
	s.refused(t, "another webhook's id")
	s.request.Header.Set(paypalAlgorithm, "SHA1withRSA")
	s.refused(t, "another algorithm")
}

// selfSigned returns a certificate for a host of PayPal, and for the key that signed the sample, that no root has signed.
func selfSigned() *x509.Certificate {
	p := newPayPalPKI()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(3), DNSNames: p.leaf.DNSNames, NotBefore: p.leaf.NotBefore, NotAfter: p.leaf.NotAfter,
	}
	return mustIssue(template, template, &p.key.PublicKey, p.key)
}

// TestPayPalWithoutCertificate holds that PayPal is asked to try again when its certificate could not be fetched.
func TestPayPalWithoutCertificate(t *testing.T) {
	t.Parallel()
	down := errors.New("connection refused")
	s := paypalSample(t)
	s.source.Certificates = func(string) ([]*x509.Certificate, error) { return nil, down }
	if _, err := Accept(s.source, s.request); !errors.Is(err, ErrUnavailable) || !errors.Is(err, down) || errors.Is(err, ErrInvalidSignature) {
		t.Errorf("got %v", err)
	}
	s.source.Certificates = nil
	if _, err := Accept(s.source, s.request); !errors.Is(err, ErrNotConfigured) {
		t.Errorf("got %v", err)
	}
	s = paypalSample(t)
	s.source.WebhookID = ""
	if _, err := Accept(s.source, s.request); !errors.Is(err, ErrNotConfigured) {
		t.Errorf("got %v", err)
	}
}

// TestPayPalChecksum shows the gap that the documentation of verifyPayPal warns of: a body with the same CRC-32 passes.
func TestPayPalChecksum(t *testing.T) {
	t.Parallel()
	s := paypalSample(t)
	want := crc32.ChecksumIEEE(s.request.Body)
	forged := append([]byte(`{"id":"WH-forged"}`), patchCRC([]byte(`{"id":"WH-forged"}`), want)...)
	if got := crc32.ChecksumIEEE(forged); got != want {
		t.Fatalf("the checksum is %s, not %s", strconv.FormatUint(uint64(got), 16), strconv.FormatUint(uint64(want), 16))
	}
	s.request.Body = forged
	if !s.valid() {
		t.Error("PayPal's scheme has become better than its documentation: tell so in verifyPayPal")
	}
}

// patchCRC returns four bytes that give a prefix a CRC-32.
func patchCRC(prefix []byte, want uint32) []byte {
	table := crc32.IEEETable
	state := ^want
	for range 4 {
		for i, entry := range table {
			if entry>>24 == state>>24 {
				state = (state^entry)<<8 | uint32(i)
				break
			}
		}
	}
	state ^= ^crc32.ChecksumIEEE(prefix)
	return []byte{byte(state), byte(state >> 8), byte(state >> 16), byte(state >> 24)}
}
