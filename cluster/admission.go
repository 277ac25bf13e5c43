package cluster

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

// answerJoin answers a node that wants to become a member, or names the leader.
func (n *Node) answerJoin(ctx context.Context, request JoinRequest) JoinReply {
	if !n.IsLeader() {
		at, id := n.raft.LeaderWithID()
		if id == "" || id == n.id {
			return JoinReply{}
		}
		_, bare := locate(at)
		return JoinReply{Leader: string(n.addresses.at(raft.Server{ID: id, Address: raft.ServerAddress(bare)}))}
	}
	err := n.admissible(request)
	if err == nil {
		err = n.callBack(ctx, request)
	}
	if err == nil {
		err = n.admit(ctx, request)
	}
	var r *Refusal
	switch {
	case err == nil:
		return JoinReply{Admitted: true}
	case errors.As(err, &r):
		return JoinReply{Refused: r.Reason, Detail: r.Detail}
	default:
		return JoinReply{Refused: ReasonChangePending, Detail: err.Error()}
	}
}

// admissible says why a node cannot become a member, or nil.
func (n *Node) admissible(request JoinRequest) error {
	d := n.Directory()
	switch {
	case request.ClusterID != n.passport.affiliation.clusterID():
		return refuse(ReasonOtherCluster, "this is cluster %s", n.passport.affiliation.clusterID())
	case !namePattern.MatchString(string(request.NodeID)) || request.RaftAddr == "":
		return refuse(ReasonUnknownNode, "it does not say who and where it is")
	case request.Feature < d.FeatureLevel:
		return refuse(ReasonOldRelease, "the cluster is at feature level %d, which needs syllecta %s or newer; %s runs %s",
			d.FeatureLevel, d.FeatureVersion, request.NodeID, request.Version)
	}
	if m := d.Member(string(request.NodeID)); m != nil {
		if m.Retired() {
			return refuse(ReasonRetiredNode, "%s was removed from the cluster at %s; its id is never used again: give the node a "+
				"new id and an empty data directory", m.NodeID, time.UnixMilli(m.RetiredAtMs).UTC().Format(time.RFC3339))
		}
		if m.DiskID != "" && m.DiskID != request.DiskID {
			return refuse(ReasonDifferentDisk, "%s", differentDisk(request.NodeID))
		}
	}
	for _, s := range n.servers() {
		if s.ID != request.NodeID && string(s.Address) == request.RaftAddr {
			return refuse(ReasonUnreachable, "%s is the address of %s: remove that member, or give the new node another address",
				request.RaftAddr, s.ID)
		}
	}
	return n.requireFeature(2)
}

// callBack finds out whether a node that wants to join is who it says it is, and can be reached where it says: a member
// that cannot is of no use to anybody, and what it says in the lobby need not be true.
func (n *Node) callBack(ctx context.Context, request JoinRequest) error {
	if _, member := n.serverOf(request.NodeID); member {
		return nil
	}
	ctx, done := context.WithTimeout(ctx, greetTimeout)
	defer done()
	who, err := n.passport.greet(ctx, string(located(request.NodeID, raft.ServerAddress(request.RaftAddr))))
	switch {
	case err != nil:
		return refuse(ReasonUnreachable, "the leader, %s, does not reach %s at its address: %v", n.id, request.NodeID, err)
	case who.DiskID != request.DiskID:
		return refuse(ReasonDifferentDisk, "another %s answers at %s", request.NodeID, request.RaftAddr)
	}
	return nil
}

// admit takes a node into the cluster without a vote. Repeating it changes nothing.
func (n *Node) admit(ctx context.Context, request JoinRequest) error {
	if _, member := n.serverOf(request.NodeID); member {
		return nil
	}
	release, err := n.steward.begin(ctx)
	if err != nil {
		return err
	}
	defer release()
	err = n.decide(ctx, fsm.AdmitMember{
		NodeID: string(request.NodeID), DiskID: request.DiskID, NonVoter: request.NonVoter,
	})
	if err != nil {
		return err
	}
	n.log.Info("a node joins", "member", request.NodeID, "address", request.RaftAddr, "nonVoter", request.NonVoter)
	return n.configure(ctx, raft.Server{
		Suffrage: raft.Nonvoter, ID: request.NodeID, Address: raft.ServerAddress(request.RaftAddr),
	})
}
