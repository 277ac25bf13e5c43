package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

// host is a place where a node runs and runs again.
type host struct {
	cfg  Config
	node *Node
}

func newHosts(t *testing.T, n, expect int) []*host {
	t.Helper()
	var hosts []*host
	var seeds []string
	for range n {
		seeds = append(seeds, freeAddr(t))
	}
	for i := range n {
		hosts = append(hosts, &host{cfg: Config{
			NodeID: fmt.Sprintf("n%d", i), DataDir: t.TempDir(), RaftAddr: seeds[i], HTTPURL: "http://" + seeds[i],
			GossipAddr: freeAddr(t), Join: seeds, BootstrapExpect: expect, PromoteAfter: 100 * time.Millisecond,
		}})
	}
	return hosts
}

func (h *host) start(t *testing.T) *Node {
	t.Helper()
	h.node = openNode(t, h.cfg)
	return h.node
}

func startAll(t *testing.T, hosts []*host) (nodes []*Node) {
	t.Helper()
	for _, h := range hosts {
		nodes = append(nodes, h.start(t))
	}
	return nodes
}

// newCluster is three nodes with a leader that all of them know.
func newCluster(t *testing.T) (leader *Node, followers []*Node) {
	t.Helper()
	return formed(t, startAll(t, newHosts(t, 3, 3)))
}

func formed(t *testing.T, nodes []*Node) (leader *Node, followers []*Node) {
	t.Helper()
	waitFor(t, "all nodes to be ready", func() bool {
		return !slices.ContainsFunc(nodes, func(n *Node) bool { return !ready(n) })
	})
	for _, n := range nodes {
		if n.IsLeader() {
			leader = n
		} else {
			followers = append(followers, n)
		}
	}
	if leader == nil {
		return formed(t, nodes)
	}
	return leader, followers
}

func ready(n *Node) bool {
	return !slices.ContainsFunc(n.Readiness(), func(c Check) bool { return !c.OK })
}

// why returns a node's own word on why it is no member of a cluster.
func why(n *Node) string {
	for _, c := range n.Readiness() {
		if c.Name == "member" && !c.OK {
			return c.Detail
		}
	}
	return ""
}

func waitForReason(t *testing.T, n *Node, words ...string) {
	t.Helper()
	waitFor(t, fmt.Sprintf("%s to say %q", n.ID(), words), func() bool {
		return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(why(n), w) })
	})
}

// seeEachOther waits until every node has the others in its gossip.
func seeEachOther(t *testing.T, nodes ...*Node) {
	t.Helper()
	waitFor(t, "the nodes to see each other", func() bool {
		return !slices.ContainsFunc(nodes, func(n *Node) bool { return len(n.gossiped()) < len(nodes) })
	})
}

// TestFormAndRestart starts three nodes in any order, then restarts one, then all of them: it is one cluster, and the
// same all along.
func TestFormAndRestart(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 3, 3)
	rand.Shuffle(3, func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	var nodes []*Node
	for i, h := range hosts {
		nodes = append(nodes, h.start(t))
		if i < 2 {
			waitForReason(t, h.node, "of 3 expected nodes are here")
		}
	}
	leader, _ := formed(t, nodes)
	clusterID := leader.Status().ClusterID
	newTenant(t, leader)
	for _, n := range nodes {
		waitFor(t, "one cluster id", func() bool { return n.Status().ClusterID == clusterID && clusterID != "" })
		if got := len(n.voters()); got != 3 {
			t.Errorf("%s: %d voters", n.ID(), got)
		}
	}
	closeNode(t, hosts[1].node)
	nodes[1] = hosts[1].start(t)
	formed(t, nodes)

	for _, h := range hosts {
		closeNode(t, h.node)
	}
	leader, _ = formed(t, startAll(t, hosts))
	if got := leader.Status().ClusterID; got != clusterID {
		t.Errorf("after all nodes were restarted: cluster %q, was %q", got, clusterID)
	}
	if leader.Directory().Tenant(1) == nil {
		t.Error("the tenant is gone")
	}
}

func TestDifferentExpectations(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 2, 2)
	hosts[1].cfg.BootstrapExpect = 3
	nodes := startAll(t, hosts)
	waitForReason(t, nodes[0], "n1 expects 3 nodes, this one 2", "the same number")
	waitForReason(t, nodes[1], "n0 expects 2 nodes, this one 3")
	noCluster(t, nodes...)
}

// noCluster fails if a node has become a member of a cluster.
func noCluster(t *testing.T, nodes ...*Node) {
	t.Helper()
	for _, n := range nodes {
		if n.hasState() || n.IsLeader() {
			t.Errorf("%s is a member of a cluster: %+v", n.ID(), n.servers())
		}
	}
}

// TestMoreNodesThanExpected: four nodes that expect three found nothing, since any three of them would leave one out.
func TestMoreNodesThanExpected(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 4, 3)
	// The first three may found their cluster before they hear of the fourth, unless they hear of it first.
	for _, h := range hosts[:3] {
		h.cfg.BootstrapExpect = 4
	}
	hosts[3].cfg.BootstrapExpect = 3
	first := []*Node{hosts[3].start(t), hosts[0].start(t)}
	seeEachOther(t, first...)
	nodes := append(first, hosts[1].start(t), hosts[2].start(t))
	seeEachOther(t, nodes...)
	waitForReason(t, hosts[3].node, "expects 4 nodes, this one 3")
	waitForReason(t, hosts[0].node, "n3 expects 3 nodes, this one 4")
	noCluster(t, nodes...)
}

