package api

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

var testLimits = limits{maxBodyBytes: 1000, maxTTLSeconds: 3600, defaultTTLMs: 60_000, defaultLeaseMs: 30_000}

func TestDecodeClaim(t *testing.T) {
	t.Parallel()
	base := claim{Claim: fsm.Claim{ID: fsm.RecordID{Scope: "s", Key: "k"}, LeaseMs: 30_000, TTLMs: 60_000}}
	with := func(change func(*claim)) claim { c := base; change(&c); return c }
	tests := []struct {
		name, body, header string
		want               claim
	}{
		{"least", `{"scope":"s","key":"k"}`, "", base},
		{"white space", " \r\n\t{ \"scope\" : \"s\" , \"key\" : \"k\" } \n", "", base},
		{"unknown members", `{"scope":"s","key":"k","later":{"a":[1,{}]},"x":null}`, "", base},
		{"names in other letters", `{"scope":"s","key":"k","Scope":1,"KEY":[],"ſcope":2}`, "", base},
		{"escaped name", `{"\u0073cope":"s","key":"\u006b"}`, "", base},
		{"nulls", `{"scope":"s","key":"k","ttlSeconds":null,"owner":null,"lockMs":null,"waitMs":null,"fingerprint":null}`,
			"", base},
		{"key in the header", `{"scope":"s"}`, "k", base},
		{"null key, key in the header", `{"scope":"s","key":null}`, "k", base},
		{"both keys alike", `{"scope":"s","key":"k"}`, "k", base},
		{"ttl", `{"scope":"s","key":"k","ttlSeconds":3600}`, "", with(func(c *claim) { c.TTLMs = 3_600_000 })},
		{"lock for ever", `{"scope":"s","key":"k","lockMs":0}`, "", with(func(c *claim) { c.LeaseMs = 0 })},
		{"shortest lock", `{"scope":"s","key":"k","lockMs":1000}`, "", with(func(c *claim) { c.LeaseMs = 1000 })},
		{"longest lock", `{"scope":"s","key":"k","lockMs":86400000}`, "", with(func(c *claim) { c.LeaseMs = 86_400_000 })},
		{"wait", `{"scope":"s","key":"k","waitMs":30000}`, "", with(func(c *claim) { c.wait = 30 * time.Second })},
		{"owner", `{"scope":"s","key":"k","owner":"me"}`, "", with(func(c *claim) { c.Owner = "me" })},
		{"fingerprint", `{"scope":"s","key":"k","fingerprint":"f"}`, "", with(func(c *claim) { c.Fingerprint = "f" })},
		{"no trimming or folding", `{"scope":" S ","key":"É e\u0301"}`, "",
			with(func(c *claim) { c.ID.Scope, c.ID.Key = " S ", "É e\u0301" })},
		{"surrogate pair", `{"scope":"s","key":"\ud83d\ude00"}`, "", with(func(c *claim) { c.ID.Key = "😀" })},
		{"quotes and slashes", `{"scope":"a\/b","key":"\"\\"}`, "",
			with(func(c *claim) { c.ID.Scope, c.ID.Key = "a/b", `"\` })},
		{"longest names", `{"scope":"` + strings.Repeat("s", 128) + `","key":"` + strings.Repeat("é", 256) + `"}`, "",
			with(func(c *claim) { c.ID.Scope, c.ID.Key = strings.Repeat("s", 128), strings.Repeat("é", 256) })},
		{"longest owner", `{"scope":"s","key":"k","owner":"` + strings.Repeat("o", 128) + `"}`, "",
			with(func(c *claim) { c.Owner = strings.Repeat("o", 128) })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, p := decodeClaim([]byte(tt.body), tt.header, testLimits)
			if p != nil || got != tt.want {
				t.Fatalf("got %+v, %+v\nwant %+v", got, p, tt.want)
			}
		})
	}
}

// refusal is a body that must be refused with a code, and a detail that contains some words.
type refusal struct {
	name, body string
	kind       *errorKind
	detail     string
}

func (r refusal) check(t *testing.T, p *problem) {
	t.Helper()
	if p == nil {
		t.Fatalf("accepted %.200q", r.body)
	}
	if p.kind != r.kind || !strings.Contains(p.detail, r.detail) {
		t.Fatalf("%.200q: got %s %q, want %s %q", r.body, p.kind.code, p.detail, r.kind.code, r.detail)
	}
}

// notJSON are refused wherever a body is read.
var notJSON = []refusal{
	{"empty", ``, invalidJSON, "ends too early"},
	{"blank", " \n", invalidJSON, "ends too early"},
	{"cut short", `{"scope":"s","key":"k"`, invalidJSON, "ends too early"},
	{"cut in a string", `{"scope":"s`, invalidJSON, "ends too early"},
	{"array", `[{"scope":"s","key":"k"}]`, invalidJSON, "not an object"},
	{"null", `null`, invalidJSON, "not an object"},
	{"string", `"scope"`, invalidJSON, "not an object"},
	{"number", `5`, invalidJSON, "not an object"},
	{"not json", `scope=s&key=k`, invalidJSON, ""},
	{"trailing object", `{"scope":"s","key":"k"}{}`, invalidJSON, "after the end"},
	{"trailing letter", `{"scope":"s","key":"k"}x`, invalidJSON, "after the end"},
	{"trailing comma", `{"scope":"s","key":"k",}`, invalidJSON, ""},
	{"no value", `{"scope":"s","key":}`, invalidJSON, ""},
	{"comment", `{"scope":"s",/* */"key":"k"}`, invalidJSON, ""},
	{"single quotes", `{'scope':'s','key':'k'}`, invalidJSON, ""},
	{"byte order mark", "\ufeff" + `{"scope":"s","key":"k"}`, invalidJSON, ""},
	{"duplicate", `{"scope":"s","key":"k","scope":"s"}`, invalidJSON, "duplicate"},
	{"duplicate, escaped", `{"scope":"s","key":"k","\u0073cope":"s"}`, invalidJSON, "duplicate"},
	{"duplicate, unknown", `{"scope":"s","key":"k","a":1,"a":2}`, invalidJSON, "duplicate"},
	{"duplicate, nested", `{"scope":"s","key":"k","a":{"b":1,"b":2}}`, invalidJSON, "duplicate"},
	{"not utf-8", "{\"scope\":\"s\",\"key\":\"a\xff\"}", invalidJSON, "UTF-8"},
	{"not utf-8, unknown", "{\"scope\":\"s\",\"key\":\"k\",\"a\":\"\xfe\"}", invalidJSON, "UTF-8"},
	{"lone surrogate", `{"scope":"s","key":"\ud800"}`, invalidJSON, ""},
	{"lone low surrogate", `{"scope":"s","key":"\udc00x"}`, invalidJSON, ""},
	{"raw newline in a string", "{\"scope\":\"s\",\"key\":\"a\nb\"}", invalidJSON, ""},
	{"bad escape", `{"scope":"s","key":"\x41"}`, invalidJSON, ""},
	{"leading zero", `{"scope":"s","key":"k","a":01}`, invalidJSON, ""},
	{"not a number", `{"scope":"s","key":"k","a":NaN}`, invalidJSON, ""},
	{"too deep", `{"scope":"s","key":"k","a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`,
		invalidJSON, "deeper than 64"},
}

func TestDecodeClaimRefuses(t *testing.T) {
	t.Parallel()
	k := `{"scope":"s","key":"k",`
	tests := append([]refusal{
		{"no scope", `{"key":"k"}`, missingField, "scope is missing"},
		{"null scope", `{"scope":null,"key":"k"}`, missingField, "scope is missing"},
		{"no key", `{"scope":"s"}`, missingField, "key is missing"},
		{"nothing", `{}`, missingField, "scope is missing"},
		{"names in other letters", `{"Scope":"s","Key":"k"}`, missingField, "scope is missing"},
		{"empty scope", `{"scope":"","key":"k"}`, invalidField, "scope is not 1 to 128"},
		{"empty key", `{"scope":"s","key":""}`, invalidField, "key is not 1 to 512"},
		{"long scope", `{"scope":"` + strings.Repeat("s", 129) + `","key":"k"}`, invalidField, "scope is not 1 to 128"},
		{"long key", `{"scope":"s","key":"` + strings.Repeat("é", 257) + `"}`, invalidField, "key is not 1 to 512"},
		{"number for a key", `{"scope":"s","key":5}`, invalidField, "key is not a string"},
		{"object for a scope", `{"scope":{},"key":"k"}`, invalidField, "scope is not a string"},
		{"C0", `{"scope":"s","key":"a\u0000"}`, invalidField, "key contains a control"},
		{"newline", `{"scope":"s\n","key":"k"}`, invalidField, "scope contains a control"},
		{"DEL", `{"scope":"s","key":"` + "\x7f" + `"}`, invalidField, "key contains a control"},
		{"C1", `{"scope":"s","key":"é\u0085"}`, invalidField, "key contains a control"},
		{"string for a number", k + `"ttlSeconds":"5"}`, invalidField, "ttlSeconds is not an integer"},
		{"fraction", k + `"ttlSeconds":5.0}`, invalidField, "ttlSeconds is not an integer written without"},
		{"exponent", k + `"ttlSeconds":1e3}`, invalidField, "ttlSeconds is not an integer written without"},
		{"boolean for a number", k + `"waitMs":true}`, invalidField, "waitMs is not an integer"},
		{"no ttl", k + `"ttlSeconds":0}`, invalidField, "ttlSeconds is not between 1 and 3600"},
		{"negative ttl", k + `"ttlSeconds":-1}`, invalidField, "between 1 and 3600"},
		{"long ttl", k + `"ttlSeconds":3601}`, invalidField, "between 1 and 3600"},
		{"huge ttl", k + `"ttlSeconds":99999999999999999999999}`, invalidField, "between 1 and 3600"},
		{"short lock", k + `"lockMs":999}`, invalidField, "lockMs is neither 0 nor between 1000 and 86400000"},
		{"long lock", k + `"lockMs":86400001}`, invalidField, "lockMs"},
		{"negative lock", k + `"lockMs":-1}`, invalidField, "lockMs"},
		{"long wait", k + `"waitMs":30001}`, invalidField, "waitMs is not between 0 and 30000"},
		{"empty owner", k + `"owner":""}`, invalidField, "owner is not 1 to 128"},
		{"long owner", k + `"owner":"` + strings.Repeat("o", 129) + `"}`, invalidField, "owner"},
		{"long fingerprint", k + `"fingerprint":"` + strings.Repeat("f", 257) + `"}`, invalidField, "fingerprint"},
	}, notJSON...)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, p := decodeClaim([]byte(tt.body), "", testLimits)
			tt.check(t, p)
		})
	}
	if _, p := decodeClaim([]byte(`{"scope":"s","key":"k"}`), "other", testLimits); p == nil || p.kind != invalidField {
		t.Fatalf("two different keys: %+v", p)
	}
}

func TestDepthLimitIsExact(t *testing.T) {
	t.Parallel()
	nested := func(n int) string {
		return `{"scope":"s","key":"k","a":` + strings.Repeat("[", n) + `"]["` + strings.Repeat("]", n) + `}`
	}
	if _, p := decodeClaim([]byte(nested(maxDepth-1)), "", testLimits); p != nil {
		t.Fatalf("%d levels: %+v", maxDepth, p)
	}
	if _, p := decodeClaim([]byte(nested(maxDepth)), "", testLimits); p == nil {
		t.Fatalf("%d levels are accepted", maxDepth+1)
	}
	brackets := `{"scope":"s","key":"` + strings.Repeat(`[\"`, 100) + `"}`
	if _, p := decodeClaim([]byte(brackets), "", testLimits); p != nil {
		t.Fatalf("brackets in a string: %+v", p)
	}
}

func TestDecodeComplete(t *testing.T) {
	t.Parallel()
	id := `"scope":"s","key":"k"`
	tests := []struct {
		name, body, wantHeaders, wantBody string
		wantStatus                        uint16
		wantTTL                           int64
		wantInherit                       bool
	}{
		{"least", `{` + id + `}`, `{}`, `null`, 200, 60_000, true},
		{"nulls", `{` + id + `,"status":null,"headers":null,"body":null,"token":null,"ttlSeconds":null}`,
			`{}`, `null`, 200, 60_000, true},
		{"all", `{"status":599,"headers":{"A":"1"},"body":[1],"ttlSeconds":1,` + id + `}`,
			`{"A":"1"}`, `[1]`, 599, 1000, false},
		{"verbatim", `{` + id + `,"body": { "b" : 1.0, "a":1e5 ,"n":12345678901234567890, "s":"\u0041\/" } }`,
			`{}`, `{ "b" : 1.0, "a":1e5 ,"n":12345678901234567890, "s":"\u0041\/" }`, 200, 60_000, true},
		{"headers verbatim", `{` + id + `,"headers": {"A" : ["1", "2" ],"B":"","C":[]} }`,
			`{"A" : ["1", "2" ],"B":"","C":[]}`, `null`, 200, 60_000, true},
		{"false", `{` + id + `,"body":false}`, `{}`, `false`, 200, 60_000, true},
		{"string", `{` + id + `,"body":"x"}`, `{}`, `"x"`, 200, 60_000, true},
		{"least status", `{` + id + `,"status":100}`, `{}`, `null`, 100, 60_000, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, p := decodeComplete([]byte(tt.body), "", testLimits)
			if p != nil {
				t.Fatalf("refused: %+v", p)
			}
			if got.ID != (fsm.RecordID{Scope: "s", Key: "k"}) || string(got.Headers) != tt.wantHeaders ||
				string(got.Body) != tt.wantBody || got.Status != tt.wantStatus || got.TTLMs != tt.wantTTL ||
				got.InheritTTL != tt.wantInherit {
				t.Fatalf("got %+v headers %s body %s", got, got.Headers, got.Body)
			}
		})
	}
}

func TestDecodeCompleteRefuses(t *testing.T) {
	t.Parallel()
	k := `{"scope":"s","key":"k",`
	many := make([]string, maxStoredHeaders+1)
	for i := range many {
		many[i] = `"h` + strconv.Itoa(i) + `":"v"`
	}
	tests := append([]refusal{
		{"no scope", `{"key":"k"}`, missingField, "scope"},
		{"low status", k + `"status":99}`, invalidField, "status is not between 100 and 599"},
		{"high status", k + `"status":600}`, invalidField, "status is not between 100 and 599"},
		{"string status", k + `"status":"200"}`, invalidField, "status is not an integer"},
		{"headers array", k + `"headers":[]}`, invalidField, "headers is not an object"},
		{"number header", k + `"headers":{"A":1}}`, invalidField, "headers.A is neither"},
		{"null header", k + `"headers":{"A":null}}`, invalidField, "headers.A is neither"},
		{"number in a header's array", k + `"headers":{"A":["1",2]}}`, invalidField, "headers.A is neither"},
		{"object header", k + `"headers":{"A":{}}}`, invalidField, "headers.A is neither"},
		{"nested arrays", k + `"headers":{"A":[["1"]]}}`, invalidField, "headers.A is neither"},
		{"duplicate header", k + `"headers":{"A":"1","A":"2"}}`, invalidJSON, "duplicate"},
		{"many headers", k + `"headers":{` + strings.Join(many, ",") + `}}`, invalidField, "more than 64"},
		{"large headers", k + `"headers":{"A":"` + strings.Repeat("x", 8192) + `"}}`, invalidField, "larger than 8192"},
		{"large body", k + `"body":"` + strings.Repeat("x", 999) + `"}`, bodyTooLarge, "1000 bytes"},
		{"duplicate in the body", k + `"body":{"a":1,"a":1}}`, invalidJSON, "duplicate"},
		{"short token", k + `"token":"abcd"}`, invalidField, "token is not a token"},
		{"token not hex", k + `"token":"` + strings.Repeat("g", 32) + `"}`, invalidField, "token is not a token"},
		{"zero token", k + `"token":"` + strings.Repeat("0", 32) + `"}`, invalidField, "token is not a token"},
		{"number token", k + `"token":1}`, invalidField, "token is not a string"},
		{"long ttl", k + `"ttlSeconds":3601}`, invalidField, "between 1 and 3600"},
	}, notJSON...)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, p := decodeComplete([]byte(tt.body), "", testLimits)
			tt.check(t, p)
		})
	}
}

