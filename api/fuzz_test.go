package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/syllecta/syllecta/fsm"
)

var fuzzSeeds = []string{
	`{"scope":"orders","key":"order-2001"}`,
	`{"scope":"s","key":"k","ttlSeconds":60,"lockMs":0,"waitMs":1000,"owner":"o","fingerprint":"f","later":[{}]}`,
	`{"scope":"s","key":"k","status":201,"headers":{"A":["b","c"],"D":"e"},"body":{"n":1e400,"a":[null,"\ud83d\ude00"]}}`,
	`{"scope":"s","key":"k","token":"` + testTokenText + `","body": "x" ,"ttlSeconds":1}`,
	`{"scope":"\u0073","key":"a\/b","body":[[[[]]]]}`,
}

func addSeeds(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add([]byte(s))
	}
	for _, r := range notJSON {
		f.Add([]byte(r.body))
	}
}

// checkAccepted holds what is true of every body that was accepted.
func checkAccepted(t *testing.T, body []byte, id fsm.RecordID) {
	t.Helper()
	if !json.Valid(body) {
		t.Fatalf("accepted what encoding/json refuses: %q", body)
	}
	for _, s := range []string{id.Scope, id.Key} {
		if s == "" || !utf8.ValidString(s) || strings.ContainsFunc(s, isControl) {
			t.Fatalf("accepted the name %q", s)
		}
	}
	if len(id.Scope) > fsm.MaxScopeBytes || len(id.Key) > fsm.MaxKeyBytes {
		t.Fatalf("accepted an overlong name")
	}
}

// checkEncodes holds that the log can read back what the edge lets through.
func checkEncodes(t *testing.T, cmd fsm.Command) {
	t.Helper()
	if _, err := fsm.Decode(fsm.Encode(cmd)); err != nil {
		t.Fatalf("the log would refuse %+v: %v", cmd, err)
	}
}

func FuzzDecodeClaim(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		c, p := decodeClaim(body, "", testLimits)
		if p != nil {
			if p.kind == nil || !utf8.ValidString(p.detail) {
				t.Fatalf("refused badly: %+v", p)
			}
			return
		}
		checkAccepted(t, body, c.ID)
		if c.wait < 0 || c.wait > maxWaitMs*time.Millisecond {
			t.Fatalf("wait %s", c.wait)
		}
		c.ID.Tenant, c.Owner = 1, namedOwner+c.Owner
		checkEncodes(t, c.Claim)
	})
}

func FuzzDecodeComplete(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		c, p := decodeComplete(body, "", testLimits)
		if p != nil {
			return
		}
		checkAccepted(t, body, c.ID)
		if string(c.Body) != "null" && !bytes.Contains(body, c.Body) {
			t.Fatalf("the body is not verbatim: %q of %q", c.Body, body)
		}
		if string(c.Headers) != "{}" && !bytes.Contains(body, c.Headers) {
			t.Fatalf("the headers are not verbatim: %q of %q", c.Headers, body)
		}
		if !json.Valid(c.Body) || !json.Valid(c.Headers) {
			t.Fatalf("stored what is not JSON: %q, %q", c.Body, c.Headers)
		}
		c.ID.Tenant = 1
		checkEncodes(t, c)
	})
}

