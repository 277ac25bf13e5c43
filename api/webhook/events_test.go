package webhook

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// signed signs a body the way its provider does, with the secret hush, and adds headers in pairs.
func signed(t testing.TB, provider, body string, headers ...string) sample {
	t.Helper()
	const now = "1700000000"
	s := sample{name: provider, source: withSecret(provider, hush), request: post(body, headers...)}
	set := s.request.Header.Set
	switch provider {
	case "stripe":
		set("Stripe-Signature", "t="+now+",v1="+macHex(sha256New, hush, now+"."+body))
	case "generic":
		set("X-Syllecta-Signature", "t="+now+",v1="+macHex(sha256New, hush, now+"."+body))
	case "paddle":
		set("Paddle-Signature", "ts="+now+";h1="+macHex(sha256New, hush, now+":"+body))
	case "shopify":
		set("X-Shopify-Hmac-Sha256", macBase64(sha256New, hush, body))
	case "square":
		set("X-Square-HmacSha256-Signature", macBase64(sha256New, hush, s.request.URL+body))
	case "github":
		set("X-Hub-Signature-256", "sha256="+macHex(sha256New, hush, body))
	case "intercom":
		set("X-Hub-Signature", "sha1="+macHex(sha1New, hush, body))
	case "linear":
		set("Linear-Signature", macHex(sha256New, hush, body))
	case "razorpay":
		set("X-Razorpay-Signature", macHex(sha256New, hush, body))
	case "gitlab":
		set(gitlabTokenHeader, hush)
	case "slack":
		set("X-Slack-Request-Timestamp", now)
		set("X-Slack-Signature", "v0="+macHex(sha256New, hush, "v0:"+now+":"+body))
	case "zoom":
		set("x-zm-request-timestamp", now)
		set("x-zm-signature", "v0="+macHex(sha256New, hush, "v0:"+now+":"+body))
	case "zendesk":
		set("X-Zendesk-Webhook-Signature-Timestamp", "2023-11-14T22:13:20Z")
		set("X-Zendesk-Webhook-Signature", macBase64(sha256New, hush, "2023-11-14T22:13:20Z"+body))
	case "hubspot":
		set("X-HubSpot-Request-Timestamp", now+"000")
		set("X-HubSpot-Signature-v3", macBase64(sha256New, hush, http.MethodPost+s.request.URL+body+now+"000"))
	case "standardwebhooks":
		s.source.Secrets = []string{base64.StdEncoding.EncodeToString([]byte(hush))}
		set("webhook-id", "msg_1")
		set("webhook-timestamp", now)
		set("webhook-signature", "v1,"+macBase64(sha256New, hush, "msg_1."+now+"."+body))
	case "twilio":
		set("X-Twilio-Signature", macBase64(sha1New, hush, s.request.URL+twilioText(t, body)))
	case "braintree":
		s.source.Secrets = []string{"pub|" + hush}
		payload := base64.StdEncoding.EncodeToString([]byte(body)) + "\n"
		s.request.Body = []byte(url.Values{
			"bt_payload": {payload}, "bt_signature": {"pub|" + macHex(sha1New, sha1Raw(hush), payload)},
		}.Encode())
	case "discord":
		return discordRequest(now, body)
	case "adyen":
		s.source.Secrets = []string{hex.EncodeToString([]byte(hush))}
		set("HmacSignature", macBase64(sha256New, hush, body))
	default:
		t.Fatalf("cannot sign for %s", provider)
	}
	return s
}

