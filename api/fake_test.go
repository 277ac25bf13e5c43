package api

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
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

	mu       sync.Mutex
	machine  *fsm.Machine
	nowMs    int64
	index    uint64
	leads    bool
	leader   *cluster.Peer
	ticket   []byte
	failure  []error           // of the next Propose, Read and CatchUp calls, in turn; nil is no failure
	catchUp  *fsm.Machine      // what CatchUp brings
	stale    cluster.Staleness // of ReadStale
	checks   []cluster.Check
	calls    []cluster.Call // every proposed call
	asked    int            // CatchUp calls
	block    bool           // Propose waits for its context to end
	backup   []string       // what Backup writes, part by part
	restored []string       // "otherCluster bytes" of every Restore that read its backup
	changes  []string       // what was asked of the members, one line each
	within   time.Duration  // how long the last change had
	used     []string       // the ids of the keys whose use was noted
	rivals   []fsm.Command  // are applied before the next Propose calls, one each
}

func newMachine() *fsm.Machine { return fsm.New(fsm.Config{HashSeed: maphash.MakeSeed()}) }

// newFakeNode returns a leader with one tenant, and an API key of it, all of whose peers run this release.
func newFakeNode(t testing.TB, id string) (n *fakeNode, apiKey string) {
	t.Helper()
	n, apiKey = newOldFakeNode(t, id)
	n.apply(fsm.RaiseFeatureLevel{Level: fsm.FeatureLevel, Version: "test"})
	return n, apiKey
}

// newOldFakeNode returns the same in a cluster in which not all nodes have been upgraded.
func newOldFakeNode(t testing.TB, id string) (n *fakeNode, apiKey string) {
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

// lead makes n the leader.
func (n *fakeNode) lead() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.leads = true
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
	if len(n.rivals) > 0 {
		n.apply(n.rivals[0])
		n.rivals = n.rivals[1:]
	}
	cmds := make([]fsm.Command, len(calls))
	for i, c := range calls {
		cmds[i] = c.Command
	}
	results := n.apply(cmds...)
	return results, cluster.Receipt{Index: n.index, Term: 7}, nil
}

func (n *fakeNode) Claim(ctx context.Context, calls ...cluster.Call) ([]fsm.Result, cluster.Receipt, error) {
	return n.Propose(ctx, calls...)
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

func (n *fakeNode) MayGrant(calls ...cluster.Call) (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range calls {
		if n.machine.MayGrant(c.Command.(fsm.Claim), c.Wait > 0, n.nowMs) {
			count++
		}
	}
	return count
}

// ListLocks gives the position itself as the cursor.
func (n *fakeNode) ListLocks(_ context.Context, q fsm.LockQuery, cursor string) ([]fsm.HeldLock, string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	if err := n.nextFailure(); err != nil {
		return nil, "", err
	}
	if cursor != "" {
		at, err := strconv.ParseUint(cursor, 10, 32)
		if err != nil {
			return nil, "", cluster.ErrCursor
		}
		q.After = fsm.LockCursor(at)
	}
	found, next, more := n.machine.ListLocks(q, n.nowMs)
	if !more {
		return found, "", nil
	}
	return found, fmt.Sprint(next), nil
}

func (n *fakeNode) ListEvents(_ context.Context, q fsm.EventQuery) (fsm.EventPage, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.nextFailure(); err != nil {
		return fsm.EventPage{}, err
	}
	return n.machine.EventLog().List(q), nil
}

func (n *fakeNode) CountEvents(_ context.Context, q fsm.EventQuery) ([]fsm.EventCount, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.nextFailure(); err != nil {
		return nil, err
	}
	return n.machine.EventLog().Count(q), nil
}

func (n *fakeNode) Event(_ context.Context, tenant fsm.TenantID, id fsm.EventID) (*fsm.Event, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.nextFailure(); err != nil {
		return nil, err
	}
	return n.machine.Event(tenant, id), nil
}

func (n *fakeNode) SourceQueue(id fsm.SourceID) (queued, dueMs int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.machine.SourceQueue(id)
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
	month, claims := n.machine.Usage(id)
	return cluster.Usage{Month: fmt.Sprintf("%04d-%02d", month/100, month%100), Claims: claims}
}

func (n *fakeNode) EventUsage(id fsm.TenantID) (fsm.Month, int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.machine.EventUsage(id)
}

func (n *fakeNode) StoredBytes(id fsm.TenantID) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.machine.StoredBytes(id)
}

