package webhook

import (
	"net/http"
	"slices"
	"testing"
)

// The body and the secret of the derived vectors.
const (
	demoBody = `{"id":"evt_1","type":"demo"}`
	hush     = "hush"
)

func withSecret(provider string, secrets ...string) Source {
	return Source{Provider: provider, Secrets: secrets}
}

// received sets when a sample was received: a second after its timestamp.
func (s sample) received(unix int64) sample {
	s.request.ReceivedAt = at(unix)
	return s
}

// on sets the method and the URL of a sample.
func (s sample) on(method, url string) sample {
	s.request.Method, s.request.URL = method, url
	return s
}

func github(name, secret, body, signature string) sample {
	header, value := "X-Hub-Signature-256", "sha256="+signature
	if len(signature) == 40 {
		header, value = "X-Hub-Signature", "sha1="+signature
	}
	return sample{name: name, source: withSecret("github", secret), header: header, request: post(body, header, value)}
}

func slack(name, secret, body, timestamp, signature string) sample {
	return sample{name: name, source: withSecret("slack", secret), header: "X-Slack-Signature",
		request: post(body, "X-Slack-Signature", "v0="+signature, "X-Slack-Request-Timestamp", timestamp)}
}

func standard(name, secret, id, timestamp, body, signatures string) sample {
	return sample{name: name, source: withSecret("standardwebhooks", secret), header: "webhook-signature",
		request: post(body, "webhook-id", id, "webhook-timestamp", timestamp, "webhook-signature", signatures)}
}

func twilio(name, url, body, signature string) sample {
	return sample{name: name, source: withSecret("twilio", "12345"), header: "X-Twilio-Signature", same: sameForm,
		request: post(body, "X-Twilio-Signature", signature)}.on(http.MethodPost, url)
}

func square(name, key, url, body, signature string) sample {
	return sample{name: name, source: withSecret("square", key), header: "X-Square-HmacSha256-Signature",
		request: post(body, "x-square-hmacsha256-signature", signature)}.on(http.MethodPost, url)
}

func hubspot(name, method, body, version, signature string) sample {
	return sample{name: name, source: withSecret("hubspot", "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"),
		header:  "X-HubSpot-Signature",
		request: post(body, "X-HubSpot-Signature", signature, "X-HubSpot-Signature-Version", version),
	}.on(method, "https://www.example.com/webhook_uri")
}

const adyenTestKey = "DFB1EB5485895CFA84146406857104ABB4CBCABDC8AAF103A624C8F6A3EAAB00"

func adyen(name, eventCode, signature string) sample {
	return sample{name: name, source: withSecret("adyen", adyenTestKey), same: sameAdyen, request: post(
		`{"live":"false","notificationItems":[` + adyenTestItem(eventCode, "true", signature) + `]}`)}
}

func adyenTestItem(eventCode, success, signature string) string {
	return `{"NotificationRequestItem":{"pspReference":"pspReference","originalReference":"originalReference",` +
		`"merchantAccountCode":"merchantAccount","merchantReference":"reference",` +
		`"amount":{"value":1000,"currency":"EUR"},"eventCode":"` + eventCode + `","success":"` + success + `",` +
		`"eventDate":"2019-06-28T18:03:50+01:00","additionalData":{"hmacSignature":"` + signature + `"}}}`
}

// bare is a sample whose signature stands alone in a header and whose secret is hush.
func bare(name, provider, header, signature string, headers ...string) sample {
	return sample{name: name, source: withSecret(provider, hush), header: header,
		request: post(demoBody, append([]string{header, signature}, headers...)...)}
}

func paddle(name, secret, body, signature string) sample {
	return sample{name: name, source: withSecret("paddle", secret), header: "Paddle-Signature",
		request: post(body, "Paddle-Signature", signature)}
}

func stripe(name, secret, body, signature string) sample {
	return sample{name: name, source: withSecret("stripe", secret), header: "Stripe-Signature",
		request: post(body, "Stripe-Signature", signature)}
}

func razorpay(name, secret, body, signature string) sample {
	return sample{name: name, source: withSecret("razorpay", secret), header: "X-Razorpay-Signature",
		request: post(body, "X-Razorpay-Signature", signature)}
}