// twilioText joins names and values of a form whose names differ.
func twilioText(t testing.TB, body string) string {
	t.Helper()
	values, err := url.ParseQuery(body)
	if err != nil {
		return body
	}
	plain, err := url.QueryUnescape(strings.NewReplacer("&", "", "=", "").Replace(values.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// eventTest is a request and the one event that it holds.
type eventTest struct {
	provider, body string
	headers        []string
	want           Event // Payload "" stands for the body
	at             string
}

// braintreeDispute is laid out as Braintree does.
const braintreeDispute = `<?xml version="1.0" encoding="UTF-8"?>
<notification>
  <kind>dispute_won</kind>
  <timestamp type="datetime">2026-01-02T03:04:05Z</timestamp>
  <subject>
    <dispute><id>dispute-1</id><kind>chargeback</kind><amount>100.00</amount></dispute>
  </subject>
</notification>
`

func headers(pairs ...string) []string { return pairs }

func TestEvents(t *testing.T) {
	t.Parallel()
	for _, tt := range []eventTest{
		{"stripe", `{"id":"evt_1","type":"charge.dispute.updated","created":1492774577,"data":{"object":{"status":"under_review"}}}`,
			nil, Event{ID: "evt_1", RawType: "charge.dispute.updated", Type: "chargeback.under_review"}, "2017-04-21T11:36:17Z"},
		{"stripe", ` {"id":"evt_1","type":"charge.dispute.closed","account":"acct_1","data":{"object":{"status":"lost"}}} `, nil,
			Event{ID: "evt_1/acct_1", RawType: "charge.dispute.closed", Type: "chargeback.lost",
				Payload: []byte(`{"id":"evt_1","type":"charge.dispute.closed","account":"acct_1","data":{"object":{"status":"lost"}}}`)}, ""},
		{"stripe", `{"id":"evt_1","created":1e9,"big":12345678901234567890123,"x":"\ud83d"}`, nil, Event{ID: "evt_1"}, ""},
		{"shopify", `{"id":820982911946154508}`, headers("X-Shopify-Webhook-Id", "b54557e4", "X-Shopify-Event-Id", "98880550",
			"X-Request-Id", "r", "X-Shopify-Topic", "orders/create", "X-Shopify-Triggered-At", "2023-03-29T18:00:27.877041743Z"),
			Event{ID: "b54557e4", RawType: "orders/create", Type: "order.created"}, "2023-03-29T18:00:27.877041743Z"},
		{"shopify", `{}`, headers("X-Shopify-Event-Id", "98880550", "X-Request-Id", "r", "X-Shopify-Topic", "orders/paid"),
			Event{ID: "98880550/orders%2Fpaid", RawType: "orders/paid", Type: "order.paid"}, ""},
		{"shopify", `{}`, headers("X-Request-Id", "r"), Event{ID: "r"}, ""},
		{"shopify", `<order/>`, headers("X-Request-Id", "r"), Event{ID: "r", Payload: []byte(`"<order/>"`)}, ""},
		{"shopify", `{"status":"won"}`, headers("Shopify-Webhook-Id", "w", "Shopify-Topic", "disputes/update"),
			Event{ID: "w", RawType: "disputes/update", Type: "chargeback.won"}, ""},
		{"github", `{"action":"opened","n":1.50}`, headers("X-GitHub-Delivery", "72d3162e", "X-GitHub-Event", "issues"),
			Event{ID: "72d3162e", RawType: "issues.opened"}, ""},
		{"github", `{}`, headers("X-GitHub-Delivery", "72d3162e", "X-GitHub-Event", "push"),
			Event{ID: "72d3162e", RawType: "push"}, ""},
		{"github", `payload=%7B%22action%22%3A%22closed%22%7D`, headers("X-GitHub-Delivery", "72d3162e", "X-GitHub-Event",
			"issues", "Content-Type", "application/x-www-form-urlencoded"),
			Event{ID: "72d3162e", RawType: "issues.closed", Payload: []byte(`{"action":"closed"}`)}, ""},
		{"gitlab", `{"object_kind":"push"}`, headers("Idempotency-Key", "f5e5", "X-Gitlab-Event-UUID", "13792a34"),
			Event{ID: "f5e5", RawType: "push"}, ""},
		{"gitlab", `{"event_name":"user_create"}`, headers("X-Gitlab-Event-UUID", "13792a34"),
			Event{ID: "13792a34/" + url.PathEscape("sha256:"+sha256Hex(`{"event_name":"user_create"}`)), RawType: "user_create"}, ""},
		{"slack", slackGoBody, nil, Event{ID: "TvBP7LRED7", RawType: "app_mention"}, "2018-07-12T21:45:54Z"},
		{"slack", `token=x&trigger_id=13.1&command=%2Fdeploy&text=a+b`, nil, Event{ID: "13.1", RawType: "slash_command",
			Payload: []byte(`{"token":"x","trigger_id":"13.1","command":"/deploy","text":"a b"}`)}, ""},
		{"slack", `payload=%7B%22type%22%3A%22block_actions%22%2C%22trigger_id%22%3A%2212.3%22%7D`, nil,
			Event{ID: "12.3", RawType: "block_actions", Payload: []byte(`{"type":"block_actions","trigger_id":"12.3"}`)}, ""},
		{"square", `{"event_id":"ac3a","type":"payment.updated","created_at":"2022-07-13T20:30:59Z",` +
			`"data":{"object":{"payment":{"status":"COMPLETED"}}}}`, nil,
			Event{ID: "ac3a", RawType: "payment.updated", Type: "payment.succeeded"}, "2022-07-13T20:30:59Z"},
		{"braintree", `<notification><kind>dispute_opened</kind><timestamp type="datetime">2017-06-16T20:44:41Z</timestamp></notification>`,
			nil, Event{RawType: "dispute_opened", Type: "chargeback.opened", ID: "sha256:" + sha256Hex(base64.StdEncoding.EncodeToString(
				[]byte(`<notification><kind>dispute_opened</kind><timestamp type="datetime">2017-06-16T20:44:41Z</timestamp></notification>`))),
				Payload: []byte(`"<notification><kind>dispute_opened</kind><timestamp type=\"datetime\">2017-06-16T20:44:41Z</timestamp></notification>"`)},
			"2017-06-16T20:44:41Z"},
		{"braintree", braintreeDispute, nil, Event{RawType: "dispute_won", Type: "chargeback.won",
			ID:      "sha256:" + sha256Hex(base64.StdEncoding.EncodeToString([]byte(braintreeDispute))),
			Payload: []byte(`"` + strings.NewReplacer("\n", `\n`, `"`, `\"`).Replace(braintreeDispute) + `"`)},
			"2026-01-02T03:04:05Z"},
		{"adyen", adyenPlatformBody, nil, Event{ID: "sha256:" + sha256Hex(adyenPlatformBody),
			RawType: "balancePlatform.transfer.created"}, "2024-02-16T10:34:00Z"},
		{"twilio", `MessageSid=SM1&MessageStatus=delivered`, headers("I-Twilio-Idempotency-Token", "i1"), Event{ID: "i1",
			RawType: "message.delivered", Payload: []byte(`{"MessageSid":"SM1","MessageStatus":"delivered"}`)}, ""},
		{"twilio", `MessageSid=SM1&MessageStatus=delivered`, nil, Event{ID: "SM1/delivered", RawType: "message.delivered",
			Payload: []byte(`{"MessageSid":"SM1","MessageStatus":"delivered"}`)}, ""},
		{"twilio", `Body=hi&MessageSid=SM1&SmsStatus=received`, nil, Event{ID: "SM1/received", RawType: "message.received",
			Payload: []byte(`{"Body":"hi","MessageSid":"SM1","SmsStatus":"received"}`)}, ""},
		{"twilio", `CallSid=CA1&CallStatus=completed&SequenceNumber=2&Timestamp=Wed%2C+02+Aug+2023+16%3A00%3A00+%2B0000`, nil,
			Event{ID: "CA1/completed/2", RawType: "call.completed", Payload: []byte(`{"CallSid":"CA1","CallStatus":"completed",` +
				`"SequenceNumber":"2","Timestamp":"Wed, 02 Aug 2023 16:00:00 +0000"}`)}, "2023-08-02T16:00:00Z"},
		{"paddle", paddleGoBody, nil, Event{ID: "evt_01hsdn97563968dy0szkmgjwh3", RawType: "price.created"},
			"2024-03-20T10:07:35.590857Z"},
		{"standardwebhooks", `{"type":"user.created","timestamp":"2022-11-03T20:26:10.344522Z","data":{}}`, nil,
			Event{ID: "msg_1", RawType: "user.created"}, "2022-11-03T20:26:10.344522Z"},
		{"standardwebhooks", `plain`, nil, Event{ID: "msg_1", Payload: []byte(`"plain"`)}, ""},
		{"linear", `{"type":"Issue","action":"update","createdAt":"2020-01-23T12:53:18.084Z","webhookTimestamp":1700000000000}`,
			headers("Linear-Delivery", "234d1a4e"), Event{ID: "234d1a4e", RawType: "Issue.update"}, "2020-01-23T12:53:18.084Z"},
		{"zendesk", `{"type":"zen:event-type:ticket.created","time":"2023-01-01T00:00:00Z"}`,
			headers("X-Zendesk-Webhook-Invocation-Id", "01EP"),
			Event{ID: "01EP", RawType: "zen:event-type:ticket.created"}, "2023-01-01T00:00:00Z"},
		{"zendesk", `a=b`, headers("X-Zendesk-Webhook-Invocation-Id", "01EP"), Event{ID: "01EP", Payload: []byte(`"a=b"`)}, ""},
		{"intercom", `{"id":"notif_1","topic":"conversation.user.created","created_at":1392731331}`, nil,
			Event{ID: "notif_1", RawType: "conversation.user.created"}, "2014-02-18T13:48:51Z"},
		{"hubspot", hubspotBody, nil, Event{ID: "62515/12345/1/1564113600000/123", RawType: "contact.creation",
			Payload: []byte(hubspotBody[1 : len(hubspotBody)-1])}, "2019-07-26T04:00:00Z"},
		{"hubspot", hubspotBody[1 : len(hubspotBody)-1], nil,
			Event{ID: "62515/12345/1/1564113600000/123", RawType: "contact.creation"}, "2019-07-26T04:00:00Z"},
		{"razorpay", razorpayGoBody, headers("X-Razorpay-Event-Id", "Jx"), Event{ID: "Jx", RawType: "payment.authorized"},
			"2022-05-12T07:16:46Z"},
		{"discord", `{"id":"1178321395302871092","type":2,"version":1}`, nil,
			Event{ID: "1178321395302871092", RawType: "interaction.2"}, "2023-11-26T13:08:32.793Z"},
		{"discord", `{"version":1,"type":1,"event":{"type":"APPLICATION_AUTHORIZED","timestamp":"2024-10-18T14:42:53.064834"}}`, nil,
			Event{ID: "sha256:" + sha256Hex(`{"version":1,"type":1,"event":{"type":"APPLICATION_AUTHORIZED","timestamp":"2024-10-18T14:42:53.064834"}}`),
				RawType: "APPLICATION_AUTHORIZED"}, ""},
		{"zoom", `{"event":"meeting.started","event_ts":1626230691572,"payload":{"object":{"uuid":"4444AAAiAAAAAiAiAiiAii=="}}}`,
			nil, Event{ID: "meeting.started/1626230691572/4444AAAiAAAAAiAiAiiAii==/", RawType: "meeting.started"},
			"2021-07-14T02:44:51.572Z"},
		{"zoom", `{"event":"meeting.participant_joined","event_ts":1,"payload":{"object":{"uuid":"u","participant":{"user_id":"16"}}}}`,
			nil, Event{ID: "meeting.participant_joined/1/u/16", RawType: "meeting.participant_joined"}, "1970-01-01T00:00:00.001Z"},
		{"zoom", `{"event":"user.created"}`, nil,
			Event{ID: "sha256:" + sha256Hex(`{"event":"user.created"}`), RawType: "user.created"}, ""},
		{"generic", `{"id":"order-1","type":"order.paid","data":{"total":10.00}}`, nil,
			Event{ID: "order-1", RawType: "order.paid"}, ""},
		{"generic", `{"\u0069d":"\u00e9","type":7}`, nil, Event{ID: "é"}, ""},
	} {
		t.Run(tt.provider, func(t *testing.T) { tt.check(t) })
	}
}

func (tt eventTest) check(t *testing.T) {
	t.Helper()
	s := signed(t, tt.provider, tt.body, tt.headers...)
	receipt, err := Accept(s.source, s.request)
	if err != nil || len(receipt.Events) != 1 || receipt.Handshake {
		t.Fatalf("%s\ngot %+v, %v", tt.body, receipt, err)
	}
	got, want := receipt.Events[0], tt.want
	if want.Type == "" {
		want.Type = want.RawType
	}
	if want.Payload == nil {
		want.Payload = []byte(tt.body)
	}
	if tt.at != "" {
		if want.OccurredAt, err = time.Parse(time.RFC3339Nano, tt.at); err != nil {
			t.Fatal(err)
		}
	}
	if got.ID != want.ID || got.RawType != want.RawType || got.Type != want.Type {
		t.Errorf("%s\ngot id %q, raw type %q, type %q\nwant %q, %q, %q", tt.body, got.ID, got.RawType, got.Type,
			want.ID, want.RawType, want.Type)
	}
	if !got.OccurredAt.Equal(want.OccurredAt) {
		t.Errorf("%s\ngot %v, want %v", tt.body, got.OccurredAt, want.OccurredAt)
	}
	if string(got.Payload) != string(want.Payload) {
		t.Errorf("got payload  %s\nwant payload %s", got.Payload, want.Payload)
	}
}

// TestUnreadable holds that a good signature on a bad body is told apart from a bad signature.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		provider, body string
		want           error
		headers        []string
	}{
		{"stripe", ``, ErrUnreadable, nil},
		{"stripe", `[]`, ErrUnreadable, nil},
		{"stripe", `{"id":"evt_1"`, ErrUnreadable, nil},
		{"stripe", `{"id":"evt_1"} {}`, ErrUnreadable, nil},
		{"stripe", `{"id":"evt_1"}x`, ErrUnreadable, nil},
		{"stripe", `{"id":"evt_1","id":"evt_2"}`, ErrUnreadable, nil},
		{"stripe", `{"id":"evt_1","\u0069d":"evt_1"}`, ErrUnreadable, nil},
		{"stripe", "{\"id\":\"evt_\xff\"}", ErrUnreadable, nil},
		{"stripe", `{}`, ErrMissingID, nil},
		{"stripe", `{"ID":"evt_1"}`, ErrMissingID, nil},
		{"stripe", `{"id":""}`, ErrMissingID, nil},
		{"stripe", `{"id":null}`, ErrMissingID, nil},
		{"stripe", `{"id":7}`, ErrMissingID, nil},
		{"stripe", `{"id":["evt_1"]}`, ErrMissingID, nil},
		{"stripe", `{"id":"\ud83d"}`, ErrMissingID, nil},
		{"stripe", `{"id":"a\nb"}`, ErrMissingID, nil},
		{"stripe", `{"id":"` + strings.Repeat("x", MaxIDBytes) + `y"}`, ErrMissingID, nil},
		{"generic", `{"type":"a","data":{}}`, ErrMissingID, nil},
		{"github", `{}`, ErrMissingID, nil},
		{"github", `{}`, ErrMissingID, headers("X-GitHub-Delivery", "a", "X-GitHub-Delivery", "b")},
		{"github", `Hello`, ErrUnreadable, headers("X-GitHub-Delivery", "a")},
		{"gitlab", `{}`, ErrMissingID, nil},
		{"shopify", `{}`, ErrMissingID, headers("X-Shopify-Topic", "orders/create")},
		{"slack", `text=a`, ErrMissingID, nil},
		{"slack", `text=%zz`, ErrUnreadable, nil},
		{"slack", `a=%ff`, ErrUnreadable, nil},
		{"slack", `{"type":"event_callback"}`, ErrMissingID, nil},
		{"slack", `trigger_id=1&trigger_id=2`, ErrMissingID, nil},
		{"slack", `payload=%7B`, ErrUnreadable, nil},
		{"slack", `{"type":`, ErrUnreadable, nil},
		{"zoom", `[]`, ErrUnreadable, nil},
		{"discord", `[]`, ErrUnreadable, nil},
		{"gitlab", `x`, ErrUnreadable, nil},
		{"adyen", `[]`, ErrUnreadable, nil},
		{"twilio", `{"a":`, ErrUnreadable, nil},
		{"twilio", `a=%zz`, ErrInvalidSignature, nil},
		{"zendesk", "\xff", ErrUnreadable, nil},
		{"shopify", "\xff", ErrUnreadable, nil},
		{"standardwebhooks", "\xff", ErrUnreadable, nil},
		{"square", `{"data":{"type":"webhooks","id":"fake_id"}}`, ErrMissingID, nil},
		{"hubspot", `[{"portalId":1}]`, ErrMissingID, nil},
		{"hubspot", `[{"eventId":1.5}]`, ErrMissingID, nil},
		{"hubspot", `[1]`, ErrUnreadable, nil},
		{"hubspot", `[` + strings.Repeat(`{"eventId":1},`, MaxEvents) + `{"eventId":1}]`, ErrUnreadable, nil},
		{"braintree", `plain`, ErrUnreadable, nil},
		{"braintree", `<other/>`, ErrUnreadable, nil},
		{"braintree", "", ErrUnreadable, nil},
		{"twilio", `a=b`, ErrMissingID, nil},
		{"razorpay", `{}`, ErrMissingID, nil},
		{"linear", `{}`, ErrMissingID, nil},
		{"zendesk", `{}`, ErrMissingID, nil},
		{"discord", `{"type":2}`, ErrMissingID, nil},
		{"intercom", `{"id":1}`, ErrMissingID, nil},
		{"paddle", `{"event_id":{}}`, ErrMissingID, nil},
	} {
		s := signed(t, tt.provider, tt.body, tt.headers...)
		if receipt, err := Accept(s.source, s.request); !errors.Is(err, tt.want) || len(receipt.Events) > 0 {
			t.Errorf("%s: %.80q: got %+v, %v, want %v", tt.provider, tt.body, receipt, err, tt.want)
		}
	}
}

// TestRepetition holds that an id stays the same where a provider changes the rest.
func TestRepetition(t *testing.T) {
	t.Parallel()
	first := signed(t, "hubspot", hubspotBody)
	again := signed(t, "hubspot", strings.Replace(hubspotBody, `"attemptNumber":0`, `"attemptNumber":1`, 1))
	if a, b := idOf(t, first), idOf(t, again); a != b {
		t.Errorf("HubSpot: a retry has the id %q instead of %q", b, a)
	}
	broken := signed(t, "braintree", "<notification><kind>check</kind></notification>")
	whole := broken.clone()
	whole.request.Body = []byte(strings.Replace(string(whole.request.Body), "%0A", "", 1))
	if a, b := idOf(t, broken), idOf(t, whole); a != b {
		t.Errorf("Braintree: a line break changes the id from %q to %q", a, b)
	}
}

func idOf(t *testing.T, s sample) string {
	t.Helper()
	receipt, err := Accept(s.source, s.request)
	if err != nil || len(receipt.Events) != 1 {
		t.Fatalf("got %+v, %v", receipt, err)
	}
	return receipt.Events[0].ID
}

func TestCompositeIDsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string][]string{}
	for _, parts := range [][]string{
		{"ab", "c"}, {"a", "bc"}, {"abc", ""}, {"", "abc"}, {"a/b", "c"}, {"a", "b/c"}, {"a%2Fb", "c"}, {"a", "b", "c"},
		{"a", "b/c", ""}, {"", "", ""}, {"", ""},
	} {
		id := compositeID(parts...)
		if other, ok := seen[id]; ok {
			t.Errorf("%q and %q have the same id %q", parts, other, id)
		}
		seen[id] = parts
	}
}
