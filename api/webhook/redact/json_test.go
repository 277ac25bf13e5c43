package redact

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// redacted runs JSON, and holds what is true of every result.
func redacted(t *testing.T, payload string) string {
	t.Helper()
	before := strings.Clone(payload)
	src := []byte(payload)
	out := JSON(src)
	if !json.Valid(out) {
		t.Errorf("%.200q became %.200q, which is no JSON", payload, out)
	}
	if again := JSON(out); string(again) != string(out) {
		t.Errorf("%.200q became %.200q, and that %.200q", payload, out, again)
	}
	if string(src) != before {
		t.Errorf("%.200q was changed itself", before)
	}
	return string(out)
}

func TestWhatIsLeft(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{
		`{}`, `[]`, `null`, `true`, `0`, `""`, `"text"`, ` {"a" : [ 1 , 2.50 ] } ` + "\n",
		`{"id":"evt_1","created":1700000000,"livemode":false,"amount":1099,"currency":"usd"}`,
		`{"z":1,"a":2,"m":{"b":1e400,"a":-0.10,"id":9007199254740993}}`,
		`{"text":"a \"quoted\" \/ \u00e9 \ud83d\ude00 <b>&amp;</b>"}`,
		`{"a":1,"a":2}`,     // a member twice
		`{"half":"\ud83d"}`, // half of a surrogate pair
		`{"email":null,"phone":"","token":false,"ip":{}}`, // nothing to hide
		`{"cvc_check":"pass","address_line1_check":true,"brand":"visa","last4":"4242","bin":"424242"}`,
		`{"zip":"12345","company":"Pan Co","opinion":"x","description":"y","mailbox_count":3,"headline1":"z"}`,
		`{"expires_at":1700000000,"order_number":1001,"number":1,"line_items":[{"line":1}],"object":"card"}`,
		`{"address":{"city":"Berlin","country":"DE","postal_code":"10115"}}`,
		`{"idempotency_key":"abc","key":"order-2001","pspReference":"8515961234567890"}`,
		`{"id":"5b1d6f6e-7d1f-4d3c-9a57-0d1b0f7f5a51","at":"2026-11-29T18:27:24.123Z","ms":"1700000000000"}`,
		`{"sha":"6113728f27ae82c7b1a177c8d03f9e96e0adf246","url":"https://api.example.com/v1/orders?page=2&limit=10"}`,
		`{"json":"{\"a\": 1}","broken":"{\"a\": 1","plain":"[not json"}`,
		`{"plan":"basic subscription","note":"the bearer of this letter","price":"1.00","zone":"+0100"}`,
		`{"stock_12345678901234567":"ok","iban_like":"DE00370400440532013000"}`,
		`"[redacted]"`,
	} {
		if got := redacted(t, payload); got != payload {
			t.Errorf("%s became %s", payload, got)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"number_of_card_number", "cardNumber", "CARD-NUMBER", "Card Number", "card.number", "cardnumber", "creditCardNumber", "pan",
		"PAN", "cvc", "CVV", "cvv2", "card_cvc", "securityCode", "card_security_code", "expiry", "expiryDate", "exp_month", "exp-year",
		"expirationMonth", "cardHolderName", "verification_value",
		"iban", "IBAN", "debtor_iban", "accountNumber", "account_number", "bank_account_number", "routing_number", "RoutingNumber",
		"sort_code", "sort-code",
		"password", "user_password", "passwordConfirmation", "secret", "client_secret", "clientSecret", "webhook_secret", "token",
		"access_token", "refreshToken", "id_token", "X-Auth-Token", "api_key", "apiKey", "API Key", "x-api-key", "authorization",
		"Proxy-Authorization", "signature", "X-Hub-Signature-256", "Cookie", "set-cookie", "private_key", "csrf", "otp", "user_pin",
		"email", "Email", "e-mail", "customer_email", "receiptEmail", "email_address", "phone", "phoneNumber", "billing-phone", "mobile",
		"ssn", "SSN", "tax_id", "taxId", "social_security_number", "date_of_birth", "dob",
		"line1", "line2", "address1", "address_line_1", "addressLine2", "street", "streetAddress", "shipping_street", "houseNumberOrName",
		"ip", "ip_address", "ipAddress", "IPAddress", "client_ip", "browser_ip", "shopperIP", "clientIp", "x-forwarded-for", "IPv4", "clientIPv6",
		"pa\u017fsword", "to\u212Aen", "to\u200Bken",
	} {
		quoted, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		for value, want := range map[string]string{
			`"canary"`: `"[redacted]"`, `12345`: `"[redacted]"`, `null`: `null`, `true`: `true`, `""`: `""`,
			`{"a":["canary",1,{"b":2}],"c":null}`: `{"a":["[redacted]","[redacted]",{"b":"[redacted]"}],"c":null}`,
		} {
			payload := fmt.Sprintf(`{"x": {%s : %s}}`, quoted, value)
			if got, want := redacted(t, payload), fmt.Sprintf(`{"x": {%s : %s}}`, quoted, want); got != want {
				t.Errorf("%s became %s", payload, got)
			}
		}
	}
}

func TestNamesOfObjectsAround(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]string{
		`{"card":{"number":"tok","brand":"visa"}}`:         `{"card":{"number":"[redacted]","brand":"visa"}}`,
		`{"cards":[{"number":1},{"number":2}]}`:            `{"cards":[{"number":"[redacted]"},{"number":"[redacted]"}]}`,
		`{"bank_account":{"number":1,"name":"x"}}`:         `{"bank_account":{"number":"[redacted]","name":"x"}}`,
		`{"expiration":{"date":"12/27"}}`:                  `{"expiration":{"date":"[redacted]"}}`,
		`{"api":{"key":"x"}}`:                              `{"api":{"key":"[redacted]"}}`,
		`{"order":{"number":1}}`:                           `{"order":{"number":1}}`,
		`{"address":"1 Main St","billingAddress":"2 Oak"}`: `{"address":"[redacted]","billingAddress":"[redacted]"}`,
		`{"address":{"line1":"1 Main St","city":"X"}}`:     `{"address":{"line1":"[redacted]","city":"X"}}`,
		`{"addresses":{"address":["1 Main St",7]}}`:        `{"addresses":{"address":["[redacted]",7]}}`,
		`{"creditCard":{"bin":"424242","cvv":"123"}}`:      `{"creditCard":{"bin":"424242","cvv":"[redacted]"}}`,
	} {
		if got := redacted(t, payload); got != want {
			t.Errorf("%s became %s, want %s", payload, got, want)
		}
	}
}

