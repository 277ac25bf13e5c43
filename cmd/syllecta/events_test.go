package main

import (
	"context"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	eventOne = `{"eventId":"evt_2","id":"s2","provider":"stripe","source":"default","providerRawType":"charge.failed",` +
		`"type":"payment.failed","status":"delivery_failed","receivedAt":"2026-11-29T12:00:02.000Z","attempts":10,"replayCount":3,` +
		`"payloadForm":"raw"}`
	eventTwo = `{"eventId":"evt_1","id":"g1","provider":"github","source":"ci","providerRawType":"push","type":"push",` +
		`"status":"queued","receivedAt":"2026-11-29T12:00:01.000Z","attempts":0,"replayCount":0,` +
		`"nextAttemptAt":"2026-11-29T12:00:05.000Z","payloadForm":"raw","new":"later"}`
	eventCounts = `"counts":{"github":{"queued":1,"processed":0,"delivery_failed":0,"held":0,"ignored":0,"cached":0},` +
		`"stripe":{"queued":0,"processed":0,"delivery_failed":1,"held":0,"ignored":0,"cached":3}}`

	eventTable = "EVENT  RECEIVED                  PROVIDER  SOURCE   TYPE            STATUS           ATTEMPTS  CAME AGAIN  NEXT ATTEMPT\n" +
		"evt_2  2026-11-29T12:00:02.000Z  stripe    default  payment.failed  delivery_failed  10        3\n" +
		"evt_1  2026-11-29T12:00:01.000Z  github    ci       push            queued           0         0           2026-11-29T12:00:05.000Z\n"
	countTable = "\nPROVIDER  QUEUED  PROCESSED  DELIVERY FAILED  HELD  IGNORED  CACHED\n" +
		"github    1       0          0                0     0        0\n" +
		"stripe    0       0          1                0     0        3\n"

	shopEvents = "/v1/admin/tenants/shop/events"
)

var eventAnswers = map[string]string{
	"GET " + shopEvents + "?counts=true&limit=50":             `{"events":[` + eventOne + `,` + eventTwo + `],` + eventCounts + `}`,
	"GET " + shopEvents + "?counts=true&limit=1":              `{"events":[` + eventOne + `],` + eventCounts + `,"nextCursor":"AB"}`,
	"GET " + shopEvents + "?counts=true&limit=500":            `{"events":[` + eventOne + `],` + eventCounts + `,"nextCursor":"AB"}`,
	"GET " + shopEvents + "?counts=false&cursor=AB&limit=500": `{"events":[` + eventTwo + `]}`,
	"GET " + shopEvents + "?counts=false&cursor=AB&limit=50":  `{"events":[]}`,
	"GET " + shopEvents + "?counts=true&from=2026-11-01&limit=50&provider=stripe&source=eu&status=cached&to=2026-11-29T12%3A00%3A00Z&type=payment.%2A": `{"events":[],"counts":{}}`,
	"GET /v1/events?counts=true&limit=50":                      `{"events":[` + eventTwo + `],"counts":{}}`,
	"GET /v1/admin/tenants/nobody/events?counts=true&limit=50": refusal(404, "unknown_tenant"),
	"GET " + shopEvents + "/evt_2":                             eventShown,
	"GET " + shopEvents + "/evt_2?raw=true":                    eventShown,
	"GET " + shopEvents + "/evt_1":                             eventTwo,
	"GET " + shopEvents + "/evt_9":                             refusal(404, "not_found"),
	"POST " + shopEvents + "/evt_2/replay":                     `{"ok":true,"changed":1}`,
	"POST " + shopEvents + "/evt_1/replay":                     refusal(409, "conflict"),
	"POST " + shopEvents + "/evt_2/ignore":                     `{"ok":true,"changed":1}`,
	"POST " + shopEvents + "/a%2Fb/ignore":                     refusal(404, "not_found"),
}

var eventShown = strings.TrimSuffix(eventOne, "}") + `,"payloadMismatch":true,"attemptLog":[` +
	`{"number":9,"at":"2026-11-29T12:00:02.000Z","latencyMs":15000,"error":"it\ntimed out"},` +
	`{"number":10,"at":"2026-11-29T13:00:02.000Z","latencyMs":7,"statusCode":500,"replay":"rpl_1"}],` +
	`"duplicates":[{"at":"2026-11-29T12:00:04.000Z","source":"default"}],"masked":true,` +
	`"payload":{"amount":12,"note":"\u001b[31m` + "\u009b" + `","list":[]},"headers":{"User-Agent":["Stripe/1.0"],"A":["b","\u001b"]}}`

