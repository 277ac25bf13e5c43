package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

// newcomer is a node with an empty disk that runs and belongs to no cluster.
func (c *simCluster) newcomer(i int) *simNode {
	c.t.Helper()
	s := &simNode{
		id:        raft.ServerID(fmt.Sprintf("n%d", i)),
		addr:      raft.ServerAddress(fmt.Sprintf("10.0.0.%d:4100", i+1)),
		log:       raft.NewInmemStore(),
		snapshots: &simSnapshots{},
		wall:      newSimWall(),
	}
	c.start(s)
	c.nodes = append(c.nodes, s)
	return s
}

// admit has whoever leads take a node in, and waits until it votes.
func (c *simCluster) admit(s *simNode) {
	c.t.Helper()
	n := s.process.Load()
	request := JoinRequest{
		NodeID: s.id, DiskID: n.passport.diskID, RaftAddr: string(s.addr), Version: "v1", Feature: fsm.FeatureLevel,
	}
	c.eventually(time.Minute, "admission of "+string(s.id), func() bool {
		leader := c.leader(c.nodes...)
		if leader == nil {
			return false
		}
		ctx, cancel := context.WithTimeout(c.t.Context(), changeTimeout)
		defer cancel()
		n := leader.process.Load() // the lobby, where it would be asked, is not part of the simulation
		return n.admissible(request) == nil && n.admit(ctx, request) == nil
	})
	c.eventually(time.Minute, "vote of "+string(s.id), func() bool {
		leader := c.leader(c.nodes...)
		return leader != nil && leader.process.Load().memberStatus(s.id).Voter
	})
}

// remove has whoever leads remove a member, which may be the leader itself, and waits until it knows.
func (c *simCluster) remove(s *simNode) {
	c.t.Helper()
	c.eventually(time.Minute, "removal of "+string(s.id), func() bool {
		leader := c.leader(c.nodes...)
		if leader == nil {
			return false
		}
		ctx, cancel := context.WithTimeout(c.t.Context(), changeTimeout)
		defer cancel()
		_, err := leader.process.Load().RemoveNode(ctx, string(s.id), RemoveOptions{})
		r, refused := refusalOf(err)
		return err == nil || refused && r.Reason == ReasonRetiredNode
	})
	if err := <-s.process.Load().Fatal(); !errors.Is(err, ErrRemoved) {
		c.t.Errorf("%s ended with %v", s.id, err)
	}
	c.crash(s)
	c.nodes = slices.DeleteFunc(c.nodes, func(other *simNode) bool { return other == s })
}

// TestSimReplaceEveryMember replaces all members one after the other, with somebody out of reach most of the time:
// nothing stored is lost, and no two clusters come of one.
func TestSimReplaceEveryMember(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			inSimulation(t, 3, seed, func(t *testing.T, c *simCluster) {
				var stored []*simOp
				c.eventually(time.Minute, "knowledge of the members", func() bool {
					return len(c.waitLeader().process.Load().Directory().Members()) == 3
				})
				for i, old := range slices.Clone(c.nodes) {
					stored = append(stored, c.fill(fmt.Sprintf("before-%d", i), 5)...)
					late := c.newcomer(3 + i)
					if c.random.IntN(2) == 0 {
						c.isolate(old) // perhaps the leader
						c.waitLeader(c.others(old, late)...)
					}
					c.admit(late)
					c.net.heal()
					stored = append(stored, c.fill(fmt.Sprintf("between-%d", i), 5)...)
					c.remove(old)
				}
				c.checkStored(stored)
				if got := c.waitLeader().process.Load().Status(); got.Voters != 3 || len(got.Nodes) != 3 {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

// TestSimDeadMembersDoNotCount: members that are gone for good are removed, so that they are not needed for a majority.
func TestSimDeadMembersDoNotCount(t *testing.T) {
	t.Parallel()
	inSimulation(t, 5, 1, func(t *testing.T, c *simCluster) {
		c.eventually(time.Minute, "knowledge of the members", func() bool {
			return len(c.waitLeader().process.Load().Directory().Members()) == 5
		})
		leader := c.waitLeader()
		dead := c.others(leader)[:2]
		for _, s := range dead {
			c.crash(s)
		}
		tolerance := func() int { return leader.process.Load().Status().FailureTolerance }
		c.eventually(time.Minute, "tolerance of nothing more", func() bool { return tolerance() == 0 })
		for _, s := range dead {
			if _, err := leader.process.Load().RemoveNode(t.Context(), string(s.id), RemoveOptions{}); err != nil {
				t.Fatal(err)
			}
			c.nodes = slices.DeleteFunc(c.nodes, func(other *simNode) bool { return other == s })
		}
		if got := tolerance(); got != 1 {
			t.Errorf("three of three are healthy, and %d may fail", got)
		}
		third := c.others(leader)[0]
		c.crash(third)
		c.grant("lock", "holder", simLease)
	})
}
