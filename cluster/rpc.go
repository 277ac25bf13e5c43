package cluster

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
)

// caller asks other nodes. There is one for the network and one, in tests, for nodes that share a process.
type caller interface {
	call(ctx context.Context, to raft.ServerAddress, method string, request, reply any) error
	close() error
}

// The methods of the service between nodes.
const (
	methodTerm    = "Peer.Term"
	methodPing    = "Peer.Ping"
	methodRemoved = "Peer.Removed"
)

// TermRequest asks a voter which term it is in.
type TermRequest struct{}

// TermReply answers a TermRequest.
type TermReply struct{ Term uint64 }

// PingRequest asks a node how it is.
type PingRequest struct {
	From raft.ServerID
	// Confirm has a leader prove first, by asking a majority, that it still is one.
	Confirm bool
}

// PingReply is what nodes tell each other of themselves, several times a second.
type PingReply struct {
	ID        raft.ServerID
	HTTPURL   string
	Version   string
	TicketKey []byte

	Term    uint64
	Leading bool // leads and is ready to serve
	// QuorumAge is, of a leader with Quorum, how long ago it is known to have been the only one: see Node.quorumTime.
	Quorum    bool
	QuorumAge time.Duration
	// Applied is the last log index the state machine applied.
	Applied uint64

	Clock     time.Time // the cluster clock
	ClockSure bool
	Wall      time.Time

	Digests []digestCheckpoint

	Role     string
	Passed   uint64 // the highest log index it has applied, entries counted that the state machine never sees
	Draining bool
	// Contact is how long ago it heard from the leader; negative if it never did.
	Contact             time.Duration
	DiskID              string
	DiskFree, DiskTotal int64
	Feature             uint32
	GossipKey           string
	// Expelled tells the node that asked that it was removed from the cluster.
	Expelled bool
}

// peerService is what a node answers to other nodes.
type peerService struct{ node *Node }

// Term answers which term this node is in.
func (s *peerService) Term(_ TermRequest, reply *TermReply) error {
	reply.Term = s.node.raft.CurrentTerm()
	return nil
}

// Ping answers how this node is.
func (s *peerService) Ping(request PingRequest, reply *PingReply) error {
	if request.Confirm {
		ctx, cancel := context.WithTimeout(context.Background(), pingTimeout)
		defer cancel()
		if err := s.node.confirmer.confirm(ctx); err != nil {
			return err
		}
	}
	*reply = s.node.introduce()
	reply.Expelled = s.node.isOut(request.From)
	return nil
}

// RemovedRequest tells a node that it was removed from the cluster, in case it could not learn that from the log.
type RemovedRequest struct{ NodeID raft.ServerID }

// RemovedReply answers a RemovedRequest.
type RemovedReply struct{}

// Removed is told by the leader.
func (s *peerService) Removed(request RemovedRequest, _ *RemovedReply) error {
	if request.NodeID == s.node.id {
		s.node.leaveForGood()
	}
	return nil
}