func TestEventVerbs(t *testing.T) {
	t.Parallel()
	for _, c := range []verbCase{
		{"events list --tenant shop", []string{"GET " + shopEvents + "?counts=true&limit=50"}, eventTable + countTable, "", exitOK},
		{"events list --tenant shop --json", []string{"GET " + shopEvents + "?counts=true&limit=50"},
			`{"events":[` + eventOne + `,` + eventTwo + `],` + eventCounts + "}\n", "", exitOK},
		{"events list --tenant shop --limit 1 --json", []string{"GET " + shopEvents + "?counts=true&limit=1"},
			`{"events":[` + eventOne + `],` + eventCounts + `,"nextCursor":"AB"}` + "\n", "", exitOK},
		{"events list --tenant shop --limit 1", []string{"GET " + shopEvents + "?counts=true&limit=1"},
			"EVENT  RECEIVED                  PROVIDER  SOURCE   TYPE            STATUS           ATTEMPTS  CAME AGAIN  NEXT ATTEMPT\n" +
				"evt_2  2026-11-29T12:00:02.000Z  stripe    default  payment.failed  delivery_failed  10        3\n" + countTable,
			"note: there are more; go on with --cursor AB", exitOK},
		{"events list --tenant shop --limit 600", []string{"GET " + shopEvents + "?counts=true&limit=500",
			"GET " + shopEvents + "?counts=false&cursor=AB&limit=500"}, eventTable + countTable, "", exitOK},
		{"events list --tenant shop --cursor AB --json", []string{"GET " + shopEvents + "?counts=false&cursor=AB&limit=50"},
			`{"events":[]}` + "\n", "", exitOK},
		{"events list --tenant shop --provider stripe --source eu --status cached --type payment.* --from 2026-11-01 " +
			"--to 2026-11-29T12:00:00Z --json",
			[]string{"GET " + shopEvents + "?counts=true&from=2026-11-01&limit=50&provider=stripe&source=eu&status=cached" +
				"&to=2026-11-29T12%3A00%3A00Z&type=payment.%2A"}, `{"events":[],"counts":{}}` + "\n", "", exitOK},
		{"events list --tenant nobody", []string{"GET /v1/admin/tenants/nobody/events?counts=true&limit=50"}, "",
			"it cannot be (unknown_tenant); see the tenants with: syllecta tenant list", exitNotFound},

		{"events show evt_2 --tenant shop", []string{"GET " + shopEvents + "/evt_2"},
			"EVENT  RECEIVED                  PROVIDER  SOURCE   TYPE            STATUS           ATTEMPTS  CAME AGAIN  NEXT ATTEMPT\n" +
				"evt_2  2026-11-29T12:00:02.000Z  stripe    default  payment.failed  delivery_failed  10        3\n" +
				"\nATTEMPT  AT                        MS     ANSWER  ERROR         REPLAY\n" +
				"9        2026-11-29T12:00:02.000Z  15000          it\uFFFDtimed out\n" +
				"10       2026-11-29T13:00:02.000Z  7      500                   rpl_1\n" +
				"\nCAME AGAIN AT             SOURCE\n2026-11-29T12:00:04.000Z  default\n" +
				"\nIt came again with another payload; this is the first one.\n" +
				"\nA: b\nA: \uFFFD\nUser-Agent: Stripe/1.0\n" +
				"\n{\n  \"amount\": 12,\n  \"note\": \"\\u001b[31m\uFFFD\",\n  \"list\": []\n}\n", "", exitOK},
		{"events show evt_2 --tenant shop --raw --json", []string{"GET " + shopEvents + "/evt_2?raw=true"}, eventShown + "\n", "", exitOK},
		{"events show evt_1 --tenant shop", []string{"GET " + shopEvents + "/evt_1"},
			"EVENT  RECEIVED                  PROVIDER  SOURCE  TYPE  STATUS  ATTEMPTS  CAME AGAIN  NEXT ATTEMPT\n" +
				"evt_1  2026-11-29T12:00:01.000Z  github    ci      push  queued  0         0           2026-11-29T12:00:05.000Z\n" +
				"\nThe payload is not kept any more: see the tenant's payload policy.\n", "", exitOK},
		{"events show evt_9 --tenant shop", []string{"GET " + shopEvents + "/evt_9"}, "",
			"it cannot be (not_found); see the events with: syllecta events list --tenant shop", exitNotFound},

		{"events replay evt_2 --tenant shop", []string{"POST " + shopEvents + "/evt_2/replay"}, "evt_2 is delivered again\n", "", exitOK},
		{"events replay evt_2 --tenant shop --json", []string{"POST " + shopEvents + "/evt_2/replay"},
			`{"ok":true,"changed":1}` + "\n", "", exitOK},
		{"events replay evt_1 --tenant shop", []string{"POST " + shopEvents + "/evt_1/replay"}, "", "it cannot be (conflict)", exitConflict},
		{"events ignore evt_2 --tenant shop", []string{"POST " + shopEvents + "/evt_2/ignore"}, "evt_2 is not delivered\n", "", exitOK},
		{"events ignore a/b --tenant shop", []string{"POST " + shopEvents + "/a%2Fb/ignore"}, "",
			"it cannot be (not_found); see the events with: syllecta events list --tenant shop", exitNotFound},

		{"events list", nil, "", "--tenant is required with the admin token: the slug of the tenant", exitUsage},
		{"events list --tenant=", nil, "", "--tenant: it must be the slug of a tenant", exitUsage},
		{"events list --tenant shop --status done", nil, "",
			`--status: "done" is not allowed; it must be queued, processed, delivery_failed, held, ignored or cached`, exitUsage},
		{"events list --tenant shop --from x", nil, "",
			`--from: "x" is not allowed; it must be an instant such as 2026-11-30T12:00:00Z, or a day such as 2026-11-30`, exitUsage},
		{"events list --tenant shop --to 2026-11-31", nil, "",
			`--to: "2026-11-31" is not allowed; it must be an instant such as 2026-11-30T12:00:00Z, or a day such as 2026-11-30`, exitUsage},
		{"events list --tenant shop --provider=", nil, "", "--provider: it must not be empty", exitUsage},
		{"events list --tenant shop --limit 10001", nil, "",
			"--limit: 10001 is not allowed; it must be a whole number from 1 to 10000", exitUsage},
		{"events tail --tenant shop --lines 101", nil, "",
			"--lines: 101 is not allowed; it must be a whole number from 0 to 100", exitUsage},
		{"events replay --tenant shop", nil, "",
			"name an event, or say which ones: with --status, --provider, --source, --type, --from or --to", exitUsage},
		{"events replay evt_1 --tenant shop --status held", nil, "", "--status is for events that are not named", exitUsage},
		{"events replay --tenant shop --status queued", nil, "",
			`--status: "queued" is not allowed; it must be delivery_failed, held, processed or ignored`, exitUsage},
		{"events replay --tenant shop --limit 0", nil, "",
			"--limit: 0 is not allowed; it must be a whole number from 1 to 10000", exitUsage},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			c.check(t, eventAnswers)
		})
	}
}

