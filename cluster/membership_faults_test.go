package cluster

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

// homeOf returns where a node runs.
func homeOf(hosts []*host, n *Node) *host {
	return hosts[slices.IndexFunc(hosts, func(h *host) bool { return h.node == n })]
}

// crash ends a node in the middle of what it does: nothing is handed over, and nobody is told.
func crash(t *testing.T, n *Node) {
	t.Helper()
	if err := n.raft.Shutdown().Error(); err != nil {
		t.Error(err)
	}
	closeNode(t, n)
}

// TestRemovalInterrupted: the leader dies after it was decided that a voter is removed, and before raft's configuration
// says so. The votes that are needed to go on are still to be had.
func TestRemovalInterrupted(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 2, 2)
	leader, followers := formed(t, startAll(t, hosts))
	waitFor(t, "the members to be known", func() bool { return len(leader.Directory().Members()) == 2 })
	newTenant(t, leader)
	gone := followers[0]
	if _, err := leader.steward.begin(t.Context()); err != nil { // what would finish the removal waits
		t.Fatal(err)
	}
	if err := leader.decide(t.Context(), fsm.RetireMember{NodeID: gone.ID()}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the node to know", func() bool { return gone.Directory().Member(gone.ID()).Retired() })
	crash(t, leader)
	back := homeOf(hosts, leader).start(t)
	waitFor(t, "the rest to be a cluster of one", func() bool { return back.IsLeader() && len(back.voters()) == 1 })
	<-gone.Fatal()
}

// TestConcurrentRemovals: two removals, each of them safe for itself, do not cost the quorum together.
func TestConcurrentRemovals(t *testing.T) {
	t.Parallel()
	leader, followers := formed(t, startAll(t, newHosts(t, 4, 4)))
	waitFor(t, "the members to be known", func() bool { return len(leader.Directory().Members()) == 4 })
	closeNode(t, followers[2])
	waitFor(t, "the loss to be seen", func() bool { return leader.Status().HealthyVoters == 3 })
	release, err := leader.steward.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	var removing sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		removing.Go(func() { _, errs[i] = leader.RemoveNode(ctx, followers[i].ID(), RemoveOptions{}) })
	}
	time.Sleep(200 * time.Millisecond) // both wait for their turn; if they do not yet, the test is only easier
	release()
	removing.Wait()
	refused := errs[0]
	if refused == nil {
		refused = errs[1]
	}
	wantRefused(t, refused, ReasonQuorumAtRisk)
	if got := len(leader.voters()); got != 3 {
		t.Errorf("%d voters are left", got)
	}
	newTenant(t, leader)
}

// TestRemoveHalfAdmitted: a node that was admitted and never came into raft's configuration can be removed.
func TestRemoveHalfAdmitted(t *testing.T) {
	t.Parallel()
	n := openNode(t, Config{NodeID: "n0", BootstrapExpect: 1})
	waitForLeader(t, n)
	waitFor(t, "the member to be known", func() bool { return len(n.Directory().Members()) == 1 })
	if err := n.decide(t.Context(), fsm.AdmitMember{NodeID: "ghost", DiskID: "0011"}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.RemoveNode(t.Context(), "ghost", RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	if m := n.Directory().Member("ghost"); m == nil || !m.Retired() {
		t.Errorf("%+v", m)
	}
}

// TestFoundNothingBesideACluster: nodes without a cluster that know of one of their name, which cannot take them in at
// the moment, do not found another.
func TestFoundNothingBesideACluster(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 5, 2)
	_, followers := formed(t, startAll(t, hosts[:2]))
	for _, h := range hosts[:2] {
		if h.node != followers[0] {
			closeNode(t, h.node)
		}
	}
	waitFor(t, "the leader to be missed", func() bool { _, ok := followers[0].Leader(); return !ok })
	for _, h := range hosts[2:] {
		h.cfg.BootstrapExpect = 3
	}
	newcomers := startAll(t, hosts[2:])
	seeEachOther(t, newcomers...)
	for _, n := range newcomers {
		waitForReason(t, n, "not taken into cluster")
	}
	time.Sleep(time.Second) // nothing is to happen
	noCluster(t, newcomers...)
}

// TestLogLost: a directory that has lost its log, and still says whose it is, must not take part: it has forgotten what
// it stored and voted.
func TestLogLost(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 3, 3)
	_, followers := formed(t, startAll(t, hosts))
	h := homeOf(hosts, followers[0])
	closeNode(t, h.node)
	kind, err := storeIn(h.cfg.DataDir)
	if err != nil || kind == "" {
		t.Fatalf("it has no log: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(h.cfg.DataDir, storeNames[kind])); err != nil {
		t.Fatal(err)
	}
	if n, err := Open(t.Context(), h.cfg); err == nil {
		closeNode(t, n)
		t.Error("it was opened without its log")
	}
}

// TestChainOfMoves: one node comes back at the address another had, and that one at a new one. The configuration
// follows both.
func TestChainOfMoves(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 3, 3)
	formed(t, startAll(t, hosts))
	for _, h := range hosts {
		closeNode(t, h.node)
	}
	hosts[1].cfg.RaftAddr, hosts[2].cfg.RaftAddr = hosts[2].cfg.RaftAddr, freeAddr(t)
	seeds := []string{hosts[0].cfg.RaftAddr, hosts[1].cfg.RaftAddr, hosts[2].cfg.RaftAddr}
	for _, h := range hosts {
		h.cfg.Join = seeds
	}
	leader, _ := formed(t, startAll(t, hosts))
	waitFor(t, "the configuration to follow", func() bool {
		for i, h := range hosts {
			if s, _ := leader.serverOf(raft.ServerID(h.cfg.NodeID)); string(s.Address) != seeds[i] {
				return false
			}
		}
		return true
	})
}

