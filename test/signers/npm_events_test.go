//go:build npm

package signers

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/syllecta/syllecta/api/webhook"
)

// signed is an event that a library signs, and what must be read from it.
type signed struct {
	call
	provider string
	headers  map[string]string // what the provider sends besides
	covered  []string          // what of the body is signed; nil is all of it

	// They report whether a changed body, or header of the library's, is another spelling of the same; nil is never.
	sameBody, sameHeader func(before, after string) bool

	id, eventType string
}

const (
	npmURL       = "https://in.example/hook"
	adyenKey     = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
	braintreeKey = "integration_public_key|integration_private_key"
)

var signedEvents = map[string]signed{
	"github": {
		call: call{
			Secret: "It's a Secret to Everybody",
			Body:   `{"action":"opened","issue":{"number":1,"title":"Foo\n\u001b[34m ♥ é"}}`,
		},
		provider: "github", sameHeader: sameHex,
		headers: map[string]string{
			"X-GitHub-Event": "issues", "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
			"Content-Type": "application/json",
		},
		id: "72d3162e-cc78-11e3-81ab-4c9367dc0958", eventType: "issues.opened",
	},
	"stripe": {
		call: call{Secret: stripeSecret, Body: `{
  "id": "evt_1", "object": "event", "created": 1700000000, "type": "charge.dispute.created",
  "data": {"object": {"id": "dp_1", "status": "needs_response", "reason": "♥"}}
}`},
		provider: "stripe", sameHeader: sameHex, id: "evt_1", eventType: "chargeback.opened",
	},
	"standardwebhooks": {
		call: call{
			Secret: standardSecret, ID: "msg_p5jXN8AQM9LWM0D4loKWxJek", Body: `{"type":"user.created","data":{"name":"é"}}`,
		},
		provider: "standardwebhooks", id: "msg_p5jXN8AQM9LWM0D4loKWxJek", eventType: "user.created",
	},
	"svix": {
		call: call{
			Secret: standardSecret, ID: "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", Body: `{"type":"user.deleted","data":{"name":"é"}}`,
		},
		provider: "svix", id: "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", eventType: "user.deleted",
	},
	"twilio": {
		call: call{Secret: "12345", URL: npmURL + "?foo=1&bar=2", Fields: map[string]any{
			"MessageSid": "SM1", "MessageStatus": "delivered", "To": "+18005551212", "Body": "10 % off & more = é ♥",
			"Empty": "", "MediaUrl": []string{"https://b.example/2", "https://a.example/1"},
		}},
		provider: "twilio", headers: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
		sameBody: sameForm, id: "SM1/delivered", eventType: "message.delivered",
	},
	"twilioJSON": {
		call:     call{Secret: "12345", URL: npmURL, Body: `{"type":"com.twilio.test","data":"♥"}`},
		provider: "twilio", headers: map[string]string{"I-Twilio-Idempotency-Token": "0c0e8d5f-1"}, id: "0c0e8d5f-1",
	},
	"hubspotV1": {
		call: call{Secret: "client-secret", Body: hubspotBody}, provider: "hubspot",
		sameHeader: sameHex, id: hubspotID, eventType: "contact.creation",
	},
	"hubspotV2": {
		call: call{Secret: "client-secret", Body: hubspotBody}, provider: "hubspot",
		sameHeader: sameHex, id: hubspotID, eventType: "contact.creation",
	},
	"hubspotV3": {
		call: call{Secret: "client-secret", Body: hubspotBody}, provider: "hubspot",
		id: hubspotID, eventType: "contact.creation",
	},
	"adyen": {
		call: call{Secret: adyenKey, Body: `{"additionalData":{"disputeStatus":"Undefended"},"pspReference":"QFQTPCQ8HXSKGK82",` +
			`"originalReference":"W9HHRPX2J5NG5XZ3","merchantAccountCode":"Shop_ECOM","merchantReference":"order-7",` +
			`"amount":{"value":1130,"currency":"EUR"},"eventCode":"CHARGEBACK",` +
			`"eventDate":"2023-11-14T22:13:20+00:00","success":"true"}`},
		provider: "adyen",
		covered:  []string{"QFQTPCQ8HXSKGK82", "W9HHRPX2J5NG5XZ3", "Shop_ECOM", "order-7", "1130", "EUR", "CHARGEBACK", "true"},
		id:       "QFQTPCQ8HXSKGK82/CHARGEBACK/true", eventType: "chargeback.opened",
	},
	"adyenPlatform": {
		call: call{
			Secret: adyenKey,
			Body:   `{"type":"balancePlatform.transfer.created","timestamp":"2023-11-14T22:13:20Z","data":{"id":"é"}}`,
		},
		provider: "adyen", eventType: "balancePlatform.transfer.created",
	},
	"braintree": {
		call:     call{Secret: braintreeKey, Kind: "dispute_lost"},
		provider: "braintree", headers: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
		sameBody: sameBraintreeForm, eventType: "chargeback.lost",
	},
}

const (
	hubspotBody = `[{"portalId":62515,"subscriptionId":25,"eventId":1,"occurredAt":1700000000000,"objectId":123,` +
		`"subscriptionType":"contact.creation","attemptNumber":0,"note":"é ♥"}]`
	hubspotID = "62515/25/1/1700000000000/123"
)

// fill adds what is the same in all calls that sign.
func (s *signed) fill(library string) {
	s.Library, s.Action, s.Method, s.Seconds = library, "sign", http.MethodPost, now.Unix()
	if s.URL == "" {
		s.URL = npmURL
	}
}

// source is where the event goes.
func (s signed) source() webhook.Source {
	return webhook.Source{Provider: s.provider, Secrets: []string{s.Secret}}
}

// request is the library's answer as it arrives.
func (s signed) request(answer reply) webhook.Request {
	headers := http.Header{}
	for name, value := range s.headers {
		headers.Set(name, value)
	}
	for name, value := range answer.Headers {
		headers.Set(name, value)
	}
	r := request([]byte(answer.Body), headers)
	r.URL = s.URL
	if answer.URL != "" {
		r.URL = answer.URL
	}
	return r
}

// sameHex reports whether two headers differ only in the case of hexadecimal digits after the last label.
func sameHex(before, after string) bool {
	digits := strings.LastIndex(before, "=") + 1
	return len(before)-digits >= 64 && before[:digits] == after[:digits] && strings.EqualFold(before[digits:], after[digits:])
}

// sameForm reports whether two forms have the same fields, however they are escaped.
func sameForm(before, after string) bool {
	a, errA := url.ParseQuery(before)
	b, errB := url.ParseQuery(after)
	return errA == nil && errB == nil && a.Encode() == b.Encode()
}

// sameBraintreeForm is sameForm for a signature whose hexadecimal digits may have either case.
func sameBraintreeForm(before, after string) bool {
	a, errA := url.ParseQuery(before)
	b, errB := url.ParseQuery(after)
	if errA != nil || errB != nil {
		return false
	}
	publicA, sumA, _ := strings.Cut(a.Get("bt_signature"), "|")
	publicB, sumB, _ := strings.Cut(b.Get("bt_signature"), "|")
	return publicA == publicB && strings.EqualFold(sumA, sumB) && a.Get("bt_payload") == b.Get("bt_payload")
}
