package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/text"
)

const (
	stripeSource = `{"id":"src_1","provider":"stripe","name":"default","callbackUrl":"https://shop.example/hooks","enabled":true,` +
		`"raw":false,"options":{},"dedupeWindowSeconds":604800,"retryDelaysSeconds":[],"maxConcurrency":0,"maxPerSecond":0,` +
		`"secrets":[{"id":"sec_1","hint":"6789","createdAt":"2026-11-23T10:00:00.000Z"},` +
		`{"id":"sec_2","hint":"","createdAt":"2026-11-23T11:00:00.000Z"}],"ingressPath":"/v1/t/shop/webhooks/stripe",` +
		`"createdAt":"2026-11-23T10:00:00.000Z","updatedAt":"2026-11-23T11:00:00.000Z",` +
		`"delivery":{"breaker":"closed","inFlight":2,"queued":3,"nextAttemptAt":"2026-11-23T11:00:01.000Z"}}`
	githubSource = `{"id":"src_2","provider":"github","name":"ci","callbackUrl":"","enabled":false,"disabledReason":"410 Gone",` +
		`"raw":true,"options":{"toleranceSeconds":60},"dedupeWindowSeconds":60,"retryDelaysSeconds":[5,300],"maxConcurrency":4,` +
		`"maxPerSecond":9,"secrets":[],"ingressPath":"/v1/t/shop/webhooks/github?source=ci",` +
		`"createdAt":"2026-11-23T10:00:00.000Z","updatedAt":"2026-11-23T10:00:00.000Z",` +
		`"delivery":{"breaker":"open","inFlight":0,"queued":9,"failingSince":"2026-11-23T10:01:00.000Z",` +
		`"lastFailure":{"at":"2026-11-23T10:02:00.000Z","latencyMs":3,"statusCode":503}}}`

	shopSources = "/v1/admin/tenants/shop/sources"
	listShop    = "GET " + shopSources

	sourceTable = `ID     SOURCE     STATE     DELIVERIES    QUEUED  SECRETS  CALLBACK                    WEBHOOKS COME IN AT
src_1  stripe     enabled   ok            3       2        https://shop.example/hooks  /v1/t/shop/webhooks/stripe
src_2  github/ci  disabled  breaker open  9       0                                    /v1/t/shop/webhooks/github?source=ci
`
	stripeMembers = `MEMBER                 VALUE
id                     src_1
source                 stripe
state                  enabled
webhooks come in at    /v1/t/shop/webhooks/stripe
callback               https://shop.example/hooks
delivers               normalised JSON
options                {}
dedupe window          168h0m0s
retries after          the default schedule
deliveries at a time   by default
deliveries per second  by default
created                2026-11-23T10:00:00.000Z
changed                2026-11-23T11:00:00.000Z
breaker                closed
attempts under way     2
events queued          3, the next attempt at 2026-11-23T11:00:01.000Z
secret sec_1           ends in 6789, since 2026-11-23T10:00:00.000Z
secret sec_2           short, since 2026-11-23T11:00:00.000Z
`
	githubMembers = `MEMBER                   VALUE
id                       src_2
source                   github/ci
state                    disabled: 410 Gone
webhooks come in at      /v1/t/shop/webhooks/github?source=ci
callback                 none: events are kept, and not delivered
delivers                 the provider's own bytes
options                  {"toleranceSeconds":60}
dedupe window            1m0s
retries after            5s, 5m0s
deliveries at a time     4
deliveries per second    9
created                  2026-11-23T10:00:00.000Z
changed                  2026-11-23T10:00:00.000Z
breaker                  open
nothing delivered since  2026-11-23T10:01:00.000Z
last attempt             answered with 503 at 2026-11-23T10:02:00.000Z
attempts under way       0
events queued            9
secrets                  none
`
	rollingLine = "old signing secret     signs beside the new one until 2026-11-24T11:00:00.000Z\n"
	signingLine = "\nSigning secret of deliveries, shown only now: whsec_made\n"
	noSecretIn  = "standard input: it must hold one line of 1 to 2048 bytes"
)

// rolled is a source that signs with two secrets.
func rolled(source string) string {
	return strings.TrimSuffix(source, "}") + `,"previousSigningSecretEndsAt":"2026-11-24T11:00:00.000Z"}`
}

// made is a source with the signing secret that was just made.
func made(source string) string {
	return strings.TrimSuffix(source, "}") + `,"signingSecret":"whsec_made"}`
}

