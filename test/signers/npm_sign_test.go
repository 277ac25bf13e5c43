//go:build npm

package signers

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/syllecta/syllecta/api/webhook"
)

// testSigns takes what the libraries sign, and refuses it as soon as one bit of what is signed, or of the signature, is
// another.
func (n *node) testSigns(t *testing.T) {
	for library, s := range signedEvents {
		t.Run(library, func(t *testing.T) {
			t.Parallel()
			s.fill(library)
			answer := n.ask(t, s.call)
			s.accepted(t, answer)
			s.refusesFlippedBodies(t, answer)
			s.refusesFlippedHeaders(t, answer)
		})
	}
}

// npmRounds is lower than rounds: every one goes through a pipe.
const npmRounds = 200

// testTexts takes whatever text the libraries sign.
func (n *node) testTexts(t *testing.T) {
	for library, s := range signedEvents {
		if s.covered != nil || s.Kind != "" {
			continue // of these the library wants a certain form
		}
		t.Run(library, func(t *testing.T) {
			t.Parallel()
			r := source()
			for range npmRounds {
				c := s
				c.fill(library)
				if s.Body != "" {
					c.Body = "." + text(r, bodyAlphabet, 60) // octokit signs no empty one
				}
				if s.ID != "" {
					c.ID = "msg_" + text(r, "abc.019-_", 20)
				}
				if s.Fields != nil {
					c.Fields = map[string]any{}
					for range r.IntN(6) {
						c.Fields[text(r, "abcXYZ01é =&+", 5)] = text(r, "abcXYZ01é =&+%;\n♥", 8)
					}
				}
				answer := n.ask(t, c.call)
				if seen := c.request(answer); !verified(t, c.source(), seen) {
					t.Fatalf("%q with %v is refused", seen.Body, seen.Header)
				}
			}
		})
	}
}

func (s signed) accepted(t *testing.T, answer reply) {
	t.Helper()
	receipt, err := webhook.Accept(s.source(), s.request(answer))
	if err != nil {
		t.Fatalf("%+v is refused: %v", answer, err)
	}
	if len(receipt.Events) != 1 {
		t.Fatalf("%d events: %+v", len(receipt.Events), receipt)
	}
	e := receipt.Events[0]
	if e.ID == "" || s.id != "" && e.ID != s.id || e.Type != s.eventType {
		t.Errorf("id %q, type %q; want %q, %q", e.ID, e.Type, s.id, s.eventType)
	}
	if s.Body != "" && s.covered == nil && answer.Body != s.Body {
		t.Errorf("the body was changed on its way: %q", answer.Body)
	}
}

// refused fails unless a request is refused for its signature.
func (s signed) refused(t *testing.T, answer reply, what string) {
	t.Helper()
	if _, err := webhook.Accept(s.source(), s.request(answer)); !errors.Is(err, webhook.ErrInvalidSignature) {
		t.Fatalf("%s: %v", what, err)
	}
}

// refusesFlippedBodies changes every bit that is signed, and of a signature that is in the body.
func (s signed) refusesFlippedBodies(t *testing.T, answer reply) {
	t.Helper()
	parts := []string{answer.Body}
	if s.covered != nil {
		parts = append(slices.Clone(s.covered), signatureIn(t, answer.Body))
	}
	for _, part := range parts {
		at := strings.Index(answer.Body, part)
		if at < 0 {
			t.Fatalf("the body has no %q: %s", part, answer.Body)
		}
		for i := at; i < at+len(part); i++ {
			for bit := range 8 {
				flipped := answer
				flipped.Body = flip(answer.Body, i, bit)
				if s.sameBody == nil || !s.sameBody(answer.Body, flipped.Body) {
					s.refused(t, flipped, fmt.Sprintf("body with bit %d of byte %d flipped: %q", bit, i, flipped.Body))
				}
			}
		}
	}
}

// refusesFlippedHeaders changes every bit of what the library puts into headers: all of it is a signature, or signed.
func (s signed) refusesFlippedHeaders(t *testing.T, answer reply) {
	t.Helper()
	for name, value := range answer.Headers {
		for i := range len(value) {
			for bit := range 8 {
				flipped := answer
				flipped.Headers = maps.Clone(answer.Headers)
				flipped.Headers[name] = flip(value, i, bit)
				if s.sameHeader == nil || !s.sameHeader(value, flipped.Headers[name]) {
					s.refused(t, flipped, fmt.Sprintf("%s: %q", name, flipped.Headers[name]))
				}
			}
		}
	}
}

// signatureIn returns the signature that Adyen's library has put into an item.
func signatureIn(t *testing.T, body string) string {
	t.Helper()
	var notification struct {
		NotificationItems []struct {
			NotificationRequestItem struct {
				AdditionalData struct{ HMACSignature string }
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &notification); err != nil {
		t.Fatal(err)
	}
	return notification.NotificationItems[0].NotificationRequestItem.AdditionalData.HMACSignature
}
