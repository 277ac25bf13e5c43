package signers

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"testing"

	twilio "github.com/twilio/twilio-go/client"

	"github.com/syllecta/syllecta/api/webhook"
)

// TestTwilio compares forms whose names differ: twilio-go looks at the first of several values only, and the libraries
// for other languages at all.
func TestTwilio(t *testing.T) {
	t.Parallel()
	r := source()
	const token = "12345"
	library := twilio.NewRequestValidator(token)
	s := webhook.Source{Provider: "twilio", Secrets: []string{token}}
	hosts := []string{"https://in.example", "https://in.example:443", "http://in.example", "http://in.example:80", "http://in.example:8080"}
	good := 0
	for range rounds {
		form := url.Values{}
		for range r.IntN(6) {
			form.Set(text(r, "abcXYZ01é =&+", 5), text(r, "abcXYZ01é =&+%;\n", 8))
		}
		signed := hosts[r.IntN(len(hosts))] + "/hook?foo=1&bar=2"
		names := []string{}
		for name := range form {
			names = append(names, name)
		}
		slices.Sort(names)
		message := signed
		for _, name := range names {
			message += name + form.Get(name)
		}
		mac := hmac.New(sha1.New, []byte(token))
		mac.Write([]byte(message))
		signature := base64.StdEncoding.EncodeToString(mac.Sum(nil))

		seen := request([]byte(form.Encode()), http.Header{"X-Twilio-Signature": {signature}})
		seen.URL = hosts[r.IntN(len(hosts))] + "/hook?foo=1&bar=2"
		ours, theirs := verified(t, s, seen), library.ValidateBody(seen.URL, seen.Body, signature)
		if ours != theirs {
			t.Fatalf("signed for %s, seen at %s with %s: ours %v, theirs %v", signed, seen.URL, seen.Body, ours, theirs)
		}
		if ours {
			good++
		}
	}
	if good < rounds/10 {
		t.Errorf("only %d forms were good", good)
	}
}
