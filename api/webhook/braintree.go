package webhook

import (
	"bytes"
	"crypto/sha1" // Braintree signs with HMAC-SHA1, which SHA-1's collisions do not concern.
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"
)

// braintreeKeys are the two halves of an API key.
type braintreeKeys struct{ public, private string }

// parseBraintreeKeys takes "public key|private key", or the private key alone: that is enough to verify, but not to
// answer the challenge by which Braintree tries a new destination.
func parseBraintreeKeys(secret string) braintreeKeys {
	if public, private, ok := strings.Cut(secret, "|"); ok {
		return braintreeKeys{public, private}
	}
	return braintreeKeys{private: secret}
}

func checkBraintreeSecret(_ Source, secret string) error {
	if parseBraintreeKeys(secret).private == "" {
		return errors.New("has no private key after the |")
	}
	return nil
}

func (k braintreeKeys) sum(text string) []byte {
	key := sha1.Sum([]byte(k.private))
	mac := newMAC(sha1.New, key[:])
	_, _ = mac.Write([]byte(text))
	return mac.Sum(nil)
}

// challengeBraintree answers the GET by which Braintree tries a new destination, signed with the first secret that has a
// public key. Nobody has signed the question. What is signed here must therefore never pass for a notification: a
// challenge is 20 to 32 hexadecimal digits, and verifyBraintree refuses a payload of that form.
func challengeBraintree(s Source, r Request) (Receipt, bool) {
	if r.Method != http.MethodGet {
		return Receipt{}, false
	}
	challenges := r.queryValues("bt_challenge")
	if len(challenges) != 1 || !isBraintreeChallenge(challenges[0]) {
		return Receipt{}, false
	}
	for _, secret := range s.Secrets {
		if k := parseBraintreeKeys(secret); k.public != "" {
			return Receipt{Handshake: true, Answer: plainAnswer(k.public + "|" + hex.EncodeToString(k.sum(challenges[0])))}, true
		}
	}
	return Receipt{}, false
}

func isBraintreeChallenge(text string) bool {
	return len(text) >= 20 && len(text) <= 32 && strings.Trim(text, "0123456789abcdef") == ""
}

// braintreeAlphabet is base64 with line breaks.
const braintreeAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\n"

// verifyBraintree verifies the field bt_payload by those signatures of bt_signature that the configured keys are named
// for. Braintree signs the payload with the line break at its end, which some senders leave out.
func verifyBraintree(s Source, r Request) (int, error) {
	f, err := parseForm(string(r.Body))
	payload, header := f.get("bt_payload"), f.get("bt_signature")
	wellFormed := err == nil && payload != "" && len(header) <= maxSignatureBytes &&
		strings.Count(header, "&") < maxSignatures && strings.Trim(payload, braintreeAlphabet) == "" &&
		!isBraintreeChallenge(strings.Trim(payload, "\n"))
	if !wellFormed {
		return verdict(noSecret)
	}
	matched := noSecret
	for i, secret := range s.Secrets {
		k := parseBraintreeKeys(secret)
		signatures := decodeAll(k.signatures(header), hexText, sha1.Size)
		exact, broken := matchesAny(k.sum(payload), signatures), matchesAny(k.sum(payload+"\n"), signatures)
		if exact || broken {
			matched = i
		}
	}
	return verdict(matched)
}

// signatures returns those that are made with k, or all if k does not know its name.
func (k braintreeKeys) signatures(header string) (signatures []string) {
	for pair := range strings.SplitSeq(header, "&") {
		if public, signature, ok := strings.Cut(pair, "|"); ok && (k.public == "" || k.public == public) {
			signatures = append(signatures, signature)
		}
	}
	return signatures
}

// braintreeNotification is the part that is common to all notifications.
type braintreeNotification struct {
	XMLName   xml.Name `xml:"notification"`
	Kind      string   `xml:"kind"`
	Timestamp string   `xml:"timestamp"`
}

// readBraintree reads the XML in the payload. Notifications have no id: the payload repeats itself.
func readBraintree(_ Source, r Request, _ int) (Receipt, error) {
	f, err := parseForm(string(r.Body))
	if err != nil {
		return Receipt{}, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	payload := strings.ReplaceAll(f.get("bt_payload"), "\n", "")
	document, err := base64.StdEncoding.DecodeString(payload)
	if err != nil {
		return Receipt{}, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	var n braintreeNotification
	if err := xml.NewDecoder(bytes.NewReader(document)).Decode(&n); err != nil {
		return Receipt{}, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	if !utf8.Valid(document) {
		return Receipt{}, fmt.Errorf("%w: %w", ErrUnreadable, errNotUTF8)
	}
	return oneEvent(Event{
		ID: contentID([]byte(payload)), RawType: n.Kind, Type: braintreeTypes.normalise(n.Kind, ""),
		OccurredAt: rfc3339.timeOrZero(strings.TrimSpace(n.Timestamp)), Payload: quote(string(document)),
	}), nil
}