// sensitiveValues are texts that are recognised whatever they are called.
var sensitiveValues = []string{
	"4242424242424242", "4242 4242 4242 4242", "4111-1111-1111-1111", "378282246310005", "3782 822463 10005", "30569309025904",
	"6011111111111117", "2223003122003222", "3530111333300000", "6759649826438453", "4222222222222", "6304000000000000000",
	"paid with 5555 5555 5555 4444, thanks", "4242\u00a04242\u00a04242\u00a04242", "4242 - 4242 - 4242 - 4242", "card=4242424242424242;",
	"4242 4242 4242 4242 12 27 123", "order 7 4242424242424242",
	"alice@example.com", "Alice <alice.b+tag@mail.example.co.uk>", "mailto:o'neil@example.org", "https://x.example/?to=a%40example.com",
	"\u00e5sa@exempel.se", "write to bob@example.com today",
	"Bearer abcdefgh12345678", "bearer  eyJhbGciOi", "Authorization: Basic dXNlcjpwYXNz", "basic dXNlcjpwYXNzd29yZA==",
	"sk_live_51H8abcdefgh", "rk_test_abcdefgh12", "pk_live_abcdefgh12", "my key is sk_test_4eC39HqLyjWDarjtT1zdp7dc!",
	"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "ck_0123456789abcdefABCDEF0123456789abcdefABCDEF0123456",
	"pi_3MtwBwLkdIwHu7ix28a3tqPa_secret_YrKJUKribcBjcG8HVhfZluoGH", "shpat_0123456789abcdef0123456789abcdef",
	"ghp_0123456789abcdefABCDEF0123456789abcd", "xoxb-123456789012-abcdef", "SG.abcdefghijklmnop.qrstuvwxyz0123456789",
	"AKIAIOSFODNN7EXAMPLE", "sq0atp-abcdefghijklmnopqrstuv", "access_token$production$abcdefgh$0123456789",
	"kek_0123abcd:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
	"https://user:hunter2@internal/path",
	"DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "gb82west12345698765432", "to FR14 2004 1010 0505 0001 3M02 606 please",
	"NO9386011117947", "MT84MALT011000012345MTLCAST001S",
	"+14155552671", "+1 (415) 555-2671", "whatsapp:+4915123456789",
}