func TestBodyLimitIsExact(t *testing.T) {
	t.Parallel()
	for extra, want := range []bool{true, false} {
		body := `{"scope":"s","key":"k","body":"` + strings.Repeat("x", testLimits.maxBodyBytes-2+extra) + `"}`
		if _, p := decodeComplete([]byte(body), "", testLimits); (p == nil) != want {
			t.Fatalf("%d bytes: %+v", testLimits.maxBodyBytes+extra, p)
		}
	}
}

func TestDecodeClaims(t *testing.T) {
	t.Parallel()
	one := `{"scope":"s","key":"k"}`
	got, p := decodeClaims([]byte(`{"later":1,"records":[`+one+`,{"scope":"t","key":"l","waitMs":5}]}`), testLimits)
	if p != nil || len(got) != 2 || got[0].ID.Scope != "s" || got[1].ID.Key != "l" || got[1].wait != 5*time.Millisecond {
		t.Fatalf("got %+v, %+v", got, p)
	}
	if got, p := decodeClaims([]byte(`{"records":[`+strings.Repeat(one+",", 255)+one+`]}`), testLimits); len(got) != 256 {
		t.Fatalf("256 claims: %d, %+v", len(got), p)
	}
	tests := append([]refusal{
		{"none", `{}`, missingField, "records is missing"},
		{"null", `{"records":null}`, missingField, "records is missing"},
		{"object", `{"records":{}}`, invalidField, "records is not an array"},
		{"no elements", `{"records":[]}`, invalidField, "records is empty"},
		{"257", `{"records":[` + strings.Repeat(one+",", 256) + one + `]}`, invalidField, "more than 256"},
		{"null element", `{"records":[` + one + `,null]}`, invalidField, "records[1] is not an object"},
		{"number element", `{"records":[1]}`, invalidField, "records[0] is not an object"},
		{"missing key", `{"records":[` + one + `,` + one + `,` + one + `,{"scope":"s"}]}`, missingField, "records[3].key"},
		{"bad key", `{"records":[` + one + `,{"scope":"s","key":""}]}`, invalidField, "records[1].key"},
		{"bad lock", `{"records":[{"scope":"s","key":"k","lockMs":5}]}`, invalidField, "records[0].lockMs"},
		{"cut short", `{"records":[` + one, invalidJSON, "ends too early"},
		{"cut after a comma", `{"records":[` + one + `,`, invalidJSON, "ends too early"},
		{"missing comma", `{"records":[` + one + one + `]}`, invalidJSON, ""},
		{"duplicate records", `{"records":[` + one + `],"records":[` + one + `]}`, invalidJSON, "duplicate"},
	}, notJSON...)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, p := decodeClaims([]byte(tt.body), testLimits)
			tt.check(t, p)
		})
	}
}
