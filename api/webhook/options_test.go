package webhook

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/syllecta/syllecta/fsm"
)

const allOptions = `{"toleranceSeconds":60,"notificationUrl":"https://in.example/hook?source=a","webhookId":"WH-1",` +
	`"hmac":{"hash":"sha512","encoding":"base64","key":"hex","header":"X-Sig","label":"v1","timestampLabel":"t",` +
	`"separator":";","signed":"{timestamp}.{id}.{body}","timestampFormat":"unix-ms","idHeader":"X-Id","idPointer":"/a",` +
	`"idOfBody":true,"typeHeader":"X-Type","typePointer":"/b"}}`

func TestParseOptions(t *testing.T) {
	t.Parallel()
	o, err := ParseOptions([]byte(allOptions))
	if err != nil {
		t.Fatal(err)
	}
	s := o.Source("generic", []string{hush})
	want := Source{
		Provider: "generic", Secrets: []string{hush}, Tolerance: time.Minute, WebhookID: "WH-1",
		NotificationURL: "https://in.example/hook?source=a", HMAC: &HMAC{
			Hash: "sha512", Encoding: "base64", Key: "hex", Header: "X-Sig", Label: "v1", TimestampLabel: "t", Separator: ";",
			Signed: "{timestamp}.{id}.{body}", TimestampFormat: "unix-ms", IDHeader: "X-Id", IDPointer: "/a", IDOfBody: true,
			TypeHeader: "X-Type", TypePointer: "/b",
		},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got %+v", s)
	}
	again, err := json.Marshal(o)
	if err != nil || string(again) != allOptions {
		t.Errorf("written again: %s, %v", again, err)
	}
	for _, text := range []string{"", "{}", ` {"hmac":null}`} {
		if o, err := ParseOptions([]byte(text)); err != nil || !reflect.DeepEqual(o, Options{}) {
			t.Errorf("%s: %+v, %v", text, o, err)
		}
	}
}

// TestOptionsReachEveryMember holds that a source can be configured with everything that there is.
func TestOptionsReachEveryMember(t *testing.T) {
	t.Parallel()
	o, err := ParseOptions([]byte(allOptions))
	if err != nil {
		t.Fatal(err)
	}
	s := reflect.ValueOf(o.Source("generic", []string{hush}))
	for i := range s.NumField() {
		switch name := s.Type().Field(i).Name; name {
		case "Certificates", "Roots": // not the tenant's to say
		default:
			if s.Field(i).IsZero() {
				t.Errorf("nothing sets %s", name)
			}
		}
	}
	h := reflect.ValueOf(*o.HMAC)
	for i := range h.NumField() {
		switch name := h.Type().Field(i).Name; name {
		case "Prefix", "TimestampHeader": // instead of what is set
		default:
			if h.Field(i).IsZero() {
				t.Errorf("nothing sets HMAC.%s", name)
			}
		}
	}
}

func TestOptionsAreRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`null`:                                 "not an object",
		`[]`:                                   "not an object",
		`{`:                                    "not JSON",
		`{}x`:                                  "not JSON",
		`{"webhookId":"` + "\xff" + `"}`:       "not JSON",
		`{"colour":1}`:                         "colour is not known",
		`{"ToleranceSeconds":1}`:               "ToleranceSeconds is not known",
		`{"hmac":{"header":"X","salt":1}}`:     "hmac.salt is not known",
		`{"webhookId":"a","webhookId":"b"}`:    "webhookId is given twice",
		`{"toleranceSeconds":"5"}`:             "toleranceSeconds is not of its type",
		`{"toleranceSeconds":-1}`:              "toleranceSeconds is not between",
		`{"toleranceSeconds":86401}`:           "toleranceSeconds is not between 0 and 86400",
		`{"toleranceSeconds":1e99}`:            "toleranceSeconds is not of its type, or too large",
		`{"webhookId":"a\n"}`:                  "webhookId",
		`{"notificationUrl":"/hook"}`:          "notificationUrl is not an absolute",
		`{"notificationUrl":"ftp://a/b"}`:      "notificationUrl is not an absolute",
		`{"notificationUrl":"https://a b/"}`:   "notificationUrl is not a URL",
		`{"notificationUrl":"https://u@a/"}`:   "notificationUrl has a user",
		`{"notificationUrl":"https://a/#"}`:    "notificationUrl has a user or a fragment",
		`{"hmac":{}}`:                          "hmac: the header",
		`{"hmac":{"header":"X","hash":"md5"}}`: "hmac: an algorithm",
		`{"hmac":{"header":"X","signed":"x"}}`: "hmac: the template",
		`{"notificationUrl":"https://a/` + strings.Repeat("a", fsm.MaxURLBytes) + `"}`: "notificationUrl is longer than 2048",
		`{"webhookId":"` + strings.Repeat("a", MaxWebhookIDBytes+1) + `"}`:             "webhookId is longer than 128",
		`{"webhookId":"` + strings.Repeat("a", fsm.MaxSourceOptionsBytes) + `"}`:       "at most 4096",
	} {
		o, err := ParseOptions([]byte(text))
		if !errors.Is(err, ErrNotConfigured) || !strings.Contains(err.Error(), want) || !reflect.DeepEqual(o, Options{}) {
			t.Errorf("%.80s: %+v, %v", text, o, err)
		}
	}
}

// FuzzOptions: what can be read can be written and read again.
func FuzzOptions(f *testing.F) {
	f.Add(allOptions)
	f.Add(`{"hmac":{"header":"X"}}`)
	f.Add(`{"toleranceSeconds":5,"notificationUrl":"http://[::1]:80/"}`)
	f.Fuzz(func(t *testing.T, text string) {
		o, err := ParseOptions([]byte(text))
		if err != nil {
			return
		}
		b, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseOptions(b)
		if len(b) <= fsm.MaxSourceOptionsBytes && (err != nil || !reflect.DeepEqual(again, o)) {
			t.Fatalf("%s became %+v, %v", text, again, err)
		}
	})
}
