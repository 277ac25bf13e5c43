package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

// wantRefused fails unless err is a Refusal for that reason with those words.
func wantRefused(t *testing.T, err error, reason Reason, words ...string) {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) || r.Reason != reason {
		t.Fatalf("got %v, want a refusal for %s", err, reason)
	}
	for _, w := range words {
		if !strings.Contains(r.Detail, w) {
			t.Errorf("%q does not say %q", r.Detail, w)
		}
	}
}

func healthy(n *Node) bool {
	s := n.Status()
	return s.Voters == s.HealthyVoters && !slices.ContainsFunc(s.Nodes, func(m NodeStatus) bool { return !m.Healthy })
}

// grown is a cluster of three, and two more hosts that could join it.
func grown(t *testing.T) (leader *Node, followers []*Node, more []*host) {
	t.Helper()
	hosts := newHosts(t, 5, 3)
	for _, h := range hosts[3:] {
		h.cfg.BootstrapExpect = 0
	}
	leader, followers = formed(t, startAll(t, hosts[:3]))
	waitFor(t, "the members to be known", func() bool { return len(leader.Directory().Members()) == 3 })
	return leader, followers, hosts[3:]
}

// TestGrowToFive: nodes join by themselves, get their votes, and the cluster can then lose two.
func TestGrowToFive(t *testing.T) {
	t.Parallel()
	leader, followers, more := grown(t)
	newTenant(t, leader)
	nodes := append([]*Node{leader}, followers...)
	for _, h := range more {
		nodes = append(nodes, h.start(t))
	}
	waitFor(t, "five healthy voters", func() bool { return len(leader.voters()) == 5 && healthy(leader) })
	if got := leader.Status().FailureTolerance; got != 2 {
		t.Errorf("tolerance %d", got)
	}
	for _, n := range nodes {
		waitFor(t, "the node to know the tenant", func() bool { return n.Directory().Tenant(1) != nil })
	}
	closeNode(t, followers[0])
	closeNode(t, followers[1])
	waitFor(t, "the loss to be seen", func() bool { return leader.Status().FailureTolerance == 0 })
	left := slices.DeleteFunc(nodes, func(n *Node) bool { return slices.Contains(followers, n) })
	propose(t, waitForLeader(t, left...), fsm.CreateTenant{PublicID: "ten_2", Slug: "second"})
}

// TestNonVoter: a node that is never to vote joins, follows, and stays without a vote until it is promoted.
func TestNonVoter(t *testing.T) {
	t.Parallel()
	leader, _, more := grown(t)
	more[0].cfg.NonVoter = true
	n := more[0].start(t)
	status := func() NodeStatus { return leader.memberStatus(n.id) }
	waitFor(t, "it to follow", func() bool { return status().Healthy && ready(n) })
	// One that came later and is to vote has its vote by now, so this one was looked at as well.
	later := more[1].start(t)
	waitFor(t, "the later one to vote", func() bool { return leader.memberStatus(later.id).Voter })
	if s := status(); s.Voter || !s.NonVoter {
		t.Errorf("%+v", s)
	}
	_, err := leader.TransferLeadership(t.Context(), n.ID())
	wantRefused(t, err, ReasonNoVote, n.ID())
	if got, err := leader.PromoteNode(t.Context(), n.ID()); err != nil || !got.Voter || got.NonVoter {
		t.Fatalf("%+v, %v", got, err)
	}
	if to, err := leader.TransferLeadership(t.Context(), n.ID()); err != nil || to != n.ID() {
		t.Fatalf("%q, %v", to, err)
	}
	waitFor(t, "it to lead", n.IsLeader)
}

// TestInvitation: a node that knows nobody is taken in by its address.
func TestInvitation(t *testing.T) {
	t.Parallel()
	leader, followers, more := grown(t)
	more[0].cfg.Join = nil
	n := more[0].start(t)
	waitForReason(t, n, "in no cluster", "syllecta cluster join")
	if _, err := followers[0].AddNode(t.Context(), n.cfg.RaftAddr, false); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a follower: %v", err)
	}
	_, err := leader.AddNode(t.Context(), freeAddr(t), false)
	wantRefused(t, err, ReasonUnreachable)
	if got, err := leader.AddNode(t.Context(), n.cfg.RaftAddr, false); err != nil || got.ID != n.ID() || got.Voter {
		t.Fatalf("%+v, %v", got, err)
	}
	waitFor(t, "it to vote", func() bool { return ready(n) && leader.memberStatus(n.id).Voter })
	if got, err := leader.AddNode(t.Context(), n.cfg.RaftAddr, false); err != nil || !got.Voter {
		t.Errorf("again: %+v, %v", got, err)
	}
	alone := openNode(t, Config{NodeID: "alone", BootstrapExpect: 1})
	waitForLeader(t, alone)
	_, err = leader.AddNode(t.Context(), alone.cfg.RaftAddr, false)
	wantRefused(t, err, ReasonOtherCluster, "alone", alone.Status().ClusterID)
}