func (n *fakeNode) UsageDays(id fsm.TenantID, from, to fsm.Day) []fsm.DayUsage {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.machine.UsageDays(id, from, to)
}

func (n *fakeNode) AuditLog(after uint64, limit int) ([]fsm.AuditEntry, uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.machine.AuditLog(after, limit)
}

func (n *fakeNode) NoteKeyUse(k *fsm.APIKey) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.leads {
		n.used = append(n.used, k.PublicID)
	}
}

func (n *fakeNode) LeaderlessFor() time.Duration { return 0 }

func (n *fakeNode) Readiness() []cluster.Check { return n.checks }

func (n *fakeNode) Status() cluster.Status {
	return cluster.Status{
		NodeID: n.id, ClusterID: "test", ClusterName: "blue", Role: "leader", Term: 7, LeaderID: n.id,
		LeaderURL: "http://leader", AppliedIndex: n.index, CommitIndex: n.index, Digest: 1 << 63, ClockMs: n.nowMs,
		FeatureLevel: 2, Voters: 1, HealthyVoters: 1,
		Nodes: []cluster.NodeStatus{fakeMember, {
			ID: "n3", RaftAddr: "127.0.0.1:2", NonVoter: true, LastSeen: -1, LastContact: -1,
		}},
	}
}

// fakeMember is what a fake node says of a member that is well.
var fakeMember = cluster.NodeStatus{
	ID: "n2", RaftAddr: "127.0.0.1:1", HTTPURL: "http://n2", Role: "follower", Voter: true, Reachable: true,
	Healthy: true, Term: 7, AppliedIndex: 3, Lag: 1, LastSeen: 1500 * time.Millisecond, LastContact: 80 * time.Millisecond,
	ClockOffset: -20 * time.Millisecond, DiskFree: 1 << 30, DiskTotal: 4 << 30, Version: "1", FeatureLevel: 2, GossipKey: "k",
}

// change notes what was asked of the members.
func (n *fakeNode) change(ctx context.Context, format string, args ...any) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.changes = append(n.changes, fmt.Sprintf(format, args...))
	if until, ok := ctx.Deadline(); ok {
		n.within = time.Until(until)
	}
	return n.nextFailure()
}

func (n *fakeNode) AddNode(ctx context.Context, raftAddr string, nonVoter bool) (cluster.NodeStatus, error) {
	return fakeMember, n.change(ctx, "add %s %t", raftAddr, nonVoter)
}

func (n *fakeNode) PlanRemoval(id string) (cluster.Removal, error) {
	return fakeRemoval(id), n.change(context.Background(), "plan %s", id)
}

func (n *fakeNode) RemoveNode(ctx context.Context, id string, o cluster.RemoveOptions) (cluster.Removal, error) {
	if want := (fsm.Actor{Name: adminActor, Role: adminActor, RequestID: o.By.RequestID, Address: "192.0.2.1"}); o.By != want {
		return cluster.Removal{}, fmt.Errorf("removed by %+v", o.By)
	}
	return fakeRemoval(id), n.change(ctx, "remove %s %t", id, o.Force)
}

func fakeRemoval(id string) cluster.Removal {
	return cluster.Removal{
		NodeID: id, Voter: true, Voters: 2, Healthy: 2, Quorum: 2, Safe: true, Consequence: "2 are left",
	}
}

func (n *fakeNode) PromoteNode(ctx context.Context, id string) (cluster.NodeStatus, error) {
	return fakeMember, n.change(ctx, "promote %s", id)
}

func (n *fakeNode) TransferLeadership(ctx context.Context, id string) (string, error) {
	return "n2", n.change(ctx, "transfer %q", id)
}

func (n *fakeNode) Backup(_ context.Context, w io.Writer) (cluster.BackupInfo, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.nextFailure(); err != nil {
		return cluster.BackupInfo{}, err
	}
	for _, part := range n.backup {
		if _, err := io.WriteString(w, part); err != nil {
			return cluster.BackupInfo{}, err
		}
	}
	return cluster.BackupInfo{Index: n.index}, n.nextFailure()
}

func (n *fakeNode) Restore(_ context.Context, r io.Reader, o cluster.RestoreOptions) (cluster.Restored, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.nextFailure(); err != nil {
		return cluster.Restored{}, err
	}
	b, err := io.ReadAll(r)
	n.restored = append(n.restored, fmt.Sprintf("%t %s", o.OtherCluster, b))
	if err == nil {
		err = n.nextFailure()
	}
	return cluster.Restored{Index: 9, Epoch: 3, Records: 4}, err
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
