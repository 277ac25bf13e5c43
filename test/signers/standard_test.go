package signers

import (
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	svix "github.com/svix/svix-webhooks/go"

	"github.com/syllecta/syllecta/api/webhook"
)

const standardSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// signer is what both libraries offer.
type signer interface {
	Sign(id string, at time.Time, body []byte) (string, error)
	VerifyIgnoringTimestamp(body []byte, headers http.Header) error
}

func TestStandardWebhooks(t *testing.T) {
	t.Parallel()
	standard, err := standardwebhooks.NewWebhook(standardSecret)
	if err != nil {
		t.Fatal(err)
	}
	old, err := svix.NewWebhook(standardSecret)
	if err != nil {
		t.Fatal(err)
	}
	for prefix, library := range map[string]signer{"Webhook-": standard, "Svix-": old} {
		r := source()
		s := webhook.Source{Provider: "standardwebhooks", Secrets: []string{standardSecret}}
		good := 0
		for range rounds {
			body, id := []byte(text(r, bodyAlphabet, 60)), "msg_"+text(r, "abc.019-_", 20)
			right, err := library.Sign(id, now, body)
			if err != nil {
				t.Fatal(err)
			}
			wrong := strings.Replace(right, right[10:12], "AA", 1)
			parts := []string{right, wrong, "v2" + right[2:], "v1a" + right[2:], "v1,", "v1", right[:20], ""}
			var chosen []string
			for range 1 + r.IntN(3) {
				chosen = append(chosen, parts[r.IntN(len(parts))])
			}
			headers := http.Header{
				prefix + "Id": {id}, prefix + "Timestamp": {"1700000000"}, prefix + "Signature": {strings.Join(chosen, " ")},
			}
			ours, theirs := verified(t, s, request(body, headers)), library.VerifyIgnoringTimestamp(body, headers) == nil
			if ours != theirs {
				t.Fatalf("%q: ours %v, theirs %v", chosen, ours, theirs)
			}
			if ours {
				good++
			}
		}
		if good < rounds/10 {
			t.Errorf("%s: only %d headers were good", prefix, good)
		}
	}
}