// TestRemove removes a follower: it knows, says so, ends, and never comes back, neither with its disk nor without.
func TestRemove(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 3, 3)
	leader, followers := formed(t, startAll(t, hosts))
	gone := followers[0]
	at := slices.IndexFunc(hosts, func(h *host) bool { return h.node == gone })
	plan, err := leader.PlanRemoval(gone.ID())
	if err != nil || !plan.Safe || !plan.Voter || plan.Voters != 2 || plan.Quorum != 2 {
		t.Fatalf("%+v, %v", plan, err)
	}
	waitFor(t, "the features to be known", func() bool { return leader.Directory().FeatureLevel >= fsm.LevelControl })
	by := fsm.Actor{Name: "admin", Role: "admin", RequestID: "r", Address: "192.0.2.1"}
	if _, err := leader.RemoveNode(t.Context(), gone.ID(), RemoveOptions{By: by}); err != nil {
		t.Fatal(err)
	}
	entries, _ := leader.AuditLog(0, 1000)
	if last := entries[len(entries)-1]; last.Action != "member.retire" || last.Target != gone.ID() || last.By != by {
		t.Errorf("audited as %+v", last)
	}
	if got := leader.Status(); got.Voters != 2 {
		t.Errorf("%+v", got)
	}
	if err := <-gone.Fatal(); !errors.Is(err, ErrRemoved) {
		t.Errorf("it ended with %v", err)
	}
	if got := why(gone); got != "this node was removed from the cluster" {
		t.Errorf("it says %q", got)
	}
	closeNode(t, gone)
	if _, err := Open(t.Context(), hosts[at].cfg); !errors.Is(err, ErrRemoved) {
		t.Errorf("came back with its disk: %v", err)
	}
	_, err = leader.RemoveNode(t.Context(), gone.ID(), RemoveOptions{})
	wantRefused(t, err, ReasonRetiredNode)
	hosts[at].cfg.DataDir = t.TempDir()
	again := hosts[at].start(t)
	waitForReason(t, again, "was removed from the cluster", "new id")
	noCluster(t, again)
}

// TestRemoveAbsent: a node that was away when it was removed learns it when it comes back.
func TestRemoveAbsent(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 3, 3)
	leader, followers := formed(t, startAll(t, hosts))
	gone := followers[0]
	at := slices.IndexFunc(hosts, func(h *host) bool { return h.node == gone })
	waitFor(t, "the features to be known", func() bool { return leader.Directory().FeatureLevel >= 2 })
	closeNode(t, gone)
	if _, err := leader.RemoveNode(t.Context(), gone.ID(), RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	term := leader.raft.CurrentTerm()
	back := hosts[at].start(t)
	if err := <-back.Fatal(); !errors.Is(err, ErrRemoved) {
		t.Errorf("it ended with %v", err)
	}
	if !leader.IsLeader() || leader.raft.CurrentTerm() != term {
		t.Error("it disturbed the others")
	}
}

// TestRemoveGuards: what would cost the quorum is refused, and says what it would do; forced, it is done.
func TestRemoveGuards(t *testing.T) {
	t.Parallel()
	leader, followers := newCluster(t)
	waitFor(t, "the features to be known", func() bool { return leader.Directory().FeatureLevel >= 2 })
	_, err := leader.RemoveNode(t.Context(), "nobody", RemoveOptions{})
	wantRefused(t, err, ReasonUnknownNode, "nobody")
	if _, err := followers[0].RemoveNode(t.Context(), leader.ID(), RemoveOptions{}); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a follower: %v", err)
	}
	dead, alive := followers[0], followers[1]
	closeNode(t, dead)
	waitFor(t, "the loss to be seen", func() bool { return leader.Status().HealthyVoters == 2 })
	_, err = leader.RemoveNode(t.Context(), alive.ID(), RemoveOptions{})
	wantRefused(t, err, ReasonQuorumAtRisk, "2 voters, of which 1 are healthy and 2 are needed")
	plan, err := leader.RemoveNode(t.Context(), dead.ID(), RemoveOptions{})
	if err != nil || plan.Voters != 2 || plan.Healthy != 2 {
		t.Fatalf("%+v, %v", plan, err)
	}
	if _, err := leader.RemoveNode(t.Context(), alive.ID(), RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err = leader.RemoveNode(t.Context(), leader.ID(), RemoveOptions{Force: true})
	wantRefused(t, err, ReasonQuorumAtRisk, "only voter")
	newTenant(t, leader)
}