// FuzzPlainClaim holds that what is read in the plain form is what the strict decoder reads.
func FuzzPlainClaim(f *testing.F) {
	addSeeds(f)
	for _, tt := range plainClaimTests {
		f.Add([]byte(tt.body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		samePlain(t, body)
		samePlain(t, fmt.Appendf(nil, `{"records":[%s,{"scope":"s","key":"k"}]}`, body))
	})
}

// samePlain compares the plain form with the strict decoder.
func samePlain(t *testing.T, body []byte) {
	t.Helper()
	if fields, ok := plainClaim(body, testLimits); ok {
		got, p := fields.claim("", "", testLimits)
		want, wantProblem := strictClaim(body, "", testLimits)
		if got != want || (p == nil) != (wantProblem == nil) || p != nil && p.detail != wantProblem.detail {
			t.Errorf("%s\nis %+v, %+v\nwant %+v, %+v", body, got, p, want, wantProblem)
		}
	}
	if got, ok := plainClaims(body, testLimits); ok {
		want, p := strictClaims(body, testLimits)
		if p != nil || !slices.Equal(got, want) {
			t.Errorf("%s\nis %+v\nwant %+v, %+v", body, got, want, p)
		}
	}
}

// FuzzControl holds that the log can read back what the edge lets through of tenants, keys and plans.
func FuzzControl(f *testing.F) {
	for _, body := range []string{
		`{"slug":"a-1","name":"Ä","monthlyClaims":9007199254740991,"plan":"gold","status":"suspended"}`,
		`{"name":"ci","scopes":["records:read","usage:read"],"expiresAt":"2030-01-01T00:00:00.5+01:00"}`,
		`{"name":"gold","monthlyClaims":1,"requestsPerSecond":2,"maxTtlSeconds":3,"maxBodyBytes":4}`,
		`{"scopes":[],"expiresAt":"9999-12-31T23:59:59.999Z"}`,
	} {
		f.Add([]byte(body))
	}
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	audited := func(t *testing.T, cmd fsm.Command) {
		checkEncodes(t, cmd)
		checkEncodes(t, fsm.Audited{By: fsm.Actor{Name: adminActor, Role: adminActor}, Command: cmd})
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if k, p := decodeKey(body, now); p == nil {
			if k.expiresAtMs != 0 && k.expiresAtMs <= now.UnixMilli() {
				t.Fatalf("a key that ends at %d", k.expiresAtMs)
			}
			audited(t, fsm.CreateKey{Tenant: 1, PublicID: "key_1", Name: k.name.value, Scopes: k.scopes, ExpiresAtMs: k.expiresAtMs})
		}
		if plan, p := decodePlan(body, "gold"); p == nil {
			audited(t, fsm.PutPlan{Plan: plan})
		}
		if n, p := decodeNewTenant(body); p == nil {
			audited(t, fsm.CreateTenant{PublicID: "ten_1", Slug: n.slug, Name: n.name.value, Plan: n.plan,
				MonthlyClaims: n.monthlyClaims.value})
		}
		if c, p := decodeTenantChange(body); p == nil {
			audited(t, fsm.UpdateTenant{Tenant: 1, SetName: c.name.set, Name: c.name.value, SetPlan: c.plan != "", Plan: c.plan,
				SetSuspended: c.status != "", Suspended: c.status == statusSuspended,
				SetPayloadPolicy: c.payloadPolicy.set, PayloadPolicy: c.payloadPolicy.value})
		}
	})
}

// FuzzSources holds that a source which is accepted can be proposed, and that no answer shows a secret of it.
func FuzzSources(f *testing.F) {
	for _, body := range []string{
		`{"provider":"stripe","secrets":["whsec_1"]}`, `{"provider":"svix","name":"eu","secrets":["whsec_MTIz","whsec_NDU2"]}`,
		`{"provider":"generic","options":{"hmac":{"header":"X"}},"retryDelaysSeconds":[0,604800],"dedupeWindowSeconds":60}`,
		`{"provider":"github","callbackUrl":"https://shop.example/","enabled":false,"raw":true,"maxConcurrency":1,"maxPerSecond":2}`,
		`{"provider":"adyen","secrets":["00"],"secrets":[]}`, `{"options":{ } ,"enabled":null}`, `{"secret":"x"}`, `[]`, ``,
	} {
		f.Add([]byte(body))
	}
	s := newTestServer(f, nil, nil)
	tenant := &fsm.Tenant{ID: 1, Slug: "demo"}
	propose := func(t *testing.T, fields *sourceFields, src fsm.Source) {
		fields.applyTo(&src)
		checkEncodes(t, fsm.Audited{By: fsm.Actor{Name: adminActor, Role: adminActor}, Command: fsm.PutSource{Source: src}})
		if b := append(appendSourceMembers(nil, tenant, &src), '}'); !jsontext.Value(b).IsValid() {
			t.Fatalf("shown as %s", b)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		src := fsm.Source{Tenant: 1, PublicID: "src_1", Provider: "stripe", Name: "default", DedupeWindowMs: 60_000}
		if fields, p := decodeNewSource(body); p == nil && s.checkSource(&fields) == nil {
			src.Provider, src.Name = fields.provider, fields.name
			propose(t, &fields, src)
		}
		if fields, p := decodeSourceChange(body); p == nil && s.checkCallback(fields.callbackURL.value) == nil {
			propose(t, &fields, src)
		}
		if secret, p := decodeSourceSecret(body); p == nil && (secret == "" || len(secret) > maxSecretBytes) {
			t.Fatalf("a secret of %d bytes", len(secret))
		}
	})
}
