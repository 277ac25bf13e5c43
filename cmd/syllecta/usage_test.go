package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

const (
	shopUsage = `{"month":{"month":"2026-11","claims":850,"limit":1000,"resetsAt":"2026-12-01T00:00:00.000Z"},` +
		`"days":[{"day":"2026-11-01","claims":800,"replays":7,"conflicts":1,"rejected":0},` +
		`{"day":"2026-11-03","claims":50,"replays":0,"conflicts":12,"rejected":3,"events":9,"duplicates":4,"deliveries":8,` +
		`"delivery_failures":2}],` +
		`"total":{"claims":850,"replays":7,"conflicts":13,"rejected":3,"events":9,"duplicates":4,"deliveries":8,"delivery_failures":2}}`
	demoUsage = `{"month":{"month":"2026-11","claims":0},"days":[],"total":{"claims":0}}`
	allUsage  = `{"tenants":[{"id":"ten_1","slug":"shop","total":{"claims":850,"replays":7,"conflicts":13,"rejected":3,` +
		`"events":9,"duplicates":4,"deliveries":8,"delivery_failures":2}},{"id":"ten_2","slug":"demo","total":{"claims":2,"replays":1,"conflicts":0,"rejected":0,"events":1,"deliveries":1}}]}`

	shopUsageTable = "DAY         CLAIMS  REPLAYS  CONFLICTS  REJECTED  EVENTS  REPEATED  DELIVERED  FAILED\n" +
		"2026-11-01  800     7        1          0         0       0         0          0\n" +
		"2026-11-03  50      0        12         3         9       4         8          2\n" +
		"total       850     7        13         3         9       4         8          2\n" +
		"\n2026-11: 850 of 1000 claims (85%), counted anew from 2026-12-01T00:00:00.000Z\n" +
		"warning: 85% of the month's limit is used\n"

	testAPIKey = "ck_0123456789abcdef"
)

var usageAnswers = map[string]string{
	"GET /v1/usage":       shopUsage,
	"GET /v1/admin/usage": allUsage,
	"GET /v1/admin/usage?from=2026-11-01&to=2026-11-30": allUsage,
	"GET /v1/admin/usage?to=2026-11-30":                 refusal(400, "invalid_field"),
	"GET /v1/admin/tenants/shop/usage":                  shopUsage,
	"GET /v1/admin/tenants/shop/usage?from=2026-11-01":  shopUsage,
	"GET /v1/admin/tenants/demo/usage":                  demoUsage,
	"GET /v1/admin/tenants/nobody/usage":                refusal(404, "unknown_tenant"),
	"GET /v1/admin/tenants/forbidden/usage":             refusal(403, "forbidden"),
	"GET /v1/admin/tenants/a%2Fb/usage?from=2026-01-01": demoUsage,
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, c := range []verbCase{
		{"usage", []string{"GET /v1/admin/usage"}, "ID     SLUG  CLAIMS  REPLAYS  CONFLICTS  REJECTED  EVENTS  REPEATED  DELIVERED  FAILED\n" +
			"ten_1  shop  850     7        13         3         9       4         8          2\n" +
			"ten_2  demo  2       1        0          0         1       0         1          0\n" +
			"total        852     8        13         3         10      4         9          2\n", "", exitOK},
		{"usage --from 2026-11-01 --to 2026-11-30 --json", []string{"GET /v1/admin/usage?from=2026-11-01&to=2026-11-30"},
			allUsage + "\n", "", exitOK},
		{"usage --to 2026-11-30", []string{"GET /v1/admin/usage?to=2026-11-30"}, "",
			"it cannot be (invalid_field)", exitUsage},
		{"usage --tenant shop", []string{"GET /v1/admin/tenants/shop/usage"}, shopUsageTable, "", exitOK},
		{"usage --tenant shop --from 2026-11-01 --json", []string{"GET /v1/admin/tenants/shop/usage?from=2026-11-01"},
			shopUsage + "\n", "", exitOK},
		{"usage --tenant demo", []string{"GET /v1/admin/tenants/demo/usage"},
			"DAY    CLAIMS  REPLAYS  CONFLICTS  REJECTED  EVENTS  REPEATED  DELIVERED  FAILED\n" +
				"total  0       0        0          0         0       0         0          0\n" +
				"\n2026-11: 0 claims, no limit\n", "", exitOK},
		{"usage --tenant a/b --from 2026-01-01 --json", []string{"GET /v1/admin/tenants/a%2Fb/usage?from=2026-01-01"},
			demoUsage + "\n", "", exitOK},
		{"usage --tenant nobody", []string{"GET /v1/admin/tenants/nobody/usage"}, "",
			"it cannot be (unknown_tenant); see the tenants with: syllecta tenant list", exitNotFound},
		{"usage --tenant forbidden", []string{"GET /v1/admin/tenants/forbidden/usage"}, "",
			"it cannot be (forbidden)", exitNotAuthorised},

		{"usage --from 2026-11-31", nil, "", `--from: "2026-11-31" is not allowed; it must be a day such as 2026-11-30`, exitUsage},
		{"usage --to today", nil, "", `--to: "today" is not allowed; it must be a day such as 2026-11-30`, exitUsage},
		{"usage --to=", nil, "", `--to: "" is not allowed; it must be a day such as 2026-11-30`, exitUsage},
		{"usage --from 2026-11-02 --to 2026-11-01", nil, "",
			"--from: 2026-11-02 is not allowed; it must not be after --to, 2026-11-01", exitUsage},
		{"usage --tenant=", nil, "", "--tenant: it must be the slug of a tenant", exitUsage},
		{"usage --api-key-file f --admin-token-file g", nil, "",
			"--api-key-file and --admin-token-file are not given together", exitUsage},
		{"usage --api-key-file f --tenant shop", nil, "",
			"--tenant needs the admin token; with --api-key-file it is the tenant of the key", exitUsage},
		{"usage --api-key-file /nonexistent/f", nil, "",
			"API key file: open /nonexistent/f: no such file or directory", exitFailure},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			c.check(t, usageAnswers)
		})
	}
}

