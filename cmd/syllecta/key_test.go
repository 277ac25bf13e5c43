package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

func TestKeyCreate(t *testing.T) {
	t.Parallel()
	const post = "POST /v1/admin/tenants/shop/keys "
	for _, c := range []verbCase{
		{"key create --tenant shop --scope records:read --scope records:write --json",
			[]string{post + `{"scopes":["records:read","records:write"]}`}, keyOneMade + "\n", "", exitOK},
		{"key create --tenant shop --scope records:read,usage:read --name x --json",
			[]string{post + `{"name":"x","scopes":["records:read","usage:read"]}`}, keyOneMade + "\n", "", exitOK},
		{"key create --tenant shop --expires-at 2027-01-31T01:00:00+01:00 --json",
			[]string{post + `{"expiresAt":"2027-01-31T00:00:00Z"}`}, keyOneMade + "\n", "", exitOK},

		{"key create --tenant shop --scope records", nil, "",
			`--scope: "records" is not allowed; it must be records:read, records:write, usage:read, events:read, webhooks:write or admin:tenant`, exitUsage},
		{"key create --tenant shop --scope=", nil, "",
			`--scope: it must be records:read, records:write, usage:read, events:read, webhooks:write or admin:tenant`, exitUsage},
		{"key create --tenant shop --scope=records:read,", nil, "",
			`--scope: "" is not allowed; it must be records:read, records:write, usage:read, events:read, webhooks:write or admin:tenant`, exitUsage},
		{"key create --tenant shop --expires-in 59s", nil, "",
			"--expires-in: 59s is not allowed; it must be a time from 1m to 87600h such as 720h", exitUsage},
		{"key create --tenant shop --expires-in 87601h", nil, "",
			"--expires-in: 87601h0m0s is not allowed; it must be a time from 1m to 87600h such as 720h", exitUsage},
		{"key create --tenant shop --expires-in -1h", nil, "",
			"--expires-in: -1h0m0s is not allowed; it must be a time from 1m to 87600h such as 720h", exitUsage},
		{"key create --tenant shop --expires-at tomorrow", nil, "",
			`--expires-at: "tomorrow" is not allowed; it must be an instant such as 2027-01-31T00:00:00Z`, exitUsage},
		{"key create --tenant shop --expires-at=", nil, "",
			`--expires-at: "" is not allowed; it must be an instant such as 2027-01-31T00:00:00Z`, exitUsage},
		{"key create --tenant shop --expires-in 1h --expires-at 2027-01-31T00:00:00Z", nil, "",
			"--expires-in and --expires-at are not given together", exitUsage},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			c.check(t, cannedAnswers)
		})
	}
}

func TestKeyExpiresIn(t *testing.T) {
	t.Parallel()
	api := newAdminAPI(t, cannedAnswers)
	before := time.Now().Truncate(time.Second)
	if _, errText, code := runVerb(t, api.env(), "key", "create", "--tenant", "shop", "--expires-in", "720h"); code != exitOK {
		t.Fatalf("exit code %d, %q", code, errText)
	}
	var sent struct{ ExpiresAt time.Time }
	body, _ := strings.CutPrefix(api.requests[0], "POST /v1/admin/tenants/shop/keys ")
	if err := json.Unmarshal([]byte(body), &sent); err != nil {
		t.Fatal(err)
	}
	life := 720 * time.Hour
	if sent.ExpiresAt.Before(before.Add(life)) || sent.ExpiresAt.After(time.Now().Add(life)) {
		t.Errorf("got %s", body)
	}
}

// TestKeyScopes keeps the words in step with what the cluster knows.
func TestKeyScopes(t *testing.T) {
	t.Parallel()
	var all fsm.Scopes
	for _, name := range keyScopes {
		scope, ok := fsm.ScopeNamed(name)
		if !ok {
			t.Errorf("%s is none", name)
		}
		all |= scope
	}
	if known := (all<<1 | all).Names(); len(known) != len(keyScopes) {
		t.Errorf("the cluster knows %q", known)
	}
}