// TestRemoveLeader: the leader hands over first, and the next one removes it.
func TestRemoveLeader(t *testing.T) {
	t.Parallel()
	leader, followers := newCluster(t)
	waitFor(t, "the features to be known", func() bool { return leader.Directory().FeatureLevel >= 2 })
	if _, err := leader.RemoveNode(t.Context(), leader.ID(), RemoveOptions{}); !errors.Is(err, ErrNotLeader) {
		t.Fatal(err)
	}
	next := waitForLeader(t, followers...)
	if _, err := next.RemoveNode(t.Context(), leader.ID(), RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := <-leader.Fatal(); !errors.Is(err, ErrRemoved) {
		t.Errorf("it ended with %v", err)
	}
}

// TestEmptiedDisk: a member that comes back under its id with an empty disk is kept out, and told what to do.
func TestEmptiedDisk(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 3, 3)
	leader, followers := formed(t, startAll(t, hosts))
	waitFor(t, "the disks to be known", func() bool { return len(leader.Directory().Members()) == 3 })
	at := slices.IndexFunc(hosts, func(h *host) bool { return h.node == followers[0] })
	closeNode(t, followers[0])
	hosts[at].cfg.DataDir = t.TempDir()
	back := hosts[at].start(t)
	waitForReason(t, back, "another data directory", "remove "+back.ID(), "new id")
	noCluster(t, back)
	if leader.memberStatus(back.id).Reachable {
		waitFor(t, "the leader not to take it for the member", func() bool { return !leader.memberStatus(back.id).Reachable })
	}
	newTenant(t, leader)
	if back.raft.LastIndex() != 0 {
		t.Error("it took entries")
	}
}

// TestAddressesChange restarts all nodes at other addresses: they find each other, and raft's configuration follows.
func TestAddressesChange(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 3, 3)
	leader, _ := formed(t, startAll(t, hosts))
	newTenant(t, leader)
	clusterID := leader.Status().ClusterID
	for _, h := range hosts {
		closeNode(t, h.node)
	}
	var seeds []string
	for _, h := range hosts {
		h.cfg.RaftAddr, h.cfg.GossipAddr = freeAddr(t), freeAddr(t)
		h.cfg.HTTPURL = "http://" + h.cfg.RaftAddr
		seeds = append(seeds, h.cfg.RaftAddr)
	}
	for _, h := range hosts {
		h.cfg.Join = seeds
	}
	leader, _ = formed(t, startAll(t, hosts))
	if leader.Status().ClusterID != clusterID || leader.Directory().Tenant(1) == nil || len(leader.voters()) != 3 {
		t.Errorf("%+v", leader.Status())
	}
	waitFor(t, "the configuration to follow", func() bool {
		for _, s := range leader.servers() {
			if !slices.Contains(seeds, string(s.Address)) {
				return false
			}
		}
		return true
	})
}

// TestTwoClustersNeverMerge: two clusters of one name, pointed at each other, stay two, and say so.
func TestTwoClustersNeverMerge(t *testing.T) {
	t.Parallel()
	a := newHosts(t, 2, 2)
	b := newHosts(t, 2, 2)
	logs := newRecorder()
	formed(t, startAll(t, a))
	for i, h := range b {
		h.cfg.NodeID = fmt.Sprintf("m%d", i)
		h.cfg.Logger = slog.New(logs)
	}
	formed(t, startAll(t, b))
	closeNode(t, b[0].node)
	b[0].cfg.Join = append(b[0].cfg.Join, a[0].cfg.RaftAddr)
	n := b[0].start(t)
	waitFor(t, "the node to be back", func() bool { return ready(n) })
	waitFor(t, "it to say so", func() bool {
		return logs.has("WARN", "not taken for a peer", "peer=n0", "another cluster of the same name")
	})
	if n.Status().ClusterID == a[0].node.Status().ClusterID || len(n.voters()) != 2 || len(a[0].node.voters()) != 2 {
		t.Errorf("%+v and %+v", n.Status(), a[0].node.Status())
	}
}

// TestPromiseIsKept: what a node has promised to found survives its restart, and binds it until its disk is emptied.
func TestPromiseIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	reopen := func() *affiliation {
		t.Helper()
		a, err := openAffiliation(dir, "syllecta")
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	abc, bcd := []raft.ServerID{"a", "b", "c"}, []raft.ServerID{"b", "c", "d"}
	if err := reopen().promise("syllecta", "c1", abc); err != nil {
		t.Fatal(err)
	}
	a := reopen()
	if err := a.promise("syllecta", "c1", abc); err != nil {
		t.Errorf("the same again: %v", err)
	}
	for _, err := range []error{
		a.promise("syllecta", "c1", bcd), a.promise("syllecta", "c2", abc), a.join("syllecta", "c2"),
	} {
		if err == nil {
			t.Error("it can be made to promise something else")
		}
	}
	if _, err := openAffiliation(dir, "another"); err == nil || !strings.Contains(err.Error(), `"syllecta"`) {
		t.Errorf("under another cluster's name: %v", err)
	}
	if err := a.join("syllecta", "c1"); err != nil || !reopen().joined() {
		t.Errorf("after it was founded: %v", err)
	}
	path := filepath.Join(dir, affiliationFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		damaged := bytes.Clone(raw)
		damaged[i] ^= 1
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openAffiliation(dir, "syllecta"); err == nil {
			t.Fatalf("a flipped bit in byte %d goes unnoticed", i)
		}
	}
}
