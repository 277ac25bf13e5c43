package test

import (
	"slices"
	"testing"
	"time"
)

// TestAddressChange gives nodes other addresses, as a cloud or a cluster manager does when it starts machines again.
// Ids are who they are, so nobody has to tell the cluster anything but where to look.
func TestAddressChange(t *testing.T) {
	t.Parallel()
	t.Run("ports", func(t *testing.T) {
		t.Parallel()
		testAddressChange(t, newCluster(t, 3), func(n *node) { n.ports = freePorts(t) })
	})
	t.Run("IP addresses", func(t *testing.T) {
		t.Parallel()
		testAddressChange(t, newClusterOn(t, newNetwork(t), 3), func(n *node) {
			n.host.move(t)
			n.ports = n.host.ports()
		})
	})
}

// testAddressChange moves nodes, which must be gone then, in all the ways that a restart of machines may. Only nodes
// that are started are told where the others are.
func testAddressChange(t *testing.T, c *cluster, move func(*node)) {
	b := &book{c: c, key: c.newTenant("address", 0).key}
	b.write(t, 5)
	before := b.check(t)
	for _, step := range []struct {
		what  string
		leave func(*node)
		nodes func() []*node
	}{
		{"a follower", (*node).term, func() []*node { return c.followers()[:1] }},
		{"the leader", (*node).kill9, func() []*node { return []*node{c.leader()} }},
		{"both followers", (*node).kill9, c.followers},
		{"all nodes", (*node).term, func() []*node { return c.nodes }},
	} {
		moving := step.nodes()
		for _, n := range moving {
			step.leave(n)
			move(n)
		}
		c.seed()
		if len(moving) == 1 {
			b.write(t, 1) // the others go on
		}
		began := time.Now()
		c.restartAll()
		ready := time.Now()
		after := b.check(t)
		b.write(t, 1)
		t.Logf("%s moved: ready after %s, all nodes alike after another %s", step.what,
			ready.Sub(began).Round(time.Millisecond), time.Since(ready).Round(time.Millisecond))
		wantSameMembers(t, before, after)
	}
	b.check(t)
}

// wantSameMembers wants the same nodes, in the same cluster, to have a say.
func wantSameMembers(t *testing.T, before, after status) {
	t.Helper()
	if before.ClusterID == "" || after.ClusterID != before.ClusterID {
		t.Errorf("the cluster was %q and is %q", before.ClusterID, after.ClusterID)
	}
	if was, is := before.memberIDs(), after.memberIDs(); !slices.Equal(was, is) || len(is) == 0 {
		t.Errorf("the members were %v and are %v", was, is)
	}
}