var sourceAnswers = map[string]string{
	listShop:                                         `{"sources":[` + stripeSource + `,` + githubSource + `]}`,
	"GET /v1/admin/tenants/nobody/sources":           refusal(404, "unknown_tenant"),
	"GET " + shopSources + "/src_1":                  stripeSource,
	"GET " + shopSources + "/src_2":                  githubSource,
	"POST " + shopSources:                            made(stripeSource),
	"POST /v1/admin/tenants/plain/sources":           refusal(503, "no_kek"),
	"POST /v1/admin/tenants/lost/sources":            refusal(503, "outcome_unknown"),
	"PATCH " + shopSources + "/src_1":                stripeSource,
	"PATCH " + shopSources + "/src_2":                githubSource,
	"DELETE " + shopSources + "/src_1":               `{"ok":true}`,
	"DELETE " + shopSources + "/src_2":               refusal(409, "conflict"),
	"POST " + shopSources + "/src_1/secrets":         `{"id":"sec_3","hint":"wxyz","createdAt":"2026-11-23T10:00:00.000Z"}`,
	"POST " + shopSources + "/src_2/secrets":         refusal(409, "limit_reached"),
	"DELETE " + shopSources + "/src_1/secrets/sec_1": `{"ok":true}`,
	"POST " + shopSources + "/src_1/signing-secret":  made(rolled(stripeSource)),
	"POST " + shopSources + "/src_2/signing-secret":  refusal(409, "limit_reached"),
	"GET " + shopSources + "/src_3":                  rolled(stripeSource),
	"POST " + shopSources + "/src_3/signing-secret":  refusal(503, "outcome_unknown"),
	"GET /v1/sources":                                `{"sources":[` + stripeSource + `]}`,
	"GET /v1/sources/src_1":                          stripeSource,
}