// TestFourNodesExpectThree starts four nodes that expect three at once. Whatever happens first, there is never more
// than one cluster: either the fourth joins what three have founded, or all see four and say so.
func TestFourNodesExpectThree(t *testing.T) {
	t.Parallel()
	nodes := startAll(t, newHosts(t, 4, 3))
	waitFor(t, "one cluster of all, or a reason on each node", func() bool {
		outside := slices.DeleteFunc(slices.Clone(nodes), ready)
		tooMany := func(n *Node) bool { return strings.Contains(why(n), "4 of 3") }
		return len(outside) == 0 || !slices.ContainsFunc(nodes, func(n *Node) bool { return !tooMany(n) })
	})
	clusters := make(map[string]bool)
	for _, n := range nodes {
		if id := n.Status().ClusterID; id != "" {
			clusters[id] = true
		}
	}
	if len(clusters) > 1 {
		t.Errorf("%d clusters", len(clusters))
	}
}

// TestAnotherCluster: nodes of another cluster's name do not mix with these, and both sides say why.
func TestAnotherCluster(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 3, 2)
	logs := newRecorder()
	hosts[2].cfg.ClusterName = "another"
	hosts[2].cfg.Logger = slog.New(logs)
	stranger := hosts[2].start(t)
	nodes := startAll(t, hosts[:2])
	formed(t, nodes)
	why := `it belongs to cluster "another", this node to "syllecta"`
	waitFor(t, "the stranger to say who refuses it", func() bool {
		return logs.has("WARN", "not taken for a peer", "peer=n0", why)
	})
	waitForReason(t, stranger, "1 of 2 expected nodes are here", "not counted: ", "n0 at ", "n1 at ", why)
	noCluster(t, stranger)
	for _, n := range nodes {
		if _, ok := n.gossiped()["n2"]; ok {
			t.Errorf("%s takes the stranger for a peer", n.ID())
		}
	}
}

// TestNewcomerJoins: a node without state that meets a formed cluster joins it, whatever it expects.
func TestNewcomerJoins(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 3, 2)
	leader, _ := formed(t, startAll(t, hosts[:2]))
	newcomer := hosts[2].start(t)
	waitFor(t, "the newcomer to vote", func() bool { return ready(newcomer) && len(newcomer.voters()) == 3 })
	if got, want := newcomer.Status().ClusterID, leader.Status().ClusterID; got != want {
		t.Errorf("it is in cluster %s, the others in %s", got, want)
	}
}

// TestFounding: a node agrees to one set of founders only, and to none that it does not see itself.
func TestFounding(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 1, 3)
	n := hosts[0].start(t)
	waitFor(t, "the seeds to be tried", n.formation.hasSurveyed)
	see := func(ids ...raft.ServerID) []raft.ServerID {
		g := n.formation.gossip.Load()
		g.mu.Lock()
		defer g.mu.Unlock()
		clear(g.alive)
		for _, id := range ids {
			g.alive[id] = gossipMeta{RaftAddr: "127.0.0.1:1", Expect: 3}
		}
		return ids
	}
	refused := func(what string, proposed []raft.ServerID, words string) {
		t.Helper()
		if got := n.founding(FoundRequest{testCluster, proposed, true}); got.Agreed || !strings.Contains(got.Reason, words) {
			t.Errorf("%s: %+v", what, got)
		}
	}
	abc := []raft.ServerID{"a", "b", "c"}
	see("a", "b")
	refused("two of three are here", abc, "2 of 3")
	see("a", "b", "d")
	refused("others are here", abc, "it sees [a b d]")
	see(abc...)
	if got := n.founding(FoundRequest{testCluster, abc, true}); !got.Agreed {
		t.Fatalf("%+v", got)
	}
	if got := n.founding(FoundRequest{testCluster, abc, true}); !got.Agreed {
		t.Fatalf("asked again: %+v", got)
	}
	refused("others see each other now", see("b", "c", "d"), "it has agreed to [a b c]: run just these")
	if got := n.founding(FoundRequest{"c2", abc, true}); got.Agreed {
		t.Error("agreed to another cluster of the same nodes")
	}
	g := n.formation.gossip.Load()
	g.mu.Lock()
	g.alive["d"] = gossipMeta{HasState: true}
	g.mu.Unlock()
	refused("there is a cluster", abc, "d is a member of a cluster already")
}

// TestCancelledOpen: an Open that is told to end leaves nothing open.
func TestCancelledOpen(t *testing.T) {
	t.Parallel()
	h := newHosts(t, 1, 3)[0]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, h.cfg); err == nil {
		t.Fatal("opened")
	}
	h.start(t) // on the same directory and the same ports
}

// TestUnusableSeed: a seed that accepts connections and says nothing does not hold a shutdown up.
func TestUnusableSeed(t *testing.T) {
	t.Parallel()
	to, came := deafPeer(t, 1<<40)
	h := newHosts(t, 1, 3)[0]
	h.cfg.Join = []string{string(to), string(to), string(to), string(to)}
	n := h.start(t)
	waitFor(t, "the seed to be contacted", func() bool { return came.Load() > 0 })
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	if err := n.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// A new cluster begins at the feature level of its founders: whoever restores a backup into it, or sets a plan, is not to
// wait for anything.
func TestLevelAtFounding(t *testing.T) {
	t.Parallel()
	leader, _ := newCluster(t)
	alone := openNode(t, Config{BootstrapExpect: 1})
	waitForLeader(t, alone)
	for _, n := range []*Node{leader, alone} {
		if got := n.Directory().FeatureLevel; got != fsm.FeatureLevel {
			t.Errorf("%s is at level %d, want %d", n.ID(), got, fsm.FeatureLevel)
		}
		// It was no other before, but that of the empty state.
		first, _ := n.AuditLog(0, 1)
		if len(first) != 1 || first[0].Action != "cluster.raise-feature-level" || first[0].Changes[0].Before != "1" {
			t.Errorf("%s: the first change is %+v", n.ID(), first)
		}
	}
}
