package cluster

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

// formAsBefore gives every node the log that the first release left behind, without feature levels or members, and
// starts them.
func (c *simCluster) formAsBefore() {
	c.t.Helper()
	var servers []raft.Server
	for _, s := range c.nodes {
		servers = append(servers, raft.Server{ID: s.id, Address: s.addr})
	}
	entry := fsm.EncodeEntry(time.Now().UnixMilli(), fsm.BatchID{},
		fsm.Encode(newClusterIdentity("the-first")), fsm.Encode(fsm.Establish{GraceMs: 300}),
		fsm.Encode(fsm.CreateTenant{PublicID: "ten_1", Slug: "demo"}))
	logs := []*raft.Log{
		sealed(&raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration,
			Data: raft.EncodeConfiguration(raft.Configuration{Servers: servers})}),
		sealed(&raft.Log{Index: 2, Term: 1, Type: raft.LogCommand, Data: entry}),
	}
	for _, s := range c.nodes {
		if err := errors.Join(s.log.StoreLogs(logs), s.log.SetUint64([]byte("CurrentTerm"), 1)); err != nil {
			c.t.Fatal(err)
		}
		c.start(s)
	}
}

// TestSimUpgrade: a cluster of the first release goes on, and its feature level rises once every member has said that
// it knows the next; not before.
func TestSimUpgrade(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newSimCluster(t, 3, 1)
		c.formAsBefore()
		for _, s := range c.nodes {
			if err := s.process.Load().adoptCluster(); err != nil {
				t.Fatal(err)
			}
			if got := s.process.Load().passport.affiliation.clusterID(); got != "the-first" {
				t.Errorf("%s takes %q for its cluster", s.id, got)
			}
		}
		late := c.nodes[2]
		c.crash(late)
		leader := c.waitLeader().process.Load()
		leader.peers.forget(late.id) // as a leader that never heard from it
		time.Sleep(10 * tendEvery)
		if got := leader.Directory(); got.FeatureLevel != 1 || len(got.Members()) != 0 {
			t.Errorf("level %d with a member that has not been heard from", got.FeatureLevel)
		}
		_, err := leader.RemoveNode(t.Context(), string(late.id), RemoveOptions{})
		wantRefused(t, err, ReasonChangePending, "feature level 1", "needs 2")
		c.restart(late)
		c.eventually(time.Minute, "the next level", func() bool {
			d := leader.Directory()
			return d.FeatureLevel == fsm.FeatureLevel && len(d.Members()) == 3
		})
		c.grant("lock", "holder", simLease)
	})
}

// TestNewerRelease: a node that meets what only a newer release knows stops, and says which one. It is no use to start
// it again; nothing is passed over.
func TestNewerRelease(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := openNode(t, Config{BootstrapExpect: 1, DataDir: dir})
	waitForLeader(t, n)
	newer := fsm.Encode(fsm.RaiseFeatureLevel{Level: fsm.FeatureLevel + 1, Version: "9.1.0"})
	_ = n.raft.Apply(fsm.EncodeEntry(n.clock.nowMs(), fsm.BatchID{}, newer), time.Second).Error()
	wantsVersion := func(when string, n *Node) {
		t.Helper()
		if err := <-n.Fatal(); err == nil || !strings.Contains(err.Error(), "9.1.0") {
			t.Errorf("%s it ended with %v", when, err)
		}
	}
	wantsVersion("at first", n)
	closeNode(t, n)
	wantsVersion("started again,", openNode(t, Config{BootstrapExpect: 1, DataDir: dir}))
}

// TestOldReleaseCannotJoin: a node that does not know what the log may hold is not taken in, and told what it needs.
func TestOldReleaseCannotJoin(t *testing.T) {
	t.Parallel()
	n := openNode(t, Config{BootstrapExpect: 1})
	waitForLeader(t, n)
	request := JoinRequest{ClusterID: n.Status().ClusterID, NodeID: "old", RaftAddr: "127.0.0.1:1", Version: "0.1.0", Feature: 1}
	reply := n.answerJoin(t.Context(), request)
	if reply.Refused != ReasonOldRelease || !strings.Contains(reply.Detail, "syllecta "+featureVersion(fsm.FeatureLevel)+" or newer; old runs 0.1.0") {
		t.Errorf("%+v", reply)
	}
}
