package webhook

import (
	"errors"
	"testing"
)

func TestConfiguredHMAC(t *testing.T) {
	t.Parallel()
	const url = "https://in.example/hook"
	for _, tt := range []struct {
		name   string
		hmac   HMAC
		secret string
		url    string
		body   string
		pairs  []string
		id     string
		kind   string
	}{
		{"the defaults", HMAC{Header: "X-Sig"}, hush, "", demoBody, []string{"X-Sig", macHex(sha256New, hush, demoBody)},
			"evt_1", "demo"},
		{"SHA-1, base64, prefix", HMAC{Header: "X-Sig", Hash: "sha1", Encoding: "base64", Prefix: "sha1="}, hush, "", demoBody,
			[]string{"X-Sig", "sha1=" + macBase64(sha1New, hush, demoBody)}, "evt_1", "demo"},
		{"everything signed", HMAC{Header: "X-Sig", Signed: "{method}|{url}|{id}|{timestamp}|{body}", IDHeader: "X-Id",
			TimestampHeader: "X-At", TypeHeader: "X-Type"}, hush, "", demoBody,
			[]string{"X-Sig", macHex(sha256New, hush, "POST|"+url+"|7|1700000000|"+demoBody), "X-Id", "7", "X-At", "1700000000",
				"X-Type", "thing"}, "7", "thing"},
		{"registered URL", HMAC{Header: "X-Sig", Signed: "{url}{body}"}, hush, "https://public.example/hook", demoBody,
			[]string{"X-Sig", macHex(sha256New, hush, "https://public.example/hook"+demoBody)}, "evt_1", "demo"},
		{"milliseconds", HMAC{Header: "X-Sig", Signed: "{timestamp}.{body}", TimestampHeader: "X-At", TimestampFormat: "unix-ms"},
			hush, "", demoBody, []string{"X-Sig", macHex(sha256New, hush, "1700000000500."+demoBody), "X-At", "1700000000500"},
			"evt_1", "demo"},
		{"Calendly", HMAC{Header: "Calendly-Webhook-Signature", Label: "v1", TimestampLabel: "t", Signed: "{timestamp}.{body}"},
			hush, "", demoBody, []string{"Calendly-Webhook-Signature",
				"t=1700000000,v1=364620c0450db061014da991fa75af498829cf1e5046e450fe78c1430d4bcc73"}, "evt_1", "demo"},
		{"Typeform", HMAC{Header: "Typeform-Signature", Encoding: "base64", Prefix: "sha256="}, hush, "", demoBody,
			[]string{"Typeform-Signature", "sha256=eIZr4w7+bdPfiIlWQt+8OCZkU1Jh8ay0qHZkVKR61DE="}, "evt_1", "demo"},
		{"Mollie", HMAC{Header: "X-Mollie-Signature", Prefix: "sha256="}, hush, "", demoBody, []string{"X-Mollie-Signature",
			"sha256=78866be30efe6dd3df88895642dfbc382664535261f1acb4a8766454a47ad431"}, "evt_1", "demo"},
		{"a list of base64, semicolons", HMAC{Header: "X-Sig", Label: "s", Separator: ";", Encoding: "base64"}, hush, "", demoBody,
			[]string{"X-Sig", "s=AAAA;s=eIZr4w7+bdPfiIlWQt+8OCZkU1Jh8ay0qHZkVKR61DE="}, "evt_1", "demo"},
		{"hexadecimal key", HMAC{Header: "X-Sig", Key: "hex"}, "68757368", "", demoBody,
			[]string{"X-Sig", macHex(sha256New, hush, demoBody)}, "evt_1", "demo"},
		{"base64 key", HMAC{Header: "X-Sig", Key: "base64"}, "aHVzaA==", "", demoBody,
			[]string{"X-Sig", macHex(sha256New, hush, demoBody)}, "evt_1", "demo"},
		{"pointers", HMAC{Header: "X-Sig", IDPointer: "/meta/a~1b~0c", TypePointer: "/meta/name"}, hush, "",
			`{"meta":{"a/b~c":"deep","name":"n"}}`,
			[]string{"X-Sig", macHex(sha256New, hush, `{"meta":{"a/b~c":"deep","name":"n"}}`)}, "deep", "n"},
		{"no id", HMAC{Header: "X-Sig", IDOfBody: true}, hush, "", "text", []string{"X-Sig", macHex(sha256New, hush, "text")},
			"sha256:" + sha256Hex("text"), ""},
		{"braces in the body", HMAC{Header: "X-Sig", IDOfBody: true}, hush, "", "{url}{id", []string{"X-Sig",
			macHex(sha256New, hush, "{url}{id")}, "sha256:" + sha256Hex("{url}{id"), ""},
	} {
		s := sample{source: withSecret("generic", tt.secret), request: post(tt.body, tt.pairs...)}
		s.source.HMAC, s.source.NotificationURL, s.request.URL = &tt.hmac, tt.url, url
		receipt, err := Accept(s.source, s.request)
		if err != nil || len(receipt.Events) != 1 || receipt.Events[0].ID != tt.id || receipt.Events[0].Type != tt.kind {
			t.Errorf("%s: got %+v, %v", tt.name, receipt, err)
		}
		for i := 0; i < len(tt.pairs); i += 2 {
			c := s.clone()
			c.request.Header.Del(tt.pairs[i])
			if _, err := Accept(c.source, c.request); tt.pairs[i] != "X-Type" && err != ErrInvalidSignature { //nolint:errorlint // exactly
				t.Errorf("%s without %s: got %v", tt.name, tt.pairs[i], err)
			}
		}
		s.request.Body = append(s.request.Body, ' ')
		s.refused(t, tt.name)
	}
}