// publishedVectors are what providers show in their documentation, or test their libraries with.
var publishedVectors = []sample{
	// docs.github.com, "Validating webhook deliveries"
	github("GitHub docs", "It's a Secret to Everybody", "Hello, World!",
		"757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"),
	// github.com/octokit/webhooks-methods.js
	github("octokit", "mysecret", `{"foo":"bar"}`, "4864d2759938a15468b5df9ade20bf161da9b4f737ea61794142f3484236bda3"),
	github("octokit, text", "secret", "data", "1b2c16b75bd2a870c114153ccda5bcfca63314bc722fa160d690de133ccbb9db"),
	github("octokit, unicode", "development", octokitUnicode,
		"afecc3caa27548bb90d51a50384cb2868b9a3327b4ad6a01c9bd4ed0f8b0b12c"),
	// github.com/adnanh/webhook
	github("adnanh/webhook", "secret", `{"a": "z"}`, "f417af3a21bd70379b5796d5f013915e7029f62c580fb0f500f59a35a6f04c89"),
	github("adnanh/webhook, SHA-1", "secret", `{"a": "z"}`, "b17e04cbb22afa8ffbff8796fc1894ed27badd9e"),
	// docs.slack.dev, "Verifying requests from Slack"
	slack("Slack docs", "8f742231b10e8888abcd99yyyzzz85a5", slackDocsBody, "1531420618",
		"a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503").received(1531420618),
	// github.com/slack-go/slack
	slack("slack-go", "e6b19c573432dcc6b075501d51b51bb8", slackGoBody, "1531431954",
		"adada4ed31709aef585c2580ca3267678c6a8eaeb7e0c1aca3ee57b656886b2c").received(1531431954),
	// github.com/standard-webhooks/standard-webhooks
	standard("Standard Webhooks", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330",
		`{"test": 2432232314}`, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=").received(1614265330),
	standard("Standard Webhooks, no prefix", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek",
		"1614265330", `{"test": 2432232314}`, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=").received(1614265330),
	standard("Standard Webhooks, Rust", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
		"1649367553", `{"email":"test@example.com","username":"test_user"}`,
		"v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=").received(1649367553),
	// www.twilio.com/docs, "Webhooks security"
	twilio("Twilio docs", "https://example.com/myapp.php?foo=1&bar=2", twilioWire, "L/OH5YylLD5NRKLltdqwSvS0BnU="),
	// github.com/twilio/twilio-python
	twilio("twilio-python", "https://mycompany.com/myapp.php?foo=1&bar=2", twilioPython, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
	twilio("twilio-python, port 443", "https://mycompany.com:443/myapp.php?foo=1&bar=2", twilioPython,
		"kvajT1Ptam85bY51eRf/AJRuM3w="),
	twilio("twilio-python, port 443 was signed", "https://mycompany.com/myapp.php?foo=1&bar=2", twilioPython,
		"kvajT1Ptam85bY51eRf/AJRuM3w="),
	twilio("twilio-python, port 443 was not signed", "https://mycompany.com:443/myapp.php?foo=1&bar=2", twilioPython,
		"RSOYDt4T1cUTdK1PDd93/VVr8B8="),
	twilio("twilio-python, port 80", "http://mycompany.com:80/myapp.php?foo=1&bar=2", twilioPython,
		"0ZXoZLH/DfblKGATFgpif+LLRf4="),
	twilio("twilio-python, port 1234", "http://mycompany.com:1234/myapp.php?foo=1&bar=2", twilioPython,
		"Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
	twilio("twilio-python, a value twice", "https://mycompany.com/myapp.php?foo=1&bar=2",
		"Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234", "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
	twilioJSON,
	// github.com/sendgrid/sendgrid-nodejs
	{name: "SendGrid", source: withSecret("sendgrid", sendgridTestKey), header: sendgridSignature, request: post(sendgridBody,
		sendgridSignature, sendgridTestSignature, sendgridTimestamp, "1600112502")},
	// github.com/PaddleHQ/paddle-go-sdk
	paddle("Paddle, Go", "pdl_ntfset_01hsdn8d43dt7mezr1ef2jtbaw_hKkRiCGyyRhbFwIUuqiTBgI7gnWoV0Gr", paddleGoBody,
		"ts=1710929255;h1=6c05ef8fa83c44d751be6d259ec955ce5638e2c54095bf128e408e2fce1589c8").received(1710929255),
	// github.com/PaddleHQ/paddle-node-sdk
	paddle("Paddle, Node", "VALID_SECRET", `{"data": ["1", "2"]}`,
		"ts=1698796800;h1=a300428748dce5c70e4da19bffd60769591ea969c99dea3105d0ec9612cf43f9").received(1698796800),
	// github.com/square/square-nodejs-sdk
	square("Square", "Ibxx_5AKakO-3qeNVR61Dw", "https://webhook.site/679a4f3a-dcfa-49ee-bac5-9d0edad886b9", squareBody,
		"GF4YkrJgGBDZ9NIYbNXBnMzqb2HoL4RW/S6vkZ9/2N4="),
	square("Square, short", "signature-key", "https://webhook.site/webhooks",
		`{"data":{"type":"webhooks","id":"fake_id"}}`, "W3FlCNk5IA3ZQ2LHTWoajvzfaDu/OwY2tNHIHC3IUOA="),
	square("Square, angle brackets", "signature-key", "https://webhook.site/webhooks",
		`{"data":{"type":"webhooks","id":">id<"}}`, "Cxt7+aTi4rKgcA0bC4g9EHdVtLSDWdqccmL5MvihU4U="),
	// github.com/Adyen/adyen-node-api-library
	adyen("Adyen, report", "REPORT_AVAILABLE", "ZNBPtI+oDyyRrLyD1XirkKnQgIAlFc07Vj27TeHsDRE="),
	adyen("Adyen, event", "EVENT", "ipnxGCaUZ4l8TUW75a71/ghd2Fe5ffvX0pV4TLTntIc="),
	// github.com/razorpay/razorpay-node
	razorpay("Razorpay, Node", "123456", `{"a":1,"b":2,"c":{"d":3}}`,
		"2fe04e22977002e6c7cb553adab8b460cb9e2a4970d5953cb27a8472752e3bbc"),
	// github.com/razorpay/razorpay-go
	razorpay("Razorpay, Go", "123456", razorpayGoBody, "ea962f3a2a8090aa14ef10fc178306edcb46ee7ccadae8afe2275cda26f3d2a6"),
	// developers.hubspot.com, "Validating requests"
	hubspot("HubSpot v1", http.MethodPost, hubspotBody, "v1",
		"232db2615f3d666fe21a8ec971ac7b5402d33b9a925784df3ca654d05f4817de"),
	hubspot("HubSpot v2, GET", http.MethodGet, "", "v2", "eee2dddcc73c94d699f5e395f4b9d454a069a6855fbfa152e91e88823087200e"),
	hubspot("HubSpot v2, POST", http.MethodPost, `{"example_field":"example_value"}`, "v2",
		"9569219f8ba981ffa6f6f16aa0f48637d35d728c7e4d93d0d52efaa512af7900"),
	// github.com/coinbase/coinbase-commerce-node
	{name: "Coinbase Commerce", header: "X-CC-Webhook-Signature", source: Source{Provider: "generic",
		Secrets: []string{"30291a20-0bd1-4267-9b0f-e6e7b123c0bf"},
		HMAC:    &HMAC{Header: "X-CC-Webhook-Signature", IDPointer: "/event/id", TypePointer: "/event/type"}},
		request: post(coinbaseBody, "X-CC-Webhook-Signature",
			"8be7742c7d372f08a6a3224edadf18a22b65fa9e28f3f2de97376cdaa092590d")},
	// github.com/frain-dev/convoy
	{name: "Convoy, SHA-512", header: "X-Convoy-Signature", source: Source{Provider: "generic", Secrets: []string{"Convoy"},
		HMAC: &HMAC{Hash: "sha512", Header: "X-Convoy-Signature", IDOfBody: true}},
		request: post("Test Payload Body", "X-Convoy-Signature", convoySignature)},
}

var twilioJSON = sample{
	name: "twilio-python, JSON", source: withSecret("twilio", "12345"), header: "X-Twilio-Signature",
	request: post(`{"property": "value", "boolean": true}`, "X-Twilio-Signature", "a9nBmqA0ju/hNViExpshrM61xv4="),
}.on(http.MethodPost, "https://mycompany.com/myapp.php?foo=1&bar=2&bodySHA256="+
	"0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620")

// derivedVectors are not published: they were computed by other programs than this one.
var derivedVectors = []sample{
	stripe("Stripe", "whsec_test_secret", demoBody,
		"t=1700000000,v1=4a5a14b5c2e11e6a4a1c12c52e0706bc1669cc5d0251cd8c20651cfb6aaba94a"),
	// The body is that of stripe-node's tests, which sign it when they run.
	stripe("Stripe, stripe-node", "whsec_test_secret", "{\n  \"id\": \"evt_test_webhook\",\n  \"object\": \"event\"\n}",
		"t=1492774577,v1=c2f890decbc5ede7c5060bb9a6d31e0626a4342bacb9aeae2adb1bcea72f9812").received(1492774577),
	bare("Shopify", "shopify", "X-Shopify-Hmac-Sha256", "eIZr4w7+bdPfiIlWQt+8OCZkU1Jh8ay0qHZkVKR61DE="),
	bare("Shopify, events", "shopify", "Shopify-Hmac-Sha256", "eIZr4w7+bdPfiIlWQt+8OCZkU1Jh8ay0qHZkVKR61DE="),
	bare("Linear", "linear", "Linear-Signature", "78866be30efe6dd3df88895642dfbc382664535261f1acb4a8766454a47ad431"),
	bare("Razorpay", "razorpay", "X-Razorpay-Signature", "78866be30efe6dd3df88895642dfbc382664535261f1acb4a8766454a47ad431"),
	bare("Intercom", "intercom", "X-Hub-Signature", "sha1=aaea62770f819fffb51c6760a648c200cdad0a49"),
	bare("Zoom", "zoom", "x-zm-signature", "v0=8ffe12eff8b7f4179653672ddf29ffc18fa9bc0780876701581d547d426c5438",
		"x-zm-request-timestamp", "1700000000"),
	bare("HubSpot v3", "hubspot", "X-HubSpot-Signature-v3", "zDu7jQWC4elB6nLg+exkLGDiz3N5Z4xhFPO2P/r9ieA=",
		"X-HubSpot-Request-Timestamp", "1700000000000").on(http.MethodPost, "https://in.example/hs"),
	{name: "Braintree", source: withSecret("braintree", "integration_public_key|integration_private_key"), same: sameBraintree,
		request: post("bt_signature=integration_public_key%7C10bf71f9a7343c54ee69013cabea1aad72f18f73" +
			"&bt_payload=PG5vdGlmaWNhdGlvbi8%2B%0A")},
	sample{name: "Zendesk", source: withSecret("zendesk", "not-a-real-secret-conformance-fixture-only"),
		header: "X-Zendesk-Webhook-Signature", request: post(`{"ticket":{"id":42,"status":"open"}}`,
			"X-Zendesk-Webhook-Signature", "imSBmAjFoQlrb7kHW9Xe96ySL8AuJ/CULYmz2ag9yls=",
			"X-Zendesk-Webhook-Signature-Timestamp", "2022-05-05T18:32:28Z")}.received(1651775548),
	{name: "generic", source: withSecret("generic", "whsec_test_secret"), header: "X-Syllecta-Signature",
		request: post(demoBody, "X-Syllecta-Signature",
			"t=1700000000,v1=4a5a14b5c2e11e6a4a1c12c52e0706bc1669cc5d0251cd8c20651cfb6aaba94a")},
}

// allSamples are the vectors, and those whose keys are made here.
func allSamples(t testing.TB) []sample {
	t.Helper()
	all := slices.Concat(publishedVectors, rfc8032Samples, derivedVectors)
	return append(all, discordSample, ed25519Sample, gitlabSample, adyenPlatformSample, paypalSample(t))
}

func TestVectors(t *testing.T) {
	t.Parallel()
	for _, s := range allSamples(t) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			if !s.valid() {
				_, err := Accept(s.source, s.request)
				t.Fatalf("refused: %v", err)
			}
		})
	}
}