func TestSourceVerbs(t *testing.T) {
	t.Parallel()
	secretFile := writeToken(t, "whsec_a\n", 0o600)
	otherFile := writeToken(t, "a b|c,é", 0o400)
	openFile := writeToken(t, "whsec_a\n", 0o644)
	twoLines := writeToken(t, "whsec_a\nwhsec_b\n", 0o600)
	long := writeToken(t, strings.Repeat("a", 2_049), 0o600)
	const stripe, change = shopSources + "/src_1", "PATCH " + shopSources + "/src_1 "
	for _, c := range []verbCase{
		{"source list --tenant shop", []string{listShop}, sourceTable, "", exitOK},
		{"source list --tenant shop --json", []string{listShop}, sourceAnswers[listShop] + "\n", "", exitOK},
		{"source list --tenant nobody", []string{"GET /v1/admin/tenants/nobody/sources"}, "",
			"it cannot be (unknown_tenant); see the tenants with: syllecta tenant list", exitNotFound},
		{"source list", nil, "", "--tenant is required with the admin token: the slug of the tenant", exitUsage},
		{"source list --tenant shop --api-key-file f", nil, "",
			"--tenant needs the admin token; with --api-key-file it is the tenant of the key", exitUsage},
		{"source list --admin-token-file f --api-key-file f", nil, "",
			"--api-key-file and --admin-token-file are not given together", exitUsage},

		{"source show src_1 --tenant shop", []string{"GET " + stripe}, stripeMembers, "", exitOK},
		{"source show stripe --tenant shop", []string{listShop, "GET " + stripe}, stripeMembers, "", exitOK},
		{"source show stripe/default --tenant shop --json", []string{listShop, "GET " + stripe}, stripeSource + "\n", "", exitOK},
		{"source show github/ci --tenant shop", []string{listShop, "GET " + shopSources + "/src_2"}, githubMembers, "", exitOK},
		{"source show github --tenant shop", []string{listShop}, "",
			`the tenant has no source "github"; see its sources with: syllecta source list`, exitNotFound},
		{"source show src_9/x --tenant shop", []string{"GET " + shopSources + "/src_9%2Fx"}, "",
			"no such thing (not_found); see the sources with: syllecta source list", exitNotFound},

		{"source create stripe --tenant shop --secret-file " + secretFile,
			[]string{"POST " + shopSources + ` {"provider":"stripe","secrets":["whsec_a"]}`}, stripeMembers + signingLine, "", exitOK},
		{"source create stripe --tenant shop --json --name eu --callback-url https://x --secret-file " + secretFile +
			" --secret-file " + otherFile + ` --options {"webhookId":"1"} --raw --dedupe-window 24h --retry-delays 5s,10m ` +
			"--max-concurrency 4 --max-per-second 9", []string{"POST " + shopSources + ` {"provider":"stripe","name":"eu",` +
			`"callbackUrl":"https://x","secrets":["whsec_a","a b|c,é"],"options":{"webhookId":"1"},"raw":true,` +
			`"dedupeWindowSeconds":86400,"retryDelaysSeconds":[5,600],"maxConcurrency":4,"maxPerSecond":9}`},
			made(stripeSource) + "\n", "", exitOK},
		{"source create stripe --tenant plain", []string{`POST /v1/admin/tenants/plain/sources {"provider":"stripe"}`}, "",
			"it cannot be (no_kek)", exitUnreachable},
		{"source create stripe --tenant lost", []string{`POST /v1/admin/tenants/lost/sources {"provider":"stripe"}`}, "",
			"it cannot be (outcome_unknown); see whether it was done with: syllecta source list", exitUnreachable},
		{"source create stripe --tenant shop --secret-file " + openFile, nil, "", "secret file " + openFile +
			" can be read by others (mode 0644); run: chmod 600 " + openFile, exitUsage},
		{"source create stripe --tenant shop --secret-file " + twoLines, nil, "",
			"secret file " + twoLines + ": it must hold one line of 1 to 2048 bytes", exitUsage},
		{"source create stripe --tenant shop --secret-file " + long, nil, "",
			"secret file " + long + ": it must hold one line of 1 to 2048 bytes", exitUsage},
		{"source create stripe --tenant shop --secret-file -", nil, "", noSecretIn, exitUsage},
		{"source create stripe --tenant shop --options []", nil, "",
			`--options: it must be a JSON object such as {"toleranceSeconds":60}`, exitUsage},
		{"source create stripe --tenant shop --options null", nil, "",
			`--options: it must be a JSON object such as {"toleranceSeconds":60}`, exitUsage},
		{"source create stripe --tenant shop --dedupe-window 59s", nil, "",
			"--dedupe-window: 59s is not allowed; it must be a time of whole seconds from 1m0s to 720h0m0s", exitUsage},
		{"source create stripe --tenant shop --retry-delays 5s,500ms", nil, "",
			`--retry-delays: "500ms" is not allowed; it must be a time of whole seconds up to 168h0m0s such as 5m`, exitUsage},
		{"source create stripe --tenant shop --retry-delays 169h", nil, "",
			`--retry-delays: "169h" is not allowed; it must be a time of whole seconds up to 168h0m0s such as 5m`, exitUsage},
		{"source update src_1 --tenant shop --retry-delays 5,10", nil, "",
			`--retry-delays: "5" is not allowed; it must be a time of whole seconds up to 168h0m0s such as 5m`, exitUsage},
		{"source create stripe --tenant shop --retry-delays 1s" + strings.Repeat(",1s", 20), nil, "",
			"--retry-delays: at most 20 are allowed", exitUsage},
		{"source create stripe --tenant shop --max-concurrency 101", nil, "",
			"--max-concurrency: 101 is not allowed; it must be a whole number from 0 to 100", exitUsage},
		{"source create stripe --tenant shop --max-per-second -1", nil, "",
			"--max-per-second: -1 is not allowed; it must be a whole number from 0 to 10000", exitUsage},

		{"source update stripe --tenant shop --callback-url=", []string{listShop, change + `{"callbackUrl":""}`},
			stripeMembers, "", exitOK},
		{"source update src_1 --tenant shop --raw=false --retry-delays= --options {} --json", []string{change +
			`{"options":{},"raw":false,"retryDelaysSeconds":[]}`}, stripeSource + "\n", "", exitOK},
		{"source update src_1 --tenant shop", nil, "", "nothing is to change: give --callback-url, --options, --raw, " +
			"--dedupe-window, --retry-delays, --max-concurrency or --max-per-second", exitUsage},
		{"source enable src_1 --tenant shop", []string{change + `{"enabled":true}`}, stripeMembers, "", exitOK},
		{"source disable github/ci --tenant shop --json", []string{listShop,
			"PATCH " + shopSources + `/src_2 {"enabled":false}`}, githubSource + "\n", "", exitOK},

		{"source delete stripe --tenant shop", []string{listShop, "DELETE " + stripe}, "source stripe was deleted\n", "", exitOK},
		{"source delete src_1 --tenant shop --json", []string{"DELETE " + stripe}, `{"ok":true}` + "\n", "", exitOK},
		{"source delete src_2 --tenant shop", []string{"DELETE " + shopSources + "/src_2"}, "", "it cannot be (conflict)", exitConflict},

		{"source secret add stripe --tenant shop --secret-file " + secretFile,
			[]string{listShop, "POST " + stripe + `/secrets {"secret":"whsec_a"}`},
			"secret sec_3 (ends in wxyz) was added to stripe\n", "", exitOK},
		{"source secret add src_2 --tenant shop --secret-file " + secretFile,
			[]string{"POST " + shopSources + `/src_2/secrets {"secret":"whsec_a"}`}, "", "it cannot be (limit_reached)", exitConflict},
		{"source secret add src_1 --tenant shop", nil, "", noSecretIn, exitUsage},
		{"source secret remove stripe sec_1 --tenant shop", []string{listShop, "DELETE " + stripe + "/secrets/sec_1"},
			"secret sec_1 was removed from stripe\n", "", exitOK},
		{"source secret remove src_1 sec_9 --tenant shop", []string{"DELETE " + stripe + "/secrets/sec_9"}, "",
			"no such thing (not_found); see the sources with: syllecta source list", exitNotFound},
		{"source roll-signing-secret src_1 --tenant shop", []string{"POST " + stripe + "/signing-secret"},
			stripeMembers + rollingLine + signingLine, "", exitOK},
		{"source roll-signing-secret src_1 --tenant shop --json", []string{"POST " + stripe + "/signing-secret"},
			made(rolled(stripeSource)) + "\n", "", exitOK},
		{"source roll-signing-secret stripe --tenant shop --overlap 72h",
			[]string{listShop, "POST " + stripe + `/signing-secret {"overlapSeconds":259200}`},
			stripeMembers + rollingLine + signingLine, "", exitOK},
		{"source roll-signing-secret src_1 --tenant shop --overlap 0s --json",
			[]string{"POST " + stripe + `/signing-secret {"overlapSeconds":0}`}, made(rolled(stripeSource)) + "\n", "", exitOK},
		{"source roll-signing-secret src_1 --tenant shop --overlap 168h --json",
			[]string{"POST " + stripe + `/signing-secret {"overlapSeconds":604800}`}, made(rolled(stripeSource)) + "\n", "", exitOK},
		{"source roll-signing-secret src_1 --tenant shop --overlap 168h1s", nil, "",
			"--overlap: 168h0m1s is not allowed; it must be a time of whole seconds from 0s to 168h0m0s", exitUsage},
		{"source roll-signing-secret src_1 --tenant shop --overlap -1s", nil, "",
			"--overlap: -1s is not allowed; it must be a time of whole seconds from 0s to 168h0m0s", exitUsage},
		{"source roll-signing-secret src_1 --tenant shop --overlap 500ms", nil, "",
			"--overlap: 500ms is not allowed; it must be a time of whole seconds from 0s to 168h0m0s", exitUsage},
		{"source roll-signing-secret src_2 --tenant shop", []string{"POST " + shopSources + "/src_2/signing-secret"}, "",
			"it cannot be (limit_reached)", exitConflict},
		{"source roll-signing-secret src_3 --tenant shop", []string{"POST " + shopSources + "/src_3/signing-secret"}, "",
			"it cannot be (outcome_unknown); see whether it was done with: syllecta source show src_3; if so, the new secret is " +
				"lost: roll again with --overlap 0s", exitUnreachable},
		{"source show src_3 --tenant shop", []string{"GET " + shopSources + "/src_3"}, stripeMembers + rollingLine, "", exitOK},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			c.check(t, sourceAnswers)
		})
	}
}

