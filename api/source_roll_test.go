package api

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/api/envelope"
	"github.com/syllecta/syllecta/fsm"
)

// rolledAnswer is what of a source shows that its signing secret was rolled.
type rolledAnswer struct{ SigningSecret, PreviousSigningSecretEndsAt string }

// roll rolls the signing secret of src_1, and returns the answer.
func roll(t *testing.T, s *Server, key, body string) (a rolledAnswer) {
	t.Helper()
	w := call(t, s, "POST", sourcesPath+"/src_1/signing-secret", body, asTenant(key))
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 {
		t.Fatalf("%s: %d %s: %v", body, w.Code, w.Body, err)
	}
	return a
}

// previousEnds is when the previous signing secret of src_1 ends, as GET shows it.
func previousEnds(t *testing.T, s *Server, key string) string {
	t.Helper()
	var a rolledAnswer
	w := call(t, s, "GET", sourcesPath+"/src_1", "", asTenant(key))
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 || a.SigningSecret != "" {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return a.PreviousSigningSecretEndsAt
}

// wantSigning opens the secrets that a source signs with.
func wantSigning(t *testing.T, n *fakeNode, key *envelope.DataKey, present, previous string) {
	t.Helper()
	src := n.Directory().Source(1, "src_1")
	for _, c := range []struct {
		sealed []byte
		want   string
	}{{src.SigningSecret, present}, {src.Previous.Sealed, previous}} {
		if c.want == "" && c.sealed == nil {
			continue
		}
		if plain, err := key.Open("source/src_1/signing", c.sealed); err != nil || string(plain) != c.want {
			t.Errorf("it signs with %q, %v, want %q", plain, err, c.want)
		}
	}
}

func TestRollSigningSecret(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"":                          "2026-11-21T12:00:00.000Z",
		`{}`:                        "2026-11-21T12:00:00.000Z",
		`{"overlapSeconds":null}`:   "2026-11-21T12:00:00.000Z",
		`{"later":[1]}`:             "2026-11-21T12:00:00.000Z",
		`{"overlapSeconds":1}`:      "2026-11-20T12:00:01.000Z",
		`{"overlapSeconds":604800}`: "2026-11-27T12:00:00.000Z",
		`{"overlapSeconds":0}`:      "",
	} {
		n, s, key := newSourceNode(t)
		first := roll(t, s, key, `{"overlapSeconds":0}`).SigningSecret
		a := roll(t, s, key, body)
		if a.PreviousSigningSecretEndsAt != want || previousEnds(t, s, key) != want || a.SigningSecret == first {
			t.Errorf("%s: %+v, then %q, want %q", body, a, previousEnds(t, s, key), want)
		}
		previous := first
		if want == "" {
			previous = ""
		}
		wantSigning(t, n, dataKeyOf(t, s, n), a.SigningSecret, previous)
	}
}

// TestRollAgain: a receiver that knows the previous secret is not cut off, unless that is asked for.
func TestRollAgain(t *testing.T) {
	t.Parallel()
	n, s, key := newSourceNode(t)
	first := roll(t, s, key, `{"overlapSeconds":0}`).SigningSecret
	second := roll(t, s, key, `{"overlapSeconds":3600}`).SigningSecret
	n.advance(3_599 * time.Second)
	w := call(t, s, "POST", sourcesPath+"/src_1/signing-secret", "", asTenant(key))
	doc := wantProblem(t, w, limitReached)
	for _, part := range []string{
		"good until 2026-11-20T13:00:00.000Z", "overlapSeconds 0", "nothing was changed", `"limit":1`,
	} {
		if !strings.Contains(doc, part) {
			t.Errorf("no %q in %s", part, doc)
		}
	}
	wantSigning(t, n, dataKeyOf(t, s, n), second, first)
	call(t, s, "PATCH", sourcesPath+"/src_1", `{"raw":true}`, asTenant(key))
	if got := previousEnds(t, s, key); got != "2026-11-20T13:00:00.000Z" {
		t.Errorf("after another change the previous secret ends at %q", got)
	}
	third := roll(t, s, key, `{"overlapSeconds":0}`).SigningSecret
	wantSigning(t, n, dataKeyOf(t, s, n), third, "")
	if got := previousEnds(t, s, key); got != "" {
		t.Errorf("it ends at %q", got)
	}
	fourth := roll(t, s, key, `{"overlapSeconds":60}`).SigningSecret
	n.advance(time.Minute)
	n.apply()
	if got := previousEnds(t, s, key); got != "" {
		t.Errorf("it has ended at %q", got)
	}
	wantSigning(t, n, dataKeyOf(t, s, n), fourth, "")
	fifth := roll(t, s, key, "").SigningSecret
	wantSigning(t, n, dataKeyOf(t, s, n), fifth, fourth)
}