func TestBadHMACs(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]HMAC{
		"no header":          {},
		"no such hash":       {Header: "X", Hash: "md5"},
		"no such encoding":   {Header: "X", Encoding: "base32"},
		"no such key":        {Header: "X", Key: "pem"},
		"no such timestamp":  {Header: "X", TimestampFormat: "rfc2822"},
		"unknown name":       {Header: "X", Signed: "{body}{nonce}"},
		"open brace":         {Header: "X", Signed: "{body}{id"},
		"body not signed":    {Header: "X", Signed: "{id}{timestamp}", IDHeader: "I", TimestampHeader: "T"},
		"two timestamps":     {Header: "X", Signed: "{timestamp}{body}", Label: "v", TimestampLabel: "t", TimestampHeader: "T"},
		"timestamp unsigned": {Header: "X", Label: "v", TimestampLabel: "t"},
		"no label":           {Header: "X", TimestampLabel: "t", Signed: "{timestamp}{body}"},
		"label and prefix":   {Header: "X", Label: "v1", Prefix: "sha256="},
		"no timestamp":       {Header: "X", Signed: "{timestamp}{body}"},
		"no id":              {Header: "X", Signed: "{id}{body}"},
		"no pointer":         {Header: "X", IDPointer: "id"},
		"empty pointer":      {Header: "X", TypePointer: "/"},
	} {
		s := withSecret("generic", hush)
		s.HMAC = &h
		if err := s.Validate(); !errors.Is(err, ErrNotConfigured) {
			t.Errorf("%s: got %v", name, err)
		}
		if _, err := Accept(s, post("")); !errors.Is(err, ErrNotConfigured) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	s := withSecret("generic", "xyz")
	s.HMAC = &HMAC{Header: "X", Key: "hex"}
	if err := s.Validate(); !errors.Is(err, ErrNotConfigured) {
		t.Errorf("a secret that is not hexadecimal: got %v", err)
	}
}

func TestSignedURL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ registered, request, want string }{
		{"", "https://a/x?q=1", "https://a/x?q=1"},
		{"https://b/y", "https://a/x", "https://b/y"},
		{"https://b/y?p=1", "https://a/x", "https://b/y?p=1"},
		{"https://b/y", "https://a/x?q=1", "https://b/y?q=1"},
		{"https://b/y?p=1", "https://a/x?p=1&bodySHA256=00", "https://b/y?p=1&bodySHA256=00"},
	} {
		s := Source{NotificationURL: tt.registered}
		if got := s.signedURL(Request{URL: tt.request}); got != tt.want {
			t.Errorf("%q and %q: got %q, want %q", tt.registered, tt.request, got, tt.want)
		}
	}
	for url, want := range map[string]string{
		"https://a/x":          "https://a:443/x",
		"http://a":             "http://a:80",
		"https://a:443/x?y=:1": "https://a/x?y=:1",
		"https://a:8443":       "https://a",
		"https://[::1]:443/x":  "https://[::1]/x",
		"https://[::1]/x":      "https://[::1]:443/x",
	} {
		if got := portVariants(url); len(got) != 2 || got[0] != url || got[1] != want {
			t.Errorf("%s: got %q, want %q", url, got, want)
		}
	}
	for _, url := range []string{"", "x", "ftp://a/x", "https://%zz", "https:///x", "/x"} {
		if got := portVariants(url); len(got) != 1 || got[0] != url {
			t.Errorf("%s: got %q", url, got)
		}
	}
}

// TestTwilioBodies holds that no part of a body escapes the signature.
func TestTwilioBodies(t *testing.T) {
	t.Parallel()
	signature := macBase64(sha1New, hush, "https://in.example/x")
	s := sample{source: withSecret("twilio", hush), request: post("", "X-Twilio-Signature", signature)}.
		on("POST", "https://in.example/x")
	if !s.valid() {
		t.Fatal("an empty form was refused")
	}
	for _, body := range []string{`{"a":1}`, "a=b", "a", "=", "%41", "\x00", "a;b", "%zz"} {
		if body == "=" {
			continue // a field without name and value adds nothing to what is signed
		}
		s.request.Body = []byte(body)
		s.refused(t, body)
	}
	s = vector(t, "twilio-python, JSON")
	s.request.URL += "&bodySHA256=00"
	s.refused(t, "two hashes of the body")
}

// TestTwilioQueries holds that a URL whose query is no form can be signed as well.
func TestTwilioQueries(t *testing.T) {
	t.Parallel()
	for _, query := range []string{"a;b", "%zz", "a=%", "=", "&&", "x=1?y=2"} {
		url := "https://in.example/x?" + query
		s := sample{source: withSecret("twilio", hush), request: post("To=1",
			"X-Twilio-Signature", macBase64(sha1New, hush, url+"To1"))}.on("POST", url)
		if !s.valid() {
			t.Errorf("%s: refused", query)
		}
		s.request.URL += "&bodySHA256=" + sha256Hex("To=1")
		s.refused(t, query)
	}
}
