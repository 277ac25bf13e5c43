package signers

import (
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	stripe "github.com/stripe/stripe-go/v83/webhook"

	"github.com/syllecta/syllecta/api/webhook"
)

const stripeSecret = "whsec_test_secret"

func TestStripe(t *testing.T) {
	t.Parallel()
	r := source()
	s := webhook.Source{Provider: "stripe", Secrets: []string{stripeSecret}}
	for range rounds {
		body := []byte(text(r, bodyAlphabet, 60))
		theirs := stripe.GenerateTestSignedPayload(&stripe.UnsignedPayload{Payload: body, Secret: stripeSecret, Timestamp: now})
		if !verified(t, s, request(body, http.Header{"Stripe-Signature": {theirs.Header}})) {
			t.Fatalf("refused stripe-go's %q for %q", theirs.Header, body)
		}
		ours := webhook.SignStripe(stripeSecret, body, now)
		if err := stripe.ValidatePayloadIgnoringTolerance(body, ours, stripeSecret); err != nil {
			t.Fatalf("stripe-go refuses our %q for %q: %v", ours, body, err)
		}
	}
}

// TestStripeHeaders makes headers of right and wrong parts. Only a timestamp that is given twice is judged differently:
// stripe-go takes the last one.
func TestStripeHeaders(t *testing.T) {
	t.Parallel()
	r := source()
	s := webhook.Source{Provider: "stripe", Secrets: []string{stripeSecret}}
	body := []byte(`{"id":"evt_1"}`)
	right := hex.EncodeToString(stripe.ComputeSignature(now, body, stripeSecret))
	parts := []string{
		"t=1700000000", "t=1700000001", "v1=" + right, "v1=" + strings.ToUpper(right), "v1=" + right[2:], "v1=" + right + "00",
		"v1=bad", "v1=", "v0=" + right, "t=", "t=x", "x=y", "v1=" + strings.Repeat("0", 64),
	}
	good := 0
	for range 10 * rounds {
		var chosen []string
		for range 1 + r.IntN(4) {
			chosen = append(chosen, parts[r.IntN(len(parts))])
		}
		header := strings.Join(chosen, ",")
		ours := verified(t, s, request(body, http.Header{"Stripe-Signature": {header}}))
		theirs := stripe.ValidatePayloadIgnoringTolerance(body, header, stripeSecret) == nil
		twice := strings.Count(header, "t=") > 1
		if ours && !theirs || ours != theirs && !twice {
			t.Fatalf("%q: ours %v, stripe-go %v", header, ours, theirs)
		}
		if ours {
			good++
		}
	}
	if good < rounds/10 {
		t.Errorf("only %d headers were good", good)
	}
}
