package cluster

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

// passport is what a node shows of itself on every connection, and the rules by which it judges what others show.
type passport struct {
	cfg          Config
	nodeID       raft.ServerID
	diskID       string
	affiliation  *affiliation
	certificates *nodeCertificates // nil for a wire in plain text

	// The state machine tells who is a member and who was removed; nil until there is one.
	directory atomic.Pointer[func() *fsm.Directory]
	formed    atomic.Pointer[func() bool]
	// out tells whether a node was removed and has no part in raft's configuration any more.
	out atomic.Pointer[func(raft.ServerID) bool]
	// met is called with what members of this node's own cluster say of themselves when they call.
	met atomic.Pointer[func(hello)]
	// expelled is called when a member of this node's own cluster says that this node was removed.
	expelled atomic.Pointer[func()]
}

func newPassport(cfg Config, nodeID raft.ServerID, diskID string, a *affiliation) *passport {
	return &passport{cfg: cfg, nodeID: nodeID, diskID: diskID, affiliation: a}
}

// attach gives the passport the node that stands behind it.
func (p *passport) attach(n *Node) {
	directory, formed, met, expelled := n.Directory, n.hasState, n.addresses.learn, n.leaveForGood
	out := n.isOut
	p.directory.Store(&directory)
	p.out.Store(&out)
	p.formed.Store(&formed)
	p.met.Store(&met)
	p.expelled.Store(&expelled)
}

// introduce is this node's hello.
func (p *passport) introduce(kind stream, to raft.ServerID) hello {
	h := hello{
		ClusterName: p.cfg.ClusterName,
		ClusterID:   p.affiliation.clusterID(),
		NodeID:      p.nodeID,
		DiskID:      p.diskID,
		Version:     p.cfg.Version,
		Feature:     fsm.FeatureLevel,
		To:          to,
		RaftAddr:    p.cfg.RaftAdvertise,
	}
	if kind == streamLobby {
		h.GossipAddr, h.HTTPURL = p.cfg.GossipAdvertise, p.cfg.HTTPURL
		h.Expect, h.NonVoter = p.cfg.BootstrapExpect, p.cfg.NonVoter
		if formed := p.formed.Load(); formed != nil {
			h.Formed = (*formed)()
		}
	}
	return h
}

// judge says why a caller is not let in, or nil. certified is the node its certificate names; "" without TLS.
func (p *passport) judge(kind stream, h hello, certified raft.ServerID) *Refusal {
	switch {
	case kind != streamRaft && kind != streamPeer && kind != streamLobby:
		return &Refusal{ReasonOtherCluster, fmt.Sprintf("nothing here answers to streams of kind %q", byte(kind))}
	case h.To != "" && h.To != p.nodeID:
		return &Refusal{ReasonUnknownNode, fmt.Sprintf("this is %s, not %s", p.nodeID, h.To)}
	case p.certificates != nil && certified != h.NodeID:
		return &Refusal{ReasonOtherCluster, fmt.Sprintf("the certificate is that of %s, not of %s", certified, h.NodeID)}
	}
	return p.judgeOther(kind, h)
}

// welcome notes where a caller that was let in is to be reached, if it is a member.
func (p *passport) welcome(h hello) {
	own := p.affiliation.clusterID()
	if met := p.met.Load(); met != nil && own != "" && h.ClusterID == own && p.judgeMember(h) == nil {
		(*met)(h)
	}
}

// judgeOther applies the rules that hold for both ends of a connection.
func (p *passport) judgeOther(kind stream, h hello) *Refusal {
	own := p.affiliation.clusterID()
	switch {
	case h.ClusterName != p.cfg.ClusterName:
		return &Refusal{ReasonOtherCluster, fmt.Sprintf("it belongs to cluster %q, this node to %q", h.ClusterName, p.cfg.ClusterName)}
	case kind == streamLobby:
		return nil
	case own == "" || h.ClusterID != own:
		return &Refusal{ReasonOtherCluster, fmt.Sprintf("it belongs to cluster %s, this node to %s",
			orNone(h.ClusterID), orNone(own))}
	}
	return p.judgeMember(h)
}

// judgeMember refuses nodes that were removed, and members whose disk is not the one they were admitted with.
func (p *passport) judgeMember(h hello) *Refusal {
	directory, out := p.directory.Load(), p.out.Load()
	if directory == nil || out == nil {
		return nil
	}
	m := (*directory)().Member(string(h.NodeID))
	switch {
	case m == nil:
		return nil
	case (*out)(h.NodeID):
		return &Refusal{ReasonRetiredNode, fmt.Sprintf("%s was removed from the cluster; its id is never used again", h.NodeID)}
	case m.DiskID != "" && m.DiskID != h.DiskID:
		return &Refusal{ReasonDifferentDisk, differentDisk(h.NodeID)}
	}
	return nil
}

func differentDisk(id raft.ServerID) string {
	return fmt.Sprintf("%s is a member with another data directory than the one it has now: it has forgotten what it stored "+
		"and voted, so it must not go on as %s; remove %s from the cluster and let this machine join under a new id", id, id, id)
}

func orNone(clusterID string) string {
	if clusterID == "" {
		return "none yet"
	}
	return clusterID
}

// check judges what the other end of an outgoing connection answered.
func (p *passport) check(kind stream, to raft.ServerID, answer hello) error {
	if answer.Refused != "" {
		refusal := &Refusal{answer.Refused, answer.Detail}
		ours := answer.ClusterID != "" && answer.ClusterID == p.affiliation.clusterID()
		if expelled := p.expelled.Load(); refusal.Reason == ReasonRetiredNode && ours && expelled != nil {
			(*expelled)()
		}
		return fmt.Errorf("%s refuses this node: %w", answer.NodeID, refusal)
	}
	if to != "" && answer.NodeID != to {
		return fmt.Errorf("%s answers where %s should be", answer.NodeID, to)
	}
	if r := p.judgeOther(kind, answer); r != nil {
		return fmt.Errorf("%s is not taken for a peer: %w", answer.NodeID, r)
	}
	return nil
}

// refusalOf returns the refusal in err, if there is one.
func refusalOf(err error) (*Refusal, bool) {
	var r *Refusal
	return r, errors.As(err, &r)
}
