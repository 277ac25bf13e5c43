package webhook

import (
	"bytes"
	"crypto/sha1" // Twilio signs with HMAC-SHA1, which SHA-1's collisions do not concern.
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	twilioSignature = "X-Twilio-Signature"
	twilioBodyHash  = "bodySHA256"
)

// verifyTwilio verifies the HMAC of the URL and the fields of a form. If the URL carries the hash of the body, it is not
// a form, and the URL alone is signed. Every byte of a body is bound by one or the other, except that Twilio puts no
// separators between names and values, and signs a value that a field has twice but once.
func verifyTwilio(s Source, r Request) (int, error) {
	fields, ok := twilioSignedFields(r)
	signatures := decodeAll([]string{r.header(twilioSignature)}, base64Text, sha1.Size)
	matched := noSecret
	for _, url := range portVariants(s.signedURL(r)) {
		for i, secret := range s.Secrets {
			mac := newMAC(sha1.New, []byte(secret))
			_, _ = mac.Write([]byte(url + fields))
			if matchesAny(mac.Sum(nil), signatures) {
				matched = i
			}
		}
	}
	if !ok {
		return verdict(noSecret)
	}
	return verdict(matched)
}

// twilioSignedFields returns what follows the URL in what is signed. It is not ok if the body is neither the one whose
// hash the URL carries, nor a form.
func twilioSignedFields(r Request) (string, bool) {
	if hashes := r.queryValues(twilioBodyHash); len(hashes) > 0 {
		sum := sha256.Sum256(r.Body)
		sent, err := hex.DecodeString(hashes[0])
		return "", err == nil && len(hashes) == 1 && subtle.ConstantTimeCompare(sum[:], sent) == 1
	}
	f, err := parseForm(string(r.Body))
	return f.twilioText(), err == nil
}

// twilioText joins names and values, sorted by name and then by value; equal values of a field count once.
func (f form) twilioText() string {
	sorted := slices.Clone(f)
	slices.SortFunc(sorted, func(a, b field) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	var b strings.Builder
	for _, field := range slices.Compact(sorted) {
		b.WriteString(field.name)
		b.WriteString(field.value)
	}
	return b.String()
}

// readTwilio reads a form, or the query of a GET, or JSON.
func readTwilio(_ Source, r Request, _ int) (Receipt, error) {
	receipt := Receipt{Answer: Answer{Status: http.StatusOK, ContentType: "text/xml", Body: []byte("<Response/>")}}
	token := r.header("I-Twilio-Idempotency-Token")
	if trimmed := bytes.TrimSpace(r.Body); len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[') {
		payload, err := parseValue(r.Body)
		if err != nil {
			return Receipt{}, err
		}
		receipt.Events = []Event{{ID: token, Payload: payload}}
		return receipt, nil
	}
	encoded := string(r.Body)
	if r.Method == http.MethodGet {
		encoded = r.query()
	}
	f, err := parseForm(encoded)
	if err != nil {
		return Receipt{}, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	e, err := f.twilioEvent(token)
	receipt.Events = []Event{e}
	return receipt, err
}

// twilioEvent takes the token that stays the same over retries, else the ids that the form's subject has.
func (f form) twilioEvent(token string) (Event, error) {
	payload, err := f.payload()
	if err != nil {
		return Event{}, err
	}
	e := Event{ID: token, Payload: payload}
	message, call := f.get("MessageSid"), f.get("CallSid")
	switch {
	case message != "":
		status := f.get("MessageStatus")
		if status == "" {
			status = f.get("SmsStatus")
		}
		e.RawType = "message." + status
		e.ID = firstOf(token, compositeID(message, status))
	case call != "":
		e.RawType = "call." + f.get("CallStatus")
		e.ID = firstOf(token, f.twilioCallID(call))
		if at, err := time.Parse(time.RFC1123Z, f.get("Timestamp")); err == nil {
			e.OccurredAt = at.UTC()
		}
	}
	return e, nil
}

// twilioCallID tells apart the many requests of one call. Only status callbacks are numbered; the others, such as what a
// caller has keyed in, come several times while the status stays the same, but repeat themselves field by field.
func (f form) twilioCallID(call string) string {
	if number := f.get("SequenceNumber"); number != "" {
		return compositeID(call, f.get("CallStatus"), number)
	}
	return compositeID(call, f.get("CallStatus"), contentID([]byte(f.twilioText())))
}

func firstOf(first, second string) string {
	if first != "" {
		return first
	}
	return second
}
