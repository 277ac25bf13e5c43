package webhook

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"net/http"
	"slices"
	"testing"
	"time"
)

// sample is a request that is signed well.
type sample struct {
	name    string
	source  Source
	request Request
	// header is where the signature is; "" if it is in the body.
	header string
	// same reports whether a changed body means what the original meant, so that it may pass; nil: only if it is equal.
	same func(original, changed []byte) bool
}

// at is the time of receipt of a sample, whose timestamp is a second older.
func at(unix int64) time.Time { return time.Unix(unix+1, 0) }

// post makes a request from headers in pairs.
func post(body string, headers ...string) Request {
	r := Request{
		Method: http.MethodPost, URL: "https://in.example/v1/t/acme/webhooks/x", Header: http.Header{}, Body: []byte(body),
		ReceivedAt: at(1_700_000_000),
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// clone returns a request that can be changed.
func (s sample) clone() sample {
	s.request.Header = s.request.Header.Clone()
	s.request.Body = slices.Clone(s.request.Body)
	s.source.Secrets = slices.Clone(s.source.Secrets)
	return s
}

// valid reports whether the signature was accepted, whatever became of the body.
func (s sample) valid() bool {
	_, err := Accept(s.source, s.request)
	return err == nil || errors.Is(err, ErrUnreadable) || errors.Is(err, ErrMissingID)
}

// refused fails the test unless the signature was refused, and no more is told than that.
func (s sample) refused(t *testing.T, why string) {
	t.Helper()
	receipt, err := Accept(s.source, s.request)
	if err != ErrInvalidSignature { //nolint:errorlint // nothing may be added to it
		t.Fatalf("%s: got %+v, %v, want %v", why, receipt, err, ErrInvalidSignature)
	}
}

// The signers of the tests are written out, so that they share nothing with what they test.
func macHex(algorithm func() hash.Hash, key, message string) string {
	return hex.EncodeToString(macBytes(algorithm, key, message))
}

func macBase64(algorithm func() hash.Hash, key, message string) string {
	return base64.StdEncoding.EncodeToString(macBytes(algorithm, key, message))
}

func macBytes(algorithm func() hash.Hash, key, message string) []byte {
	mac := hmac.New(algorithm, []byte(key))
	mac.Write([]byte(message))
	return mac.Sum(nil)
}

func sha256Hex(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func sha1Raw(text string) string {
	sum := sha1.Sum([]byte(text))
	return string(sum[:])
}
