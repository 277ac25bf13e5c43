package webhook

import (
	"crypto/ed25519"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Each target makes requests of what it is given. Nothing may panic, and what is accepted must hold a signature that the
// target works out by itself.

// accepted runs a request through Accept and reports whether its signature was accepted. An event must then keep to what
// is promised of it.
func accepted(t *testing.T, s sample) bool {
	t.Helper()
	receipt, err := Accept(s.source, s.request)
	if err == nil {
		for _, e := range receipt.Events {
			if checkID(e.ID) != nil || !json.Valid(e.Payload) || (e.Type == "") != (e.RawType == "") {
				t.Fatalf("accepted %+v", e)
			}
		}
	}
	return s.valid()
}

var (
	stripeTimestamp = regexp.MustCompile(`(?:^|,)t=([0-9]+)(?:,|$)`)
	paddleTimestamp = regexp.MustCompile(`(?:^|;)ts=([0-9]+)(?:;|$)`)
)

func FuzzSignatureLists(f *testing.F) {
	for _, provider := range []string{"stripe", "paddle", "standardwebhooks"} {
		s := signed(f, provider, demoBody)
		for _, header := range []string{"Stripe-Signature", "Paddle-Signature", "webhook-signature"} {
			f.Add(s.request.header(header), "msg_1", "1700000000", demoBody)
		}
	}
	f.Add("t=1,t=2,v1=,v1,=v1;h1=;ts", "", "", "")
	f.Fuzz(func(t *testing.T, header, id, timestamp, body string) {
		for provider, form := range map[string]struct {
			header, separator string
			timestamp         *regexp.Regexp
		}{
			"stripe":  {"Stripe-Signature", ".", stripeTimestamp},
			"generic": {"X-Syllecta-Signature", ".", stripeTimestamp},
			"paddle":  {"Paddle-Signature", ":", paddleTimestamp},
		} {
			if !accepted(t, sample{source: withSecret(provider, hush), request: post(body, form.header, header)}) {
				continue
			}
			at := form.timestamp.FindStringSubmatch(header)
			if at == nil || !strings.Contains(strings.ToLower(header), macHex(sha256New, hush, at[1]+form.separator+body)) {
				t.Fatalf("%s: accepted %q for %q", provider, header, body)
			}
		}
		s := sample{source: withSecret("svix", base64.StdEncoding.EncodeToString([]byte(hush))), request: post(body,
			"webhook-id", id, "webhook-timestamp", timestamp, "webhook-signature", header)}
		if accepted(t, s) && !strings.Contains(header, "v1,"+macBase64(sha256New, hush, id+"."+timestamp+"."+body)) {
			t.Fatalf("accepted %q for %q", header, body)
		}
	})
}

func FuzzSignatureHeaders(f *testing.F) {
	for _, s := range allSamples(f) {
		if s.header != "" {
			f.Add(s.request.header(s.header), "1700000000", "v2", string(s.request.Body))
		}
	}
	for _, provider := range []string{"github", "shopify", "intercom", "linear", "razorpay", "slack", "zoom", "square", "adyen"} {
		s := signed(f, provider, demoBody)
		for name := range s.request.Header {
			f.Add(s.request.header(name), "1700000000", "v1", demoBody)
		}
	}
	f.Fuzz(func(t *testing.T, header, timestamp, version, body string) {
		const url = "https://in.example/v1/t/acme/webhooks/x"
		hexSum := func(signed string) string { return macHex(sha256New, hush, signed) }
		textSum := func(signed string) string { return macBase64(sha256New, hush, signed) }
		for _, form := range []struct{ provider, header, atHeader, want string }{
			{"github", "X-Hub-Signature-256", "", "sha256=" + hexSum(body)},
			{"github", "X-Hub-Signature", "", "sha1=" + macHex(sha1New, hush, body)},
			{"intercom", "X-Hub-Signature", "", "sha1=" + macHex(sha1New, hush, body)},
			{"linear", "Linear-Signature", "", hexSum(body)},
			{"razorpay", "X-Razorpay-Signature", "", hexSum(body)},
			{"slack", "X-Slack-Signature", "X-Slack-Request-Timestamp", "v0=" + hexSum("v0:"+timestamp+":"+body)},
			{"zoom", "x-zm-signature", "x-zm-request-timestamp", "v0=" + hexSum("v0:"+timestamp+":"+body)},
			{"shopify", "X-Shopify-Hmac-Sha256", "", textSum(body)},
			{"square", "X-Square-HmacSha256-Signature", "", textSum(url + body)},
			{"zendesk", "X-Zendesk-Webhook-Signature", "X-Zendesk-Webhook-Signature-Timestamp", textSum(timestamp + body)},
			{"hubspot", "X-HubSpot-Signature-v3", "X-HubSpot-Request-Timestamp", textSum("POST" + url + body + timestamp)},
			{"gitlab", gitlabTokenHeader, "", hush},
		} {
			s := sample{source: withSecret(form.provider, hush), request: post(body, form.header, header, form.atHeader, timestamp)}
			if accepted(t, s) && header != form.want && !sameHex(form.want, header) {
				t.Fatalf("%s: accepted %q for %q", form.provider, header, body)
			}
		}
		s := sample{source: withSecret("hubspot", hush), request: post(body, hubspotSignature, header, hubspotVersion, version)}
		if accepted(t, s) && !sameHex(sha256Hex(hush+body), header) && !sameHex(sha256Hex(hush+"POST"+url+body), header) {
			t.Fatalf("hubspot: accepted %q for %q", header, body)
		}
	})
}

func FuzzSignatureForms(f *testing.F) {
	s := signed(f, "twilio", "MessageSid=SM1&MessageStatus=sent")
	f.Add(s.request.header(twilioSignature), "", string(s.request.Body))
	f.Add("", "bodySHA256="+sha256Hex("{}"), "{}")
	f.Add("", "bt_challenge=20f9f8ed05f77439fe955c977e4c8a53", "")
	f.Add("", "", string(signed(f, "braintree", "<notification><kind>check</kind></notification>").request.Body))
	f.Fuzz(func(t *testing.T, header, query, body string) {
		const base = "https://in.example/x?"
		s := sample{source: withSecret("twilio", hush), request: post(body, twilioSignature, header)}.on(http.MethodPost, base+query)
		if accepted(t, s) && !slices.Contains(twilioSums(base, query, body), header) {
			t.Fatalf("twilio: accepted %q for %q and %q", header, query, body)
		}
		s = sample{source: withSecret("braintree", "pub|"+hush), request: post(body)}.on(http.MethodPost, base+query)
		if accepted(t, s) && !braintreeSigned(body) {
			t.Fatalf("braintree: accepted %q", body)
		}
		_, _ = Accept(s.source, s.on(http.MethodGet, base+query).request)
	})
}

// twilioSums returns the signatures that a form, or a body whose hash is in the query, may have.
func twilioSums(base, query, body string) []string {
	fields := ""
	// ParseQuery skips what it cannot read.
	if q, _ := url.ParseQuery(query); q.Has("bodySHA256") && !sameHex(sha256Hex(body), q.Get("bodySHA256")) {
		return nil
	} else if values, err := url.ParseQuery(body); err == nil && !q.Has("bodySHA256") {
		names := []string{}
		for name := range values {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			slices.Sort(values[name])
			for _, value := range slices.Compact(values[name]) {
				fields += name + value
			}
		}
	}
	sums := []string{}
	for _, u := range []string{base + query, strings.Replace(base, ".example", ".example:443", 1) + query} {
		sums = append(sums, macBase64(sha1New, hush, u+fields))
	}
	return sums
}

func braintreeSigned(body string) bool {
	values, err := url.ParseQuery(body)
	if err != nil {
		return false
	}
	payload, signature := values.Get("bt_payload"), strings.ToLower(values.Get("bt_signature"))
	return strings.Contains(signature, "pub|"+macHex(sha1New, sha1Raw(hush), payload)) ||
		strings.Contains(signature, "pub|"+macHex(sha1New, sha1Raw(hush), payload+"\n"))
}

func FuzzSignatureAdyen(f *testing.F) {
	f.Add("", string(vector(f, "Adyen, event").request.Body))
	f.Add("", string(vector(f, "Adyen, report").request.Body))
	f.Add(adyenPlatformSample.request.header("HmacSignature"), adyenPlatformBody)
	f.Fuzz(func(t *testing.T, header, body string) {
		s := sample{source: withSecret("adyen", adyenTestKey), request: post(body)}
		if accepted(t, s) && !adyenSigned(body) {
			t.Fatalf("accepted %q", body)
		}
		s.request.Header.Set("HmacSignature", header)
		key, _ := hex.DecodeString(adyenTestKey)
		if accepted(t, s) && header != macBase64(sha256New, string(key), body) {
			t.Fatalf("accepted %q for %q", header, body)
		}
	})
}

// adyenSigned reports whether every item carries its signature.
func adyenSigned(body string) bool {
	var batch map[string]json.RawMessage
	var items []map[string]map[string]any
	if json.Unmarshal([]byte(body), &batch) != nil || json.Unmarshal(batch["notificationItems"], &items) != nil {
		return false
	}
	key, _ := hex.DecodeString(adyenTestKey)
	for _, item := range items {
		i := item["NotificationRequestItem"]
		extra, _ := i["additionalData"].(map[string]any)
		amount, _ := i["amount"].(map[string]any)
		text := func(v any) string {
			if s, ok := v.(string); ok {
				return s
			}
			if v == nil {
				return ""
			}
			raw, _ := json.Marshal(v)
			return string(raw)
		}
		signed := strings.Join([]string{
			text(i["pspReference"]), text(i["originalReference"]), text(i["merchantAccountCode"]), text(i["merchantReference"]),
			text(amount["value"]), text(amount["currency"]), text(i["eventCode"]), text(i["success"]),
		}, ":")
		if extra["hmacSignature"] != macBase64(sha256New, string(key), signed) {
			return false
		}
	}
	return len(items) > 0
}

func FuzzSignaturePublicKeys(f *testing.F) {
	f.Add(discordSample.request.header(discordSignature), "1700000000", string(discordSample.request.Body))
	f.Add(sendgridTestSignature, "1600112502", sendgridBody)
	f.Add(ed25519Sample.request.header("webhook-signature"), "1700000000", demoBody)
	f.Fuzz(func(t *testing.T, header, timestamp, body string) {
		public := discordPair.Public().(ed25519.PublicKey)
		s := sample{source: discordSample.source, request: post(body, discordSignature, header, discordTimestamp, timestamp)}
		if raw, err := hex.DecodeString(header); accepted(t, s) && (err != nil || !ed25519.Verify(public, []byte(timestamp+body), raw)) {
			t.Fatalf("discord: accepted %q", header)
		}
		s = sample{source: ed25519Sample.source, request: post(body, "webhook-id", "msg_1", "webhook-timestamp", timestamp,
			"webhook-signature", header)}
		right := "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(discordPair, []byte("msg_1."+timestamp+"."+body)))
		if accepted(t, s) && !strings.Contains(header, right) {
			t.Fatalf("ed25519: accepted %q", header)
		}
		// Nobody here can sign for SendGrid, so there is just one signed body.
		s = sample{source: withSecret("sendgrid", sendgridTestKey),
			request: post(body, sendgridSignature, header, sendgridTimestamp, timestamp)}
		if accepted(t, s) && timestamp+body != "1600112502"+sendgridBody {
			t.Fatalf("sendgrid: accepted %q for %q", header, body)
		}
	})
}

// FuzzWebhookJSON holds that what is read as JSON is JSON for others as well.
func FuzzWebhookJSON(f *testing.F) {
	for _, body := range []string{demoBody, slackGoBody, sendgridBody, adyenPlatformBody, `{"a":{"a":[{}]},"":1e9}`, "[\"\\ud800\"]"} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		value, err := parseValue(body)
		if err == nil && (!json.Valid(body) || string(value) != strings.Trim(string(body), " \t\r\n")) {
			t.Fatalf("read %q as %q", body, value)
		}
		o, err := parseObject(body)
		var members map[string]json.RawMessage
		if err == nil && (json.Unmarshal(body, &members) != nil || len(members) != len(o)) {
			t.Fatalf("read %q as %q", body, o)
		}
		if elements, err := parseArray(body); err == nil {
			for _, element := range elements {
				if !json.Valid(element) {
					t.Fatalf("read %q as %q", body, elements)
				}
			}
		}
		if payload, err := anyPayload(body); err == nil && !json.Valid(payload) {
			t.Fatalf("made %q of %q", payload, body)
		}
		if fields, err := parseForm(string(body)); err == nil {
			if payload, err := fields.payload(); err == nil && !json.Valid(payload) {
				t.Fatalf("made %q of %q", payload, body)
			}
		}
	})
}

// The signers of the tests name the hashes once.
var (
	sha1New   = sha1.New
	sha256New = sha256.New
)
