package webhook

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

func TestHandshakes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name              string
		s                 sample
		status            int
		contentType, want string
	}{
		{"Slack", signed(t, "slack", `{"token":"Jhj5dZrV","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P",`+
			`"type":"url_verification"}`), 200, "text/plain", "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"},
		{"Zoom", signed(t, "zoom", `{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1654503849680,`+
			`"event":"endpoint.url_validation"}`), 200, "application/json", `{"plainToken":"qgg8vlvZRS6UYooatFL8Aw",` +
			`"encryptedToken":"36517668f50730dfc6247803d9cc2b23e89a05172ec38cd1797466a23164362a"}`},
		{"Discord interaction", signed(t, "discord", `{"type":1,"id":"1","application_id":"2"}`), 200, "application/json",
			`{"type":1}`},
		{"Discord event", signed(t, "discord", `{"version":1,"application_id":"1234560123453231555","type":0}`), 204, "", ""},
		{"Braintree", braintreeChallenge("integration_public_key|integration_private_key", "20f9f8ed05f77439fe955c977e4c8a53"), 200,
			"text/plain", "integration_public_key|" +
				macHex(sha1New, sha1Raw("integration_private_key"), "20f9f8ed05f77439fe955c977e4c8a53")},
	} {
		receipt, err := Accept(tt.s.source, tt.s.request)
		if err != nil || !receipt.Handshake || len(receipt.Events) > 0 || receipt.Answer.IsZero() {
			t.Fatalf("%s: got %+v, %v", tt.name, receipt, err)
		}
		a := receipt.Answer
		if a.Status != tt.status || !strings.HasPrefix(a.ContentType, tt.contentType) || string(a.Body) != tt.want {
			t.Errorf("%s: got %d %q %q, want %d %q %q", tt.name, a.Status, a.ContentType, a.Body, tt.status, tt.contentType, tt.want)
		}
	}
}

// TestHandshakesAreVerified holds that nobody but the provider has its questions answered, where it signs them.
func TestHandshakesAreVerified(t *testing.T) {
	t.Parallel()
	for provider, body := range map[string]string{
		"slack":   `{"challenge":"x","type":"url_verification"}`,
		"zoom":    `{"payload":{"plainToken":"v0:1700000000:{}"},"event":"endpoint.url_validation"}`,
		"discord": `{"type":1}`,
	} {
		s := signed(t, provider, body)
		s.source.Secrets = []string{otherSecret(s)}
		s.refused(t, provider)
	}
}

// TestZoomAnswersByTheSecretThatAsked matters while secrets are rotated.
func TestZoomAnswersByTheSecretThatAsked(t *testing.T) {
	t.Parallel()
	s := signed(t, "zoom", `{"payload":{"plainToken":"token"},"event":"endpoint.url_validation"}`)
	for _, secrets := range [][]string{{hush, "other"}, {"other", hush}} {
		s.source.Secrets = secrets
		receipt, err := Accept(s.source, s.request)
		if err != nil || !strings.Contains(string(receipt.Answer.Body), macHex(sha256New, hush, "token")) {
			t.Errorf("got %s, %v", receipt.Answer.Body, err)
		}
	}
}

func braintreeChallenge(secret, challenge string) sample {
	s := sample{source: withSecret("braintree", secret), request: post("")}
	return s.on(http.MethodGet, "https://in.example/x?bt_challenge="+challenge)
}

// TestBraintreeChallengeSignsNoNotification holds that the answer to a challenge, which anybody may ask for, is no
// signature of anything that would be accepted.
func TestBraintreeChallengeSignsNoNotification(t *testing.T) {
	t.Parallel()
	const secret = "pub|private"
	for _, challenge := range []string{
		"", "abc", strings.Repeat("a", 19), strings.Repeat("a", 33), strings.Repeat("A", 20), strings.Repeat("g", 20),
		"PG5vdGlmaWNhdGlvbi8%2B%0A", strings.Repeat("a", 20) + "%0A", "%22" + strings.Repeat("a", 20),
		strings.Repeat("a", 20) + "&bt_challenge=" + strings.Repeat("b", 20),
	} {
		braintreeChallenge(secret, challenge).refused(t, challenge)
	}
	for _, n := range []int{20, 24, 28, 32} {
		challenge := strings.Repeat("a", n)
		s := braintreeChallenge(secret, challenge)
		receipt, err := Accept(s.source, s.request)
		if err != nil {
			t.Fatal(err)
		}
		signature := strings.Replace(string(receipt.Answer.Body), "|", "%7C", 1)
		for _, end := range []string{"", "%0A", "%0A%0A"} {
			forged := sample{source: s.source, request: post("bt_signature=" + signature + "&bt_payload=" + challenge + end)}
			forged.refused(t, "a challenge passed off as a payload")
		}
	}
	posted := braintreeChallenge(secret, strings.Repeat("a", 20)).on(http.MethodPost, "https://in.example/x?bt_challenge="+strings.Repeat("a", 20))
	posted.refused(t, "a challenge that was posted")
	braintreeChallenge("private", strings.Repeat("a", 20)).refused(t, "a challenge without a public key")
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	s := vector(t, "Twilio docs")
	receipt, err := Accept(s.source, s.request)
	if err != nil || receipt.Handshake || string(receipt.Answer.Body) != "<Response/>" || receipt.Answer.ContentType != "text/xml" {
		t.Errorf("Twilio: got %+v, %v", receipt, err)
	}
	s = vector(t, "Stripe")
	if receipt, err = Accept(s.source, s.request); err != nil || !receipt.Answer.IsZero() {
		t.Errorf("Stripe: got %+v, %v", receipt, err)
	}
	s = vector(t, "twilio-python, JSON")
	if _, err = Accept(s.source, s.request); !errors.Is(err, ErrMissingID) {
		t.Errorf("Twilio's JSON without a token: got %v", err)
	}
	s.request.Header.Set("I-Twilio-Idempotency-Token", "i1")
	if receipt, err = Accept(s.source, s.request); err != nil || receipt.Events[0].ID != "i1" {
		t.Errorf("Twilio's JSON: got %+v, %v", receipt, err)
	}
}