func TestSourceUsage(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"nonsense", "list x", "show", "show a b", "create", "create a b", "update", "enable", "disable",
		"delete", "secret nonsense", "secret add", "secret remove a", "roll-signing-secret", "create stripe whsec_a",
		"secret add stripe --secret whsec_a"} {
		api := newAdminAPI(t, sourceAnswers)
		args := append([]string{"source", "--tenant", "shop"}, strings.Fields(args)...)
		if _, errText, code := runVerb(t, api.env(), args...); code != exitUsage || len(api.requests) != 0 || errText == "" {
			t.Errorf("%s: exit code %d, %q, requests %q", args, code, errText, api.requests)
		}
	}
}

// TestSecretFromStandardInput pipes a secret in.
func TestSecretFromStandardInput(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, args, request string }{
		{"whsec_a\n", "source secret add src_1 --tenant shop", "POST " + shopSources + `/src_1/secrets {"secret":"whsec_a"}`},
		{"whsec_a\r\n", "source secret add src_1 --tenant shop --secret-file -",
			"POST " + shopSources + `/src_1/secrets {"secret":"whsec_a"}`},
		{"whsec_a", "source create stripe --tenant shop --secret-file -",
			"POST " + shopSources + ` {"provider":"stripe","secrets":["whsec_a"]}`},
		{"whsec_a", "source create stripe --tenant shop --secret-file - --secret-file -", ""},
		{strings.Repeat("a", 2_049), "source secret add src_1 --tenant shop", ""},
		{"a\nb\n", "source secret add src_1 --tenant shop", ""},
	} {
		api := newAdminAPI(t, sourceAnswers)
		environ := api.env()
		var stdout, stderr bytes.Buffer
		code := run(&terminal{in: strings.NewReader(c.in), out: &stdout, err: &stderr,
			env: func(name string) string { return environ[name] }}, strings.Fields(c.args))
		if c.request == "" {
			if code != exitUsage || len(api.requests) != 0 || strings.Contains(stderr.String(), "whsec_a") {
				t.Errorf("%s: exit code %d, %s, requests %q", c.args, code, stderr.String(), api.requests)
			}
			continue
		}
		if code != exitOK || !slices.Equal(api.requests, []string{c.request}) {
			t.Errorf("%s: exit code %d, %s, requests %q", c.args, code, stderr.String(), api.requests)
		}
	}
}

