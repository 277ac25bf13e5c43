//go:build npm

package signers

import (
	"strings"
	"testing"

	"github.com/syllecta/syllecta/api/webhook"
)

// testVerifies has the libraries verify what package webhook signs.
func (n *node) testVerifies(t *testing.T) {
	t.Run("stripe", func(t *testing.T) {
		t.Parallel()
		r := source()
		for range npmRounds {
			body := []byte(`{"id":"evt_1","object":"event","text":"` + text(r, "{}[]:,.abc019 é♥", 60) + `"}`)
			for _, signature := range []string{
				webhook.SignStripe(stripeSecret, body, now), webhook.SignGeneric(stripeSecret, body, now),
			} {
				n.agrees(t, call{
					Library: "stripe", Secret: stripeSecret, Body: string(body), Seconds: now.Unix(),
					Headers: map[string]string{"Stripe-Signature": signature},
				}, "evt_1")
			}
		}
	})
	for library, c := range map[string]struct{ secret, signed string }{
		"stripe":    {stripeSecret, "evt_sim"},
		"adyen":     {adyenKey, "DSPseed"},
		"braintree": {braintreeKey, "bt_payload=PG5"},
	} {
		t.Run("simulated disputes of "+library, func(t *testing.T) {
			t.Parallel()
			for _, final := range []webhook.DisputeEnd{webhook.DisputeWon, webhook.DisputeLost} {
				requests, err := webhook.Simulate(library, c.secret, webhook.Dispute{
					Seed: "seed1", Amount: 4200, Currency: "eur", Lifecycle: true, Final: final, At: now,
				})
				if err != nil || len(requests) != 3 {
					t.Fatalf("%d requests, %v", len(requests), err)
				}
				for _, r := range requests {
					headers := map[string]string{}
					for name := range r.Header {
						headers[name] = r.Header.Get(name)
					}
					n.agrees(t, call{
						Library: library, Secret: c.secret, Body: string(r.Body), Headers: headers, Seconds: now.Unix(),
					}, c.signed)
				}
			}
		})
	}
}

// agrees has a library accept a request, and refuse it with another byte after a part of the body that is signed.
func (n *node) agrees(t *testing.T, c call, part string) {
	t.Helper()
	if !n.verifies(t, c) {
		t.Errorf("%s refuses %q with %v", c.Library, c.Body, c.Headers)
	}
	at := strings.Index(c.Body, part)
	if at < 0 {
		t.Fatalf("the body has no %q: %s", part, c.Body)
	}
	c.Body = flip(c.Body, at+len(part)-1, 0)
	if n.verifies(t, c) {
		t.Errorf("%s accepts a changed %q with %v", c.Library, c.Body, c.Headers)
	}
}
