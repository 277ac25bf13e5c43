package test

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestForm starts nodes at addresses of their own, as machines have them, and lets them find each other.
func TestForm(t *testing.T) {
	t.Parallel()
	t.Run("three addresses", testThreeAddresses)
	t.Run("another cluster name", testAnotherName)
	t.Run("another number of nodes", testAnotherNumber)
	t.Run("other settings afterwards", testOtherSettings)
}

// onAddresses plans nodes on 127.0.0.1, .2, .3 and so on, all with the same ports; args are each node's own.
func onAddresses(t *testing.T, args ...[]string) *cluster {
	t.Helper()
	dir := t.TempDir()
	token := writeAdminToken(t, dir)
	hosts := []string{"127.0.0.1", "127.0.0.2", "127.0.0.3"}[:len(args)]
	http, raft, gossip := freePort(t, hosts...), freePort(t, hosts...), freePort(t, hosts...)
	c := &cluster{t: t}
	for i, host := range hosts {
		at := ports{net.JoinHostPort(host, http), net.JoinHostPort(host, raft), net.JoinHostPort(host, gossip)}
		n := newNode(t, "at-"+host, dir, at, append([]string{"--admin-token-file=" + token}, args[i]...)...)
		c.nodes = append(c.nodes, n)
		n.seeds = []string{c.nodes[0].ports.seed()}
	}
	t.Cleanup(c.cleanUp)
	return c
}

func testThreeAddresses(t *testing.T) {
	three := []string{"--bootstrap-expect=3"}
	c := onAddresses(t, three, three, three)
	// One after the other: two of three must not go ahead.
	for i, n := range c.nodes {
		n.start()
		if i < 2 {
			wantReason(t, n, "of 3 expected nodes are here")
		}
	}
	for _, n := range c.nodes {
		n.waitReady()
	}
	key := c.newTenant("addresses", 0).key
	for _, n := range c.nodes {
		granted := newClient(n.url(), key).following().claim(claimRequest{Scope: "form", Key: n.name})
		if !granted.Locked {
			t.Errorf("claim through %s: %v", n.name, granted.answer)
		}
	}
	c.waitConverged()
}

func testAnotherName(t *testing.T) {
	two := "--bootstrap-expect=2"
	c := onAddresses(t, []string{two, "--cluster-name=blue"}, []string{two, "--cluster-name=green"})
	for _, n := range c.nodes {
		n.start()
	}
	for _, n := range c.nodes {
		wantReason(t, n, "1 of 2 expected nodes are here")
		eventually(t, n.name+" says in its log whom it refuses", func() bool {
			return strings.Contains(n.logText(), `belongs to cluster \"`)
		}, c.logTails)
	}
}

func testAnotherNumber(t *testing.T) {
	c := onAddresses(t, []string{"--bootstrap-expect=2"}, []string{"--bootstrap-expect=3"})
	for _, n := range c.nodes {
		n.start()
	}
	for i, n := range c.nodes {
		reason := []string{"expects 3 nodes, this one 2", "expects 2 nodes, this one 3"}[i]
		wantReason(t, n, reason)
		if !strings.Contains(n.logText(), reason) {
			t.Errorf("the log of %s does not say: %s", n.name, reason)
		}
	}
}

// testOtherSettings restarts a node with settings that would have formed another cluster. What it is a member of stands
// in its data directory: a number says nothing any more, and a name that does not fit is refused.
func testOtherSettings(t *testing.T) {
	c := newCluster(t, 1)
	n, before := c.nodes[0], c.waitConverged()
	own := n.args

	n.term()
	n.args = append(slices.Clone(own), "--bootstrap-expect=3")
	n.restart()
	wantSameMembers(t, before, c.waitConverged())

	n.term()
	n.args = append(slices.Clone(own), "--cluster-name=other")
	n.start()
	if !n.process.awaitExit(patience) {
		t.Fatal("the node runs under the name of another cluster")
	}
	words := `belongs to cluster "syllecta", not "other"`
	if code, tail := n.process.exitCode(), n.logTail(); code != 1 || !strings.Contains(tail, words) {
		t.Errorf("under the name of another cluster: code %d, want 1 and words:\n%s", code, tail)
	}

	n.args = own
	n.restart()
	wantSameMembers(t, before, c.waitConverged())
}

// wantReason waits until a node says why it is not ready.
func wantReason(t *testing.T, n *node, reason string) {
	t.Helper()
	report := ""
	eventually(t, n.name+" says: "+reason, func() bool {
		status, text, err := n.readyz()
		report = text
		return err == nil && status == http.StatusServiceUnavailable && strings.Contains(text, reason)
	}, func() string { return report })
}
