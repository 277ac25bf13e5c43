package main

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestBenchScenarios(t *testing.T) {
	t.Parallel()
	for scenario, check := range map[string]func(r benchResult) bool{
		scenarioClaim: func(r benchResult) bool { return r.Outcomes == benchOutcomeSums{Locked: r.Requests} },
		scenarioComplete: func(r benchResult) bool {
			o := r.Outcomes
			// On each connection the claim of the first PUT may be in the warm-up, and the PUT of the last claim nowhere.
			more := max(o.Locked-o.Stored, o.Stored-o.Locked)
			return o.Locked > 0 && o.Stored > 0 && o.Locked+o.Stored == r.Requests && more <= int64(r.Connections)
		},
		scenarioReplay: func(r benchResult) bool { return r.Outcomes == benchOutcomeSums{Cached: r.Requests} },
		scenarioContend: func(r benchResult) bool {
			o := r.Outcomes
			return o.Locked > 0 && o.InProgress > 0 && o.Released > 0 && o.Locked+o.InProgress+o.Released == r.Requests
		},
		scenarioMixed: func(r benchResult) bool {
			o := r.Outcomes
			return o.Locked+o.Cached+o.InProgress == r.Requests && o.Locked > 0
		},
		scenarioBatch: func(r benchResult) bool {
			return r.Outcomes == benchOutcomeSums{Locked: 7 * r.Requests} && r.Operations == 7*r.Requests
		},
	} {
		t.Run(scenario, func(t *testing.T) {
			t.Parallel()
			f := newBenchFake(t, 1, 0)
			keys := map[bool]string{true: "1", false: "50"}[scenario == scenarioContend]
			r, errText, code := runBench(t, f.env(), scenario, "--keys", keys, "--batch-size", "7", "--key-bytes", "64")
			if code != exitOK || errText != "" || r.Requests == 0 || len(r.Errors) != 0 || !check(r) {
				t.Errorf("exit code %d, %s, got %+v", code, errText, r)
			}
			if got, want := r.Operations, r.Outcomes.Locked+r.Outcomes.Cached+r.Outcomes.InProgress; got != want {
				t.Errorf("got %d operations, want %d", got, want)
			}
			f.checkKeys(scenario)
		})
	}
}

// checkKeys checks that new keys were new, and that all keys had the right length.
func (f *benchFake) checkKeys(scenario string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, claims := range f.claims {
		if len(key) != 64 {
			f.t.Errorf("key %q has %d bytes", key, len(key))
		}
		if key[benchRunBytes] == freshKey && claims != 1 {
			f.t.Errorf("%s: the new key %s was claimed %d times", scenario, key, claims)
		}
	}
}

// TestBenchJSON pins the names of the members, which scripts rely on.
func TestBenchJSON(t *testing.T) {
	t.Parallel()
	f := newBenchFake(t, 2, 0)
	out, errText, code := runVerb(t, f.env(), "bench", "complete", "--json", "--duration", "100ms", "--warm-up", "0s",
		"--connections", "2")
	var all, latency map[string]json.RawMessage
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != exitOK {
		t.Fatalf("exit code %d, %s, %v in %s", code, errText, err, out)
	}
	want := strings.Fields("connections durationSeconds errors generatorCpuMicrosPerRequest latencyMs latencyMsByCall " +
		"leader leaderChanges operations operationsPerSecond outcomes rate requests requestsPerSecond scenario " +
		"serverCpuMicrosPerRequest serverMaxRssBytes serverNodes unsent")
	if got := slices.Sorted(maps.Keys(all)); !slices.Equal(got, want) {
		t.Errorf("got members\n%s\nwant\n%s", got, want)
	}
	if err := json.Unmarshal(all["latencyMs"], &latency); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(latency)); !slices.Equal(got, strings.Fields("max mean p50 p90 p99 p999")) {
		t.Errorf("got latencies %s", got)
	}
	var r benchResult
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.LatencyMsByCall) != 2 || r.LatencyMsByCall["put"].Max <= 0 || r.Leader != f.nodes[0].URL ||
		r.ServerNodes != 2 || r.ServerMaxRSSBytes != 1001 || r.ServerCPUMicrosPerRequest <= 0 {
		t.Errorf("got %+v", r)
	}
	if string(all["errors"]) != "{}" {
		t.Errorf("no errors are %s", all["errors"])
	}
}

