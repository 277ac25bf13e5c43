package webhook

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

const adyenBatch = `{"live":"false","notificationItems":[%s,%s]}`

// adyenHMAC signs an item of adyenTestItem.
func adyenHMAC(eventCode, success string) string {
	key, err := hex.DecodeString(adyenTestKey)
	if err != nil {
		panic(err)
	}
	return macBase64(sha256New, string(key),
		"pspReference:originalReference:merchantAccount:reference:1000:EUR:"+eventCode+":"+success)
}

func TestAdyenBatch(t *testing.T) {
	t.Parallel()
	item := func(code, success string) string { return adyenTestItem(code, success, adyenHMAC(code, success)) }
	batch := func(a, b string) sample {
		return sample{source: withSecret("adyen", adyenTestKey), request: post(fmt.Sprintf(adyenBatch, a, b))}
	}
	s := batch(item("AUTHORISATION", "true"), item("NOTIFICATION_OF_CHARGEBACK", "true"))
	receipt, err := Accept(s.source, s.request)
	if err != nil || len(receipt.Events) != 2 {
		t.Fatalf("got %+v, %v", receipt, err)
	}
	if a := receipt.Answer; string(a.Body) != "[accepted]" || a.Status != 200 || !strings.HasPrefix(a.ContentType, "text/plain") {
		t.Errorf("the answer is %+v", a)
	}
	first, second := receipt.Events[0], receipt.Events[1]
	if first.ID != "pspReference/AUTHORISATION/true" || first.Type != "payment.authorized" || first.RawType != "AUTHORISATION" {
		t.Errorf("got %+v", first)
	}
	if second.ID != "pspReference/NOTIFICATION_OF_CHARGEBACK/true" || second.Type != "chargeback.opened" {
		t.Errorf("got %+v", second)
	}
	if !strings.HasPrefix(string(first.Payload), `{"pspReference":`) || first.OccurredAt.Format("15:04 MST") != "17:03 UTC" {
		t.Errorf("got payload %s, at %v", first.Payload, first.OccurredAt)
	}

	good := item("AUTHORISATION", "true")
	batch(good, adyenTestItem("CAPTURE", "true", "")).refused(t, "an item without a signature")
	batch(good, adyenTestItem("CAPTURE", "true", adyenHMAC("CAPTURE", "false"))).refused(t, "an item with another's signature")
	batch(good, strings.Replace(good, `"pspReference":"p`, `"pspReference":"x","pspReference":"p`, 1)).
		refused(t, "an item with two references")
	batch(good, `{}`).refused(t, "an empty item")
	batch(good, `7`).refused(t, "an item that is no object")
	for _, body := range []string{`{}`, `{"notificationItems":[]}`, `{"notificationItems":{}}`, `{"notificationItems":null}`, `[]`, ``} {
		sample{source: withSecret("adyen", adyenTestKey), request: post(body)}.refused(t, body)
	}

	mixed := batch(good, item("CAPTURE", "true"))
	mixed.source.Secrets = []string{"00ff", adyenTestKey, "ff00"}
	if !mixed.valid() {
		t.Error("refused with the secret in the middle")
	}
}

// TestAdyenEmptyMembers holds that members that are missing are signed as nothing.
func TestAdyenEmptyMembers(t *testing.T) {
	t.Parallel()
	key, err := hex.DecodeString(adyenTestKey)
	if err != nil {
		t.Fatal(err)
	}
	signature := macBase64(sha256New, string(key), "7914073381342284::TestMerchant:TestPayment-1407325143704:1130:EUR:AUTHORISATION:true")
	s := sample{source: withSecret("adyen", adyenTestKey), request: post(`{"notificationItems":[{"NotificationRequestItem":{` +
		`"pspReference":"7914073381342284","merchantAccountCode":"TestMerchant","merchantReference":"TestPayment-1407325143704",` +
		`"amount":{"value":1130,"currency":"EUR"},"eventCode":"AUTHORISATION","success":"true",` +
		`"additionalData":{"hmacSignature":"` + signature + `"}}}]}`)}
	if !s.valid() {
		t.Error("refused")
	}
}

func TestSendGridBatch(t *testing.T) {
	t.Parallel()
	s := vector(t, "SendGrid")
	receipt, err := Accept(s.source, s.request)
	if err != nil || len(receipt.Events) != 1 {
		t.Fatalf("got %+v, %v", receipt, err)
	}
	e := receipt.Events[0]
	if e.ID != "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA" || e.RawType != "dropped" || e.OccurredAt.Unix() != 1600112492 {
		t.Errorf("got %+v", e)
	}
	if string(e.Payload) != strings.TrimSuffix(sendgridBody[1:], "]\r\n") {
		t.Errorf("got %s", e.Payload)
	}
	s.request.Body = []byte(strings.TrimSuffix(sendgridBody, "\r\n"))
	s.refused(t, "the body without its line break")
}

func TestHubSpotBatch(t *testing.T) {
	t.Parallel()
	s := signed(t, "hubspot", `[ {"eventId":1,"portalId":2}, {"eventId":2,"portalId":2,"subscriptionType":"deal.creation"} ]`)
	receipt, err := Accept(s.source, s.request)
	if err != nil || len(receipt.Events) != 2 || receipt.Events[0].ID == receipt.Events[1].ID {
		t.Fatalf("got %+v, %v", receipt, err)
	}
	if e := receipt.Events[1]; e.ID != "2//2//" || e.Type != "deal.creation" || string(e.Payload) !=
		`{"eventId":2,"portalId":2,"subscriptionType":"deal.creation"}` {
		t.Errorf("got %+v", e)
	}
	empty := signed(t, "hubspot", `[]`)
	if receipt, err := Accept(empty.source, empty.request); err != nil || len(receipt.Events) != 0 {
		t.Errorf("an empty batch: got %+v, %v", receipt, err)
	}
}

// TestHubSpotURL holds that a URL is tried as it is, and with the escapes decoded that HubSpot decodes.
func TestHubSpotURL(t *testing.T) {
	t.Parallel()
	s := signed(t, "hubspot", `[]`)
	s.request.URL = "https://in.example/x?to=https%3A%2f%2Fb.example%40c&keep=%20%26"
	for _, url := range []string{s.request.URL, "https://in.example/x?to=https://b.example@c&keep=%20%26"} {
		s.request.Header.Set("X-HubSpot-Signature-v3", macBase64(sha256New, hush, "POST"+url+"[]1700000000000"))
		if !s.valid() {
			t.Errorf("refused a signature of %s", url)
		}
	}
	s.request.Header.Set("X-HubSpot-Signature-v3",
		macBase64(sha256New, hush, "POSThttps://in.example/x?to=https://b.example@c&keep= &[]1700000000000"))
	s.refused(t, "a URL that was decoded entirely")
}

// TestTwilioCallIDs holds that what a caller keys in twice in a call are two events, and a retry is none.
func TestTwilioCallIDs(t *testing.T) {
	t.Parallel()
	first := idOf(t, signed(t, "twilio", "CallSid=CA1&CallStatus=in-progress&Digits=1"))
	retry := idOf(t, signed(t, "twilio", "CallSid=CA1&CallStatus=in-progress&Digits=1"))
	second := idOf(t, signed(t, "twilio", "CallSid=CA1&CallStatus=in-progress&Digits=2"))
	if first != retry || first == second {
		t.Errorf("got the ids %q, %q and %q", first, retry, second)
	}
}
