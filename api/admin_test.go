package api

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

func TestTenants(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	const path = "/v1/admin/tenants"
	w := call(t, s, "POST", path, `{"slug":"acme","name":"Acme","monthlyClaims":5}`, asAdmin)
	id := regexp.MustCompile(`ten_[0-9A-Za-z]{22}`).FindString(w.Body.String())
	tail := `"slug":"acme","name":"Acme","plan":"unlimited","status":"active","monthlyClaims":5,"payloadPolicy":"metadata_only","createdAt":"2026-11-20T12:00:00.000Z"`
	wantBody(t, w, 201, `{"id":"`+id+`",`+tail+`}`)
	wantProblem(t, call(t, s, "POST", path, `{"slug":"acme"}`, asAdmin), conflict)
	wantProblem(t, call(t, s, "POST", path, `{"name":"Acme"}`, asAdmin), missingField)
	wantProblem(t, call(t, s, "POST", path, ``, asAdmin), invalidJSON)
	wantBody(t, call(t, s, "GET", path, "", asAdmin), 200, `{"tenants":[{"id":"ten_1","slug":"demo","name":"Demo",`+
		`"plan":"unlimited","status":"active","monthlyClaims":0,"payloadPolicy":"metadata_only","createdAt":"2026-11-20T12:00:00.000Z"},{"id":"`+id+`",`+tail+`}]}`)
	n.apply(fsm.Claim{ID: fsm.RecordID{Tenant: 2, Scope: "s", Key: "k"}, Owner: "o:", LeaseMs: 1000, TTLMs: 1000})
	shown := `{"id":"` + id + `",` + tail + `,"usage":{"month":"2026-11","claims":1,"limit":5,` +
		`"resetsAt":"2026-12-01T00:00:00.000Z","events":0,"eventLimit":0,"storedBytes":0,"storedBytesLimit":0}}`
	wantBody(t, call(t, s, "GET", path+"/acme", "", asAdmin), 200, shown)
	wantBody(t, call(t, s, "GET", path+"/"+id, "", asAdmin), 200, shown)
	wantBody(t, call(t, s, "PATCH", path+"/acme", `{"name":""}`, asAdmin), 200,
		`{"id":"`+id+`",`+strings.Replace(tail, `"Acme"`, `""`, 1)+`}`)
	wantBody(t, call(t, s, "PATCH", path+"/acme", `{"name":"Acme","monthlyClaims":0}`, asAdmin), 200,
		`{"id":"`+id+`",`+strings.Replace(tail, `:5,`, `:0,`, 1)+`}`)
	wantProblem(t, call(t, s, "PATCH", path+"/acme", `{"slug":"other"}`, asAdmin), invalidField)
	wantProblem(t, call(t, s, "PATCH", path+"/nobody", `{}`, asAdmin), unknownTenant)
	wantProblem(t, call(t, s, "GET", path+"/nobody", "", asAdmin), unknownTenant)
	if n.asked == 0 {
		t.Error("the tenants were shown without asking whether this is current")
	}
	n.failure = []error{cluster.ErrUnavailable}
	wantProblem(t, call(t, s, "GET", path, "", asAdmin), noLeader)
}

func TestKeys(t *testing.T) {
	t.Parallel()
	n, first := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	const path = "/v1/admin/tenants/demo/keys"
	w := call(t, s, "POST", path, `{"name":"ci"}`, asAdmin)
	var made struct{ ID, Name, Hint, CreatedAt, Secret string }
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || w.Code != 201 {
		t.Fatalf("%d %v in %s", w.Code, err, w.Body)
	}
	if !wellFormedAPIKey(made.Secret) || !strings.HasSuffix(made.Secret, made.Hint) || made.Name != "ci" {
		t.Fatalf("%+v", made)
	}
	read := func() int { return call(t, s, "GET", "/v1/record?scope=s&key=k", "", asTenant(made.Secret)).Code }
	if got := read(); got != 200 {
		t.Fatalf("the new key: %d", got)
	}
	one := `{"id":"key_1","name":"","hint":"` + first[len(first)-4:] + `","scopes":["*"],"createdAt":"2026-11-20T12:00:00.000Z"}`
	two := `{"id":"` + made.ID + `","name":"ci","hint":"` + made.Hint + `","scopes":["*"],"createdAt":"2026-11-20T12:00:00.000Z"`
	wantBody(t, call(t, s, "GET", path, "", asAdmin), 200, `{"keys":[`+one+`,`+two+`}]}`)
	for range 2 {
		wantBody(t, call(t, s, "DELETE", path+"/"+made.ID, "", asAdmin), 200, two+`,"revokedAt":"2026-11-20T12:00:00.000Z"}`)
	}
	if got := read(); got != 403 {
		t.Errorf("a revoked key: %d", got)
	}
	proposed := len(n.proposed())
	wantProblem(t, call(t, s, "DELETE", path+"/key_9", "", asAdmin), notFound)
	wantProblem(t, call(t, s, "DELETE", path+"/"+strings.Repeat("k", 5000), "", asAdmin), notFound)
	if len(n.proposed()) != proposed {
		t.Error("an id that does not exist reached the log")
	}
	wantProblem(t, call(t, s, "POST", "/v1/admin/tenants/nobody/keys", "", asAdmin), unknownTenant)
	wantProblem(t, call(t, s, "GET", "/v1/admin/tenants/nobody/keys", "", asAdmin), unknownTenant)
	wantProblem(t, call(t, s, "DELETE", "/v1/admin/tenants/nobody/keys/key_1", "", asAdmin), unknownTenant)
	for i := len(n.Directory().Keys(1)); i < fsm.MaxKeysPerTenant+1; i++ {
		if w := call(t, s, "POST", path, "", asAdmin); w.Code != 201 {
			t.Fatalf("key %d: %d %s", i, w.Code, w.Body)
		}
	}
	if doc := wantProblem(t, call(t, s, "POST", path, "", asAdmin), limitReached); !strings.Contains(doc, `"limit":100`) {
		t.Error(doc)
	}
}
