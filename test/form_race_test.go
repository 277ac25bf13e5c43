package test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestFormRaces has nodes form a cluster in the ways that go wrong elsewhere. However it ends, there is never more than
// one cluster, and who is not in it says why.
func TestFormRaces(t *testing.T) {
	t.Parallel()
	t.Run("more nodes than expected", testMoreThanExpected)
	t.Run("overlapping views", testOverlappingViews)
	t.Run("founders die", testFoundersDie)
	t.Run("two clusters of one name", testTwoClusters)
}

// planForming plans nodes that have no cluster, and that expect to form one of so many.
func planForming(t *testing.T, count, expect int, args ...string) *cluster {
	t.Helper()
	// The last one counts for the flag that planCluster sets itself.
	return planCluster(t, count, append(args, fmt.Sprintf("--bootstrap-expect=%d", expect), "--promote-after=1s")...)
}

// clusterIDs are the clusters that the nodes belong to by their own word, each once.
func (c *cluster) clusterIDs() []string {
	var ids []string
	for _, n := range c.nodes {
		if !n.running() {
			continue
		}
		if s, err := n.status(); err == nil && s.ClusterID != "" && !slices.Contains(ids, s.ClusterID) {
			ids = append(ids, s.ClusterID)
		}
	}
	return ids
}

// wantOneCluster waits until all nodes are ready and members, and wants them to be so of one cluster.
func (c *cluster) wantOneCluster(t *testing.T) {
	t.Helper()
	eventually(t, "all nodes are members", func() bool {
		if ids := c.clusterIDs(); len(ids) > 1 {
			t.Fatalf("there are %d clusters: %v\n%s", len(ids), ids, c.logTails())
		}
		for _, n := range c.nodes {
			if code, _, err := n.readyz(); err != nil || code != http.StatusOK {
				return false
			}
			if s, err := n.status(); err != nil || len(s.Nodes) != len(c.nodes) {
				return false
			}
		}
		return true
	}, c.logTails)
	if agreed := c.waitConverged(); agreed.ClusterID == "" {
		t.Error("the cluster has no identity")
	}
}

// crowdWatch is how long nodes that are more than expected are watched.
const crowdWatch = 1500 * time.Millisecond

// formFromCrowd starts more nodes than are expected and watches them. Either some of them found a cluster, or all say
// that there are too many, and some do as soon as the surplus is gone. Then the surplus joins.
func (c *cluster) formFromCrowd(t *testing.T, surplus []*node, end func()) {
	t.Helper()
	for _, n := range c.nodes {
		n.start()
	}
	eventually(t, "the nodes answer", func() bool {
		return !slices.ContainsFunc(c.nodes, func(n *node) bool {
			_, _, err := n.readyz()
			return err != nil
		})
	}, c.logTails)
	for until := time.Now().Add(crowdWatch); time.Now().Before(until); time.Sleep(pollInterval) {
		if ids := c.clusterIDs(); len(ids) > 1 {
			t.Fatalf("there are %d clusters: %v\n%s", len(ids), ids, c.logTails())
		}
	}
	end()
	if len(c.clusterIDs()) == 0 {
		t.Log("nobody founds a cluster while there are too many")
		for _, n := range c.nodes {
			wantReason(t, n, " expected nodes are here")
		}
		for _, n := range surplus {
			n.term()
		}
		c.formAsTold()
		for _, n := range c.nodes {
			if !n.running() {
				n.start()
			}
		}
	}
	c.wantOneCluster(t)
}

// agreedWords are those of a founder that others than the ones that run now must be waited for.
var agreedWords = regexp.MustCompile(`it has agreed to \[([^]]*)\]: run just these`)

