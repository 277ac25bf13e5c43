package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

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
	if n.removed.Load() {
		c.Detail = "this node was removed from the cluster"
		return c
	}
	for _, s := range n.servers() {
		if s.ID == n.id {
			return Check{Name: "member", OK: true, Detail: s.Suffrage.String()}
		}
	}
	c.Detail = n.formation.reason()
	if strangers := n.formation.strangersInWords(); c.Detail == "" && !n.belongs() && strangers != "" {
		c.Detail = "this node is in no cluster yet, and not let in by " + strangers
	}
	if c.Detail == "" && !n.belongs() && len(n.cfg.Join) > 0 {
		c.Detail = "this node is in no cluster yet: none of the nodes that --join names is in one, or answers"
	}
	if c.Detail == "" && !n.belongs() {
		c.Detail = "this node is in no cluster: start it with --bootstrap, --bootstrap-expect or --join, or invite it with " +
			"`syllecta cluster join`"
	}
	if c.Detail == "" {
		c.Detail = "this node is not in the cluster's configuration yet"
	}
	c.Detail = oneLine(c.Detail)
	return c
}

// maxReasonBytes bounds what other nodes' words may add to the readiness report.
const maxReasonBytes = 2 << 10

// oneLine keeps what other nodes have said, who need not be friends, from looking like more than one line.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s[:min(len(s), maxReasonBytes)])
}

func (n *Node) checkLeader() Check {
	if n.restoring.replacing.Load() {
		return Check{Name: "leader", Detail: "a backup is being restored"}
	}
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
	NodeID, ClusterID, ClusterName string
	Version                        string
	Role                           string // leader, follower, candidate, shutdown
	Term                           uint64
	LeaderID, LeaderURL            string
	AppliedIndex                   uint64 // last entry the state machine applied
	CommitIndex                    uint64
	Digest                         uint64
	ClockMs                        int64 // committed clock
	Records, Locks                 int
	FeatureLevel                   uint32 // of the cluster: what every member understands
	// Voters is how many nodes vote, HealthyVoters how many of them answer, and FailureTolerance how many more of those
	// may fail before nothing is acknowledged any more; negative if that is so now.
	Voters, HealthyVoters, FailureTolerance int
	Nodes                                   []NodeStatus // this one included, by id
}

// NodeStatus is what a node knows of a member, itself included.
type NodeStatus struct {
	ID, RaftAddr, HTTPURL string
	Self                  bool
	Role                  string // leader, follower, candidate; "" while unknown
	Voter                 bool
	NonVoter              bool // it is never to vote
	// Reachable members have answered this node just now; healthy ones have, besides, heard from the leader just now and
	// are not far behind it.
	Reachable, Healthy bool
	Term               uint64
	AppliedIndex       uint64
	Lag                uint64        // entries it still has to apply, of those this node knows to be committed
	LastSeen           time.Duration // since it answered this node; -1 if it never did
	LastContact        time.Duration // between it and the leader, by its own word; -1 if there was none
	ClockOffset        time.Duration // its wall clock against this node's
	DiskFree           int64         // bytes
	DiskTotal          int64
	Version            string
	FeatureLevel       uint32
	GossipKey          string // fingerprint of the key it encrypts gossip with; "" for none
}

// Status returns the node's view of itself and the cluster.
func (n *Node) Status() Status {
	leader, _ := n.Leader()
	s := Status{
		NodeID:       n.ID(),
		ClusterID:    n.Directory().ClusterID,
		ClusterName:  n.cfg.ClusterName,
		Version:      n.cfg.Version,
		Role:         roleName(n.raft.State()),
		Term:         n.raft.CurrentTerm(),
		LeaderID:     leader.ID,
		LeaderURL:    leader.HTTPURL,
		CommitIndex:  n.raft.CommitIndex(),
		FeatureLevel: n.Directory().FeatureLevel,
	}
	n.applier.read(func(m *fsm.Machine) {
		s.AppliedIndex, s.Digest, s.ClockMs = m.Index(), m.Digest(), m.ClockMs()
		s.Records, s.Locks = m.Records(), m.Locks()
	})
	servers := n.servers()
	slices.SortFunc(servers, func(a, b raft.Server) int { return cmp.Compare(a.ID, b.ID) })
	for _, server := range servers {
		node := n.nodeStatus(server)
		s.Nodes = append(s.Nodes, node)
		if node.Voter {
			s.Voters++
		}
		if node.Voter && node.Healthy {
			s.HealthyVoters++
		}
	}
	if s.Voters > 0 {
		s.FailureTolerance = s.HealthyVoters - (s.Voters/2 + 1)
	}
	return s
}

// nodeStatus is what this node knows of a member: of itself what it would tell others.
func (n *Node) nodeStatus(server raft.Server) NodeStatus {
	s := NodeStatus{
		ID:          string(server.ID),
		RaftAddr:    string(server.Address),
		Self:        server.ID == n.id,
		Voter:       server.Suffrage == raft.Voter,
		LastSeen:    -1,
		LastContact: -1,
	}
	if m := n.Directory().Member(s.ID); m != nil {
		s.NonVoter = m.NonVoter
	}
	now := time.Now()
	h, ok := n.peers.get(server.ID)
	if s.Self {
		h, ok = heard{n.introduce(), now, now}, true
	}
	if !ok {
		return s
	}
	r := &h.reply
	s.HTTPURL, s.Version, s.FeatureLevel, s.Role = r.HTTPURL, r.Version, r.Feature, r.Role
	s.Term, s.AppliedIndex, s.LastContact = r.Term, r.Applied, r.Contact
	s.DiskFree, s.DiskTotal, s.GossipKey = r.DiskFree, r.DiskTotal, r.GossipKey
	s.LastSeen = now.Sub(h.at)
	s.ClockOffset = r.Wall.Sub(n.wall().Add(-s.LastSeen))
	s.Reachable = s.LastSeen < peerFresh
	if commit := n.raft.CommitIndex(); commit > r.Passed {
		s.Lag = commit - r.Passed
	}
	s.Healthy = s.Reachable && r.Contact >= 0 && r.Contact < peerFresh && s.Lag <= maxReadyLag
	return s
}

// statusOf returns the status of a member.
func (n *Node) statusOf(id string) (NodeStatus, bool) {
	server, ok := n.serverOf(raft.ServerID(id))
	if !ok {
		return NodeStatus{}, false
	}
	return n.nodeStatus(server), true
}

func (n *Node) memberStatus(id raft.ServerID) NodeStatus {
	status, _ := n.statusOf(string(id))
	return status
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