func TestEventsReplayMany(t *testing.T) {
	t.Parallel()
	const path = "POST /v1/admin/tenants/shop/replays"
	const asked = path + ` {"provider":"stripe","limit":10000,"dryRun":true}`
	const done = path + ` {"provider":"stripe","limit":10000}`
	answer := func(matched, replayed, rest string) string {
		return `{"ok":true,"matched":` + matched + `,"replayed":` + replayed + `,"dryRun":` + rest + `}`
	}
	for name, c := range map[string]struct {
		args     string
		plan     string // the answer to a dry run
		requests []string
		out      string
		errText  string
		code     int
	}{
		"dry run":         {"--dry-run", answer("2", "0", "true"), []string{asked}, "2 events would be delivered again\n", "", exitOK},
		"dry run of more": {"--dry-run", answer("10000", "0", `true,"more":true`), []string{asked}, "10000 events would be delivered again, and there are more\n", "", exitOK},
		"dry run, JSON":   {"--dry-run --json", answer("2", "0", "true"), []string{asked}, answer("2", "0", "true") + "\n", "", exitOK},
		"none":            {"", answer("0", "0", "true"), []string{asked}, "0 events would be delivered again\n", "", exitOK},
		"some passed over": {"--dry-run", answer("2", "0", `true,"passedOver":3`), []string{asked},
			"2 events would be delivered again; 3 were passed over: queued anyway, or without a payload or a source any more\n", "", exitOK},
		"one is not asked": {"", answer("1", "0", "true"), []string{asked, done}, "7 events will be delivered again\n", "", exitOK},
		"nobody to ask": {"", answer("2", "0", "true"), []string{asked}, "",
			"2 events would be delivered again, and nobody is here to confirm it; say --yes", exitUsage},
		"yes":       {"--yes", answer("2", "0", "true"), []string{done}, "7 events will be delivered again\n", "", exitOK},
		"yes, JSON": {"--yes --json", "", []string{done}, answer("7", "7", "false") + "\n", "", exitOK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var requests []string
			node := testNode(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				mu.Lock()
				defer mu.Unlock()
				requests = append(requests, r.Method+" "+r.URL.Path+" "+string(body))
				if strings.Contains(string(body), `"dryRun":true`) {
					io.WriteString(w, c.plan)
				} else {
					io.WriteString(w, answer("7", "7", "false"))
				}
			})
			environ := map[string]string{"SYLLECTA_SERVER": node.URL, "SYLLECTA_ADMIN_TOKEN": testToken}
			args := append([]string{"events", "replay", "--tenant", "shop", "--provider", "stripe"}, strings.Fields(c.args)...)
			out, errText, code := runVerb(t, environ, args...)
			if out != c.out || strings.TrimPrefix(errText, "syllecta: ") != ending(c.errText) || code != c.code {
				t.Errorf("exit code %d, %q, %q", code, out, errText)
			}
			if !slices.Equal(requests, c.requests) {
				t.Errorf("got requests %q", requests)
			}
		})
	}
}

