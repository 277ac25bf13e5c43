package webhook

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/crc32"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	paypalID        = "PAYPAL-TRANSMISSION-ID"
	paypalTime      = "PAYPAL-TRANSMISSION-TIME"
	paypalSignature = "PAYPAL-TRANSMISSION-SIG"
	paypalCertURL   = "PAYPAL-CERT-URL"
	paypalAlgorithm = "PAYPAL-AUTH-ALGO"
)

// maxCertificates bounds the chain that leads to a root.
const maxCertificates = 8

func configuredPayPal(s Source) error {
	switch {
	case s.WebhookID == "":
		return errors.New("PayPal's id of the webhook is missing")
	case s.Certificates == nil:
		return errors.New("there is nothing to fetch PayPal's certificates with")
	default:
		return nil
	}
}

// verifyPayPal verifies an RSA signature of the transmission's id and time, of the webhook's id, and of the body's
// CRC-32, by the certificate that the request names.
//
// It cannot be verified offline: the certificate is PayPal's to publish. And it binds the body by a CRC-32 only, for
// which another body is easily made: whoever has seen a genuine request can send a forged one that passes. Where that
// matters, the event must be asked for at PayPal (POST /v1/notifications/verify-webhook-signature, or GET
// /v1/notifications/webhooks-events/{id}). The transmission's time is checked only if the source has a tolerance: PayPal
// documents none.
func verifyPayPal(s Source, r Request) (int, error) {
	id, at := r.header(paypalID), r.header(paypalTime)
	signature, err := strictBase64.DecodeString(r.header(paypalSignature))
	certURL := r.header(paypalCertURL)
	if err != nil || id == "" || at == "" || r.header(paypalAlgorithm) != "SHA256withRSA" || !isPayPalURL(certURL) {
		return noSecret, ErrInvalidSignature
	}
	chain, err := s.Certificates(certURL)
	if err != nil {
		return noSecret, fmt.Errorf("%w: fetching PayPal's certificate: %w", ErrUnavailable, err)
	}
	key, ok := paypalKey(s, r, chain)
	if !ok {
		return noSecret, ErrInvalidSignature
	}
	checksum := strconv.FormatUint(uint64(crc32.ChecksumIEEE(r.Body)), 10)
	digest := sha256.Sum256([]byte(strings.Join([]string{id, at, s.WebhookID, checksum}, "|")))
	if rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) != nil {
		return noSecret, ErrInvalidSignature
	}
	if s.Tolerance > 0 && !fresh(at, rfc3339, r.ReceivedAt, s.Tolerance) {
		return noSecret, ErrInvalidSignature
	}
	return 0, nil
}

// isPayPalURL lets through https URLs of paypal.com and the hosts below it, on the default port: the request must not
// choose who vouches for it, nor what we fetch.
func isPayPalURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Opaque != "" || u.Fragment != "" {
		return false
	}
	return isPayPalHost(u.Host)
}

func isPayPalHost(host string) bool {
	if strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") != "" {
		return false
	}
	host = strings.ToLower(host)
	return host == "paypal.com" || strings.HasSuffix(host, ".paypal.com")
}

// paypalKey returns the key of a certificate that was issued to a host of PayPal and leads to a root. It is judged at
// the time of receipt.
func paypalKey(s Source, r Request, chain []*x509.Certificate) (*rsa.PublicKey, bool) {
	if len(chain) == 0 || len(chain) > maxCertificates || slices.Contains(chain, nil) {
		return nil, false
	}
	leaf, intermediates := chain[0], x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: s.Roots, Intermediates: intermediates, CurrentTime: r.ReceivedAt,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil || !isPayPalCertificate(leaf) {
		return nil, false
	}
	key, ok := leaf.PublicKey.(*rsa.PublicKey)
	return key, ok
}

func isPayPalCertificate(leaf *x509.Certificate) bool {
	for _, name := range leaf.DNSNames {
		if isPayPalHost(strings.TrimPrefix(name, "*.")) {
			return true
		}
	}
	return len(leaf.DNSNames) == 0 && isPayPalHost(leaf.Subject.CommonName)
}