func TestValues(t *testing.T) {
	t.Parallel()
	for _, value := range sensitiveValues {
		quoted, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		escaped := "" // every character as its escape
		for _, unit := range value {
			escaped += fmt.Sprintf(`\u%04x`, unit)
		}
		inner, err := json.Marshal(fmt.Sprintf(`{"note":[%s]}`, quoted))
		if err != nil {
			t.Fatal(err)
		}
		for payload, want := range map[string]string{
			string(quoted):                          `"[redacted]"`,
			`{"note":` + string(quoted) + `,"n":1}`: `{"note":"[redacted]","n":1}`,
			`[["` + escaped + `"]]`:                 `[["[redacted]"]]`,
			`{"a":` + string(inner) + `}`:           `{"a":"{\"note\":[\"[redacted]\"]}"}`,
			`{` + string(quoted) + `:null}`:         `{"[redacted]":null}`,
		} {
			if got := redacted(t, payload); got != want {
				t.Errorf("%s became %s, want %s", payload, got, want)
			}
		}
	}
}

func TestCards(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"4242424242424242": true, "4242424242424241": false,
		"424242424242": false, "42424242424242424242": false, // 12 and 20 digits
		"0000000000000000": false, "8888888888888888": false, "1000000000000008": false,
		"4242  4242  4242  4242": true, "4242    4242    4242    4242": false,
		"4242,4242,4242,4242": false, "4242.4242.4242.4242": false, "": false, "-": false,
		"9792020000000001": true, "9792020000000002": false,
	} {
		if got := hasCard(text); got != want {
			t.Errorf("%q: got %v", text, got)
		}
	}
	for payload, want := range map[string]string{
		`[4242424242424242]`:   `["[redacted]"]`,
		`[378282246310005]`:    `["[redacted]"]`,
		`[5123456789019]`:      `[5123456789019]`, // ids of 13 digits are common
		`[4242424242424241]`:   `[4242424242424241]`,
		`[-4242424242424242]`:  `[-4242424242424242]`,
		`[4242424242424242.0]`: `[4242424242424242.0]`,
	} {
		if got := redacted(t, payload); got != want {
			t.Errorf("%s became %s, want %s", payload, got, want)
		}
	}
}

func TestParameters(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://shop.example/orders/1?key=abc123&lang=en": "https://shop.example/orders/1?key=[redacted]&lang=en",
		"https://x.example/cb?state=1&access_token=abc#t":  "https://x.example/cb?state=1&access_token=[redacted]#t",
		"https://x.example/#id_token=abc":                  "https://x.example/#id_token=[redacted]",
		"user=bob&password=hunter2&a%5Bpin%5D=1":           "user=bob&password=[redacted]&a%5Bpin%5D=[redacted]",
		"sid=1; auth_token=abc; Path=/":                    "sid=1; auth_token=[redacted]; Path=/",
		"1 + 1 = 2; x=y":                                   "1 + 1 = 2; x=y",
	} {
		payload, wanted := fmt.Sprintf("[%q]", text), fmt.Sprintf("[%q]", want)
		if got := redacted(t, payload); got != wanted {
			t.Errorf("%s became %s, want %s", payload, got, wanted)
		}
	}
}

func TestNestedTexts(t *testing.T) {
	t.Parallel()
	canary, wants := `{"n":"x","password":"hunter2"}`, `{"n":"x","password":"[redacted]"}`
	payload, want := canary, wants
	for range 8 {
		payload, want = fmt.Sprintf(`{"body":%q,"n":1}`, payload), fmt.Sprintf(`{"body":%q,"n":1}`, want)
	}
	if got := redacted(t, payload); got != want {
		t.Errorf("got %.300s\nwant %.300s", got, want)
	}
	if got := redacted(t, `"\"\\\"alice@example.com\\\"\""`); strings.Contains(got, "alice") {
		t.Errorf("a text in a text in a text: got %s", got)
	}
}

