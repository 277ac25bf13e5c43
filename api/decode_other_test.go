package api

import (
	"strings"
	"testing"

	"github.com/syllecta/syllecta/fsm"
)

const testTokenText = "000102030405060708090a0b0c0d0e0f"

var testToken = fsm.Token{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

func TestDecodeLock(t *testing.T) {
	t.Parallel()
	id := fsm.RecordID{Scope: "s", Key: "k"}
	body := `{"scope":"s","key":"k","token":"` + testTokenText + `"`
	renew, p := decodeRenew([]byte(body+`,"lockMs":5000}`), "")
	if want := (fsm.Renew{ID: id, Token: testToken, LeaseMs: 5000}); p != nil || renew != want {
		t.Fatalf("got %+v, %+v", renew, p)
	}
	renew, p = decodeRenew([]byte(body+`}`), "")
	if want := (fsm.Renew{ID: id, Token: testToken, KeepLease: true}); p != nil || renew != want {
		t.Fatalf("got %+v, %+v", renew, p)
	}
	release, p := decodeRelease([]byte(`{"scope":"s","token":"`+strings.ToUpper(testTokenText)+`"}`), "k")
	if want := (fsm.Release{ID: id, Token: testToken}); p != nil || release != want {
		t.Fatalf("got %+v, %+v", release, p)
	}
	tests := append([]refusal{
		{"no token", `{"scope":"s","key":"k"}`, missingField, "token is missing"},
		{"no key", `{"scope":"s","token":"` + testTokenText + `"}`, missingField, "key is missing"},
		{"bad lock", body + `,"lockMs":1}`, invalidField, "lockMs"},
	}, notJSON...)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, p := decodeRenew([]byte(tt.body), "")
			tt.check(t, p)
		})
	}
}

func TestDecodeQuery(t *testing.T) {
	t.Parallel()
	got, p := decodeQuery("scope=a+b%26&key=%C3%A9%3D&later=%20&consistency=stale&&ticket=x")
	if want := (recordQuery{"a b&", "é=", "stale"}); p != nil || got != want {
		t.Fatalf("got %+v, %+v", got, p)
	}
	for raw, detail := range map[string]string{
		"scope=a&scope=b":                 "scope is given twice",
		"scope=a&scope=a":                 "scope is given twice",
		"scope=":                          "scope is not 1 to 128",
		"key=%00":                         "key contains a control",
		"key=%C2%85":                      "key contains a control",
		"key=%FF":                         "key is not valid UTF-8",
		"key=%zz":                         "percent-encoded",
		"key=%4":                          "percent-encoded",
		"%zz=1":                           "percent-encoded",
		"consistency=strong":              "consistency",
		"consistency=":                    "consistency",
		"key=" + strings.Repeat("k", 513): "key is not 1 to 512",
	} {
		if _, p := decodeQuery(raw); p == nil || p.kind != invalidField || !strings.Contains(p.detail, detail) {
			t.Errorf("%s: got %+v, want %q", raw, p, detail)
		}
	}
}

func TestDecodeDelete(t *testing.T) {
	t.Parallel()
	want := fsm.Delete{ID: fsm.RecordID{Scope: "s", Key: "k"}}
	for _, tt := range []struct{ query, body, header string }{
		{"scope=s&key=k", "", ""},
		{"", `{"scope":"s","key":"k"}`, ""},
		{"scope=s", `{"key":"k"}`, ""},
		{"scope=s&key=k", `{"scope":"s","key":"k"}`, "k"},
		{"scope=s", "", "k"},
	} {
		if got, p := decodeDelete(tt.query, []byte(tt.body), tt.header); p != nil || got != want {
			t.Errorf("%+v: got %+v, %+v", tt, got, p)
		}
	}
	for _, tt := range []struct {
		query, body, header string
		kind                *errorKind
	}{
		{"", "", "", missingField},
		{"scope=s", "", "", missingField},
		{"scope=s&key=k", `{"key":"l"}`, "", invalidField},
		{"scope=s&key=k", "", "l", invalidField},
		{"scope=s&key=k", `{"key":}`, "", invalidJSON},
		{"scope=s&key=k", `[]`, "", invalidJSON},
	} {
		if _, p := decodeDelete(tt.query, []byte(tt.body), tt.header); p == nil || p.kind != tt.kind {
			t.Errorf("%+v: got %+v", tt, p)
		}
	}
}

