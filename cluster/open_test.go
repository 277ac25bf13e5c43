package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime/pprof"
	"sync/atomic"
	"testing"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// The ports lie below those that outgoing connections get, and apart from those of other packages' tests, so that none
// takes the port of a node that is about to start, or to start again.
const (
	firstPort = 10_000
	testPorts = 7_000
)

// lastPort counts the ports that were given out.
var lastPort atomic.Int32

func init() { lastPort.Store(rand.Int32N(testPorts)) }

// freeAddr returns a loopback address that was free a moment ago, for TCP and UDP, and that no other test gets.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 1_000 {
		addr := fmt.Sprintf("127.0.0.1:%d", firstPort+lastPort.Add(1)%testPorts)
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		l.Close()
		p, err := net.ListenPacket("udp", addr)
		if err != nil {
			continue
		}
		p.Close()
		return addr
	}
	t.Fatal("no port is free")
	return ""
}

// openNode starts a node on real files and sockets.
func openNode(t testing.TB, cfg Config) *Node {
	t.Helper()
	if cfg.DataDir == "" {
		cfg.DataDir = t.TempDir()
	}
	if cfg.RaftAddr == "" {
		cfg.RaftAddr = freeAddr(t)
	}
	if cfg.HTTPURL == "" {
		cfg.HTTPURL = "http://" + cfg.RaftAddr
	}
	if cfg.LogStore == "" {
		cfg.LogStore = *logStoreFlag
	}
	if cfg.RaftMultiplier == 0 { // many nodes share few processors, and a leader is to stay one
		cfg.RaftMultiplier = 2
		if raceDetector {
			cfg.RaftMultiplier = 3 // everything takes several times as long
		}
	}
	n, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNode(t, n) })
	return n
}

func closeNode(t testing.TB, n *Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := n.Shutdown(ctx); err != nil {
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 2) // what it hangs on
		t.Error(err)
	}
}

func waitForLeader(t testing.TB, nodes ...*Node) *Node {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		for _, n := range nodes {
			if n.IsLeader() {
				return n
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("no leader")
	return nil
}

// newTenant creates a tenant and returns its id.
func newTenant(t testing.TB, n *Node) fsm.TenantID {
	t.Helper()
	results, _, err := n.Propose(t.Context(), Call{Command: fsm.CreateTenant{PublicID: "ten_1", Slug: "demo"}})
	if err != nil {
		t.Fatal(err)
	}
	return results[0].Tenant.ID
}

func claim(id fsm.RecordID, owner string) fsm.Claim {
	var token fsm.Token
	copy(token[:], owner)
	return fsm.Claim{ID: id, Owner: owner, Token: token, LeaseMs: 60_000, TTLMs: 86_400_000}
}

func TestSingleNode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := openNode(t, Config{BootstrapExpect: 1, DataDir: dir})
	waitForLeader(t, n)
	tenant := newTenant(t, n)
	id := fsm.RecordID{Tenant: tenant, Scope: "orders", Key: "1"}
	results, receipt, err := n.Propose(t.Context(), Call{Command: claim(id, "a")})
	if err != nil || results[0].Outcome != fsm.Granted || receipt.Index == 0 || receipt.Term == 0 {
		t.Fatalf("claim: %+v %+v %v", results, receipt, err)
	}
	v, _, err := n.Read(t.Context(), id)
	if err != nil || v.State != fsm.StateLocked {
		t.Fatalf("read: %+v %v", v, err)
	}
	closeNode(t, n)

	again := openNode(t, Config{BootstrapExpect: 1, DataDir: dir})
	waitForLeader(t, again)
	if v, _, err := again.Read(t.Context(), id); err != nil || v.State != fsm.StateLocked {
		t.Fatalf("read after a restart: %+v %v", v, err)
	}
}

func TestThreeNodesFormByGossip(t *testing.T) {
	t.Parallel()
	var nodes []*Node
	var seeds []string
	for i := range 3 {
		at := freeAddr(t)
		nodes = append(nodes, openNode(t, Config{
			NodeID: fmt.Sprintf("n%d", i), BootstrapExpect: 3, RaftAddr: at, GossipAddr: freeAddr(t), Join: seeds,
		}))
		seeds = append(seeds, at)
	}
	leader := waitForLeader(t, nodes...)
	tenant := newTenant(t, leader)
	for _, n := range nodes {
		if err := n.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n.Directory().Tenant(tenant) == nil {
			t.Fatalf("%s does not know the tenant after catching up", n.ID())
		}
		if p, ok := n.WaitLeader(t.Context()); !ok || p.ID != leader.ID() {
			t.Fatalf("%s takes %+v for the leader", n.ID(), p)
		}
		for _, c := range n.Readiness() {
			if !c.OK {
				t.Errorf("%s: %s is not ready: %s", n.ID(), c.Name, c.Detail)
			}
		}
	}
}