func TestDepth(t *testing.T) {
	t.Parallel()
	nested := func(open, inner, closed string, levels int) string {
		return strings.Repeat(open, levels) + inner + strings.Repeat(closed, levels)
	}
	for _, c := range []struct{ open, closed string }{{`[`, `]`}, {`{"a":`, `}`}} {
		at := nested(c.open, `1`, c.closed, maxDepth)
		if got := redacted(t, at); got != at {
			t.Errorf("%s, %d levels: something was taken out", c.open, maxDepth)
		}
		beyond := nested(c.open, `"canary"`, c.closed, maxDepth+1)
		if got, want := redacted(t, beyond), nested(c.open, `"[redacted]"`, c.closed, maxDepth); got != want {
			t.Errorf("%s, a level more: got %s", c.open, got)
		}
	}
	if got := redacted(t, strings.Repeat("[", 100_000)); got != `"[redacted]"` {
		t.Errorf("100,000 open brackets: got %.100s", got)
	}
	text := `"alice@example.com"`
	for range 12 { // each level nearly doubles it
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		text = string(quoted)
	}
	if got := redacted(t, text); strings.Contains(got, "alice") {
		t.Errorf("texts in texts: got %.100s", got)
	}
}

func TestNamesThatTell(t *testing.T) {
	t.Parallel()
	got := redacted(t, `{"alice@example.com":1,"bob@example.com":{"x":2},"carol":3}`)
	if want := `{"[redacted]":1,"[redacted 2]":{"x":2},"carol":3}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNotJSON(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{
		"", " ", "{", `{"a":1`, `{"a":1}}`, `{"a":1} {}`, `{"a" 1}`, "alice@example.com", "a=b&c=d", "nul", `{'a':1}`, "\x00",
		`{"password":"hunter2"`, `["hunter2",]`, `"\x41"`, "<xml/>",
	} {
		if got := redacted(t, payload); got != `"[redacted]"` {
			t.Errorf("%q became %s", payload, got)
		}
	}
	if got := redacted(t, "{\"a\":\"\xff alice@example.com\"}"); strings.Contains(got, "alice") {
		t.Errorf("beside what is no UTF-8: got %q", got)
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	sent := http.Header{
		"Authorization": {"Bearer abc"}, "Cookie": {"a=b"}, "X-Api-Key": {"abc"}, "Stripe-Signature": {"t=1,v1=abc"},
		"Webhook-Signature": {"v1,abc"}, "X-Hub-Signature-256": {"sha256=abc"}, "X-Shopify-Hmac-Sha256": {"abc="},
		"Paypal-Transmission-Sig": {"abc"}, "X-Gitlab-Token": {"abc"}, "X-Forwarded-For": {"192.0.2.1", "192.0.2.2"},
		"X-Real-Ip": {"192.0.2.1"}, "Cf-Connecting-Ip": {"192.0.2.1"}, "Forwarded": {"for=192.0.2.1"},
		"X-Note": {"mail alice@example.com", "fine"}, "From": {"alice@example.com"}, "X-Payload": {`{"pin":"1"}`},
		"Content-Type": {"application/json; charset=utf-8"}, "User-Agent": {"Stripe/1.0 (+https://stripe.com/docs/webhooks)"},
		"X-Github-Event": {"push"}, "Webhook-Id": {"msg_1"}, "Webhook-Timestamp": {"1700000000"}, "X-Empty": {}, "X-Blank": {""},
	}
	want := sent.Clone()
	for _, name := range []string{
		"Authorization", "Cookie", "X-Api-Key", "Stripe-Signature", "Webhook-Signature", "X-Hub-Signature-256",
		"X-Shopify-Hmac-Sha256", "Paypal-Transmission-Sig", "X-Gitlab-Token", "X-Real-Ip", "Cf-Connecting-Ip", "Forwarded", "From",
	} {
		want[name] = []string{Redacted}
	}
	want["X-Forwarded-For"] = []string{Redacted, Redacted}
	want["X-Note"] = []string{Redacted, "fine"}
	want["X-Payload"] = []string{`{"pin":"[redacted]"}`}
	before := sent.Clone()
	got := Header(sent)
	for name := range want {
		if !slices.Equal(got[name], want[name]) {
			t.Errorf("%s: got %q, want %q", name, got[name], want[name])
		}
	}
	if len(got) != len(want) || !reflect.DeepEqual(sent, before) || !reflect.DeepEqual(Header(got), got) {
		t.Errorf("got %d headers of %d, or others were changed", len(got), len(want))
	}
	if Header(nil) != nil {
		t.Error("of no headers something was made")
	}
}
