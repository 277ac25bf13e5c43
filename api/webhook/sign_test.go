package webhook

import (
	"fmt"
	"testing"
	"time"
)

// TestSign holds what is signed here against vectors that were not made here, and against verification.
func TestSign(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 999_999_999)
	const want = "t=1700000000,v1=4a5a14b5c2e11e6a4a1c12c52e0706bc1669cc5d0251cd8c20651cfb6aaba94a"
	if got := SignStripe("whsec_test_secret", []byte(demoBody), now); got != want {
		t.Errorf("Stripe: got %s", got)
	}
	if got := SignGeneric("whsec_test_secret", []byte(demoBody), now); got != want {
		t.Errorf("generic: got %s", got)
	}
	s := vector(t, "Braintree")
	if got := SignBraintree(s.source.Secrets[0], []byte("<notification/>")); string(got) != string(s.request.Body) {
		t.Errorf("Braintree: got %s", got)
	}
	unsigned := adyenTestItem("EVENT", "true", "")
	item := unsigned[len(`{"NotificationRequestItem":`) : len(unsigned)-1]
	if got, err := SignAdyen(adyenTestKey, []byte(item)); err != nil || got != "ipnxGCaUZ4l8TUW75a71/ghd2Fe5ffvX0pV4TLTntIc=" {
		t.Errorf("Adyen: got %s, %v", got, err)
	}
	for secret, item := range map[string]string{"xyz": item, adyenTestKey: "[]", "": item} {
		if got, err := SignAdyen(secret, []byte(item)); err == nil {
			t.Errorf("Adyen signed %s with %q: %s", item, secret, got)
		}
	}
}

func TestProviders(t *testing.T) {
	t.Parallel()
	wanted := []string{
		"adyen", "braintree", "discord", "generic", "github", "gitlab", "hubspot", "intercom", "linear", "paddle", "paypal",
		"razorpay", "sendgrid", "shopify", "slack", "square", "standardwebhooks", "stripe", "twilio", "zendesk", "zoom",
	}
	list := Providers()
	if len(list) != len(wanted) {
		t.Fatalf("%d providers, want %d", len(list), len(wanted))
	}
	for i, p := range list {
		if p.Name != wanted[i] {
			t.Errorf("provider %d is %s, want %s", i, p.Name, wanted[i])
		}
		if p.Title == "" || p.SignatureHeader == "" || p.Signed == "" || p.ID == "" || p.NeedsSecret != (p.Secret != "") {
			t.Errorf("%s: something is not told: %+v", p.Name, p)
		}
		if p.Name != "generic" && p.Documentation == "" {
			t.Errorf("%s: where is it documented?", p.Name)
		}
		if !p.IDSigned && p.Gap == "" {
			t.Errorf("%s: an id that is not signed is a gap", p.Name)
		}
	}
	list[0].Name = "changed"
	for _, p := range list {
		for i := range p.Aliases {
			p.Aliases[i] = "changed"
		}
	}
	for _, name := range append(wanted, "standard-webhooks", "svix") {
		if _, known := lookup[name]; !known {
			t.Errorf("%s is not known", name)
		}
	}
	if again := Providers(); again[0].Name != "adyen" || fmt.Sprint(again[16].Aliases) != "[standard-webhooks svix]" {
		t.Errorf("the table was changed through its copy: %+v", again[16])
	}
}
