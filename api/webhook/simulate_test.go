package webhook

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

var simulationSecrets = map[string]string{"stripe": hush, "braintree": "public|" + hush, "adyen": adyenTestKey}

// simulatedTypes has a simulation accepted, and returns the normalised types.
func simulatedTypes(t *testing.T, provider string, d Dispute) (types []string) {
	t.Helper()
	secret := simulationSecrets[provider]
	requests, err := Simulate(provider, secret, d)
	if err != nil {
		t.Fatalf("%s: %v", provider, err)
	}
	ids := map[string]bool{}
	for i, r := range requests {
		for _, wrong := range []string{"ff" + secret[2:], secret + "11"} {
			if _, err := Accept(withSecret(provider, wrong), r); !errors.Is(err, ErrInvalidSignature) {
				t.Fatalf("%s: with another secret: %v", provider, err)
			}
		}
		receipt, err := Accept(withSecret(provider, secret), r)
		if err != nil || len(receipt.Events) != 1 {
			t.Fatalf("%s: %+v, %v of %s", provider, receipt, err, r.Body)
		}
		e := receipt.Events[0]
		if want := d.At.Add(time.Duration(i-len(requests)+1) * time.Second); !e.OccurredAt.Equal(want) {
			t.Errorf("%s: %s at %v, want %v", provider, e.RawType, e.OccurredAt, want)
		}
		if ids[e.ID] {
			t.Errorf("%s: the id %s comes twice", provider, e.ID)
		}
		ids[e.ID] = true
		types = append(types, e.Type)
	}
	return types
}

func TestSimulate(t *testing.T) {
	t.Parallel()
	const opened, review, won, lost = "chargeback.opened", "chargeback.under_review", "chargeback.won", "chargeback.lost"
	base := Dispute{Seed: "a1", Amount: 1999, Currency: "usd", At: time.Unix(1_700_000_000, 0)}
	for provider := range simulations {
		for _, tt := range []struct {
			lifecycle bool
			final     DisputeEnd
			want      []string
		}{
			{true, "", []string{opened, review, lost}},
			{true, DisputeLost, []string{opened, review, lost}},
			{true, DisputeWon, []string{opened, review, won}},
			{false, "", []string{opened}},
			{false, DisputeWon, []string{won}},
			{false, DisputeLost, []string{lost}},
		} {
			d := base
			d.Lifecycle, d.Final = tt.lifecycle, tt.final
			if got := simulatedTypes(t, provider, d); !slices.Equal(got, tt.want) {
				t.Errorf("%s, %t, %q: %v", provider, tt.lifecycle, tt.final, got)
			}
		}
	}
}

func TestSimulationCarriesWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	d := Dispute{
		Seed: "a1", Amount: 1999, Currency: "eUr", TransactionID: `pi_<&">é`, At: time.Unix(1_700_000_000, 0),
	}
	for provider, want := range map[string][]string{
		"stripe":    {`"amount":1999`, `"currency":"eur"`, `"payment_intent":"pi_<&\">é"`, `"charge":"ch_sima1"`},
		"adyen":     {`"value":1999`, `"currency":"EUR"`, `"originalReference":"pi_<&\">é"`},
		"braintree": {`<amount>19.99</amount>`, `>EUR<`, `<id>pi_&lt;&amp;&#34;&gt;é</id>`},
	} {
		requests, err := Simulate(provider, simulationSecrets[provider], d)
		if err != nil {
			t.Fatal(err)
		}
		receipt, err := Accept(withSecret(provider, simulationSecrets[provider]), requests[0])
		if err != nil {
			t.Fatal(err)
		}
		payload := string(receipt.Events[0].Payload)
		if provider == "braintree" {
			payload = textOf(receipt.Events[0].Payload)
		}
		for _, part := range want {
			if !strings.Contains(payload, part) {
				t.Errorf("%s: no %s in %s", provider, part, payload)
			}
		}
	}
}

func TestNoSimulation(t *testing.T) {
	t.Parallel()
	d := Dispute{Seed: "a1", Amount: 1, Currency: "usd", At: time.Unix(1_700_000_000, 0)}
	if _, err := Simulate("github", hush, d); !errors.Is(err, ErrNotSimulated) || Simulates("github") || !Simulates("adyen") {
		t.Errorf("github: %v", err)
	}
	if _, err := Simulate("adyen", hush, d); err == nil || strings.Contains(err.Error(), hush) {
		t.Errorf("a secret that is not hexadecimal: %v", err)
	}
}

func TestDecimalAmount(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]Dispute{
		"0.05":    {Amount: 5, Currency: "usd"},
		"1.00":    {Amount: 100, Currency: "XXX"},
		"1234.56": {Amount: 123_456, Currency: "EUR"},
		"500":     {Amount: 500, Currency: "jpy"},
		"0.500":   {Amount: 500, Currency: "KWD"},
	} {
		if got := d.decimalAmount(); got != want {
			t.Errorf("%d %s: %s, want %s", d.Amount, d.Currency, got, want)
		}
	}
}
