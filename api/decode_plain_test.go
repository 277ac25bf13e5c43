package api

import (
	"strings"
	"testing"

	"github.com/syllecta/syllecta/fsm"
)

// plainClaimTests are bodies, and whether they are read without the strict decoder.
var plainClaimTests = []struct {
	body  string
	plain bool
}{
	{`{"scope":"orders","key":"order-2001"}`, true},
	{" {\n\t\"key\" : \"k\" ,\r\n \"scope\":\"s\" } ", true},
	{`{"scope":"s","key":"k","ttlSeconds":60,"lockMs":0,"waitMs":1000,"owner":"o","fingerprint":"f"}`, true},
	{`{"scope":"s","key":"k","lockMs":1000}`, true},
	{`{"key":"k"}`, true}, // complete or not is decided afterwards
	{`{"scope":"s","key":"` + strings.Repeat("k", fsm.MaxKeyBytes) + `"}`, true},

	{`{"scope":"s","key":"` + strings.Repeat("k", fsm.MaxKeyBytes+1) + `"}`, false},
	{`{}`, false},
	{``, false},
	{`{"scope":"s","key":"k"`, false},
	{`{"scope":"s","key":"k"}}`, false},
	{`{"scope":"s","key":"k",}`, false},
	{`{"scope":"s","key":"k"} {}`, false},
	{`["scope","s"]`, false},
	{`{"scope":"s","key":"k","scope":"s"}`, false},
	{`{"scope":"s","key":"k","lockMs":0,"lockMs":0}`, false},
	{`{"scope":"s","key":"k","later":1}`, false},
	{`{"scope":"s","Key":"k"}`, false},
	{`{"scope":"s","key":""}`, false},
	{`{"scope":"s","key":null}`, false},
	{`{"scope":"s","key":1}`, false},
	{`{"scope":"s","key":"a\/b"}`, false},
	{`{"scope":"s","key":"é"}`, false},
	{"{\"scope\":\"s\",\"key\":\"a\tb\"}", false},
	{"{\"scope\":\"s\",\"key\":\"a\x7f\"}", false},
	{`{"scope":"s","key":"k","lockMs":999}`, false},
	{`{"scope":"s","key":"k","lockMs":-1}`, false},
	{`{"scope":"s","key":"k","lockMs":01000}`, false},
	{`{"scope":"s","key":"k","lockMs":1000.0}`, false},
	{`{"scope":"s","key":"k","lockMs":1e3}`, false},
	{`{"scope":"s","key":"k","lockMs":"1000"}`, false},
	{`{"scope":"s","key":"k","lockMs":18446744073709552616}`, false},
	{`{"scope":"s","key":"k","ttlSeconds":0}`, false},
	{`{"scope":"s","key":"k","ttlSeconds":}`, false},
	{`{"scope":"s","key":"k","waitMs":30001}`, false},
}

func TestPlainClaim(t *testing.T) {
	t.Parallel()
	for _, tt := range plainClaimTests {
		if _, ok := plainClaim([]byte(tt.body), testLimits); ok != tt.plain {
			t.Errorf("%s: plain is %t, want %t", tt.body, ok, tt.plain)
		}
		samePlain(t, []byte(tt.body))
	}
}

func TestPlainClaims(t *testing.T) {
	t.Parallel()
	const one = `{"scope":"s","key":"k"}`
	many := func(n int) string { return `{"records":[` + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + `]}` }
	for body, plain := range map[string]bool{
		many(1):                               true,
		many(maxBatch):                        true,
		" { \"records\" : [ " + one + " ] } ": true,
		many(maxBatch + 1):                    false,
		many(0):                               false,
		`{"records":[` + one + `,]}`:          false,
		`{"records":[` + one + `]`:            false,
		`{"records":[` + one + `],"later":1}`: false,
		`{"later":1,"records":[` + one + `]}`: false,
		`{"records":[{"scope":"s"}]}`:         false,
		`{"records":[` + one + `]} {}`:        false,
		`{"records":null}`:                    false,
	} {
		if _, ok := plainClaims([]byte(body), testLimits); ok != plain {
			t.Errorf("%.80s: plain is %t, want %t", body, ok, plain)
		}
		samePlain(t, []byte(body))
	}
}
