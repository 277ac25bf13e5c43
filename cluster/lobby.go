package cluster

import (
	"context"
	"fmt"
	"net"
	"net/rpc"
	"time"

	"github.com/hashicorp/raft"
)

// The methods of the service for nodes that do not belong to one cluster yet.
const (
	methodFound  = "Lobby.Found"
	methodJoin   = "Lobby.Join"
	methodInvite = "Lobby.Invite"
)

// FoundRequest asks a node whether it would found this cluster together with exactly these nodes.
type FoundRequest struct {
	ClusterID string
	Founders  []raft.ServerID
	// Bind has it promise that. It is asked without first: a promise lasts, so none is given while somebody objects.
	Bind bool
}

// FoundReply agrees, or says why not.
type FoundReply struct {
	Agreed bool
	Reason string
}

// JoinRequest asks the leader to take a node into the cluster.
type JoinRequest struct {
	ClusterID string
	NodeID    raft.ServerID
	DiskID    string
	RaftAddr  string
	NonVoter  bool
	Version   string
	Feature   uint32
}

// JoinReply says whether the node is a member now, whom else to ask, or why it cannot be one.
type JoinReply struct {
	Admitted bool
	Leader   string // raft address of the leader, if that is another node
	Refused  Reason
	Detail   string
}

// InviteRequest tells a node without a cluster that it is about to be taken into one.
type InviteRequest struct {
	ClusterID string
	Leader    string // raft address of the leader, to be asked again should it not come to admitting the node
}

// InviteReply accepts, or says why not.
type InviteReply struct {
	Accepted bool
	Reason   string
}

// Who comes to the lobby need not be a member, nor show a certificate in a cluster without TLS. So visits are few, short
// and bounded, and take nothing from the connections of members.
const (
	maxVisitors   = 64
	maxVisitBytes = 64 << 10
	visitDeadline = admitTimeout + 5*time.Second
)

// visit is either end of a connection to the lobby. It ends when it has brought too much.
type visit struct {
	net.Conn
	left int
}

var errLongVisit = fmt.Errorf("more than %d bytes for one question", maxVisitBytes)

func (v *visit) Read(b []byte) (int, error) {
	if v.left == 0 {
		return 0, errLongVisit
	}
	n, err := v.Conn.Read(b[:min(len(b), v.left)])
	v.left -= n
	return n, err
}

// lobbyService is what a node answers to nodes outside of its cluster.
type lobbyService struct{ node *Node }

// Found answers whether this node would found a new cluster with exactly these nodes.
func (s *lobbyService) Found(request FoundRequest, reply *FoundReply) error {
	*reply = s.node.founding(request)
	return nil
}

// Join answers a node that wants to become a member.
func (s *lobbyService) Join(request JoinRequest, reply *JoinReply) error {
	// The wire waits for the answer when it is closed.
	ctx, cancel := context.WithTimeout(s.node.ctx, admitTimeout)
	defer cancel()
	*reply = s.node.answerJoin(ctx, request)
	return nil
}

// Invite binds this node to a cluster, so that it follows its leader.
func (s *lobbyService) Invite(request InviteRequest, reply *InviteReply) error {
	if err := s.node.acceptCluster(request.ClusterID); err != nil {
		reply.Reason = err.Error()
		return nil
	}
	s.node.formation.addSeed(request.Leader)
	reply.Accepted = true
	return nil
}

// ask opens a stream of the lobby, asks one question there, and closes it.
func (p *passport) ask(ctx context.Context, to raft.ServerAddress, method string, request, reply any) error {
	conn, _, err := p.dial(ctx, to, streamLobby)
	if err != nil {
		return err
	}
	client := rpc.NewClient(&visit{Conn: conn, left: maxVisitBytes})
	defer client.Close()
	select {
	case call := <-client.Go(method, request, reply, make(chan *rpc.Call, 1)).Done:
		if call.Error != nil {
			return fmt.Errorf("ask %s: %w", to, call.Error)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("ask %s: %w", to, ctx.Err())
	}
}

// greet learns who answers at an address.
func (p *passport) greet(ctx context.Context, at string) (hello, error) {
	conn, answer, err := p.dial(ctx, raft.ServerAddress(at), streamLobby)
	if err != nil {
		return answer, err
	}
	return answer, conn.Close()
}
