package webhook

import (
	"errors"
	"strings"
	"testing"
)

// TestRotatedSecrets puts other secrets before and behind the one that signed.
func TestRotatedSecrets(t *testing.T) {
	t.Parallel()
	for _, s := range allSamples(t) {
		if len(s.source.Secrets) == 0 {
			continue
		}
		right, wrong := s.source.Secrets[0], otherSecret(s)
		for _, secrets := range [][]string{{right, wrong}, {wrong, right}, {wrong, right, wrong}, {right, right}} {
			s.source.Secrets = secrets
			if !s.valid() {
				t.Errorf("%s: refused with %d secrets", s.name, len(secrets))
			}
		}
		s.source.Secrets = []string{wrong, wrong}
		s.refused(t, s.name+" with two wrong secrets")
	}
}

func TestSeveralSignatures(t *testing.T) {
	t.Parallel()
	const (
		stripeRight   = "v1=4a5a14b5c2e11e6a4a1c12c52e0706bc1669cc5d0251cd8c20651cfb6aaba94a"
		standardRight = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
		standardWrong = "v1,AAAA9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
		paddleRight   = "h1=a300428748dce5c70e4da19bffd60769591ea969c99dea3105d0ec9612cf43f9"
	)
	zeros := strings.Repeat("0", 64)
	for _, tt := range []struct {
		vector, value string
		good          bool
	}{
		// What stripe-go's tests hold.
		{"Stripe", "t=1700000000," + stripeRight + ",v1=" + zeros, true},
		{"Stripe", "t=1700000000,v1=" + zeros + "," + stripeRight, true},
		{"Stripe", "t=1700000000,v1=bad_signature," + stripeRight, true},
		{"Stripe", "t=1700000000," + stripeRight + ",v0=" + zeros + ",vx", true},
		{"Stripe", stripeRight + ",t=1700000000", true},
		{"Stripe", "v1,t=1", false},
		{"Stripe", "t=", false},
		{"Stripe", "t=1700000000", false},
		{"Stripe", stripeRight, false},
		{"Stripe", "t=1700000000,v0=" + stripeRight[3:], false},
		{"Stripe", "t=1700000000,v1=" + zeros, false},
		{"Stripe", "t=1700000000,v1=", false},
		{"Stripe", "t=1700000000,t=1700000000," + stripeRight, false},
		{"Stripe", "t=1700000001,t=1700000000," + stripeRight, false},
		{"Stripe", "t=1700000000, " + stripeRight, false},
		{"Stripe", "t=01700000000," + stripeRight, false},
		{"Stripe", "t=1700000000," + strings.Repeat("v1="+zeros+",", maxSignatures-1) + stripeRight, true},
		{"Stripe", "t=1700000000," + strings.Repeat("v1="+zeros+",", maxSignatures) + stripeRight, false},
		{"Stripe", "t=1700000000," + stripeRight + ",x=" + strings.Repeat("y", maxSignatureBytes), false},
		{"Standard Webhooks", standardWrong + " " + standardRight, true},
		{"Standard Webhooks", standardRight + " " + standardWrong + " v2,x v1a,y", true},
		{"Standard Webhooks", "v1,", false},
		{"Standard Webhooks", "v1,g0hM9SsE", false},
		{"Standard Webhooks", "v2" + standardRight[2:], false},
		{"Standard Webhooks", "v1a" + standardRight[2:], false},
		{"Standard Webhooks", standardRight[3:], false},
		{"Standard Webhooks", standardWrong, false},
		{"Standard Webhooks", strings.TrimSuffix(standardRight, "="), false},
		{"Standard Webhooks", standardRight + "\n", false},
		// Stray bits behind the last byte: E= and F= decode alike in lenient decoders.
		{"Standard Webhooks", strings.Replace(standardRight, "1OE=", "1OF=", 1), false},
		{"Paddle, Node", "ts=1698796800;" + paddleRight + ";h1=" + zeros, true},
		{"Paddle, Node", "ts=1698796800;h1=" + zeros + ";" + paddleRight, true},
		{"Paddle, Node", "ts=1698796800;h2=" + paddleRight[3:], false},
		{"Paddle, Node", "ts=1698796800," + paddleRight, false},
		{"Paddle, Node", paddleRight, false},
	} {
		s := vector(t, tt.vector).clone()
		s.request.Header.Set(s.header, tt.value)
		if s.valid() != tt.good {
			t.Errorf("%s: %.200q: got %v, want %v", tt.vector, tt.value, !tt.good, tt.good)
		}
		if !tt.good {
			s.refused(t, tt.value)
		}
	}
}

func vector(t testing.TB, name string) sample {
	t.Helper()
	for _, s := range allSamples(t) {
		if s.name == name {
			return s.clone()
		}
	}
	t.Fatalf("there is no vector %q", name)
	return sample{}
}

// TestBraintreePairs holds that a signature counts only beside the name of its key.
func TestBraintreePairs(t *testing.T) {
	t.Parallel()
	const right = "10bf71f9a7343c54ee69013cabea1aad72f18f73"
	for value, good := range map[string]bool{
		"integration_public_key%7C" + right:              true,
		"other%7C" + right:                               false,
		"other%7Cxx%26integration_public_key%7C" + right: true,
		right:                       false,
		"integration_public_key%7C": false,
		"integration_public_key%7C" + right + "%7C":                false,
		strings.Repeat("a%7Cb%26", maxSignatures) + "a%7C" + right: false,
	} {
		s := vector(t, "Braintree")
		s.request.Body = []byte("bt_signature=" + value + "&bt_payload=PG5vdGlmaWNhdGlvbi8%2B%0A")
		if s.valid() != good {
			t.Errorf("%s: got %v, want %v", value, !good, good)
		}
	}
	s := vector(t, "Braintree")
	s.source.Secrets = []string{"integration_private_key"}
	if !s.valid() {
		t.Error("the private key alone does not verify")
	}
	s.request.Body = []byte(strings.TrimSuffix(string(s.request.Body), "%0A"))
	if !s.valid() {
		t.Error("the payload was refused without the line break at its end")
	}
}