// TestUsageCredentials says as whom the usage is asked for.
func TestUsageCredentials(t *testing.T) {
	t.Parallel()
	keyFile := writeToken(t, testAPIKey+"\n", 0o600)
	tokenFile := writeToken(t, testToken, 0o600)
	key := map[string]string{"SYLLECTA_API_KEY": testAPIKey}
	both := map[string]string{"SYLLECTA_API_KEY": testAPIKey, "SYLLECTA_ADMIN_TOKEN": testToken}
	const own, all = "GET /v1/usage", "GET /v1/admin/usage"
	for name, c := range map[string]struct {
		env     map[string]string
		args    string
		request string
		token   string
		code    int
	}{
		"a key":                     {key, "", own, testAPIKey, exitOK},
		"a file with a key":         {nil, "--api-key-file " + keyFile, own, testAPIKey, exitOK},
		"the admin before a key":    {both, "", all, testToken, exitOK},
		"the admin's file likewise": {key, "--admin-token-file " + tokenFile, all, testToken, exitOK},
		"a flag before the admin":   {both, "--api-key-file " + keyFile, own, testAPIKey, exitOK},
		"nobody":                    {nil, "", "", "", exitNotAuthorised},
		"a key for a tenant":        {key, "--tenant shop", "", "", exitNotAuthorised},
		"the days of a key":         {key, "--from 2026-11-01", own + "?from=2026-11-01", testAPIKey, exitOK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answers := maps.Clone(usageAnswers)
			answers[own+"?from=2026-11-01"] = shopUsage
			api := newAdminAPI(t, answers)
			args := append([]string{"usage", "--server", api.URL}, strings.Fields(c.args)...)
			out, errText, code := runVerb(t, c.env, args...)
			if code != c.code || strings.Contains(errText, testAPIKey) || code == exitOK && out == "" {
				t.Errorf("exit code %d, want %d: %s%s", code, c.code, out, errText)
			}
			if got := strings.Join(api.requests, "|"); got != c.request {
				t.Errorf("got requests %q, want %q", got, c.request)
			}
			if c.token != "" && !slices.Equal(api.tokens, []string{"Bearer " + c.token}) {
				t.Errorf("got tokens %q", api.tokens)
			}
		})
	}
}

func TestMonthInWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		month monthUsage
		want  string
	}{
		{monthUsage{Month: "2026-11"}, "\n2026-11: 0 claims, no limit\n"},
		{monthUsage{Month: "2026-11", Events: 7}, "\n2026-11: 0 claims, no limit\n2026-11: 7 events, no limit\n"},
		{monthUsage{Month: "2026-11", Events: 79, EventLimit: 100, ResetsAt: "R"},
			"\n2026-11: 0 claims, no limit\n2026-11: 79 of 100 events (79%), counted anew from R\n"},
		{monthUsage{Month: "2026-11", Events: 80, EventLimit: 100, ResetsAt: "R"}, "\n2026-11: 0 claims, no limit\n" +
			"2026-11: 80 of 100 events (80%), counted anew from R\nwarning: 80% of the month's limit of events is used\n"},
		{monthUsage{Month: "2026-11", Claims: 5, Limit: 5, Events: 101, EventLimit: 100, ResetsAt: "R"},
			"\n2026-11: 5 of 5 claims (100%), counted anew from R\n" +
				"warning: the limit of the month is reached: no more locks are granted until R\n" +
				"2026-11: 101 of 100 events (101%), counted anew from R\n" +
				"warning: the month's limit of events is reached: more are refused, or held if the plan says so, until R\n"},
	} {
		var out strings.Builder
		if err := (&terminal{out: &out}).printMonth(c.month); err != nil || out.String() != c.want {
			t.Errorf("%+v: %v\n%swant\n%s", c.month, err, out.String(), c.want)
		}
	}
}
