package api

import (
	"bytes"
	"context"
	"hash/maphash"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

const (
	testAdminToken = "an-admin-token-for-tests"
	testTenant     = "demo"
)

var testKeySecret = [32]byte{1, 2, 3}

// fakeNode is a node without raft: the real state machine, and whatever trouble a test asks for.
type fakeNode struct {
	id string

	mu      sync.Mutex
	machine *fsm.Machine
	nowMs   int64
	index   uint64
	leads   bool
	leader  *cluster.Peer
	ticket  []byte
	failure []error           // of the next Propose, Read and CatchUp calls, in turn; nil is no failure
	catchUp *fsm.Machine      // what CatchUp brings
	stale   cluster.Staleness // of ReadStale
	checks  []cluster.Check
	calls   []cluster.Call // every proposed call
	asked   int            // CatchUp calls
	block   bool           // Propose waits for its context to end
}

func newMachine() *fsm.Machine { return fsm.New(fsm.Config{HashSeed: maphash.MakeSeed()}) }

// newFakeNode returns a leader with one tenant, and an API key of it.
func newFakeNode(t testing.TB, id string) (n *fakeNode, apiKey string) {
	t.Helper()
	n = &fakeNode{
		id: id, machine: newMachine(), leads: true, ticket: []byte("ticket key of " + id),
		nowMs: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC).UnixMilli(),
	}
	secret, hint := NewAPIKey(bytes.NewReader(bytes.Repeat([]byte("0123456789"), 100)))
	n.apply(fsm.Init{ClusterID: "test", KeyHashSecret: testKeySecret})
	n.apply(fsm.CreateTenant{PublicID: "ten_1", Slug: testTenant, Name: "Demo"})
	n.apply(fsm.CreateKey{Tenant: 1, PublicID: "key_1", Hash: HashKey(testKeySecret, secret), Hint: hint})
	return n, secret
}

func (n *fakeNode) apply(cmds ...fsm.Command) []fsm.Result {
	frames := make([][]byte, len(cmds))
	for i, cmd := range cmds {
		frames[i] = fsm.Encode(cmd)
	}
	n.index++
	_, results, err := n.machine.Apply(n.index, 7, fsm.EncodeEntry(n.nowMs, fsm.BatchID{}, frames...))
	if err != nil {
		panic(err)
	}
	return results
}

// follow makes n a follower of leader.
func (n *fakeNode) follow(leader *cluster.Peer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.leads, n.leader = false, leader
}

func (n *fakeNode) advance(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nowMs += d.Milliseconds()
}

func (n *fakeNode) proposed() []cluster.Call {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]cluster.Call(nil), n.calls...)
}

// nextFailure takes the failure that is due; the caller holds mu.
func (n *fakeNode) nextFailure() error {
	if len(n.failure) == 0 {
		return nil
	}
	err := n.failure[0]
	n.failure = n.failure[1:]
	return err
}

func (n *fakeNode) ID() string { return n.id }

func (n *fakeNode) IsLeader() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.leads
}

func (n *fakeNode) WaitLeader(ctx context.Context) (cluster.Peer, bool) {
	n.mu.Lock()
	leader := n.leader
	n.mu.Unlock()
	if leader == nil {
		<-ctx.Done()
		return cluster.Peer{}, false
	}
	return *leader, true
}

func (n *fakeNode) TicketKey() []byte { return n.ticket }

func (n *fakeNode) Propose(ctx context.Context, calls ...cluster.Call) ([]fsm.Result, cluster.Receipt, error) {
	n.mu.Lock()
	block := n.block
	n.mu.Unlock()
	if block {
		<-ctx.Done()
		return nil, cluster.Receipt{}, cluster.ErrOutcomeUnknown
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls = append(n.calls, calls...)
	if err := n.nextFailure(); err != nil {
		return nil, cluster.Receipt{}, err
	}
	cmds := make([]fsm.Command, len(calls))
	for i, c := range calls {
		cmds[i] = c.Command
	}
	results := n.apply(cmds...)
	return results, cluster.Receipt{Index: n.index, Term: 7}, nil
}

func (n *fakeNode) Read(_ context.Context, id fsm.RecordID) (fsm.View, cluster.Receipt, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.nextFailure(); err != nil {
		return fsm.View{}, cluster.Receipt{}, err
	}
	return n.machine.View(id), cluster.Receipt{Index: n.index, Term: 7}, nil
}

func (n *fakeNode) ReadStale(id fsm.RecordID) (fsm.View, cluster.Receipt, cluster.Staleness) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.machine.View(id), cluster.Receipt{Index: n.index, Term: 7}, n.stale
}

func (n *fakeNode) CatchUp(context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	if n.catchUp != nil {
		n.machine = n.catchUp
	}
	return n.nextFailure()
}

func (n *fakeNode) Directory() *fsm.Directory {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.machine.Directory()
}

func (n *fakeNode) Usage(id fsm.TenantID) cluster.Usage {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, claims := n.machine.Usage(id)
	return cluster.Usage{Month: "2026-11", Claims: claims}
}

func (n *fakeNode) Readiness() []cluster.Check { return n.checks }

func (n *fakeNode) Status() cluster.Status {
	return cluster.Status{
		NodeID: n.id, ClusterID: "test", Role: "leader", Term: 7, LeaderID: n.id,
		LeaderURL: "http://leader", AppliedIndex: n.index, CommitIndex: n.index, Digest: 1 << 63, ClockMs: n.nowMs,
		Peers: []cluster.PeerStatus{{
			ID: "n2", RaftAddr: "127.0.0.1:1", HTTPURL: "http://n2", Reachable: true, Version: "1",
			LastSeen: 1500 * time.Millisecond, ClockOffset: -20 * time.Millisecond,
		}},
	}
}

// newTestServer returns a server whose clock stands at the fake nodes' time.
func newTestServer(t testing.TB, n node, change func(*Config)) *Server {
	t.Helper()
	reg := prometheus.NewRegistry()
	cfg := Config{
		Logger: slog.New(slog.DiscardHandler), Metrics: reg, AdminToken: testAdminToken,
		LeaderWait: 100 * time.Millisecond, Version: "test",
	}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if f, ok := n.(*fakeNode); ok {
		s.now = func() time.Time { return time.UnixMilli(f.nowMs) }
	}
	if n != nil {
		s.attach(n)
	}
	return s
}

// call makes one request. Headers are "Name: value" lines.
func call(t testing.TB, h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func asTenant(apiKey string) string { return "Authorization: Bearer " + apiKey }

const asAdmin = "Authorization: Bearer " + testAdminToken

// wantProblem checks an answer's status and code, and returns the document.
func wantProblem(t testing.TB, w *httptest.ResponseRecorder, kind *errorKind) string {
	t.Helper()
	body, _ := io.ReadAll(w.Body)
	if w.Code != kind.status || !bytes.Contains(body, []byte(`"code":"`+kind.code+`"`)) {
		t.Fatalf("got %d %s, want %d %s", w.Code, body, kind.status, kind.code)
	}
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("content type %q", got)
	}
	return string(body)
}

// wantBody checks a whole answer, byte for byte.
func wantBody(t testing.TB, w *httptest.ResponseRecorder, status int, body string) {
	t.Helper()
	if w.Code != status || w.Body.String() != body {
		t.Fatalf("got  %d %s\nwant %d %s", w.Code, w.Body, status, body)
	}
}