func TestSplitTicket(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ raw, rest, ticket string }{
		{"", "", ""},
		{"ticket=abc", "", "abc"},
		{"scope=s&ticket=abc&key=k", "scope=s&key=k", "abc"},
		{"scope=a'b&key=%27+%20~", "scope=a%27b&key=%27++~", ""},
		{"%74icket=abc&x", "x=", "abc"},
	} {
		rest, ticket, p := splitTicket(tt.raw)
		if p != nil || rest != tt.rest || ticket != tt.ticket {
			t.Errorf("%q: got %q, %q, %+v", tt.raw, rest, ticket, p)
		}
		if again, _, _ := splitTicket(rest); again != rest {
			t.Errorf("%q: %q is not stable: %q", tt.raw, rest, again)
		}
	}
	if _, _, p := splitTicket("ticket=a&ticket=b"); p == nil {
		t.Error("two tickets are accepted")
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`"abc"`:                        "abc",
		`"a\"b\\c"`:                    `a"b\c`,
		`abc`:                          "abc",
		`8e03978e-40d5-43dd-bc93-6894`: "8e03978e-40d5-43dd-bc93-6894",
		`a "b" c`:                      `a "b" c`,
		`é`:                            "é",
		`a\b`:                          `a\b`,
	} {
		got, p := idempotencyKey(map[string][]string{"Idempotency-Key": {value}})
		if p != nil || got != want {
			t.Errorf("%s: got %q, %+v", value, got, p)
		}
	}
	if got, p := idempotencyKey(nil); got != "" || p != nil {
		t.Errorf("no header: %q, %+v", got, p)
	}
	for _, values := range [][]string{
		{``}, {`"`}, {`""`}, {`"abc`}, {`"a"b"`}, {`"a"; p=1`}, {`"a\b"`}, {`"a\`}, {`"é"`}, {"\"a\tb\""}, {"a\tb"},
		{"\xff"}, {"a", "a"}, {strings.Repeat("k", 513)}, {`"` + strings.Repeat("k", 513) + `"`},
	} {
		if got, p := idempotencyKey(map[string][]string{"Idempotency-Key": values}); p == nil || p.kind != invalidField {
			t.Errorf("%q: got %q, %+v", values, got, p)
		}
	}
}

func TestPrefersStrict(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		lines []string
		want  bool
	}{
		{nil, false},
		{[]string{"handling=strict"}, true},
		{[]string{`Handling="STRICT"; x=1`}, true},
		{[]string{"wait=10, handling=strict"}, true},
		{[]string{"respond-async", "handling = strict"}, true},
		{[]string{"handling=lenient, handling=strict"}, false},
		{[]string{"handling"}, false},
		{[]string{"strict"}, false},
		{[]string{"xhandling=strict"}, false},
	} {
		if got := prefersStrict(map[string][]string{"Prefer": tt.lines}); got != tt.want {
			t.Errorf("%q: got %v", tt.lines, got)
		}
	}
}

func TestDecodeTenant(t *testing.T) {
	t.Parallel()
	got, p := decodeTenant([]byte(`{"slug":"a-1","name":"Ä","monthlyClaims":9007199254740991}`))
	if p != nil || got.slug != "a-1" || got.name.value != "Ä" || got.monthlyClaims.value != 1<<53-1 {
		t.Fatalf("got %+v, %+v", got, p)
	}
	got, p = decodeTenant([]byte(`{"name":"","monthlyClaims":0}`))
	if p != nil || !got.name.set || !got.monthlyClaims.set {
		t.Fatalf("empty values are not taken for absent ones: %+v, %+v", got, p)
	}
	got, p = decodeTenant([]byte(`{"name":null,"monthlyClaims":null}`))
	if p != nil || got.name.set || got.monthlyClaims.set {
		t.Fatalf("nulls are not taken for absent: %+v, %+v", got, p)
	}
	for body, detail := range map[string]string{
		`{"slug":"A"}`:   "slug has a character",
		`{"slug":"a_b"}`: "slug has a character",
		`{"slug":""}`:    "slug is not 1 to 64",
		`{"slug":"` + strings.Repeat("a", 65) + `"}`:  "slug is not 1 to 64",
		`{"name":"` + strings.Repeat("n", 129) + `"}`: "name is longer than 128",
		`{"name":"a\u0007"}`:                          "name contains a control",
		`{"name":1}`:                                  "name is not a string",
		`{"monthlyClaims":-1}`:                        "monthlyClaims is not between",
		`{"monthlyClaims":9007199254740992}`:          "monthlyClaims is not between",
	} {
		if _, p := decodeTenant([]byte(body)); p == nil || !strings.Contains(p.detail, detail) {
			t.Errorf("%s: got %+v, want %q", body, p, detail)
		}
	}
}
