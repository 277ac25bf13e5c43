package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// benchFake plays the nodes of a cluster: one leads, the others redirect to it.
type benchFake struct {
	t       *testing.T
	nodes   []*httptest.Server
	members int // so many of the nodes are, and the others are strangers
	leader  atomic.Int64
	dead    atomic.Int64 // so many of the first nodes answer nothing any more
	// fault, if there is one, may answer the n-th request of the load in place of the leader, and then returns true.
	fault func(n int64, w http.ResponseWriter) bool

	requests atomic.Int64 // of the load, to the leader
	scrapes  atomic.Int64

	mu      sync.Mutex
	records map[string]string // by key, the JSON of the result; "" while it is locked
	claims  map[string]int    // by key
	owners  map[string]string
	seen    []string // calls of the admin API
}

// noNode leads a cluster whose nodes believe it of each other.
const noNode = -1

const fakeBenchKey = "ck_fake_key_of_the_bench"

func newBenchFake(t *testing.T, nodes, strangers int) *benchFake {
	t.Helper()
	return startBenchFake(t, nodes, strangers, httptest.NewServer)
}

func startBenchFake(t *testing.T, nodes, strangers int, start func(http.Handler) *httptest.Server) *benchFake {
	t.Helper()
	f := &benchFake{
		t: t, members: nodes, records: map[string]string{}, claims: map[string]int{}, owners: map[string]string{},
	}
	for i := range nodes + strangers {
		node := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.serve(i, w, r) }))
		t.Cleanup(node.Close)
		f.nodes = append(f.nodes, node)
	}
	return f
}

// env is an environment with the API key, in which bench knows the members.
func (f *benchFake) env() map[string]string {
	var urls []string
	for _, n := range f.nodes[:f.members] {
		urls = append(urls, n.URL)
	}
	return map[string]string{"SYLLECTA_SERVER": strings.Join(urls, ","), "SYLLECTA_API_KEY": fakeBenchKey}
}

// adminEnv is one with the admin token, in which bench has to find out the rest.
func (f *benchFake) adminEnv() map[string]string {
	return map[string]string{"SYLLECTA_SERVER": f.nodes[0].URL, "SYLLECTA_ADMIN_TOKEN": testToken}
}

func (f *benchFake) serve(node int, w http.ResponseWriter, r *http.Request) {
	body := bodyOf(f.t, r)
	switch {
	case int64(node) < f.dead.Load():
		panic(http.ErrAbortHandler)
	case r.URL.Path == "/metrics":
		n := f.scrapes.Add(1)
		fmt.Fprintf(w, "# HELP x\nprocess_start_time_seconds 7\nprocess_cpu_seconds_total %d\n"+
			"process_resident_memory_bytes %d\n", n, 1000+node)
		return
	case strings.HasPrefix(r.URL.Path, "/v1/admin/"):
		f.serveAdmin(w, r)
		return
	}
	if node >= f.members || r.Header.Get("Authorization") != "Bearer "+fakeBenchKey {
		f.t.Errorf("node %d was shown %q", node, r.Header.Get("Authorization"))
	}
	if leader := f.leader.Load(); int64(node) != leader {
		if leader == noNode {
			leader = int64(node+1) % int64(f.members)
		}
		w.Header().Set("Location", f.nodes[leader].URL+r.URL.RequestURI()+"?ticket=t")
		w.WriteHeader(http.StatusTemporaryRedirect)
		return
	}
	if r.Method == http.MethodGet { // a look for the leader
		io.WriteString(w, `{"cached":false,"state":"absent"}`)
		return
	}
	if n := f.requests.Add(1); f.fault != nil && f.fault(n, w) {
		return
	}
	io.WriteString(w, f.answer(r.Method+" "+r.URL.Path, []byte(body)))
}

func (f *benchFake) serveAdmin(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = append(f.seen, r.Method+" "+r.URL.Path)
	switch r.Method + " " + r.URL.Path {
	case "GET /v1/admin/cluster":
		var nodes []string
		for _, n := range f.nodes[:f.members] {
			nodes = append(nodes, `{"httpUrl":"`+n.URL+`"}`)
		}
		io.WriteString(w, `{"nodes":[{"id":"silent"},`+strings.Join(nodes, ",")+`]}`)
	case "POST /v1/admin/tenants":
		w.WriteHeader(http.StatusConflict)
		io.WriteString(w, `{"title":"Conflict","status":409,"code":"conflict"}`)
	case "POST /v1/admin/tenants/bench/keys":
		w.WriteHeader(http.StatusConflict)
		io.WriteString(w, `{"title":"Full","status":409,"code":"limit_reached"}`)
	case "POST /v1/admin/tenants/bench-2/keys":
		io.WriteString(w, `{"id":"key_9","secret":"`+fakeBenchKey+`"}`)
	default:
		io.WriteString(w, `{}`)
	}
}

// claimed is the part of a request that the fake looks at.
type claimed struct {
	Scope, Key, Token, Owner string
	TTLSeconds, LockMs       int64
	Body                     json.RawMessage
	Records                  []claimed
}

func (f *benchFake) answer(call string, body []byte) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var c claimed
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		f.t.Errorf("%s %s: %v", call, body, err)
	}
	switch call {
	case "POST /v1/record":
		return f.claim(c)
	case "POST /v1/records":
		var results []string
		for _, one := range c.Records {
			results = append(results, f.claim(one))
		}
		return `{"results":[` + strings.Join(results, ",") + `]}`
	case "PUT /v1/record":
		f.checkToken(c, f.claims[c.Key] > 0)
		f.records[c.Key] = string(c.Body)
		return `{"ok":true,"expiresAt":"2026-11-23T10:00:00.000Z"}`
	default:
		f.checkToken(c, true)
		delete(f.records, c.Key)
		return `{"ok":true}`
	}
}

func (f *benchFake) claim(c claimed) string {
	if c.TTLSeconds <= 0 || c.Scope != "bench" {
		f.t.Errorf("got the claim %+v", c)
	}
	f.claims[c.Key]++
	result, there := f.records[c.Key]
	switch {
	case !there || c.Owner != "" && f.owners[c.Key] == c.Owner && result == "":
		f.records[c.Key], f.owners[c.Key] = "", c.Owner
		return `{"cached":false,"locked":true,"token":"` + fakeToken(c.Key) + `","fence":1,"leaseMs":60000}`
	case result == "":
		return `{"cached":false,"locked":false,"retryAfterMs":1500,"leaseRemainingMs":60000}`
	default:
		return `{"cached":true,"record":{"status":200,"headers":{},"body":` + result + `}}`
	}
}

// fakeToken is a key's token: its last characters.
func fakeToken(key string) string { return key[len(key)-tokenBytes:] }

func (f *benchFake) checkToken(c claimed, wanted bool) {
	if wanted && c.Token != fakeToken(c.Key) || !wanted && c.Token != "" {
		f.t.Errorf("key %s comes with token %q", c.Key, c.Token)
	}
}

// runBench runs the verb for a moment and returns its JSON.
func runBench(t *testing.T, environ map[string]string, args ...string) (r benchResult, errText string, code int) {
	t.Helper()
	moment := []string{"bench", "--json", "--connections", "4", "--duration", "300ms", "--warm-up", "50ms"}
	out, errText, code := runVerb(t, environ, append(moment, args...)...)
	if out == "" {
		return r, errText, code
	}
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		t.Errorf("%v in %s", err, out)
	}
	return r, errText, code
}
