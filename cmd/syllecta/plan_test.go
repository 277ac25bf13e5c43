package main

import (
	"slices"
	"strings"
	"testing"
)

const (
	gold = `{"name":"gold","monthlyClaims":1000,"requestsPerSecond":20,"maxTtlSeconds":604800,"maxBodyBytes":0}`
	free = `{"name":"unlimited","monthlyClaims":0,"requestsPerSecond":0,"maxTtlSeconds":0,"maxBodyBytes":0,"new":"later"}`

	eventColumns = "  EVENTS PER MONTH  EVENT DAYS  PAYLOAD DAYS  STORED BYTES\n"
	noEvents     = "         no limit          180         30            no limit\n"

	planHeader = "NAME       CLAIMS PER MONTH  REQUESTS PER SECOND  MAX TTL SECONDS  MAX BODY BYTES" + eventColumns
	goldHeader = "NAME  CLAIMS PER MONTH  REQUESTS PER SECOND  MAX TTL SECONDS  MAX BODY BYTES" + eventColumns
	goldRow    = "gold  1000              20                   604800           by node" + noEvents
	// held is a plan with limits of events.
	held = `{"name":"held","monthlyClaims":0,"requestsPerSecond":0,"maxTtlSeconds":0,"maxBodyBytes":0,"monthlyEvents":500,` +
		`"onExceed":"hold","eventRetentionDays":90,"payloadRetentionDays":7}`
	heldRow = "held  no limit          no limit             by node          by node         500, then hold    90          7             no limit\n"

	planInUse = "tenants have the plan gold; give them another one first"
)

var planAnswers = map[string]string{
	"GET /v1/admin/plans":           `{"plans":[` + free + `,` + gold + `]}`,
	"GET /v1/admin/plans/gold":      gold,
	"GET /v1/admin/plans/unlimited": free,
	"GET /v1/admin/plans/broken":    refusal(500, "internal"),
	"PUT /v1/admin/plans/gold":      gold,
	"GET /v1/admin/plans/held":      held,
	"PUT /v1/admin/plans/held":      held,
	"PUT /v1/admin/plans/new":       strings.Replace(gold, "gold", "new", 1),
	"PUT /v1/admin/plans/a%2Fb":     refusal(400, "invalid_field"),
	"PUT /v1/admin/plans/unlimited": refusal(409, "conflict"),
	"PUT /v1/admin/plans/full":      refusal(409, "limit_reached"),
	"PUT /v1/admin/plans/early":     refusal(409, "upgrade_pending"),
	"DELETE /v1/admin/plans/gold":   `{"ok":true}`,
	"DELETE /v1/admin/plans/used":   `{"title":"T","status":409,"detail":"` + planInUse + `","code":"conflict"}`,
}

// verbCase is a command line, what it asks the API, and what it prints.
type verbCase struct {
	args     string
	requests []string
	out      string
	errText  string
	code     int
}

// check runs the command line against an API with those answers.
func (c verbCase) check(t *testing.T, answers map[string]string) {
	t.Helper()
	api := newAdminAPI(t, answers)
	out, errText, code := runVerb(t, api.env(), strings.Fields(c.args)...)
	if out != c.out || code != c.code {
		t.Errorf("exit code %d, want %d, stdout\n%swant\n%s", code, c.code, out, c.out)
	}
	if want := ending(c.errText); errText != "syllecta: "+want && errText != want {
		t.Errorf("stderr\n%swant\n%s", errText, want)
	}
	if !slices.Equal(api.requests, c.requests) {
		t.Errorf("got requests %q, want %q", api.requests, c.requests)
	}
}