// TestEventsOfAKey asks as the tenant whose key is given.
func TestEventsOfAKey(t *testing.T) {
	t.Parallel()
	file := writeToken(t, testAPIKey, 0o600)
	for name, c := range map[string]struct {
		env   map[string]string
		args  string
		path  string
		token string
		code  int
	}{
		"key file":                {nil, "--api-key-file " + file, "/v1/events", testAPIKey, exitOK},
		"key of the environment":  {map[string]string{"SYLLECTA_API_KEY": testAPIKey}, "", "/v1/events", testAPIKey, exitOK},
		"the admin comes first":   {map[string]string{"SYLLECTA_API_KEY": testAPIKey, "SYLLECTA_ADMIN_TOKEN": testToken}, "--tenant shop", shopEvents, testToken, exitOK},
		"a tenant is the admin's": {map[string]string{"SYLLECTA_API_KEY": testAPIKey}, "--tenant shop", "", "", exitNotAuthorised},
		"nobody":                  {nil, "", "", "", exitNotAuthorised},
		"two of them":             {nil, "--api-key-file " + file + " --admin-token-file " + file, "", "", exitUsage},
		"a tenant beside the key": {nil, "--tenant shop --api-key-file " + file, "", "", exitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := newAdminAPI(t, eventAnswers)
			_, errText, code := runVerb(t, c.env, append([]string{"events", "list", "--server", api.URL}, strings.Fields(c.args)...)...)
			if code != c.code || strings.Contains(errText, testAPIKey) {
				t.Errorf("exit code %d, %s", code, errText)
			}
			if c.path == "" {
				if len(api.requests) != 0 {
					t.Errorf("got requests %q", api.requests)
				}
			} else if !slices.Equal(api.requests, []string{"GET " + c.path + "?counts=true&limit=50"}) ||
				!slices.Equal(api.tokens, []string{"Bearer " + c.token}) {
				t.Errorf("got requests %q with %q", api.requests, api.tokens)
			}
		})
	}
}

func TestEventsComplete(t *testing.T) {
	t.Parallel()
	answers := maps.Clone(eventAnswers)
	answers["GET "+shopEvents+"?counts=false&limit=50"] = eventAnswers["GET "+shopEvents+"?counts=true&limit=50"]
	answers["GET /v1/admin/tenants"] = cannedAnswers["GET /v1/admin/tenants"]
	const offers = "evt_2\tstripe/default payment.failed delivery_failed|evt_1\tgithub/ci push queued"
	for line, want := range map[string]string{
		"events list --tenant ":            "shop\tThe Shop|demo|old",
		"events list --status ":            strings.Join(eventStatuses, "|"),
		"events replay --status ":          strings.Join(replayableStatuses, "|"),
		"events list --provider ":          "",
		"events show --tenant shop ":       offers,
		"events replay --tenant shop ":     offers,
		"events ignore --tenant shop ":     offers,
		"events show --tenant shop evt_1 ": "",
		"events show ":                     "",
	} {
		api := newAdminAPI(t, answers)
		got, directive := complete(t, api.env(), strings.Split(line, " ")...)
		if strings.Join(got, "|") != want || directive != noFiles {
			t.Errorf("%q: got %q and directive %s", line, got, directive)
		}
	}
}

// recorder is a terminal's output that can be read while it is written to.
type recorder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

