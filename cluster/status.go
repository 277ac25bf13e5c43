package cluster

import (
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

// maxReadyLag is how many committed entries a ready node may still have to apply.
const maxReadyLag = 1_000

// Check is one line of the readiness report.
type Check struct {
	Name   string
	OK     bool
	Detail string // why not, or a short fact
}

// Readiness returns the readiness report; the node is ready if every check is OK.
func (n *Node) Readiness() []Check {
	return []Check{
		{Name: "running", OK: !n.draining.Load(), Detail: choose(n.draining.Load(), "shutting down", "node "+n.ID())},
		n.checkMembership(),
		n.checkLeader(),
		n.checkApplied(),
		{Name: "disk", OK: !n.diskFull.Load(), Detail: choose(n.diskFull.Load(), "free space is below the floor", "")},
	}
}

func choose(condition bool, yes, no string) string {
	if condition {
		return yes
	}
	return no
}

func (n *Node) checkMembership() Check {
	c := Check{Name: "member"}
	for _, s := range n.servers() {
		if s.ID == n.id {
			return Check{Name: "member", OK: true, Detail: s.Suffrage.String()}
		}
	}
	c.Detail = n.formation.reason()
	if c.Detail == "" {
		c.Detail = "this node is not in the cluster's configuration"
	}
	return c
}

func (n *Node) checkLeader() Check {
	p, ok := n.Leader()
	if !ok {
		return Check{Name: "leader", Detail: "no leader that is ready to serve is known"}
	}
	return Check{Name: "leader", OK: true, Detail: p.ID}
}

// checkApplied compares what raft has committed with what it handed to the state machine.
func (n *Node) checkApplied() Check {
	committed, applied := n.raft.CommitIndex(), n.raft.AppliedIndex()
	if committed > applied+maxReadyLag {
		return Check{Name: "applied", Detail: fmt.Sprintf("%d committed entries are not applied yet", committed-applied)}
	}
	return Check{Name: "applied", OK: true, Detail: fmt.Sprintf("index %d", n.applier.applied.get())}
}

// Status is a node's own view of itself and the cluster.
type Status struct {
	NodeID, ClusterID   string
	Role                string // leader, follower, candidate, shutdown
	Term                uint64
	LeaderID, LeaderURL string
	AppliedIndex        uint64 // last entry the state machine applied
	CommitIndex         uint64
	Digest              uint64
	ClockMs             int64 // committed clock
	Records, Locks      int
	Peers               []PeerStatus
}

// PeerStatus is what a node last heard of another member.
type PeerStatus struct {
	ID, RaftAddr, HTTPURL string
	Reachable             bool
	Version               string
	LastSeen              time.Duration // ago
	ClockOffset           time.Duration // its wall clock against ours
}

// Status returns the node's view of itself and the cluster.
func (n *Node) Status() Status {
	leader, _ := n.Leader()
	s := Status{
		NodeID:      n.ID(),
		ClusterID:   n.Directory().ClusterID,
		Role:        roleName(n.raft.State()),
		Term:        n.raft.CurrentTerm(),
		LeaderID:    leader.ID,
		LeaderURL:   leader.HTTPURL,
		CommitIndex: n.raft.CommitIndex(),
	}
	n.applier.read(func(m *fsm.Machine) {
		s.AppliedIndex, s.Digest, s.ClockMs = m.Index(), m.Digest(), m.ClockMs()
		s.Records, s.Locks = m.Records(), m.Locks()
	})
	for _, server := range n.servers() {
		if server.ID != n.id {
			s.Peers = append(s.Peers, n.peerStatus(server))
		}
	}
	return s
}

func (n *Node) peerStatus(server raft.Server) PeerStatus {
	s := PeerStatus{ID: string(server.ID), RaftAddr: string(server.Address)}
	h, ok := n.peers.get(server.ID)
	if !ok {
		return s
	}
	s.HTTPURL, s.Version = h.reply.HTTPURL, h.reply.Version
	s.LastSeen = time.Since(h.at)
	s.Reachable = s.LastSeen < peerFresh
	s.ClockOffset = h.reply.Wall.Sub(n.wall().Add(-s.LastSeen))
	return s
}

func roleName(s raft.RaftState) string {
	switch s {
	case raft.Leader:
		return "leader"
	case raft.Candidate:
		return "candidate"
	case raft.Shutdown:
		return "shutdown"
	default:
		return "follower"
	}
}