// TestFounderRemoved: a founder that was away since it gave its promise, and was removed meanwhile, learns that.
func TestFounderRemoved(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 3, 3)
	leader, followers := formed(t, startAll(t, hosts))
	waitFor(t, "the members to be known", func() bool { return len(leader.Directory().Members()) == 3 })
	h := homeOf(hosts, followers[0])
	closeNode(t, h.node)
	// As it was before the first entry came.
	kept := h.cfg.DataDir
	h.cfg.DataDir = t.TempDir()
	for _, name := range []string{nodeIDFile, diskIDFile, affiliationFile} {
		raw, err := os.ReadFile(filepath.Join(kept, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(h.cfg.DataDir, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	empty, err := openStore(h.cfg.DataDir, *logStoreFlag, discardLog)
	if err != nil {
		t.Fatal(err)
	}
	if err := empty.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := leader.RemoveNode(t.Context(), h.cfg.NodeID, RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	back := h.start(t)
	waitForReason(t, back, "was removed from the cluster")
}

// TestMovedWhileRemoved: a member that has moved and is removed before the configuration follows it is not put back
// into the configuration.
func TestMovedWhileRemoved(t *testing.T) {
	t.Parallel()
	leader, followers := newCluster(t)
	waitFor(t, "the members to be known", func() bool { return len(leader.Directory().Members()) == 3 })
	gone := followers[0]
	release, err := leader.steward.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	leader.addresses.learn(hello{NodeID: gone.id, RaftAddr: "127.0.0.1:1"})
	time.Sleep(2 * tendEvery) // the steward comes to it and waits
	if err := leader.decide(t.Context(), fsm.RetireMember{NodeID: gone.ID()}); err != nil {
		t.Fatal(err)
	}
	if err := leader.expel(t.Context(), gone.id); err != nil {
		t.Fatal(err)
	}
	before := leader.raft.GetConfiguration().Index()
	release()
	time.Sleep(2 * tendEvery)
	if _, there := leader.serverOf(gone.id); there || leader.raft.GetConfiguration().Index() != before {
		t.Error("it was put back")
	}
}

// TestDirectoryOfTheFirstRelease: a data directory that was written before disks had ids, and before it was kept to
// which cluster it belongs, is taken on.
func TestDirectoryOfTheFirstRelease(t *testing.T) {
	t.Parallel()
	cfg := Config{DataDir: t.TempDir(), NodeID: "n0", BootstrapExpect: 1}
	n := openNode(t, cfg)
	waitForLeader(t, n)
	clusterID := n.Status().ClusterID
	closeNode(t, n)
	for _, name := range []string{diskIDFile, affiliationFile} {
		if err := os.Remove(filepath.Join(cfg.DataDir, name)); err != nil {
			t.Fatal(err)
		}
	}
	cfg.RaftAddr = freeAddr(t)
	n, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNode(t, n) })
	waitFor(t, "it to know its cluster", func() bool { return n.passport.affiliation.clusterID() == clusterID })
}