// TestEventsTail follows events over several pages, a change of status, and a time without a leader.
func TestEventsTail(t *testing.T) {
	t.Parallel()
	event := func(id, status string) string {
		return `{"eventId":"` + id + `","provider":"stripe","source":"default","type":"t","status":"` + status +
			`","receivedAt":"2026-11-29T12:00:00.000Z"}`
	}
	polls := []map[string]string{ // by cursor, one for each poll
		{"": `{"events":[` + event("evt_2", "queued") + `,` + event("evt_1", "processed") + `],"nextCursor":"old"}`},
		{"": refusal(429, "rate_limited")},
		{"": `{"events":[` + event("evt_5", "queued") + `,` + event("evt_4", "held") + `],"nextCursor":"c1"}`,
			"c1": `{"events":[` + event("evt_3", "queued") + `,` + event("evt_2", "processed") + `],"nextCursor":"old"}`},
		{"": `{"events":[` + event("evt_5", "queued") + `,` + event("evt_0", "ignored") + `],"nextCursor":"old"}`},
		{"": refusal(403, "forbidden")},
	}
	var mu sync.Mutex
	var requests []string
	poll := 0
	node := testNode(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		requests = append(requests, r.URL.RawQuery)
		answer := polls[poll][r.URL.Query().Get("cursor")]
		if r.URL.Query().Get("cursor") == "" && poll == 2 {
			io.WriteString(w, answer)
			return
		}
		poll++
		if strings.Contains(answer, `"status":4`) {
			w.WriteHeader(map[bool]int{true: 429, false: 403}[strings.Contains(answer, "429")])
		}
		io.WriteString(w, answer)
	})
	for _, asJSON := range []bool{false, true} {
		mu.Lock()
		poll, requests = 0, nil
		mu.Unlock()
		var out, errText recorder
		f := &callerFlags{adminFlags: adminFlags{t: &terminal{out: &out, err: &errText}, json: asJSON}}
		x := &tail{callerFlags: f, events: eventClient{testClient(t, node), "/v1"}, filter: eventFilter{Provider: "stripe"}, shown: make(map[string]string)}
		err := x.run(t.Context(), 1, time.Millisecond)
		if code := exitCode(err); code != exitNotAuthorised {
			t.Errorf("it ends with %v", err)
		}
		const at = "2026-11-29T12:00:00.000Z  "
		want := at + "evt_2  stripe/default  t  queued\n" + at + "evt_2  stripe/default  t  queued → processed\n" +
			at + "evt_3  stripe/default  t  queued\n" + at + "evt_4  stripe/default  t  held\n" + at + "evt_5  stripe/default  t  queued\n"
		if asJSON {
			want = event("evt_2", "queued") + "\n" + event("evt_2", "processed") + "\n" + event("evt_3", "queued") + "\n" +
				event("evt_4", "held") + "\n" + event("evt_5", "queued") + "\n"
		}
		if out.String() != want || errText.String() != "syllecta: it cannot be (rate_limited)\n" {
			t.Errorf("got\n%s%swant\n%s", out.String(), errText.String(), want)
		}
		if got := strings.Join(requests[:2], " "); got != "counts=false&limit=1&provider=stripe counts=false&limit=100&provider=stripe" {
			t.Errorf("asked %q", requests)
		}
	}
}

// TestEventsTailEnds: an interrupt is how it ends well.
func TestEventsTailEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	node := testNode(t, func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 3 {
			cancel()
		}
		io.WriteString(w, `{"events":[]}`)
	})
	var out recorder
	f := &callerFlags{adminFlags: adminFlags{t: &terminal{out: &out, err: &out}}}
	x := &tail{callerFlags: f, events: eventClient{testClient(t, node), "/v1"}, shown: make(map[string]string)}
	if err := x.run(ctx, 0, time.Millisecond); err != nil || out.String() != "" {
		t.Errorf("%v, %q", err, out.String())
	}
}

// TestTailRemembersABoundedNumber of the events that it has shown.
func TestTailRemembersABoundedNumber(t *testing.T) {
	t.Parallel()
	x := &tail{shown: make(map[string]string)}
	for i := range 3 * tailedEvents {
		id := strings.Repeat("x", i+1)
		if before := x.remember(id, "queued"); before != "" {
			t.Fatal(before)
		}
		if before := x.remember(id, "processed"); before != "queued" {
			t.Fatal(before)
		}
	}
	if len(x.shown) != tailedEvents || len(x.order) != tailedEvents {
		t.Errorf("%d, %d", len(x.shown), len(x.order))
	}
}
