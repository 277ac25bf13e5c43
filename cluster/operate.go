package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

// Reason classifies a Refusal, for programs.
type Reason string

// What an operator's request can be refused for.
const (
	ReasonUnknownNode    Reason = "unknown_node"
	ReasonRetiredNode    Reason = "retired_node"   // the id was removed, and is never used again
	ReasonDifferentDisk  Reason = "different_disk" // the id is a member's, the data directory another one
	ReasonOtherCluster   Reason = "other_cluster"  // a node, or a backup, of another cluster
	ReasonUnreachable    Reason = "unreachable"    // the node does not answer
	ReasonNotCaughtUp    Reason = "not_caught_up"  // the node is too far behind to do what was asked
	ReasonNoVote         Reason = "no_vote"        // the node has no vote
	ReasonQuorumAtRisk   Reason = "quorum_at_risk" // too few healthy voters would be left
	ReasonChangePending  Reason = "change_pending" // another change of members is not settled yet
	ReasonBadSnapshot    Reason = "bad_snapshot"   // damaged, cut off, or no backup at all
	ReasonNewerSnapshot  Reason = "newer_snapshot" // written by a newer release
	ReasonOldRelease     Reason = "old_release"    // a node that does not know what the cluster's log holds
	ReasonTooManyMembers Reason = "too_many_members"
)

// Refusal is why something an operator asked for was not done. Nothing was changed.
type Refusal struct {
	Reason Reason
	Detail string // one sentence or two: what, why, what next
}

func (r *Refusal) Error() string { return r.Detail }

func refuse(reason Reason, format string, args ...any) error {
	return &Refusal{reason, fmt.Sprintf(format, args...)}
}

// Removal is what taking a node out of the cluster means.
type Removal struct {
	NodeID string
	// Voter tells that the node votes now. Voters, Healthy and Quorum count what is left without it: voters, those of
	// them that answer, and how many must answer for the cluster to work.
	Voter                   bool
	Voters, Healthy, Quorum int
	// Safe removals leave a majority of healthy voters; the others are refused unless forced.
	Safe bool
	// Consequence says in words what will be.
	Consequence string
}

// AddNode takes the node that answers at raftAddr into the cluster, without a vote. Unless nonVoter is set, it gets one
// as soon as it has been healthy and caught up for Config.PromoteAfter. Only the leader does; a node that is a member
// already stays what it is.
func (n *Node) AddNode(ctx context.Context, raftAddr string, nonVoter bool) (NodeStatus, error) {
	if !n.IsLeader() {
		return NodeStatus{}, ErrNotLeader
	}
	greeting, done := context.WithTimeout(ctx, greetTimeout)
	who, err := n.passport.greet(greeting, raftAddr)
	done()
	if r, ok := refusalOf(err); ok {
		return NodeStatus{}, r
	}
	if err != nil {
		return NodeStatus{}, refuse(ReasonUnreachable, "no node that could join answers at %s: %v", raftAddr, err)
	}
	own := n.passport.affiliation.clusterID()
	if who.ClusterID != "" && who.ClusterID != own {
		return NodeStatus{}, refuse(ReasonOtherCluster, "%s at %s belongs to cluster %s already", who.NodeID, raftAddr, who.ClusterID)
	}
	request := JoinRequest{
		ClusterID: own, NodeID: who.NodeID, DiskID: who.DiskID, RaftAddr: who.RaftAddr,
		NonVoter: nonVoter || who.NonVoter, Version: who.Version, Feature: who.Feature,
	}
	if err := n.admissible(request); err != nil {
		return NodeStatus{}, err
	}
	var reply InviteReply
	err = n.passport.ask(ctx, located(who.NodeID, raft.ServerAddress(raftAddr)), methodInvite,
		InviteRequest{own, n.cfg.RaftAdvertise}, &reply)
	if err == nil && !reply.Accepted {
		return NodeStatus{}, refuse(ReasonOtherCluster, "%s does not want to join: %s", who.NodeID, reply.Reason)
	}
	if err != nil {
		return NodeStatus{}, refuse(ReasonUnreachable, "%s does not answer the invitation: %v", who.NodeID, err)
	}
	if err := n.admit(ctx, request); err != nil {
		return NodeStatus{}, err
	}
	return n.memberStatus(who.NodeID), nil
}