func TestBenchTable(t *testing.T) {
	t.Parallel()
	l := benchLatency{Mean: 1.5, P50: 1, P90: 2, P99: 3.256, P999: 4, Max: 5}
	r := &benchResult{
		Scenario: "contend", Connections: 64, Rate: 5000, DurationSeconds: 10, Requests: 49000, Operations: 25000, Unsent: 12,
		Errors:            map[string]int64{"no_leader": 2, "busy\x1b": 1},
		Outcomes:          benchOutcomeSums{Locked: 24000, InProgress: 1000, Released: 24000},
		RequestsPerSecond: 4900, OperationsPerSecond: 2500, LatencyMs: l,
		LatencyMsByCall:              map[string]benchLatency{"claim": l, "release": l},
		GeneratorCPUMicrosPerRequest: 12.34, ServerCPUMicrosPerRequest: 51.26, ServerNodes: 2, ServerMaxRSSBytes: 71_000_000,
		Leader: "http://10.0.0.1:4000", LeaderChanges: 1, asked: 3,
	}
	want := strings.ReplaceAll(`
SCENARIO  CONNECTIONS  RATE    SECONDS  REQUESTS  REQUESTS/S  OPERATIONS/S
contend            64  5000/s  10.0        49000  4900        2500

LATENCY IN MS  MEAN  P50   P90   P99   P99.9  MAX
claim          1.50  1.00  2.00  3.26  4.00   5.00
release        1.50  1.00  2.00  3.26  4.00   5.00
all            1.50  1.00  2.00  3.26  4.00   5.00

outcomes  locked 24000, in progress 1000, released 24000
errors    busy? 1, no_leader 2
unsent    12 requests were due and no connection was free: the rate is too high
CPU       51.3 µs per request on 2 of 3 nodes, 12.3 µs in this program
memory    71 MB in the largest node
leader    http://10.0.0.1:4000, at the end, after 1 change
`, "busy?", "busy\uFFFD")[1:]
	if got := (&terminal{}).resultText(r); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	r.ServerNodes, r.LeaderChanges, r.Errors = 0, 0, nil
	got := (&terminal{}).resultText(r)
	for _, want := range []string{
		"12.3 µs per request in this program; no node", "4000, all the time\n", "errors    none\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwithout %q", got, want)
		}
	}
}

func TestBenchRefusals(t *testing.T) {
	t.Parallel()
	f := newBenchFake(t, 1, 0)
	for args, want := range map[string]string{
		"":                                    "accepts 1 arg(s)",
		"nothing":                             `scenario "nothing" is not known; it must be one of claim, complete, replay`,
		"claim --connections 0":               "--connections: 0 is not allowed; it must be from 1 to 10000",
		"claim --rate -1":                     "--rate: -1 is not allowed; it must be from 0 to 1e+06",
		"claim --rate NaN":                    "--rate: NaN is not allowed",
		"claim --duration 1ms":                "--duration: 1ms is not allowed; it must be from 100ms to 24h0m0s",
		"claim --warm-up -1s":                 "--warm-up: -1s is not allowed; it must be from 0s",
		"claim --timeout 10ms":                "--timeout: 10ms is not allowed; it must be from 1s to 5m0s",
		"claim --key-bytes 23":                "--key-bytes: 23 is not allowed; it must be from 24 to 512",
		"complete --body-bytes 1":             "--body-bytes: 1 is not allowed; it must be from 2 to 1048576",
		"replay --keys -4":                    "--keys: -4 is not allowed; it must be from 1 to 10000000",
		"batch --batch-size 257":              "--batch-size: 257 is not allowed; it must be from 1 to 256",
		"claim --ttl-seconds 71":              "--ttl-seconds: 71 is not allowed; it must be from 72 to ",
		"claim --scope=":                      "--scope: its length: 0 is not allowed; it must be from 1 to 128",
		"claim --server localhost:4000":       `server: "localhost:4000" is not allowed`,
		"claim --api-key-file " + t.TempDir(): "API key file",
	} {
		fields := strings.Fields("bench " + args)
		out, errText, code := runVerb(t, f.env(), fields...)
		if code != exitUsage || out != "" || !strings.Contains(errText, want) {
			t.Errorf("%q: exit code %d, %q, want %q", args, code, errText, want)
		}
	}
	if f.requests.Load() != 0 {
		t.Error("load was put on the cluster all the same")
	}
	environ := f.env()
	delete(environ, "SYLLECTA_API_KEY")
	_, errText, code := runVerb(t, environ, "bench", "claim")
	if code != exitNotAuthorised || !strings.Contains(errText, "--api-key-file") {
		t.Errorf("without a key: exit code %d, %q", code, errText)
	}
}