func TestPlanVerbs(t *testing.T) {
	t.Parallel()
	const getGold, putGold = "GET /v1/admin/plans/gold", "PUT /v1/admin/plans/gold "
	for _, c := range []verbCase{
		{"plan list", []string{"GET /v1/admin/plans"}, planHeader +
			"unlimited  no limit          no limit             by node          by node" + noEvents +
			"gold       1000              20                   604800           by node" + noEvents, "", exitOK},
		{"plan list --json", []string{"GET /v1/admin/plans"}, planAnswers["GET /v1/admin/plans"] + "\n", "", exitOK},
		{"plan show gold", []string{getGold}, goldHeader + goldRow, "", exitOK},
		{"plan show unlimited --json", []string{"GET /v1/admin/plans/unlimited"}, free + "\n", "", exitOK},
		{"plan show none", []string{"GET /v1/admin/plans/none"}, "",
			"no such thing (not_found); see the plans with: syllecta plan list", exitNotFound},

		{"plan set gold --monthly-claims 2000", []string{getGold,
			putGold + `{"monthlyClaims":2000,"requestsPerSecond":20,"maxTtlSeconds":604800}`},
			goldHeader + goldRow + "plan gold was changed: monthly-claims from 1000 to 2000\n", "", exitOK},
		{"plan set gold --requests-per-second 0 --max-body-bytes 65536 --json", []string{getGold,
			putGold + `{"monthlyClaims":1000,"maxTtlSeconds":604800,"maxBodyBytes":65536}`}, gold + "\n", "", exitOK},
		{"plan set gold --max-ttl-seconds 0 --max-body-bytes 1", []string{getGold,
			putGold + `{"monthlyClaims":1000,"requestsPerSecond":20,"maxBodyBytes":1}`}, goldHeader + goldRow +
			"plan gold was changed: max-ttl-seconds from 604800 to 0, max-body-bytes from 0 to 1\n", "", exitOK},
		{"plan set gold --monthly-claims 1000", []string{getGold,
			putGold + `{"monthlyClaims":1000,"requestsPerSecond":20,"maxTtlSeconds":604800}`},
			goldHeader + goldRow + "plan gold had these limits before\n", "", exitOK},
		{"plan show held", []string{"GET /v1/admin/plans/held"}, goldHeader + heldRow, "", exitOK},
		{"plan set held --monthly-claims 3", []string{"GET /v1/admin/plans/held", `PUT /v1/admin/plans/held {"monthlyClaims":3,` +
			`"monthlyEvents":500,"onExceed":"hold","eventRetentionDays":90,"payloadRetentionDays":7}`},
			goldHeader + heldRow + "plan held was changed: monthly-claims from 0 to 3\n", "", exitOK},
		{"plan set held --monthly-events 600 --on-exceed reject --event-retention 0 --payload-retention 8",
			[]string{"GET /v1/admin/plans/held", `PUT /v1/admin/plans/held {"monthlyEvents":600,"onExceed":"reject",` +
				`"payloadRetentionDays":8}`}, goldHeader + heldRow + "plan held was changed: monthly-events from 500 to 600, " +
				"event-retention from 90 to 0, payload-retention from 7 to 8, on-exceed from hold to reject\n", "", exitOK},
		{"plan set gold --on-exceed hold", []string{getGold, putGold + `{"monthlyClaims":1000,"requestsPerSecond":20,` +
			`"maxTtlSeconds":604800,"onExceed":"hold"}`}, "",
			"the leader runs an older release, which does not know limits of events: the plan was kept without them", exitFailure},
		{"plan set new --monthly-claims 5", []string{"GET /v1/admin/plans/new",
			`PUT /v1/admin/plans/new {"monthlyClaims":5}`},
			strings.Replace(goldHeader+goldRow, "gold", "new ", 1) + "plan new is new\n", "", exitOK},
		{"plan set a/b", []string{"GET /v1/admin/plans/a%2Fb", "PUT /v1/admin/plans/a%2Fb {}"}, "",
			"it cannot be (invalid_field)", exitUsage},
		{"plan set broken", []string{"GET /v1/admin/plans/broken"}, "", "it cannot be (internal)", exitFailure},
		{"plan set unlimited --monthly-claims 1", []string{"GET /v1/admin/plans/unlimited",
			`PUT /v1/admin/plans/unlimited {"monthlyClaims":1}`}, "", "it cannot be (conflict)", exitConflict},
		{"plan set full", []string{"GET /v1/admin/plans/full", "PUT /v1/admin/plans/full {}"}, "",
			"it cannot be (limit_reached)", exitConflict},
		{"plan set early", []string{"GET /v1/admin/plans/early", "PUT /v1/admin/plans/early {}"}, "",
			"it cannot be (upgrade_pending); see the nodes' versions with: syllecta cluster status", exitConflict},

		{"plan delete gold", []string{"DELETE /v1/admin/plans/gold"}, "plan gold was deleted\n", "", exitOK},
		{"plan delete gold --json", []string{"DELETE /v1/admin/plans/gold"}, `{"ok":true}` + "\n", "", exitOK},
		{"plan delete used", []string{"DELETE /v1/admin/plans/used"}, "", planInUse + " (conflict)", exitConflict},
		{"plan delete none", []string{"DELETE /v1/admin/plans/none"}, "",
			"no such thing (not_found); see the plans with: syllecta plan list", exitNotFound},

		{"plan set gold --monthly-claims -1", nil, "",
			"--monthly-claims: -1 is not allowed; it must be a whole number from 0 to 9007199254740991", exitUsage},
		{"plan set gold --event-retention 3661", nil, "",
			"--event-retention: 3661 is not allowed; it must be a whole number from 0 to 3660", exitUsage},
		{"plan set gold --on-exceed drop", nil, "", `--on-exceed: "drop" is not allowed; it must be reject or hold`, exitUsage},
		{"plan set gold --on-exceed=", nil, "", `--on-exceed: "" is not allowed; it must be reject or hold`, exitUsage},
		{"plan set gold --requests-per-second 1000001", nil, "",
			"--requests-per-second: 1000001 is not allowed; it must be a whole number from 0 to 1000000", exitUsage},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			c.check(t, planAnswers)
		})
	}
}

func TestPlanUsage(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"nonsense", "list x", "show", "show a b", "set", "set gold --monthly-claims x",
		"set gold --max-ttl-seconds -1", "set gold --max-body-bytes 99999999999", "delete", "delete a b"} {
		api := newAdminAPI(t, planAnswers)
		_, errText, code := runVerb(t, api.env(), append([]string{"plan"}, strings.Fields(args)...)...)
		if code != exitUsage || len(api.requests) != 0 || errText == "" {
			t.Errorf("%s: exit code %d, %q, requests %q", args, code, errText, api.requests)
		}
	}
}