// TestFallback holds that getting one scheme wrong does not open the way to another.
func TestFallback(t *testing.T) {
	t.Parallel()
	s := vector(t, "adnanh/webhook, SHA-1")
	s.request.Header.Set("X-Hub-Signature-256", "sha256="+strings.Repeat("0", 64))
	s.refused(t, "GitHub's old signature beside a wrong new one")

	s = vector(t, "HubSpot v1")
	s.request.Header.Set("X-HubSpot-Signature-v3", "AAAA")
	s.request.Header.Set("X-HubSpot-Request-Timestamp", "1700000000000")
	s.refused(t, "HubSpot's old signature beside a wrong new one")

	s = vector(t, "HubSpot v1")
	s.request.Header.Set("X-HubSpot-Signature-Version", "v2")
	s.refused(t, "version 1 passed off as version 2")

	s = vector(t, "Adyen, event")
	s.request.Header.Set("HmacSignature", "AAAA")
	s.refused(t, "Adyen's items beside a wrong header")
}

func TestSvixHeaders(t *testing.T) {
	t.Parallel()
	s := standard("", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "", "", `{"test": 2432232314}`, "")
	s.source.Provider = "svix"
	s.request.Header = nil
	s.request = post(`{"test": 2432232314}`, "svix-id", "msg_p5jXN8AQM9LWM0D4loKWxJek", "svix-timestamp", "1614265330",
		"svix-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	s = s.received(1614265330)
	receipt, err := Accept(s.source, s.request)
	if err != nil || receipt.Events[0].ID != "msg_p5jXN8AQM9LWM0D4loKWxJek" {
		t.Fatalf("got %+v, %v", receipt, err)
	}
	s.request.Header.Set("webhook-id", "another")
	if receipt, err := Accept(s.source, s.request); err != nil || receipt.Events[0].ID != "msg_p5jXN8AQM9LWM0D4loKWxJek" {
		t.Fatalf("an id that was not signed was taken: %+v, %v", receipt, err)
	}
}

func TestGitLabTokens(t *testing.T) {
	t.Parallel()
	plain := sample{source: withSecret("gitlab", "my-token"), header: gitlabTokenHeader,
		request: post(`{"object_kind":"push"}`, gitlabTokenHeader, "my-token", "Idempotency-Key", "f5e5")}
	if !plain.valid() {
		t.Fatal("the secret token was refused")
	}
	for _, wrong := range []string{"", "my-toke", "my-token ", "MY-TOKEN"} {
		c := plain.clone()
		c.request.Header.Set(gitlabTokenHeader, wrong)
		c.refused(t, wrong)
	}
	c := plain.clone()
	c.request.Header.Add(gitlabTokenHeader, "my-token")
	c.refused(t, "the token twice")

	signed := gitlabSample.clone()
	signed.request.Header.Del("webhook-signature")
	signed.request.Header.Set(gitlabTokenHeader, gitlabTestToken)
	signed.refused(t, "the signing token shown instead of used")

	both := gitlabSample.clone()
	both.source.Secrets = []string{"my-token", gitlabTestToken}
	if !both.valid() {
		t.Error("the signature was refused beside a secret token")
	}
}

func TestSecretsMustBeKeys(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		provider string
		secrets  []string
	}{
		{"stripe", nil},
		{"stripe", []string{""}},
		{"stripe", []string{hush, ""}},
		{"stripe", strings.Split(strings.Repeat("x", MaxSecrets+1), "")},
		{"standardwebhooks", []string{"whsec_"}},
		{"standardwebhooks", []string{"whsec_%%%"}},
		{"standardwebhooks", []string{"whpk_AAAA"}},
		{"gitlab", []string{"whsec_%"}},
		{"adyen", []string{"xyz"}},
		{"discord", []string{"abcd"}},
		{"sendgrid", []string{"AAAA"}},
		{"sendgrid", []string{"!"}},
		{"braintree", []string{"public|"}},
		{"paypal", nil},
		{"nobody", []string{hush}},
		{"", []string{hush}},
		{"Stripe", []string{hush}},
	} {
		_, err := Accept(withSecret(tt.provider, tt.secrets...), vector(t, "Stripe").request)
		if !errors.Is(err, ErrNotConfigured) {
			t.Errorf("%s %q: got %v, want %v", tt.provider, tt.secrets, err, ErrNotConfigured)
		}
		for _, secret := range tt.secrets {
			if len(secret) > 3 && err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the error tells a secret: %v", err)
			}
		}
	}
	s := withSecret("stripe", hush)
	s.Tolerance = -1
	if err := s.Validate(); !errors.Is(err, ErrNotConfigured) {
		t.Errorf("a negative tolerance: got %v", err)
	}
	s = withSecret("stripe", hush)
	s.HMAC = &HMAC{Header: "X"}
	if err := s.Validate(); !errors.Is(err, ErrNotConfigured) {
		t.Errorf("a scheme for stripe: got %v", err)
	}
}