// TestBenchMakesItsKey has it find the members and make its own key, which ends with the run.
func TestBenchMakesItsKey(t *testing.T) {
	t.Parallel()
	f := newBenchFake(t, 3, 0)
	f.leader.Store(2)
	r, errText, code := runBench(t, f.adminEnv(), scenarioClaim)
	if code != exitOK || r.Requests == 0 || len(r.Errors) != 0 || r.ServerNodes != 3 || r.Leader != f.nodes[2].URL {
		t.Errorf("exit code %d, %s, got %+v", code, errText, r)
	}
	want := []string{
		"POST /v1/admin/tenants", "POST /v1/admin/tenants/bench/keys", "POST /v1/admin/tenants",
		"POST /v1/admin/tenants/bench-2/keys", "GET /v1/admin/cluster", "DELETE /v1/admin/tenants/bench-2/keys/key_9",
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Equal(f.seen, want) {
		t.Errorf("got the calls %q, want %q", f.seen, want)
	}
}

// TestBenchNeedsOneOfItsServers names one that is gone first.
func TestBenchNeedsOneOfItsServers(t *testing.T) {
	t.Parallel()
	f := newBenchFake(t, 2, 0)
	f.dead.Store(1)
	f.leader.Store(1)
	environ := f.adminEnv()
	environ["SYLLECTA_SERVER"] = f.nodes[0].URL + "," + f.nodes[1].URL
	r, errText, code := runBench(t, environ, scenarioClaim)
	if code != exitOK || r.Requests == 0 || len(r.Errors) != 0 || r.ServerNodes != 1 || r.Leader != f.nodes[1].URL {
		t.Errorf("exit code %d, %s, got %+v", code, errText, r)
	}
	f.dead.Store(2)
	_, errText, code = runBench(t, environ, scenarioClaim)
	if code != exitUnreachable || !strings.Contains(errText, "making an API key") {
		t.Errorf("none is left: exit code %d, %s", code, errText)
	}
}

func TestBenchFollowsTheLeader(t *testing.T) {
	t.Parallel()
	f := newBenchFake(t, 3, 0)
	f.leader.Store(1)
	f.fault = func(int64, http.ResponseWriter) bool {
		if f.scrapes.Load() == 3 { // the measurement has begun
			f.leader.CompareAndSwap(1, 2)
		}
		return false
	}
	r, errText, code := runBench(t, f.env(), scenarioClaim)
	if code != exitOK || len(r.Errors) != 0 || r.LeaderChanges != 1 || r.Leader != f.nodes[2].URL || r.Requests == 0 {
		t.Errorf("exit code %d, %s, got %+v", code, errText, r)
	}
}

// TestBenchFindsTheNextLeader takes the leader away.
func TestBenchFindsTheNextLeader(t *testing.T) {
	t.Parallel()
	f := newBenchFake(t, 2, 0)
	f.fault = func(int64, http.ResponseWriter) bool {
		if f.leader.Load() == 1 || f.scrapes.Load() < 2 {
			return false
		}
		f.dead.Store(1)
		f.leader.Store(1)
		panic(http.ErrAbortHandler)
	}
	r, errText, code := runBench(t, f.env(), scenarioComplete)
	if code != exitOK || r.Errors[kindConnection] == 0 || r.LeaderChanges != 1 || r.Leader != f.nodes[1].URL ||
		r.Requests == 0 {
		t.Errorf("exit code %d, %s, got %+v", code, errText, r)
	}
}

// TestBenchKeepsTheKeyFromStrangers has the cluster redirect to a node that nobody named.
func TestBenchKeepsTheKeyFromStrangers(t *testing.T) {
	t.Parallel()
	f := newBenchFake(t, 1, 1)
	f.fault = func(int64, http.ResponseWriter) bool {
		if f.scrapes.Load() == 1 { // the measurement has begun, and this request is the last that is answered
			f.leader.Store(1)
		}
		return false
	}
	r, errText, code := runBench(t, f.env(), scenarioClaim)
	if code != exitOK || r.Errors[kindUnknownLeader] == 0 {
		t.Errorf("exit code %d, %s, got %+v", code, errText, r)
	}
	_, errText, code = runBench(t, f.env(), scenarioClaim)
	if code != exitUsage || !strings.Contains(errText, f.nodes[1].URL+"; name it with --server too") {
		t.Errorf("exit code %d, %s", code, errText)
	}
}

func TestBenchCountsErrors(t *testing.T) {
	t.Parallel()
	f := newBenchFake(t, 1, 0)
	refuse := func(w http.ResponseWriter, status int, body string) {
		w.WriteHeader(status)
		w.Write([]byte(body))
	}
	f.fault = func(n int64, w http.ResponseWriter) bool {
		switch n % 16 {
		case 3:
			refuse(w, 503, `{"title":"Busy","status":503,"code":"busy"}`)
		case 6:
			refuse(w, 502, "<html>")
		case 9:
			refuse(w, 200, `{"what":1}`)
		case 12:
			panic(http.ErrAbortHandler)
		default:
			return false
		}
		return true
	}
	r, errText, code := runBench(t, f.env(), scenarioClaim, "--duration", "1s")
	if code != exitOK || r.Requests == 0 {
		t.Errorf("exit code %d, %s, got %+v", code, errText, r)
	}
	for _, kind := range []string{"busy", "http_502", kindMalformed, kindConnection} {
		if r.Errors[kind] == 0 {
			t.Errorf("no %s among %v", kind, r.Errors)
		}
	}
	f.fault = func(_ int64, w http.ResponseWriter) bool {
		refuse(w, 503, `{"status":503,"code":"no_leader"}`)
		return true
	}
	r, errText, code = runBench(t, f.env(), scenarioClaim)
	if code != exitFailure || r.Errors["no_leader"] == 0 || r.Requests != 0 ||
		!strings.Contains(errText, "no request was answered") {
		t.Errorf("exit code %d, %s, got %+v", code, errText, r)
	}
	f.fault = func(_ int64, w http.ResponseWriter) bool {
		refuse(w, 400, `{"status":400,"detail":"the ttlSeconds","code":"invalid_field"}`)
		return true
	}
	_, errText, code = runBench(t, f.env(), scenarioReplay)
	if code == exitOK || !strings.Contains(errText, "preparing completed keys") ||
		!strings.Contains(errText, "the ttlSeconds") {
		t.Errorf("exit code %d, %s", code, errText)
	}
}

func TestBenchSpeaksTLS(t *testing.T) {
	t.Parallel()
	quiet := func(h http.Handler) *httptest.Server {
		node := httptest.NewUnstartedServer(h)
		node.Config.ErrorLog = log.New(io.Discard, "", 0) // the first run is refused on purpose
		node.StartTLS()
		return node
	}
	f := startBenchFake(t, 2, 0, quiet)
	f.leader.Store(1)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: f.nodes[0].Certificate().Raw}
	if err := os.WriteFile(ca, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	r, errText, code := runBench(t, f.env(), scenarioComplete, "--ca-file", ca)
	if code != exitOK || len(r.Errors) != 0 || r.Outcomes.Stored == 0 || r.ServerNodes != 2 || r.Leader != f.nodes[1].URL {
		t.Errorf("exit code %d, %s, got %+v", code, errText, r)
	}
	_, errText, code = runBench(t, f.env(), scenarioClaim)
	if code != exitUnreachable || !strings.Contains(errText, "--ca-file") {
		t.Errorf("without its CA: exit code %d, %s", code, errText)
	}
}

// TestRedirectLoop has two nodes that send requests to each other.
func TestRedirectLoop(t *testing.T) {
	t.Parallel()
	f := newBenchFake(t, 2, 0)
	f.fault = func(int64, http.ResponseWriter) bool {
		if f.scrapes.Load() == 2 { // the measurement has begun, and this request is the last that is answered
			f.leader.Store(noNode)
		}
		return false
	}
	r, errText, code := runBench(t, f.env(), scenarioClaim)
	if code != exitOK || r.Errors[kindRedirectLoop] == 0 {
		t.Errorf("exit code %d, %s, got %+v", code, errText, r)
	}
}

func TestBenchOpenLoop(t *testing.T) {
	t.Parallel()
	f := newBenchFake(t, 1, 0)
	r, errText, code := runBench(t, f.env(), scenarioClaim, "--rate", "200")
	if code != exitOK || r.Rate != 200 || r.Requests+r.Unsent != 60 || r.DurationSeconds < 0.3 {
		t.Errorf("exit code %d, %s, got %+v", code, errText, r)
	}
}

func TestBenchScenariosComplete(t *testing.T) {
	t.Parallel()
	offers, directive := complete(t, nil, "bench", "")
	if !slices.Equal(offers, scenarios) || directive != noFiles {
		t.Errorf("got %q and %s", offers, directive)
	}
}
