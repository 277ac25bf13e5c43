package webhook

import (
	"net/http"
	"strconv"
	"testing"
	"time"
)

// timedSamples have a signed timestamp. Each was received a second after it.
func timedSamples(t *testing.T) map[string]time.Duration {
	t.Helper()
	return map[string]time.Duration{
		"Stripe": DefaultTolerance, "generic": DefaultTolerance, "Slack docs": DefaultTolerance,
		"Standard Webhooks": DefaultTolerance, "Standard Webhooks, ed25519": DefaultTolerance, "Paddle, Go": DefaultTolerance,
		"Zoom": DefaultTolerance, "HubSpot v3": DefaultTolerance, "Zendesk": DefaultTolerance, "GitLab": DefaultTolerance,
		// These have no default.
		"SendGrid": 0, "Discord": 0, "PayPal": 0,
	}
}

func TestTolerance(t *testing.T) {
	t.Parallel()
	defaults := timedSamples(t)
	seen := 0
	for _, s := range allSamples(t) {
		tolerance, timed := defaults[s.name]
		if !timed {
			continue
		}
		seen++
		signedAt := s.request.ReceivedAt.Add(-time.Second)
		if s.name == "SendGrid" {
			signedAt = time.Unix(1600112502, 0)
		}
		if tolerance == 0 {
			for _, sign := range []time.Duration{-1, 1} {
				s.request.ReceivedAt = signedAt.Add(sign * 1000 * time.Hour)
				if !s.valid() {
					t.Errorf("%s: an age of %d × 1000 h was refused although it is not checked", s.name, sign)
				}
			}
		} else {
			checkEdges(t, s, signedAt, tolerance)
		}
		s.source.Tolerance = 10 * time.Second
		checkEdges(t, s, signedAt, 10*time.Second)
		s.source.Tolerance = time.Hour
		checkEdges(t, s, signedAt, time.Hour)
	}
	if seen != len(defaults) {
		t.Fatalf("found %d of %d samples", seen, len(defaults))
	}
}

func checkEdges(t *testing.T, s sample, signedAt time.Time, tolerance time.Duration) {
	t.Helper()
	for _, d := range []time.Duration{-tolerance, 0, tolerance} {
		s.request.ReceivedAt = signedAt.Add(d)
		if !s.valid() {
			t.Errorf("%s: refused %v after it was signed, with a tolerance of %v", s.name, d, tolerance)
		}
	}
	for _, d := range []time.Duration{-tolerance - time.Nanosecond, tolerance + time.Nanosecond} {
		s.request.ReceivedAt = signedAt.Add(d)
		s.refused(t, s.name+" outside its tolerance")
	}
	s.request.ReceivedAt = time.Time{}
	s.refused(t, s.name+" received at no time")
}

// TestUnsignedTimestamps holds that what nobody signed is not judged.
func TestUnsignedTimestamps(t *testing.T) {
	t.Parallel()
	for _, s := range allSamples(t) {
		switch s.source.Provider {
		case "github", "shopify", "square", "twilio", "adyen", "braintree", "razorpay", "intercom":
			s.source.Tolerance = time.Second
			s.request.ReceivedAt = time.Unix(4_000_000_000, 0)
			if !s.valid() {
				t.Errorf("%s: refused for its age", s.name)
			}
		}
	}
}

func TestLinearTimestamp(t *testing.T) {
	t.Parallel()
	signedAt := time.UnixMilli(1_700_000_000_123)
	s := signedHex("linear", "Linear-Signature", "", `{"type":"Issue","webhookTimestamp":1700000000123}`)
	checkEdges(t, s, signedAt, time.Minute)
	s.source.Tolerance = time.Hour
	checkEdges(t, s, signedAt, time.Hour)
	for _, body := range []string{
		`{"webhookTimestamp":"soon"}`, `{"webhookTimestamp":1.7e12}`, `{"webhookTimestamp":null}`, `{"webhookTimestamp":-1}`,
	} {
		signedHex("linear", "Linear-Signature", "", body).refused(t, body)
	}
}

func TestParseTimestamp(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text   string
		format timestampFormat
		want   string
	}{
		{"1700000000", unixSeconds, "2023-11-14T22:13:20Z"},
		{"0", unixSeconds, "1970-01-01T00:00:00Z"},
		{"999999999999", unixSeconds, "33658-09-27T01:46:39Z"},
		{"1700000000123", unixMillis, "2023-11-14T22:13:20.123Z"},
		{"2019-06-28T18:03:50+01:00", rfc3339, "2019-06-28T17:03:50Z"},
		{"2022-07-13T20:30:59.037339943Z", rfc3339, "2022-07-13T20:30:59.037339943Z"},
		{"", unixSeconds, ""},
		{"-1", unixSeconds, ""},
		{"+1", unixSeconds, ""},
		{" 1", unixSeconds, ""},
		{"1_0", unixSeconds, ""},
		{"0x1", unixSeconds, ""},
		{"1.5", unixSeconds, ""},
		{"1e3", unixSeconds, ""},
		{"١", unixSeconds, ""},
		{"1000000000000", unixSeconds, ""},
		{"9999999999999999", unixMillis, ""},
		{"99999999999999999999999", unixMillis, ""},
		{"1700000000", rfc3339, ""},
		{"2019-06-28", rfc3339, ""},
	} {
		got, ok := tt.format.parse(tt.text)
		if ok != (tt.want != "") || ok && got.Format(time.RFC3339Nano) != tt.want {
			t.Errorf("%q: got %v, %v, want %q", tt.text, got, ok, tt.want)
		}
	}
}

// TestTimestampsOfManyDigits holds that no timestamp passes by way of an overflow.
func TestTimestampsOfManyDigits(t *testing.T) {
	t.Parallel()
	for digits := 1; digits < 40; digits++ {
		timestamp := "9223372036854775807000000000000000000000"[:digits]
		s := post(demoBody, "Stripe-Signature", "t="+timestamp+",v1="+
			macHex(sha256New, hush, timestamp+"."+demoBody))
		sample{source: withSecret("stripe", hush), request: s}.refused(t, strconv.Itoa(digits)+" digits")
	}
}

func signedHex(provider, header, prefix, body string) sample {
	return sample{name: provider, source: withSecret(provider, hush), header: header,
		request: post(body, header, prefix+macHex(sha256New, hush, body))}.on(http.MethodPost, "https://in.example/x")
}