// PlanRemoval says what removing the node would mean, and changes nothing.
func (n *Node) PlanRemoval(id string) (Removal, error) {
	if !n.IsLeader() {
		return Removal{}, ErrNotLeader
	}
	status, ok := n.statusOf(id)
	// One that was admitted may not have come into raft's configuration, and never will if it is gone.
	if m := n.Directory().Member(id); !ok && (m == nil || m.Retired()) {
		return Removal{}, n.unknownNode(id)
	}
	r := Removal{NodeID: id, Voter: status.Voter}
	for _, s := range n.Status().Nodes {
		if s.Voter && s.ID != id {
			r.Voters++
			if s.Healthy {
				r.Healthy++
			}
		}
	}
	r.Quorum = r.Voters/2 + 1
	r.Safe = r.Voters > 0 && (!r.Voter || r.Healthy >= r.Quorum)
	r.Consequence = r.inWords()
	return r, nil
}

func (r Removal) inWords() string {
	switch {
	case !r.Voter:
		return fmt.Sprintf("%s has no vote: removing it changes nothing for the others", r.NodeID)
	case r.Voters == 0:
		return fmt.Sprintf("%s is the only voter: without it there is no cluster", r.NodeID)
	case !r.Safe:
		return fmt.Sprintf("without %s there are %d voters, of which %d are healthy and %d are needed: "+
			"nothing will be acknowledged until more are back", r.NodeID, r.Voters, r.Healthy, r.Quorum)
	}
	return fmt.Sprintf("without %s there are %d voters, %d of them healthy: %d more may fail",
		r.NodeID, r.Voters, r.Healthy, r.Healthy-r.Quorum)
}

func (n *Node) unknownNode(id string) error {
	if m := n.Directory().Member(id); m != nil && m.Retired() {
		return refuse(ReasonRetiredNode, "%s was removed already", shortened(id))
	}
	return refuse(ReasonUnknownNode, "no member of this cluster is called %q", shortened(id))
}

// shortened cuts what a caller called a node to something that can be shown.
func shortened(id string) string { return id[:min(len(id), fsm.MaxNodeIDBytes)] }

// RemoveOptions are what goes with a removal.
type RemoveOptions struct {
	// Force has it done even if too few healthy voters are left.
	Force bool
	// By is who asked for it, for the audit log; without a name it is the cluster itself.
	By fsm.Actor
}

// RemoveNode takes a node out of the cluster for good: its id is never used again. A removal that is not safe is
// refused with ReasonQuorumAtRisk unless forced, and that of the only voter always. A leader that is to remove itself
// hands the leadership over and fails with ErrNotLeader: the next leader is to be asked.
func (n *Node) RemoveNode(ctx context.Context, id string, options RemoveOptions) (Removal, error) {
	release, err := n.steward.begin(ctx)
	if err != nil {
		return Removal{}, err
	}
	defer release()
	plan, err := n.PlanRemoval(id) // now: it holds until the next change
	if err != nil {
		return Removal{}, err
	}
	if !plan.Safe && (!options.Force || plan.Voters == 0) {
		return plan, refuse(ReasonQuorumAtRisk, "%s was not removed: %s", id, plan.Consequence)
	}
	if raft.ServerID(id) == n.id {
		if _, err := n.TransferLeadership(ctx, ""); err != nil {
			return plan, err
		}
		return plan, ErrNotLeader
	}
	if err := n.requireFeature(2); err != nil {
		return plan, err
	}
	// The state machine first: from then on the id is spent, and whatever is interrupted here is taken up again by
	// the leader's steward.
	if err := n.decide(ctx, n.attributed(options.By, fsm.RetireMember{NodeID: id})); err != nil {
		return plan, err
	}
	if err := n.expel(ctx, raft.ServerID(id)); err != nil {
		// It is decided all the same, for good.
		n.log.Warn("a node is removed, but not out of the configuration yet", "removed", id, "error", err)
		return plan, nil
	}
	n.log.Info("removed a node", "removed", id, "forced", options.Force)
	return plan, nil
}