// TestSourceCredentials says as whom the sources are asked for.
func TestSourceCredentials(t *testing.T) {
	t.Parallel()
	keyFile := writeToken(t, testAPIKey+"\n", 0o600)
	key := map[string]string{"SYLLECTA_API_KEY": testAPIKey}
	both := map[string]string{"SYLLECTA_API_KEY": testAPIKey, "SYLLECTA_ADMIN_TOKEN": testToken}
	for name, c := range map[string]struct {
		env     map[string]string
		args    string
		request string
		token   string
		code    int
	}{
		"a key":                 {key, "list", "GET /v1/sources", testAPIKey, exitOK},
		"a file with a key":     {nil, "show src_1 --api-key-file " + keyFile, "GET /v1/sources/src_1", testAPIKey, exitOK},
		"a flag before all":     {both, "list --api-key-file " + keyFile, "GET /v1/sources", testAPIKey, exitOK},
		"a tenant of the admin": {both, "list --tenant shop", listShop, testToken, exitOK},
		"the admin of nobody":   {both, "list", "", "", exitUsage},
		"a key for a tenant":    {key, "list --tenant shop", "", "", exitNotAuthorised},
		"nobody":                {nil, "list", "", "", exitNotAuthorised},
		"no such file":          {nil, "list --api-key-file /nonexistent/f", "", "", exitFailure},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := newAdminAPI(t, sourceAnswers)
			out, errText, code := runVerb(t, c.env, append([]string{"source", "--server", api.URL}, strings.Fields(c.args)...)...)
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

func TestProvidersComplete(t *testing.T) {
	t.Parallel()
	offers, directive := complete(t, nil, "source", "create", "")
	if directive != noFiles || !slices.Contains(offers, "stripe\tStripe") || len(offers) < 20 {
		t.Errorf("got %q and directive %s", offers, directive)
	}
}

func TestDeliveriesInWords(t *testing.T) {
	t.Parallel()
	const since = "2026-11-23T10:01:00.000Z"
	for _, c := range []struct {
		delivery sourceDelivery
		words    string
		colour   text.Color
		failure  string
	}{
		{sourceDelivery{Breaker: "closed"}, "ok", text.Reset, ""},
		{sourceDelivery{Breaker: "closed", FailingSince: since, LastFailure: eventAttempt{At: since, StatusCode: 404}},
			"failing", text.FgYellow, "answered with 404 at " + since},
		{sourceDelivery{Breaker: "half_open", FailingSince: since, LastFailure: eventAttempt{At: since, Error: "no answer in time"}},
			"breaker half_open", text.FgRed, "no answer in time at " + since},
		{sourceDelivery{Breaker: "open"}, "breaker open", text.FgRed, ""},
	} {
		if words, colour := c.delivery.inWords(); words != c.words || colour != c.colour {
			t.Errorf("%+v: %q, %v", c.delivery, words, colour)
		}
		shown := ""
		for _, line := range c.delivery.lines() {
			if line[0] == "last attempt" {
				shown = line[1]
			}
		}
		if shown != c.failure {
			t.Errorf("%+v: %q", c.delivery, shown)
		}
	}
}
