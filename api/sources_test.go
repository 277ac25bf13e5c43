package api

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/syllecta/syllecta/api/envelope"
	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

const (
	sourcesPath = "/v1/sources"
	stripeKey   = "whsec_canary0123456789" // a secret as Stripe shows it
)

// keyedVault returns a vault with one key-encryption key.
func keyedVault(t testing.TB) *envelope.Vault {
	t.Helper()
	key := make([]byte, 32)
	rand.Read(key)
	path := filepath.Join(t.TempDir(), "kek")
	if err := os.WriteFile(path, []byte("k1:"+base64.StdEncoding.EncodeToString(key)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	keks, err := envelope.LoadKEKs(path)
	if err != nil {
		t.Fatal(err)
	}
	return envelope.NewVault(keks)
}

// newSourceServer returns a server that can keep secrets.
func newSourceServer(t testing.TB, n *fakeNode) *Server {
	vault := keyedVault(t)
	return newTestServer(t, n, func(c *Config) { c.Vault = vault })
}

// sourceAnswer is a source as the API shows it.
type sourceAnswer struct {
	ID, Provider, Name, CallbackURL, DisabledReason, IngressPath, SigningSecret string
	Enabled, Raw                                                                bool
	Secrets                                                                     []struct{ ID, Hint, CreatedAt string }
}

// makeSource creates a source by a tenant's key.
func makeSource(t *testing.T, s *Server, key, body string) (made sourceAnswer) {
	t.Helper()
	w := call(t, s, "POST", sourcesPath, body, asTenant(key))
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || w.Code != 201 {
		t.Fatalf("%s: %d %v in %s", body, w.Code, err, w.Body)
	}
	return made
}

func TestSources(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newSourceServer(t, n)
	const admins = "/v1/admin/tenants/demo/sources"
	wantBody(t, call(t, s, "GET", sourcesPath, "", asTenant(key)), 200, `{"sources":[]}`)
	made := makeSource(t, s, key, `{"provider":"stripe","callbackUrl":"https://shop.example/hooks","secrets":["`+stripeKey+`"]}`)
	one := `{"id":"` + made.ID + `","provider":"stripe","name":"default","callbackUrl":"https://shop.example/hooks",` +
		`"enabled":true,"raw":false,"options":{},"dedupeWindowSeconds":604800,"retryDelaysSeconds":[],"maxConcurrency":0,` +
		`"maxPerSecond":0,"secrets":[{"id":"` + made.Secrets[0].ID + `","hint":"6789","createdAt":"2026-11-20T12:00:00.000Z"}],` +
		`"ingressPath":"/v1/t/demo/webhooks/stripe","createdAt":"2026-11-20T12:00:00.000Z","updatedAt":"2026-11-20T12:00:00.000Z",` +
		`"delivery":{"breaker":"closed","inFlight":0,"queued":0}}`
	if !regexp.MustCompile(`^src_[0-9A-Za-z]{22}$`).MatchString(made.ID) ||
		!regexp.MustCompile(`^sec_[0-9A-Za-z]{22}$`).MatchString(made.Secrets[0].ID) ||
		!regexp.MustCompile(`^whsec_[0-9A-Za-z+/]{43}=$`).MatchString(made.SigningSecret) {
		t.Errorf("%+v", made)
	}
	second := call(t, s, "POST", admins, `{"provider":"svix","name":"eu","enabled":false,"raw":true,"options":{"toleranceSeconds": 60},`+
		`"dedupeWindowSeconds":60,"retryDelaysSeconds":[0,604800],"maxConcurrency":100,"maxPerSecond":10000}`, asAdmin)
	var two sourceAnswer
	if err := json.Unmarshal(second.Body.Bytes(), &two); err != nil {
		t.Fatal(err)
	}
	other := `{"id":"` + two.ID + `","provider":"standardwebhooks","name":"eu","callbackUrl":"","enabled":false,"raw":true,` +
		`"options":{"toleranceSeconds":60},"dedupeWindowSeconds":60,"retryDelaysSeconds":[0,604800],"maxConcurrency":100,` +
		`"maxPerSecond":10000,"secrets":[],"ingressPath":"/v1/t/demo/webhooks/standardwebhooks?source=eu",` +
		`"createdAt":"2026-11-20T12:00:00.000Z","updatedAt":"2026-11-20T12:00:00.000Z",` +
		`"delivery":{"breaker":"closed","inFlight":0,"queued":0}`
	wantBody(t, second, 201, other+`,"signingSecret":"`+two.SigningSecret+`"}`)
	if two.SigningSecret == made.SigningSecret {
		t.Error("two sources sign with one key")
	}
	for _, as := range []struct{ path, credentials string }{{sourcesPath, asTenant(key)}, {admins, asAdmin}} {
		wantBody(t, call(t, s, "GET", as.path, "", as.credentials), 200, `{"sources":[`+one+`,`+other+`}]}`)
		wantBody(t, call(t, s, "GET", as.path+"/"+made.ID, "", as.credentials), 200, one)
		wantProblem(t, call(t, s, "POST", as.path, `{"provider":"stripe"}`, as.credentials), conflict)
		wantProblem(t, call(t, s, "POST", as.path, `{"provider":"standard-webhooks","name":"eu"}`, as.credentials), conflict)
	}
	for range 2 {
		call(t, s, "PATCH", sourcesPath+"/"+made.ID, `{"callbackUrl":""}`, asTenant(key))
	}
	wantBody(t, call(t, s, "GET", sourcesPath+"/"+made.ID, "", asTenant(key)), 200,
		strings.Replace(one, "https://shop.example/hooks", "", 1))
	wantBody(t, call(t, s, "DELETE", sourcesPath+"/"+made.ID, "", asTenant(key)), 200, `{"ok":true}`)
	wantProblem(t, call(t, s, "DELETE", sourcesPath+"/"+made.ID, "", asTenant(key)), notFound)
	wantProblem(t, call(t, s, "GET", "/v1/admin/tenants/nobody/sources", "", asAdmin), unknownTenant)
	wantProblem(t, call(t, s, "POST", "/v1/admin/tenants/nobody/sources", `{"provider":"stripe"}`, asAdmin), unknownTenant)
}

func TestSourceChanges(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newSourceServer(t, n)
	made := makeSource(t, s, key, `{"provider":"generic","secrets":["00ff00ff00ff00ff"]}`)
	path := sourcesPath + "/" + made.ID
	for _, c := range []struct{ body, answer string }{
		{`{}`, `"callbackUrl":"","enabled":true,"raw":false,"options":{},"dedupeWindowSeconds":604800,`},
		{`{"callbackUrl":null,"options":null,"raw":null,"enabled":null,"retryDelaysSeconds":null,"maxPerSecond":null}`,
			`"callbackUrl":"","enabled":true,"raw":false,"options":{},"dedupeWindowSeconds":604800,`},
		{`{"callbackUrl":"http://10.0.0.1:8080/a?b=c"}`, `"callbackUrl":"http://10.0.0.1:8080/a?b=c","enabled":true`},
		{`{"enabled":false}`, `"enabled":false,"raw":false`},
		{`{"raw":true}`, `"enabled":false,"raw":true`},
		{`{"enabled":true}`, `"enabled":true,"raw":true`},
		{`{"options":{"hmac": {"header": "X-Sig", "key": "hex"}}}`, `"options":{"hmac":{"header":"X-Sig","key":"hex"}},`},
		{`{"maxConcurrency":7}`, `"options":{"hmac":{"header":"X-Sig","key":"hex"}},`},
		{`{"options":{}}`, `"options":{},`},
		{`{"retryDelaysSeconds":[5,300]}`, `"retryDelaysSeconds":[5,300],"maxConcurrency":7,"maxPerSecond":0`},
		{`{"retryDelaysSeconds":[],"maxConcurrency":0,"maxPerSecond":3}`,
			`"retryDelaysSeconds":[],"maxConcurrency":0,"maxPerSecond":3`},
		{`{"dedupeWindowSeconds":2592000,"later":{}}`, `"dedupeWindowSeconds":2592000,`},
	} {
		w := call(t, s, "PATCH", path, c.body, asTenant(key))
		if w.Code != 200 || !strings.Contains(w.Body.String(), c.answer) || strings.Contains(w.Body.String(), "signingSecret") {
			t.Errorf("%s: %d %s", c.body, w.Code, w.Body)
		}
		if shown := call(t, s, "GET", path, "", asTenant(key)); shown.Body.String() != w.Body.String() {
			t.Errorf("%s: then shown as %s", c.body, shown.Body)
		}
	}
	// A reason lasts until somebody enables the source.
	src := *n.Directory().Source(1, made.ID)
	src.Disabled, src.DisabledReason = true, "410 Gone"
	n.apply(fsm.PutSource{Source: src, IfRevision: src.Revision})
	for _, c := range []struct{ body, answer string }{
		{`{"raw":false}`, `"enabled":false,"disabledReason":"410 Gone","raw":false`},
		{`{"enabled":false}`, `"enabled":false,"disabledReason":"410 Gone","raw":false`},
		{`{"enabled":true}`, `"enabled":true,"raw":false`},
		{`{"enabled":false}`, `"enabled":false,"raw":false`},
	} {
		if w := call(t, s, "PATCH", path, c.body, asTenant(key)); !strings.Contains(w.Body.String(), c.answer) {
			t.Errorf("%s: %s", c.body, w.Body)
		}
	}
}

// TestOptionsMustFitTheSecrets: those that are kept cannot be given again, so they must stay good.
func TestOptionsMustFitTheSecrets(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newSourceServer(t, n)
	made := makeSource(t, s, key, `{"provider":"generic","secrets":["no hexadecimal"]}`)
	w := call(t, s, "PATCH", sourcesPath+"/"+made.ID, `{"options":{"hmac":{"header":"X-Sig","key":"hex"}}}`, asTenant(key))
	doc := wantProblem(t, w, invalidField)
	if !strings.Contains(doc, "options do not fit the secret "+made.Secrets[0].ID+", which is not hexadecimal") ||
		strings.Contains(doc, "no hexadecimal") {
		t.Error(doc)
	}
}

func TestSourcesMalformed(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newSourceServer(t, n)
	made := makeSource(t, s, key, `{"provider":"generic","name":"one"}`)
	long := strings.Repeat("a", 2_049)
	both := []refusal{ // of POST, with a provider, and of PATCH
		{"", `"callbackUrl":1`, invalidField, "callbackUrl is not a string"},
		{"", `"callbackUrl":"shop.example"`, invalidField, "callbackUrl is not an absolute URL such as https://"},
		{"", `"callbackUrl":"ftp://shop.example"`, invalidField, "callbackUrl is not an absolute URL"},
		{"", `"callbackUrl":"https://:443/"`, invalidField, "callbackUrl is not an absolute URL"},
		{"", `"callbackUrl":"https:/shop"`, invalidField, "callbackUrl is not an absolute URL"},
		{"", `"callbackUrl":"https://u:canary@shop.example/"`, invalidField, "callbackUrl has a user name or password"},
		{"", `"callbackUrl":"https://shop.example/#x"`, invalidField, "callbackUrl has a fragment"},
		{"", `"callbackUrl":"https://shop.example/%zz"`, invalidField, "callbackUrl is not a URL"},
		{"", `"callbackUrl":"https://shop.example/\u0000"`, invalidField, "callbackUrl contains a control character"},
		{"", `"callbackUrl":"https://shop.example/` + long + `"`, invalidField, "callbackUrl is not 1 to 2048 bytes long"},
		{"", `"options":[]`, invalidField, "options is not an object"},
		{"", `"options":"{}"`, invalidField, "options is not an object"},
		{"", `"options":{"secret":"canary"}`, invalidField, "options: secret is not known"},
		{"", `"options":{"toleranceSeconds":"60"}`, invalidField, "options: toleranceSeconds is not of its type"},
		{"", `"options":{"toleranceSeconds":-1}`, invalidField, "options: toleranceSeconds is not between 0 and"},
		{"", `"options":{"notificationUrl":"x"}`, invalidField, "options: notificationUrl is not an absolute URL"},
		{"", `"options":{"hmac":{}}`, invalidField, "options: hmac: the header of the signature is missing"},
		{"", `"options":{"a":"` + strings.Repeat("a", 4_096) + `"}`, invalidField, "options is longer than 4096 bytes"},
		{"", `"options":{"a":1,"a":1}`, invalidJSON, ""},
		{"", `"raw":"true"`, invalidField, "raw is not true or false"},
		{"", `"enabled":1`, invalidField, "enabled is not true or false"},
		{"", `"dedupeWindowSeconds":59`, invalidField, "dedupeWindowSeconds is not between 60 and 2592000"},
		{"", `"dedupeWindowSeconds":2592001`, invalidField, "dedupeWindowSeconds is not between 60 and 2592000"},
		{"", `"dedupeWindowSeconds":"60"`, invalidField, "dedupeWindowSeconds is not an integer"},
		{"", `"retryDelaysSeconds":{}`, invalidField, "retryDelaysSeconds is not an array"},
		{"", `"retryDelaysSeconds":[604801]`, invalidField, "retryDelaysSeconds[0] is not between 0 and 604800"},
		{"", `"retryDelaysSeconds":[1,-1]`, invalidField, "retryDelaysSeconds[1] is not between 0 and 604800"},
		{"", `"retryDelaysSeconds":[null]`, invalidField, "retryDelaysSeconds[0] is not an integer"},
		{"", `"retryDelaysSeconds":[1.5]`, invalidField, "retryDelaysSeconds[0] is not an integer"},
		{"", `"retryDelaysSeconds":[` + strings.Repeat("1,", 20) + `1]`, invalidField, "retryDelaysSeconds has more than 20 elements"},
		{"", `"retryDelaysSeconds":[1`, invalidJSON, ""},
		{"", `"retryDelaysSeconds":[1 2]`, invalidJSON, ""},
		{"", `"maxConcurrency":101`, invalidField, "maxConcurrency is not between 0 and 100"},
		{"", `"maxPerSecond":10001`, invalidField, "maxPerSecond is not between 0 and 10000"},
		{"", `"maxPerSecond":-1`, invalidField, "maxPerSecond is not between 0 and 10000"},
	}
	posts := slices.Concat(notJSON, []refusal{
		{"", `{}`, missingField, "provider is missing"},
		{"", `{"provider":null}`, missingField, "provider is missing"},
		{"", `{"provider":""}`, invalidField, "provider is not 1 to 64 bytes"},
		{"", `{"provider":"Stripe"}`, invalidField, "provider has a character"},
		{"", `{"provider":"nobody"}`, invalidField, "provider is none of adyen, braintree, "},
		{"", `{"provider":"stripe","name":"a b"}`, invalidField, "name has a character"},
		{"", `{"provider":"stripe","name":""}`, invalidField, "name is not 1 to 64 bytes"},
		{"", `{"provider":"stripe","secrets":"canary"}`, invalidField, "secrets is not an array"},
		{"", `{"provider":"stripe","secrets":[1]}`, invalidField, "secrets[0] is not a string"},
		{"", `{"provider":"stripe","secrets":["canary",null]}`, invalidField, "secrets[1] is not a string"},
		{"", `{"provider":"stripe","secrets":[""]}`, invalidField, "secrets[0] is not 1 to 2048 bytes"},
		{"", `{"provider":"stripe","secrets":["canary\n"]}`, invalidField, "secrets[0] contains a control character"},
		{"", `{"provider":"stripe","secrets":["canary","canary"]}`, invalidField, "secrets has an element twice"},
		{"", `{"provider":"stripe","secrets":["canary` + long + `"]}`, invalidField, "secrets[0] is not 1 to 2048 bytes"},
		{"", `{"provider":"stripe","secrets":["1","2","3","4","5","6","7","8","9"]}`, invalidField, "secrets has more than 8 elements"},
		{"", `{"provider":"adyen","secrets":["canary"]}`, invalidField, "secrets[0] is not hexadecimal"},
		{"", `{"provider":"standardwebhooks","secrets":["whsec_MTIz","canary!"]}`, invalidField, "secrets[1] is not base64"},
		{"", `{"provider":"stripe","options":{"hmac":{"header":"X"}}}`, invalidField, "options: stripe has a scheme of its own"},
		{"", `{"provider":"paypal"}`, invalidField, "options: PayPal's id of the webhook is missing"},
		{"", `{"provider":"paypal","options":{"webhookId":"1"},"secrets":["canary"]}`, invalidField,
			"secrets[0] is not taken: paypal has none"},
		{"", `{"provider":"stripe","secrets":["canary"`, invalidJSON, ""},
		{"", `{"provider":"stripe","secrets":["canary" "x"]}`, invalidJSON, ""},
		{"", `{"provider":"stripe","secrets":["canary"],"secrets":["canary"]}`, invalidJSON, ""},
	})
	patches := slices.Concat(notJSON, []refusal{
		{"", `{"provider":"stripe"}`, invalidField, "provider cannot be changed"},
		{"", `{"name":"x"}`, invalidField, "name cannot be changed"},
		{"", `{"secrets":[]}`, invalidField, "secrets cannot be changed here"},
		{"", `{"secrets":["canary"]}`, invalidField, "secrets cannot be changed here"},
	})
	for _, r := range both {
		end := "}"
		if strings.HasSuffix(r.body, "[1") {
			end = ""
		}
		posts = append(posts, refusal{"", `{"provider":"generic",` + r.body + end, r.kind, r.detail})
		patches = append(patches, refusal{"", `{` + r.body + end, r.kind, r.detail})
	}
	adds := append(slices.Clone(notJSON),
		refusal{"", `{}`, missingField, "secret is missing"},
		refusal{"", `{"secret":""}`, invalidField, "secret is not 1 to 2048 bytes"},
		refusal{"", `{"secret":["canary"]}`, invalidField, "secret is not a string"},
		refusal{"", `{"secret":"canary\u0000"}`, invalidField, "secret contains a control character"},
	)
	before := len(n.proposed())
	for _, list := range []struct {
		method, path string
		refusals     []refusal
	}{
		{"POST", sourcesPath, posts}, {"PATCH", sourcesPath + "/" + made.ID, patches},
		{"POST", sourcesPath + "/" + made.ID + "/secrets", adds},
	} {
		for _, r := range list.refusals {
			doc := wantProblem(t, call(t, s, list.method, list.path, r.body, asTenant(key)), r.kind)
			if !strings.Contains(doc, r.detail) || strings.Contains(doc, "canary") {
				t.Errorf("%s %s: %s", list.method, shortBody(r.body), doc)
			}
		}
	}
	if got := len(n.proposed()); got != before {
		t.Errorf("what was refused reached the log: %+v", n.proposed()[before:])
	}
}

func shortBody(s string) string { return s[:min(len(s), 200)] }

// TestEveryProviderCanBeASource: with what it needs and no secret, which it may tell later.
func TestEveryProviderCanBeASource(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newSourceServer(t, n)
	for _, name := range providerNames() {
		made := makeSource(t, s, key, `{"provider":"`+name+`","options":{"webhookId":"1","notificationUrl":"https://in.example/"}}`)
		if len(made.Secrets) != 0 || made.IngressPath != "/v1/t/demo/webhooks/"+name {
			t.Errorf("%+v", made)
		}
	}
}

func TestCallbacksAreGuarded(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	vault := keyedVault(t)
	s := newTestServer(t, n, func(c *Config) {
		c.Vault = vault
		c.CheckCallback = func(url string) error {
			if strings.Contains(url, "10.0.0.1") {
				return errors.New("10.0.0.1 is a private address")
			}
			return nil
		}
	})
	made := makeSource(t, s, key, `{"provider":"stripe","callbackUrl":"https://shop.example"}`)
	for _, w := range []struct{ method, path, body string }{
		{"POST", sourcesPath, `{"provider":"github","callbackUrl":"https://10.0.0.1/"}`},
		{"PATCH", sourcesPath + "/" + made.ID, `{"callbackUrl":"https://10.0.0.1/"}`},
	} {
		doc := wantProblem(t, call(t, s, w.method, w.path, w.body, asTenant(key)), invalidField)
		if !strings.Contains(doc, "callbackUrl is not allowed: 10.0.0.1 is a private address") {
			t.Error(doc)
		}
	}
	if n := len(n.Directory().Sources(1)); n != 1 {
		t.Errorf("%d sources", n)
	}
}

func TestSourceSecrets(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newSourceServer(t, n)
	made := makeSource(t, s, key, `{"provider":"github","secrets":["short","`+stripeKey+`"]}`)
	path := sourcesPath + "/" + made.ID
	if made.Secrets[0].Hint != "" || made.Secrets[1].Hint != "6789" {
		t.Errorf("%+v", made.Secrets)
	}
	n.advance(1_000_000_000)
	w := call(t, s, "POST", path+"/secrets", `{"secret":"a third secret, ending in ende"}`, asTenant(key))
	id := n.Directory().Source(1, made.ID).Secrets[2].PublicID
	wantBody(t, w, 201, `{"id":"`+id+`","hint":"ende","createdAt":"2026-11-20T12:00:01.000Z"}`)
	wantBody(t, call(t, s, "DELETE", path+"/secrets/"+made.Secrets[0].ID, "", asTenant(key)), 200, `{"ok":true}`)
	wantProblem(t, call(t, s, "DELETE", path+"/secrets/"+made.Secrets[0].ID, "", asTenant(key)), notFound)
	wantSecrets(t, s, n, made.ID, stripeKey, "a third secret, ending in ende")
	if got := n.Directory().Source(1, made.ID).Secrets[0].CreatedAtMs; got != n.nowMs-1_000 {
		t.Errorf("a secret that stayed is dated %d", got)
	}
	for i := range fsm.MaxSourceSecrets - 2 {
		call(t, s, "POST", path+"/secrets", fmt.Sprintf(`{"secret":"%d"}`, i), asTenant(key))
	}
	doc := wantProblem(t, call(t, s, "POST", path+"/secrets", `{"secret":"x"}`, asTenant(key)), limitReached)
	if !strings.Contains(doc, `"limit":8`) {
		t.Error(doc)
	}

	var rolled sourceAnswer
	w = call(t, s, "POST", path+"/signing-secret", "", asTenant(key))
	if err := json.Unmarshal(w.Body.Bytes(), &rolled); err != nil || w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if rolled.SigningSecret == made.SigningSecret || len(rolled.SigningSecret) != len(made.SigningSecret) {
		t.Errorf("%q was rolled to %q", made.SigningSecret, rolled.SigningSecret)
	}
	src := n.Directory().Source(1, made.ID)
	opened, err := dataKeyOf(t, s, n).Open("source/"+made.ID+"/signing", src.SigningSecret)
	if err != nil || string(opened) != rolled.SigningSecret {
		t.Errorf("sealed: %q, %v", opened, err)
	}
}

func dataKeyOf(t *testing.T, s *Server, n *fakeNode) *envelope.DataKey {
	t.Helper()
	tenant := n.Directory().Tenant(1)
	key, err := s.cfg.Vault.DataKey(tenant.PublicID, []byte(tenant.DataKey))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// wantSecrets opens a source's secrets as whoever verifies a webhook does.
func wantSecrets(t *testing.T, s *Server, n *fakeNode, id string, want ...string) {
	t.Helper()
	var got []string
	for _, kept := range n.Directory().Source(1, id).Secrets {
		plain, err := dataKeyOf(t, s, n).Open("source/"+id+"/secret", kept.Sealed)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(plain))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the secrets are %q, want %q", got, want)
	}
}

// sourceCalls are all changes of sources, each of which works on a new fake node with the source src_1.
var sourceCalls = []struct{ method, path, body, action string }{
	{"POST", "", `{"provider":"github","secrets":["` + stripeKey + `"]}`, "source.create"},
	{"PATCH", "/src_1", `{"callbackUrl":"https://shop.example/"}`, "source.update"},
	{"PATCH", "/src_1", `{"enabled":false}`, "source.update"},
	{"POST", "/src_1/secrets", `{"secret":"` + stripeKey + `"}`, "source.update"},
	{"DELETE", "/src_1/secrets/sec_1", "", "source.update"},
	{"POST", "/src_1/signing-secret", "", "source.update"},
	{"POST", "/src_1/signing-secret", `{"overlapSeconds":3600}`, "source.update"},
	{"DELETE", "/src_1", "", "source.delete"},
}

// addSource gives a tenant of a fake node a source with a secret, without asking the API.
func (n *fakeNode) addSource(t *testing.T, vault *envelope.Vault, tenant fsm.TenantID, id string) {
	t.Helper()
	owner := n.Directory().Tenant(tenant)
	wrapped, err := vault.NewDataKey(owner.PublicID)
	if err != nil {
		t.Fatal(err)
	}
	by := fsm.Actor{Name: "a", Role: "a"}
	wrapped = []byte(n.apply(fsm.Audited{By: by, Command: fsm.PutDataKey{Tenant: tenant, Wrapped: wrapped}})[0].Tenant.DataKey)
	key, err := vault.DataKey(owner.PublicID, wrapped)
	if err != nil {
		t.Fatal(err)
	}
	n.apply(fsm.Audited{By: by, Command: fsm.PutSource{Source: fsm.Source{
		Tenant: tenant, PublicID: id, Provider: "stripe", Name: "default", DedupeWindowMs: fsm.DefaultDedupeWindowMs,
		Secrets:       []fsm.SourceSecret{{PublicID: "sec_1", Sealed: key.Seal(secretPurpose(id), []byte("whsec_1"))}},
		SigningSecret: key.Seal(signingPurpose(id), []byte(newSigningSecret())),
	}}})
}

// newSourceNode returns a fake node with the source src_1, and a server on it.
func newSourceNode(t *testing.T) (n *fakeNode, s *Server, key string) {
	n, key = newFakeNode(t, "n1")
	s = newSourceServer(t, n)
	n.addSource(t, s.cfg.Vault, 1, "src_1")
	return n, s, key
}

func TestSourceChangesAreAudited(t *testing.T) {
	t.Parallel()
	for _, c := range sourceCalls {
		for _, as := range []struct{ under, credentials, actor, role string }{
			{"/v1/sources", "", "key_1", "tenant"}, {"/v1/admin/tenants/demo/sources", asAdmin, "admin", "admin"},
		} {
			n, s, key := newSourceNode(t)
			credentials := cmp.Or(as.credentials, asTenant(key))
			before := readAudit(t, s, "").Total
			w := call(t, s, c.method, as.under+c.path, c.body, credentials)
			page := readAudit(t, s, fmt.Sprintf("?after=%d", before))
			if w.Code/100 != 2 || len(page.Entries) != 1 {
				t.Errorf("%s %s %s: %d %s, audited %+v", c.method, c.path, c.body, w.Code, w.Body, page.Entries)
				continue
			}
			e := page.Entries[0]
			if e.Action != c.action || e.Actor != as.actor || e.Role != as.role || e.Address != "192.0.2.1" ||
				e.RequestID != w.Header().Get(requestIDHeader) {
				t.Errorf("%s %s: %+v", c.method, c.path, e)
			}
			checkNoSecrets(t, n, call(t, s, "GET", auditPath, "", asAdmin), key, stripeKey, "whsec_")
		}
	}
}

func TestSourcesBelowTheLevel(t *testing.T) {
	t.Parallel()
	n, key := newOldFakeNode(t, "n1")
	n.apply(fsm.RaiseFeatureLevel{Level: 3, Version: "test"})
	s := newSourceServer(t, n)
	for _, c := range sourceCalls {
		doc := wantProblem(t, call(t, s, c.method, sourcesPath+c.path, c.body, asTenant(key)), upgradePending)
		if !strings.Contains(doc, "needs feature level 4 and the cluster is at 3") || len(n.proposed()) != 0 {
			t.Errorf("%s %s: %s", c.method, c.path, doc)
		}
	}
	wantBody(t, call(t, s, "GET", sourcesPath, "", asTenant(key)), 200, `{"sources":[]}`)
}

func TestSourceFailures(t *testing.T) {
	t.Parallel()
	for _, c := range sourceCalls {
		for err, kind := range map[error]*errorKind{
			cluster.ErrOutcomeUnknown: outcomeUnknown, cluster.ErrBusy: busy, cluster.ErrStorageFull: storageFull,
		} {
			n, s, key := newSourceNode(t)
			n.failure = []error{nil, err} // CatchUp succeeds
			wantProblem(t, call(t, s, c.method, sourcesPath+c.path, c.body, asTenant(key)), kind)
			if len(n.proposed()) != 1 {
				t.Errorf("%s %s after %v was tried %d times", c.method, c.path, err, len(n.proposed()))
			}
		}
	}
}

// TestTenantsChangeSlowly: what they change is in the audit log for ever. An admin may change as much as it likes.
func TestTenantsChangeSlowly(t *testing.T) {
	t.Parallel()
	n, s, key := newSourceNode(t)
	const path = "/v1/admin/tenants/demo/sources/src_1"
	for i := range changeWindow * changesPerSecond {
		body := fmt.Sprintf(`{"maxConcurrency":%d}`, i)
		if w := call(t, s, "PATCH", sourcesPath+"/src_1", body, asTenant(key)); w.Code != 200 {
			t.Fatalf("change %d: %d %s", i, w.Code, w.Body)
		}
	}
	before := len(n.proposed())
	w := call(t, s, "PATCH", sourcesPath+"/src_1", `{"raw":true}`, asTenant(key))
	wantQuota(t, w, `"changes";q=60;w=60`, `"changes";r=0;t=1`)
	wantProblem(t, w, rateLimited)
	wantProblem(t, call(t, s, "POST", "/v1/keys", `{}`, asTenant(key)), rateLimited)
	if len(n.proposed()) != before {
		t.Error("something was changed")
	}
	if w := call(t, s, "PATCH", path, `{"raw":true}`, asAdmin); w.Code != 200 {
		t.Errorf("an admin: %d %s", w.Code, w.Body)
	}
}

// TestNothingIsStoredWithoutAKEK: neither by a node without keys, nor by one that lacks the tenant's.
func TestNothingIsStoredWithoutAKEK(t *testing.T) {
	t.Parallel()
	for name, vault := range map[string]*envelope.Vault{"none": nil, "another": keyedVault(t)} {
		n, key := newFakeNode(t, "n1")
		n.addSource(t, keyedVault(t), 1, "src_1")
		s := newTestServer(t, n, func(c *Config) { c.Vault = vault })
		for _, c := range []struct{ method, path, body string }{
			{"POST", "", `{"provider":"github"}`},
			{"POST", "", `{"provider":"github","secrets":["x"]}`},
			{"POST", "/src_1/secrets", `{"secret":"x"}`},
			{"POST", "/src_1/signing-secret", ""},
			{"PATCH", "/src_1", `{"options":{"toleranceSeconds":60}}`},
		} {
			w := call(t, s, c.method, sourcesPath+c.path, c.body, asTenant(key))
			if name == "another" { // of the same id: the data key cannot be opened
				wantProblem(t, w, internalError)
				continue
			}
			// The tenant has a data key, so a new key-encryption key would be of no use.
			doc := wantProblem(t, w, noKEK)
			if !strings.Contains(doc, "encrypted under k1, which this node lacks") || strings.Contains(doc, "kek generate") || !strings.Contains(doc, "--kek-file") {
				t.Error(doc)
			}
		}
		if calls := n.proposed(); len(calls) != 0 {
			t.Errorf("%s: %+v", name, calls)
		}
		// What needs no key works all the same.
		if w := call(t, s, "PATCH", sourcesPath+"/src_1", `{"enabled":false}`, asTenant(key)); w.Code != 200 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if w := call(t, s, "DELETE", sourcesPath+"/src_1/secrets/sec_1", "", asTenant(key)); w.Code != 200 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	n, key := newFakeNode(t, "n1") // a tenant without a data key
	doc := wantProblem(t, call(t, newTestServer(t, n, nil), "POST", sourcesPath, `{"provider":"github"}`, asTenant(key)), noKEK)
	if !strings.Contains(doc, "syllecta kek generate") {
		t.Error(doc)
	}
	if n.Directory().Tenant(1).DataKey != "" || len(n.proposed()) != 0 {
		t.Error("something was stored")
	}
}

// TestTheFirstDataKeyStays: two nodes may make one at the same time.
func TestTheFirstDataKeyStays(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newSourceServer(t, n)
	first, err := s.cfg.Vault.NewDataKey("ten_1")
	if err != nil {
		t.Fatal(err)
	}
	n.rivals = []fsm.Command{fsm.PutDataKey{Tenant: 1, Wrapped: first}}
	made := makeSource(t, s, key, `{"provider":"stripe","secrets":["`+stripeKey+`"]}`)
	if got := n.Directory().Tenant(1).DataKey; got != string(first) {
		t.Error("the first data key did not stay")
	}
	wantSecrets(t, s, n, made.ID, stripeKey)
}

// TestRivalsOfAChange has a source changed by somebody else between reading and writing it.
func TestRivalsOfAChange(t *testing.T) {
	t.Parallel()
	rival := func(src fsm.Source, callback string, revision uint64) fsm.Command {
		src.CallbackURL = callback
		return fsm.PutSource{Source: src, IfRevision: revision}
	}
	n, s, key := newSourceNode(t)
	src := *n.Directory().Source(1, "src_1")
	n.rivals = []fsm.Command{rival(src, "https://rival.example/", src.Revision)}
	w := call(t, s, "PATCH", sourcesPath+"/src_1", `{"raw":true}`, asTenant(key))
	if !strings.Contains(w.Body.String(), `"callbackUrl":"https://rival.example/","enabled":true,"raw":true`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// Somebody who is always faster.
	src = *n.Directory().Source(1, "src_1")
	revision := src.Revision
	for i := range maxSourceTries {
		n.rivals = append(n.rivals, rival(src, fmt.Sprintf("https://%d.example/", i), revision))
		revision = n.index + 1 + 2*uint64(i)
	}
	before := len(n.proposed())
	doc := wantProblem(t, call(t, s, "PATCH", sourcesPath+"/src_1", `{"raw":false}`, asTenant(key)), busy)
	if !strings.Contains(doc, "nothing was changed") || len(n.proposed())-before != maxSourceTries ||
		!n.Directory().Source(1, "src_1").Raw {
		t.Errorf("%d tries, %s", len(n.proposed())-before, doc)
	}
	// Somebody who deletes it.
	n.rivals = []fsm.Command{fsm.DeleteSource{Tenant: 1, PublicID: "src_1"}}
	wantProblem(t, call(t, s, "POST", sourcesPath+"/src_1/secrets", `{"secret":"x"}`, asTenant(key)), notFound)
	// Somebody who takes the name.
	n.rivals = []fsm.Command{fsm.PutSource{Source: src}}
	wantProblem(t, call(t, s, "POST", sourcesPath, `{"provider":"stripe"}`, asTenant(key)), conflict)
}

func TestSourceLimit(t *testing.T) {
	t.Parallel()
	n, s, key := newSourceNode(t)
	src := *n.Directory().Source(1, "src_1")
	for i := 1; i < fsm.MaxSourcesPerTenant; i++ {
		src.PublicID, src.Name = fmt.Sprintf("src_%d", i+1), fmt.Sprintf("n%d", i)
		n.apply(fsm.PutSource{Source: src})
	}
	doc := wantProblem(t, call(t, s, "POST", sourcesPath, `{"provider":"github"}`, asTenant(key)), limitReached)
	if !strings.Contains(doc, `"limit":100`) {
		t.Error(doc)
	}
}

// TestWaitingEventsKeepTheirSource: what waits to be delivered is not forgotten by accident.
func TestWaitingEventsKeepTheirSource(t *testing.T) {
	t.Parallel()
	n, s, key := newSourceNode(t)
	call(t, s, "PATCH", sourcesPath+"/src_1", `{"callbackUrl":"https://shop.example/"}`, asTenant(key))
	for i := range 3 {
		n.apply(fsm.AcceptEvent{Tenant: 1, Source: n.Directory().Source(1, "src_1").ID, Nonce: 7, ProviderID: fmt.Sprint(i)})
	}
	doc := wantProblem(t, call(t, s, "DELETE", sourcesPath+"/src_1", "", asTenant(key)), conflict)
	if !strings.Contains(doc, "3 of them") {
		t.Error(doc)
	}
}

// TestForeignSourcesAreAbsent wants the same answer for another tenant's source as for none.
func TestForeignSourcesAreAbsent(t *testing.T) {
	t.Parallel()
	n, s, key := newSourceNode(t)
	n.apply(fsm.CreateTenant{PublicID: "ten_2", Slug: "other"})
	n.addSource(t, s.cfg.Vault, 2, "src_2")
	for _, c := range append(slices.Clone(sourceCalls[1:]), struct{ method, path, body, action string }{"GET", "/src_1", "", ""}) {
		for _, as := range []struct{ under, credentials string }{
			{sourcesPath, asTenant(key)}, {"/v1/admin/tenants/demo/sources", asAdmin},
		} {
			before := len(n.proposed())
			var docs []string
			for _, id := range []string{"src_2", "src_9", "SRC_1", strings.Repeat("s", 5000)} {
				w := call(t, s, c.method, as.under+strings.Replace(c.path, "src_1", id, 1), c.body, as.credentials)
				docs = append(docs, strings.Replace(wantProblem(t, w, notFound), w.Header().Get(requestIDHeader), "", 1))
			}
			if docs = slices.Compact(docs); len(docs) != 1 || len(n.proposed()) != before {
				t.Errorf("%s %s: %q", c.method, c.path, docs)
			}
		}
	}
	if src := n.Directory().Source(2, "src_2"); src == nil || src.CallbackURL != "" || len(src.Secrets) != 1 {
		t.Errorf("another tenant's source was changed: %+v", src)
	}
}

// TestSecretsAreShownNowhere looks for secrets in answers, the log, what is proposed, and the state.
func TestSecretsAreShownNowhere(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	var logged bytes.Buffer
	vault := keyedVault(t)
	s := newTestServer(t, n, func(c *Config) {
		c.Vault = vault
		c.Logger = slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	made := makeSource(t, s, key, `{"provider":"stripe","secrets":["`+stripeKey+`"]}`)
	path := sourcesPath + "/" + made.ID
	var shown strings.Builder
	for _, c := range []struct{ method, path, body string }{
		{"POST", path + "/secrets", `{"secret":"` + stripeKey + `2"}`},
		{"POST", path + "/secrets", `{"secret":"` + stripeKey + `3","secret":1}`},
		{"POST", path + "/secrets", `{"secret":"` + stripeKey + `\u0000"}`},
		{"PATCH", path, `{"secrets":["` + stripeKey + `"],"raw":true}`},
		{"PATCH", path, `{"callbackUrl":"https://shop.example/"}`},
		{"GET", path, ""}, {"GET", sourcesPath, ""},
	} {
		shown.WriteString(call(t, s, c.method, c.path, c.body, asTenant(key)).Body.String())
	}
	for _, target := range []string{auditPath, "/v1/admin/tenants/demo", "/v1/admin/tenants/demo/sources", "/metrics"} {
		shown.WriteString(call(t, s, "GET", target, "", asAdmin).Body.String())
	}
	for _, c := range n.proposed() {
		shown.Write(fsm.Encode(c.Command))
	}
	fmt.Fprintf(&shown, "%s", logged.Bytes())
	signing := strings.TrimPrefix(made.SigningSecret, "whsec_")
	for _, secret := range []string{stripeKey, "canary", signing, string(unbase64(t, signing))} {
		if strings.Contains(shown.String(), secret) {
			t.Errorf("%q is shown", secret)
		}
	}
	if logged.Len() == 0 {
		t.Error("nothing was logged at all")
	}
}

func unbase64(t *testing.T, text string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSourcesThroughAFollower: a follower sends on what it is asked, as for any other change.
func TestSourcesThroughAFollower(t *testing.T) {
	t.Parallel()
	for _, mode := range []FollowerMode{FollowersRedirect, FollowersForward} {
		p := newPair(t, mode)
		p.leaderAPI.cfg.Vault = keyedVault(t)
		const body = `{"provider":"stripe","secrets":["` + stripeKey + `"]}`
		w := call(t, p.followerAPI, "POST", sourcesPath, body, asTenant(p.key))
		if mode == FollowersRedirect {
			w = call(t, p.leaderAPI, "POST", p.redirected(t, "POST", sourcesPath, body, asTenant(p.key)), body)
		}
		if w.Code != 201 || !strings.Contains(w.Body.String(), `"signingSecret":"whsec_`) {
			t.Errorf("%s: %d %s", mode, w.Code, w.Body)
		}
		if len(p.leader.Directory().Sources(1)) != 1 || len(p.follower.proposed()) != 0 {
			t.Errorf("%s: the follower has decided", mode)
		}
	}
}