// attributed is a command with who asked for it, where the cluster has an audit log and somebody did.
func (n *Node) attributed(by fsm.Actor, cmd fsm.Command) fsm.Command {
	if by.Name == "" || n.Directory().FeatureLevel < fsm.LevelControl {
		return cmd
	}
	return fsm.Audited{By: by, Command: cmd}
}

// PromoteNode gives a member a vote, now if it has caught up. A member that joined as a non-voter for good is one no
// longer.
func (n *Node) PromoteNode(ctx context.Context, id string) (NodeStatus, error) {
	if !n.IsLeader() {
		return NodeStatus{}, ErrNotLeader
	}
	status, ok := n.awaitHealthy(ctx, id)
	switch {
	case !ok:
		return NodeStatus{}, n.unknownNode(id)
	case status.Voter:
		return status, nil
	case !status.Healthy:
		return NodeStatus{}, refuse(ReasonNotCaughtUp, "%s is not healthy or %d entries behind: as a voter it would only "+
			"cost the cluster its tolerance; promote it when it has caught up", id, status.Lag)
	}
	release, err := n.steward.begin(ctx)
	if err != nil {
		return NodeStatus{}, err
	}
	defer release()
	if m := n.Directory().Member(id); m != nil && m.NonVoter {
		if err := n.decide(ctx, fsm.AdmitMember{NodeID: id, DiskID: m.DiskID}); err != nil {
			return NodeStatus{}, err
		}
	}
	if err := n.giveVote(ctx, raft.ServerID(id)); err != nil {
		return NodeStatus{}, err
	}
	return n.memberStatus(raft.ServerID(id)), nil
}

// newcomerPatience is how long a promotion waits for a node to be found healthy: one that was started a moment ago says of
// itself that it is ready before the leader has heard of it.
const newcomerPatience = 3 * time.Second

// awaitHealthy returns the status of a node, once it is healthy if that comes soon.
func (n *Node) awaitHealthy(ctx context.Context, id string) (status NodeStatus, known bool) {
	ctx, cancel := context.WithTimeout(ctx, newcomerPatience)
	defer cancel()
	for {
		if status, known = n.statusOf(id); !known || status.Healthy || status.Voter {
			return status, known
		}
		select {
		case <-ctx.Done():
			return status, known
		case <-time.After(pingEvery):
		}
	}
}

// TransferLeadership hands the leadership to the voter with that id, or with "" to the one best prepared, and returns
// whose it is now.
func (n *Node) TransferLeadership(ctx context.Context, id string) (leader string, err error) {
	if !n.IsLeader() {
		return "", ErrNotLeader
	}
	to, ok := n.successor(ctx)
	if id != "" {
		if to, err = n.candidate(id); err != nil {
			return "", err
		}
	} else if !ok {
		return "", refuse(ReasonUnreachable, "no other voter answers: there is nobody to hand the leadership to")
	}
	if to.ID == n.id {
		return id, nil
	}
	n.bringTally(ctx)
	if err := settled(ctx, n.raft.LeadershipTransferToServer(to.ID, to.Address)); err != nil {
		return "", refuse(ReasonNotCaughtUp, "%s did not take the leadership over: %v", to.ID, err)
	}
	return string(to.ID), nil
}

// candidate is a voter that can lead now.
func (n *Node) candidate(id string) (raft.Server, error) {
	status, ok := n.statusOf(id)
	switch {
	case !ok:
		return raft.Server{}, n.unknownNode(id)
	case !status.Voter:
		return raft.Server{}, refuse(ReasonNoVote, "%s has no vote and cannot lead", id)
	case !status.Self && !status.Healthy:
		return raft.Server{}, refuse(ReasonNotCaughtUp, "%s is not healthy or too far behind to lead", id)
	}
	return raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(status.RaftAddr)}, nil
}
