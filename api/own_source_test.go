package api

import (
	"strings"
	"testing"

	"github.com/syllecta/syllecta/fsm"
)

// TestOwnSource: the cluster's own events go where the tenant says, and nobody else's come in that way.
func TestOwnSource(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newSourceServer(t, n)
	for body, words := range map[string]string{
		`{"provider":"syllecta","secrets":["0123456789abcdef"]}`:           "secrets are not taken",
		`{"provider":"syllecta","name":"other"}`:                           "name: the source of syllecta is called default",
		`{"provider":"syllecta","options":{"toleranceSeconds":9}}`:         "options are not taken",
		`{"provider":"syllecta","callbackUrl":"ftp://shop.example/hooks"}`: "callbackUrl",
	} {
		if doc := wantProblem(t, call(t, s, "POST", sourcesPath, body, asTenant(key)), invalidField); !strings.Contains(doc, words) {
			t.Errorf("%s: %s", body, doc)
		}
	}
	made := makeSource(t, s, key, `{"provider":"syllecta","callbackUrl":"https://shop.example/alerts"}`)
	if made.IngressPath != "" {
		t.Errorf("providers are pointed at %s", made.IngressPath)
	}
	wantProblem(t, call(t, s, "POST", "/v1/t/demo/webhooks/syllecta", `{"id":"1"}`), notFound)

	call(t, s, "PUT", plansPath+"/tiny", `{"monthlyClaims":1}`, asAdmin)
	call(t, s, "PATCH", "/v1/admin/tenants/demo", `{"plan":"tiny"}`, asAdmin)
	call(t, s, "POST", "/v1/record", claimOf(1), asTenant(key))
	w := call(t, s, "GET", "/v1/events?provider=syllecta", "", asTenant(key))
	for _, words := range []string{`"type":"usage.claims.100_percent"`, `"status":"queued"`} {
		if !strings.Contains(w.Body.String(), words) {
			t.Errorf("no %s in %s", words, w.Body)
		}
	}
	if fsm.OwnProvider != "syllecta" {
		t.Error("the provider has another name")
	}
}