// formAsTold waits until the nodes that run have formed a cluster. If one says with whom it has agreed to form one, before
// others were stopped, just these are run, as it says.
func (c *cluster) formAsTold() {
	c.t.Helper()
	eventually(c.t, "the nodes that run are ready", func() bool {
		ready := true
		for _, n := range c.nodes {
			if !n.running() {
				continue
			}
			code, report, err := n.readyz()
			if agreed := agreedWords.FindStringSubmatch(report); err == nil && agreed != nil {
				c.runJust(strings.Fields(agreed[1]))
				return false
			}
			ready = ready && err == nil && code == http.StatusOK
		}
		return ready
	}, c.logTails)
}

// runJust stops all nodes but those of these names, and starts those.
func (c *cluster) runJust(names []string) {
	for _, n := range c.nodes {
		if n.running() && !slices.Contains(names, n.name) {
			n.term()
		}
	}
	for _, n := range c.nodes {
		if !n.running() && slices.Contains(names, n.name) {
			n.start()
		}
	}
}

// testMoreThanExpected starts five nodes at once that expect three.
func testMoreThanExpected(t *testing.T) {
	t.Parallel()
	c := planForming(t, 5, 3)
	c.formFromCrowd(t, c.nodes[3:], func() {})
}

// testOverlappingViews has two nodes see the same third one, and not each other: it can be a founder with one of them.
func testOverlappingViews(t *testing.T) {
	t.Parallel()
	w := newNetwork(t)
	c := planOn(t, w, 3, "--allow-public-plaintext", "--bootstrap-expect=2", "--promote-after=1s")
	w.cut(t, w.hosts[0], w.hosts[2])
	c.formFromCrowd(t, c.nodes[2:], func() { w.heal(t) })
}

// formingTries is how many clusters are formed by founders that die meanwhile.
const formingTries = 6

// testFoundersDie kills a founder, any one, at any instant while the cluster forms.
func testFoundersDie(t *testing.T) {
	t.Parallel()
	for i := range formingTries {
		c := planCluster(t, 3)
		for _, n := range c.nodes {
			n.start()
		}
		for range 3 {
			time.Sleep(time.Duration(rand.IntN(250)) * time.Millisecond) // the instant is what is tried
			victim := c.nodes[rand.IntN(len(c.nodes))]
			victim.kill9()
			victim.start()
		}
		c.wantOneCluster(t)
		t.Logf("try %d: one cluster", i+1)
		c.killAll()
	}
}

// testTwoClusters points a node of one cluster at another one of the same name, and has a node of that one turn up
// where the first cluster looks for its own.
func testTwoClusters(t *testing.T) {
	t.Parallel()
	ours, theirs := newCluster(t, 3), newCluster(t, 3)
	before, other := ours.waitConverged(), theirs.waitConverged()
	if before.ClusterID == other.ClusterID {
		t.Fatalf("both are cluster %s", before.ClusterID)
	}
	lost := ours.followers()[0]
	lost.term()
	lost.seeds = []string{theirs.nodes[0].ports.seed(), theirs.nodes[1].ports.seed()}
	// The machine of one of their nodes gets the addresses of the lost one, and that one others.
	moved := theirs.followers()[0]
	moved.term()
	moved.ports, lost.ports = lost.ports, freePorts(t)
	moved.restart()
	lost.restart()
	eventually(t, "the node says whom it does not take for a peer", func() bool {
		return strings.Contains(lost.logText(), "belongs to another cluster of the same name, "+other.ClusterID)
	}, ours.logTails)
	for _, c := range []struct {
		*cluster
		was status
	}{{ours, before}, {theirs, other}} {
		key := c.newTenant("still-here", 0).key
		for _, n := range c.nodes {
			var v claimed
			eventually(t, "a claim through "+n.name+" is granted", func() bool { // the leader may be changing
				v = newClient(n.url(), key).following().claim(claimRequest{Scope: "s", Key: n.name, Owner: n.name})
				return v.Locked
			}, func() string { return v.answer.String() })
		}
		wantSameMembers(t, c.was, c.waitConverged())
	}
}