// TestRivalRolls has somebody else roll between reading the source and writing it.
func TestRivalRolls(t *testing.T) {
	t.Parallel()
	n, s, key := newSourceNode(t)
	rival := *n.Directory().Source(1, "src_1")
	rival.SigningSecret = []byte("the rival's")
	n.rivals = []fsm.Command{fsm.PutSource{Source: rival, IfRevision: rival.Revision, OverlapMs: 1_000}}
	wantProblem(t, call(t, s, "POST", sourcesPath+"/src_1/signing-secret", "", asTenant(key)), limitReached)
	if got := n.Directory().Source(1, "src_1").SigningSecret; string(got) != "the rival's" {
		t.Errorf("it signs with %q", got)
	}
}

func TestRollsMalformed(t *testing.T) {
	t.Parallel()
	n, s, key := newSourceNode(t)
	before := len(n.proposed())
	const bounds = "overlapSeconds is not between 0 and 604800"
	for _, r := range slices.Concat(notJSON[1:], []refusal{ // an empty body is none
		{"", `{"overlapSeconds":-1}`, invalidField, bounds},
		{"", `{"overlapSeconds":604801}`, invalidField, bounds},
		{"", `{"overlapSeconds":99999999999999999999}`, invalidField, bounds},
		{"", `{"overlapSeconds":1.5}`, invalidField, "overlapSeconds is not an integer"},
		{"", `{"overlapSeconds":"24h"}`, invalidField, "overlapSeconds is not an integer"},
		{"", `{"overlapSeconds":1,"overlapSeconds":1}`, invalidJSON, ""},
	}) {
		for _, as := range []struct{ under, credentials string }{
			{sourcesPath, asTenant(key)}, {"/v1/admin/tenants/demo/sources", asAdmin},
		} {
			doc := wantProblem(t, call(t, s, "POST", as.under+"/src_1/signing-secret", r.body, as.credentials), r.kind)
			if !strings.Contains(doc, r.detail) {
				t.Errorf("%s: %s", shortBody(r.body), doc)
			}
		}
	}
	if len(n.proposed()) != before {
		t.Error("something was changed")
	}
}

// TestRewrapKeepsBothSigningSecrets: both are encrypted under the tenant's data key, which is all that is wrapped anew.
func TestRewrapKeepsBothSigningSecrets(t *testing.T) {
	t.Parallel()
	lines, _ := kekLines(2)
	before, both, after := vaultOf(t, lines[1]), vaultOf(t, lines...), vaultOf(t, lines[0])
	n, key := newFakeNode(t, "n1")
	n.addSource(t, before, 1, "src_1")
	old := newTestServer(t, n, func(c *Config) { c.Vault = before })
	first := roll(t, old, key, `{"overlapSeconds":0}`).SigningSecret
	second := roll(t, old, key, "").SigningSecret
	if a := callRewrap(t, newTestServer(t, n, func(c *Config) { c.Vault = both })); a.Rewrapped != 1 {
		t.Fatalf("%+v", a)
	}
	tenant := n.Directory().Tenant(1)
	if _, err := before.DataKey(tenant.PublicID, []byte(tenant.DataKey)); err == nil {
		t.Error("the old key still opens what the tenant has")
	}
	wantSigning(t, n, dataKeyOf(t, newTestServer(t, n, func(c *Config) { c.Vault = after }), n), second, first)
}

// TestRollsTellNothing looks for both secrets in what anybody can read afterwards.
func TestRollsTellNothing(t *testing.T) {
	t.Parallel()
	n, s, key := newSourceNode(t)
	var shown strings.Builder
	var secrets []string
	for _, body := range []string{`{"overlapSeconds":0}`, "", `{"overlapSeconds":0}`} {
		secret := strings.TrimPrefix(roll(t, s, key, body).SigningSecret, "whsec_")
		secrets = append(secrets, secret, string(unbase64(t, secret)))
		for _, w := range []*httptest.ResponseRecorder{
			call(t, s, "POST", sourcesPath+"/src_1/signing-secret", `{"overlapSeconds":-1}`, asTenant(key)),
			call(t, s, "GET", sourcesPath, "", asTenant(key)),
		} {
			shown.WriteString(w.Body.String())
		}
	}
	shown.WriteString(call(t, s, "GET", auditPath, "", asAdmin).Body.String())
	for _, c := range n.proposed() {
		fmt.Fprintf(&shown, "%s", fsm.Encode(c.Command))
	}
	for _, secret := range secrets {
		if strings.Contains(shown.String(), secret) {
			t.Errorf("%q is shown", secret)
		}
	}
	for _, part := range []string{"previousSigningSecretEndsAt", "source.update"} { // proof that this is where to look
		if !strings.Contains(shown.String(), part) {
			t.Errorf("no %s", part)
		}
	}
}
