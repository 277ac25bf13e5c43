package api

import (
	"context"
	"net/http"
	"time"

	"github.com/syllecta/syllecta/cluster"
)

// memberTimeout bounds one change of the members or of the leadership, whatever the configured time for other requests:
// it may greet a node, wait for an earlier change, have the log agree, and then raft's configuration.
const memberTimeout = 13 * time.Second

// changeMembers has the leader carry out a change of the members. If it is false, the answer is written.
func (x *exchange) changeMembers(change func(ctx context.Context) error) bool {
	ctx, cancel := x.within(max(memberTimeout, x.s.cfg.RequestTimeout))
	defer cancel()
	return x.onLeader(ctx, func() error { return change(ctx) })
}

// addNode answers POST /v1/admin/nodes: the node that answers at an address becomes a member.
func addNode(x *exchange) {
	f, p := decodeNewNode(x.body)
	if p != nil {
		x.refuse(p)
		return
	}
	var added cluster.NodeStatus
	ok := x.changeMembers(func(ctx context.Context) (err error) {
		added, err = x.node.AddNode(ctx, f.raftAddr, f.nonVoter)
		return err
	})
	if ok {
		x.out.b = appendNode(x.out.b[:0], &added)
		x.send(http.StatusCreated, "node_added", jsonType)
	}
}

// removeNode answers DELETE /v1/admin/nodes/:node. A leader that is to go hands over first, and sends the caller to the
// next one.
func removeNode(x *exchange) {
	f, p := decodeRemoval(x.r.URL.RawQuery)
	if p != nil {
		x.refuse(p)
		return
	}
	id, outcome := x.params.ByName("node"), "node_removed"
	var removal cluster.Removal
	ok := x.changeMembers(func(ctx context.Context) (err error) {
		if f.dryRun {
			outcome = "removal_planned"
			removal, err = x.node.PlanRemoval(id)
			return err
		}
		removal, err = x.node.RemoveNode(ctx, id, cluster.RemoveOptions{Force: f.force, By: x.actor()})
		return err
	})
	if ok {
		x.out.b = appendRemoval(x.out.b[:0], &removal, !f.dryRun)
		x.ok(outcome)
	}
}

// promoteNode answers POST /v1/admin/nodes/:node/promote.
func promoteNode(x *exchange) {
	id := x.params.ByName("node")
	var promoted cluster.NodeStatus
	ok := x.changeMembers(func(ctx context.Context) (err error) {
		promoted, err = x.node.PromoteNode(ctx, id)
		return err
	})
	if ok {
		x.out.b = appendNode(x.out.b[:0], &promoted)
		x.ok("node_promoted")
	}
}

// transferLeadership answers POST /v1/admin/leader.
func transferLeadership(x *exchange) {
	id, p := decodeSuccessor(x.body)
	if p != nil {
		x.refuse(p)
		return
	}
	var leader string
	ok := x.changeMembers(func(ctx context.Context) (err error) {
		leader, err = x.node.TransferLeadership(ctx, id)
		return err
	})
	if ok {
		x.out.b = appendStringMember(append(x.out.b[:0], '{'), "leaderId", leader)
		x.out.b = append(x.out.b, '}')
		x.ok("leadership_transferred")
	}
}

func appendRemoval(b []byte, r *cluster.Removal, removed bool) []byte {
	b = append(b, '{')
	b = appendStringMember(b, "nodeId", r.NodeID)
	b = appendBoolMember(b, "removed", removed)
	b = appendBoolMember(b, "voter", r.Voter)
	b = appendIntMember(b, "voters", int64(r.Voters))
	b = appendIntMember(b, "healthyVoters", int64(r.Healthy))
	b = appendIntMember(b, "quorum", int64(r.Quorum))
	b = appendBoolMember(b, "safe", r.Safe)
	b = appendStringMember(b, "consequence", r.Consequence)
	return append(b, '}')
}
