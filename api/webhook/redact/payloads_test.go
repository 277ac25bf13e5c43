package redact

import (
	"encoding/json"
	"strings"
	"testing"
)

// payloads are shaped as providers send them. What begins with canary, and those of canaries, must be gone; what begins
// with keep must be there.
var payloads = map[string]string{
	"stripe": `{
  "id": "keep_evt_1NG8Du2eZvKYlo2CUI79vXWy", "object": "event", "api_version": "2019-02-19", "created": 1686089970,
  "data": {"object": {
    "id": "keep_ch_3MmlLrLkdIwHu7ix0snN0B15", "object": "charge", "amount": 1099, "amount_captured": 1099,
    "billing_details": {
      "address": {"city": "keep_city", "country": "US", "line1": "canary 510 Townsend", "line2": "canary suite", "postal_code": "94103", "state": "CA"},
      "email": "jenny.canary@example.com", "name": null, "phone": "canary 415"
    },
    "client_secret": "pi_3Mtw_secret_YrKJUKcanary1", "description": "for jenny.canary@example.com",
    "metadata": {"order": "keep_6735", "internal": "{\"card\":\"4242 4242 4242 4242\",\"note\":\"keep_note\"}"},
    "payment_method_details": {"card": {
      "brand": "visa", "checks": {"cvc_check": "keep_pass"}, "exp_month": 8, "exp_year": 2026, "last4": "keep_4242",
      "fingerprint": "keep_fp", "number": "canary-number"}, "type": "card"},
    "receipt_email": "jenny.canary@example.com",
    "receipt_url": "https://pay.stripe.com/receipts/payment/keep_CAcaFwo?s=ap&token=canarytoken"
  }},
  "livemode": false, "pending_webhooks": 0, "request": {"id": "keep_req", "idempotency_key": "keep_idem"}, "type": "charge.succeeded"
}`,
	"shopify": `{
  "id": 820982911946154508, "admin_graphql_api_id": "keep_gid://shopify/Order/820982911946154508", "browser_ip": "203.0.113.77",
  "cart_token": "canary-cart", "checkout_token": "canary-checkout", "contact_email": "jon@canary.example", "currency": "USD",
  "email": "jon@canary.example", "name": "keep_#9999", "number": 234, "order_number": 1234, "phone": null,
  "order_status_url": "https://jsmith.myshopify.com/548380009/orders/keep_123456abcd/authenticate?key=canarykey",
  "token": "canary123456abcd", "total_price": "398.00",
  "client_details": {"browser_ip": "203.0.113.77", "user_agent": "keep_agent", "session_hash": null},
  "billing_address": {"first_name": "Steve", "address1": "canary 123 Shipping Street", "phone": "555-canary", "city": "keep_Shippington",
    "zip": "40003", "address2": "canary flat", "country": "United States"},
  "customer": {"id": 115310627314723954, "email": "john@canary.example", "verified_email": true, "tax_exempt": false,
    "default_address": {"id": 715243470612851245, "address1": "canary 123 Elm St.", "phone": "123-123-canary"}},
  "line_items": [{"id": 866550311766439020, "sku": "keep_IPOD2008PINK", "price": "199.00"}],
  "payment_details": {"credit_card_bin": "keep_424242", "credit_card_number": "•••• canary", "credit_card_expiration_month": 11}
}`,
	"adyen": `{
  "live": "false",
  "notificationItems": [{"NotificationRequestItem": {
    "additionalData": {
      "hmacSignature": "canary+JWKczzBiV0yJkA==", "cardSummary": "keep_7777", "expiryDate": "canary/2030", "cardHolderName": "canary J. Smith",
      "shopperEmail": "shopper@canary.example", "shopperIP": "198.51.100.42", "cardBin": "keep_411111", "authCode": "keep_1234",
      "iban": "canary", "bankAccount.iban": "NL13TEST0123456789", "card.cvc": "canary", "billingAddress.street": "canary Road", "metadata.order": "keep_o1"
    },
    "amount": {"currency": "EUR", "value": 1130}, "eventCode": "keep_AUTHORISATION", "eventDate": "2026-11-01T01:00:00+01:00",
    "merchantAccountCode": "keep_Merchant", "merchantReference": "keep_ref", "pspReference": "8515961234567890",
    "reason": "keep_033899:1111:03/2030", "success": "true"
  }}]
}`,
	"paypal": `{
  "id": "keep_WH-2WR32451HC0233532", "create_time": "2026-11-29T10:00:00Z", "resource_type": "capture", "event_type": "PAYMENT.CAPTURE.COMPLETED",
  "resource": {
    "id": "keep_42311647XV020574X", "amount": {"currency_code": "USD", "value": "30.00"}, "status": "keep_COMPLETED",
    "payer": {"email_address": "buyer@canary.example", "payer_id": "keep_QYR5Z8XDVJNXQ",
      "phone": {"phone_type": "HOME", "phone_number": {"national_number": "canary555"}},
      "birth_date": "canary-1990", "tax_info": {"tax_id": "canary-tax", "tax_id_type": "BR_CPF"}},
    "purchase_units": [{"shipping": {"address": {"address_line_1": "canary 1 Main St", "address_line_2": "canary 2", "admin_area_2": "keep_San Jose"}},
      "custom_id": "keep_custom"}],
    "payment_source": {"card": {"number": "4111111111111111", "security_code": "canary", "expiry": "2027-02", "last_digits": "keep_1111"}},
    "links": [{"href": "https://api.paypal.com/v2/payments/captures/keep_42311647XV020574X", "rel": "self"}]
  }
}`,
}

// canaries are what of the payloads must be gone beside what is called so.
var canaries = []string{
	"canary", "4242 4242 4242 4242", "4111111111111111", "203.0.113.77", "198.51.100.42", "NL13TEST0123456789", "2027-02",
}

func TestPayloads(t *testing.T) {
	t.Parallel()
	for provider, payload := range payloads {
		got := redacted(t, payload)
		for _, canary := range canaries {
			if i := strings.Index(got, canary); i >= 0 {
				t.Errorf("%s: %q is left: …%.80s", provider, canary, got[max(0, i-40):])
			}
		}
		if was, is := strings.Count(payload, "keep_"), strings.Count(got, "keep_"); was != is {
			t.Errorf("%s: of %d harmless values %d are left:\n%s", provider, was, is, got)
		}
		if was, is := shape(t, payload), shape(t, got); was != is {
			t.Errorf("%s: the shape has changed:\n%s\n%s", provider, was, is)
		}
	}
}

// shape is a payload without its values.
func shape(t *testing.T, payload string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(payload), &v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(withoutValues(v))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func withoutValues(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = withoutValues(v[name])
		}
		return v
	case []any:
		for i := range v {
			v[i] = withoutValues(v[i])
		}
		return v
	default:
		return nil
	}
}
