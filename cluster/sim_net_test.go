package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// How long a node waits for an answer that does not come. A lost message is not noticed any earlier.
const (
	simRaftTimeout     = 500 * time.Millisecond
	simSnapshotTimeout = 5 * time.Second
)

var (
	errSimLost   = errors.New("no answer in time")
	errSimClosed = errors.New("connection reset")
)

// simNet connects the nodes of a simulated cluster. Each direction of a link can be cut by itself, so that a request
// arrives whose answer is lost, and messages take their time, so that one may arrive after the world has changed.
type simNet struct {
	mu       sync.Mutex
	ends     map[raft.ServerAddress]*simEnd
	cuts     map[simLink]bool
	slow     map[simLink]time.Duration // what a message takes there instead of a random time
	down     map[raft.ServerAddress]bool
	deaf     map[raft.ServerAddress]bool
	maxDelay time.Duration
	random   *rand.Rand
}

type simLink struct{ from, to raft.ServerAddress }

const simMinDelay = 50 * time.Microsecond

func newSimNet(seed uint64) *simNet {
	return &simNet{
		ends:     make(map[raft.ServerAddress]*simEnd),
		cuts:     make(map[simLink]bool),
		slow:     make(map[simLink]time.Duration),
		down:     make(map[raft.ServerAddress]bool),
		deaf:     make(map[raft.ServerAddress]bool),
		maxDelay: time.Millisecond,
		random:   rand.New(rand.NewPCG(seed, 1)),
	}
}

// cut loses all messages from one node to another, in this direction only.
func (n *simNet) cut(from, to raft.ServerAddress) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[simLink{from, to}] = true
}

// deafen loses the answers of others to what a node asks them beside raft, whose connections are other ones.
func (n *simNet) deafen(addr raft.ServerAddress) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.deaf[addr] = true
}

func (n *simNet) isDeaf(addr raft.ServerAddress) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.deaf[addr]
}

// heal ends all cuts and delays.
func (n *simNet) heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cuts)
	clear(n.slow)
	clear(n.deaf)
}

// setDown loses all messages from and to a node, whatever else is cut or healed.
func (n *simNet) setDown(addr raft.ServerAddress, down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down[addr] = down
}

// delay makes messages of a link take exactly d.
func (n *simNet) delay(from, to raft.ServerAddress, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.slow[simLink{from, to}] = d
}

// setMaxDelay bounds what messages take on links without a delay of their own.
func (n *simNet) setMaxDelay(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.maxDelay = d
}

func (n *simNet) attach(e *simEnd) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ends[e.addr] = e
}

func (n *simNet) end(addr raft.ServerAddress) *simEnd {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ends[addr]
}

// travel takes a message over a link and reports whether it arrived.
func (n *simNet) travel(l simLink) bool {
	n.mu.Lock()
	d, ok := n.slow[l]
	if !ok {
		d = simMinDelay + time.Duration(n.random.Int64N(int64(n.maxDelay)))
	}
	open := n.openLocked(l)
	n.mu.Unlock()
	time.Sleep(d)
	n.mu.Lock()
	defer n.mu.Unlock()
	return open && n.openLocked(l)
}

func (n *simNet) openLocked(l simLink) bool { return !n.cuts[l] && !n.down[l.from] && !n.down[l.to] }

// simDeal is what the node that a request arrives at does with it.
type simDeal func(*simEnd) (answer any, err error)

// exchange has the node at an address deal with a request, and waits until ctx ends for its answer. A request of a
// caller who has given up arrives all the same.
func (n *simNet) exchange(ctx context.Context, from, to raft.ServerAddress, deal simDeal) (any, error) {
	type outcome struct {
		answer any
		err    error
	}
	arrived := make(chan outcome, 1)
	go func() {
		if !n.travel(simLink{from, to}) {
			return
		}
		o := outcome{err: fmt.Errorf("%s: connection refused", to)}
		if peer := n.end(to); peer != nil && !peer.isClosed() {
			o.answer, o.err = deal(peer)
		}
		if n.travel(simLink{to, from}) {
			arrived <- o
		}
	}()
	select {
	case o := <-arrived:
		return o.answer, o.err
	case <-ctx.Done():
		return nil, errSimLost
	}
}

// simEnd is one node's end of the network: raft's transport, and the caller and the server of the peer service.
type simEnd struct {
	net     *simNet
	addr    raft.ServerAddress
	inbox   chan raft.RPC
	closed  chan struct{}
	closing sync.Once
	service *peerService // set before it is attached

	mu        sync.Mutex
	heartbeat func(raft.RPC)
}

func newSimEnd(net *simNet, addr raft.ServerAddress) *simEnd {
	return &simEnd{net: net, addr: addr, inbox: make(chan raft.RPC), closed: make(chan struct{})}
}

func (e *simEnd) isClosed() bool {
	select {
	case <-e.closed:
		return true
	default:
		return false
	}
}

// call implements caller. The answer is a copy, as it would be after a journey over the wire.
func (e *simEnd) call(ctx context.Context, to raft.ServerAddress, method string, request, reply any) error {
	_, at := locate(to)
	answer, err := e.net.exchange(ctx, e.addr, raft.ServerAddress(at), func(peer *simEnd) (any, error) { return peer.serve(method, request) })
	if e.net.isDeaf(e.addr) {
		<-ctx.Done()
		err = errSimLost
	}
	if err != nil {
		return err
	}
	switch reply := reply.(type) {
	case *TermReply:
		*reply = answer.(TermReply)
	case *PingReply:
		*reply = answer.(PingReply)
	}
	return nil
}

func (e *simEnd) serve(method string, request any) (any, error) {
	switch method {
	case methodTerm:
		var reply TermReply
		err := e.service.Term(request.(TermRequest), &reply)
		return reply, err
	case methodRemoved:
		var reply RemovedReply
		err := e.service.Removed(request.(RemovedRequest), &reply)
		return reply, err
	case methodPing:
		var reply PingReply
		err := e.service.Ping(request.(PingRequest), &reply)
		reply.TicketKey, reply.Digests = bytes.Clone(reply.TicketKey), slices.Clone(reply.Digests)
		return reply, err
	}
	return nil, fmt.Errorf("no method %s", method)
}

func (e *simEnd) close() error { return nil }

// Close implements raft.WithClose: whoever waits for an answer of this node is told.
func (e *simEnd) Close() error {
	e.closing.Do(func() { close(e.closed) })
	return nil
}

// Consumer implements raft.Transport.
func (e *simEnd) Consumer() <-chan raft.RPC { return e.inbox }

// LocalAddr implements raft.Transport.
func (e *simEnd) LocalAddr() raft.ServerAddress { return e.addr }

// EncodePeer implements raft.Transport.
func (e *simEnd) EncodePeer(_ raft.ServerID, addr raft.ServerAddress) []byte { return []byte(addr) }

// DecodePeer implements raft.Transport.
func (e *simEnd) DecodePeer(b []byte) raft.ServerAddress { return raft.ServerAddress(b) }

// SetHeartbeatHandler implements raft.Transport.
func (e *simEnd) SetHeartbeatHandler(handler func(raft.RPC)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heartbeat = handler
}

// AppendEntriesPipeline implements raft.Transport: entries go one request after the other.
func (e *simEnd) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// AppendEntries implements raft.Transport.
func (e *simEnd) AppendEntries(_ raft.ServerID, to raft.ServerAddress,
	request *raft.AppendEntriesRequest, reply *raft.AppendEntriesResponse) error {
	answer, err := e.ask(to, cloneAppend(request), nil, simRaftTimeout)
	return copyAnswer(reply, answer, err)
}

func clone[T any](v *T) *T {
	c := *v
	return &c
}

func copyAnswer[T any](reply *T, answer any, err error) error {
	if err == nil {
		*reply = *answer.(*T)
	}
	return err
}

// cloneAppend copies the entries, which raft would otherwise share between the nodes.
func cloneAppend(request *raft.AppendEntriesRequest) *raft.AppendEntriesRequest {
	c := clone(request)
	c.Entries = make([]*raft.Log, len(request.Entries))
	for i, l := range request.Entries {
		c.Entries[i] = clone(l)
		c.Entries[i].Data = bytes.Clone(l.Data)
	}
	return c
}

// RequestVote implements raft.Transport.
func (e *simEnd) RequestVote(_ raft.ServerID, to raft.ServerAddress,
	request *raft.RequestVoteRequest, reply *raft.RequestVoteResponse) error {
	answer, err := e.ask(to, clone(request), nil, simRaftTimeout)
	return copyAnswer(reply, answer, err)
}

// RequestPreVote implements raft.WithPreVote.
func (e *simEnd) RequestPreVote(_ raft.ServerID, to raft.ServerAddress,
	request *raft.RequestPreVoteRequest, reply *raft.RequestPreVoteResponse) error {
	answer, err := e.ask(to, clone(request), nil, simRaftTimeout)
	return copyAnswer(reply, answer, err)
}

// InstallSnapshot implements raft.Transport.
func (e *simEnd) InstallSnapshot(_ raft.ServerID, to raft.ServerAddress,
	request *raft.InstallSnapshotRequest, reply *raft.InstallSnapshotResponse, data io.Reader) error {
	content, err := io.ReadAll(data)
	if err != nil {
		return err
	}
	answer, err := e.ask(to, clone(request), bytes.NewReader(content), simSnapshotTimeout)
	return copyAnswer(reply, answer, err)
}

// TimeoutNow implements raft.Transport.
func (e *simEnd) TimeoutNow(_ raft.ServerID, to raft.ServerAddress,
	request *raft.TimeoutNowRequest, reply *raft.TimeoutNowResponse) error {
	answer, err := e.ask(to, clone(request), nil, simRaftTimeout)
	return copyAnswer(reply, answer, err)
}

// ask is one exchange between two rafts.
func (e *simEnd) ask(to raft.ServerAddress, command any, data io.Reader, timeout time.Duration) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return e.net.exchange(ctx, e.addr, to, func(peer *simEnd) (any, error) { return peer.take(command, data) })
}

// take has this node's raft deal with a request.
func (e *simEnd) take(command any, data io.Reader) (any, error) {
	answers := make(chan raft.RPCResponse, 1)
	rpc := raft.RPC{Command: command, Reader: data, RespChan: answers}
	if handler := e.heartbeatHandler(); handler != nil && isHeartbeat(command) {
		handler(rpc)
	} else {
		select {
		case e.inbox <- rpc:
		case <-e.closed:
			return nil, errSimClosed
		}
	}
	select {
	case a := <-answers:
		return a.Response, a.Error
	case <-e.closed:
		return nil, errSimClosed
	}
}

func (e *simEnd) heartbeatHandler() func(raft.RPC) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heartbeat
}

// isHeartbeat tells heartbeats as raft's own transport does.
func isHeartbeat(command any) bool {
	a, ok := command.(*raft.AppendEntriesRequest)
	return ok && a.Term != 0 && a.PrevLogEntry == 0 && a.PrevLogTerm == 0 && len(a.Entries) == 0 &&
		a.LeaderCommitIndex == 0
}

// simSnapshots keeps the newest snapshot in memory, and like files do, only once it is complete.
type simSnapshots struct {
	mu      sync.Mutex
	meta    raft.SnapshotMeta
	content []byte
}

// Create implements raft.SnapshotStore.
func (s *simSnapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &simSink{store: s, meta: raft.SnapshotMeta{
		Version: version, ID: fmt.Sprintf("%d-%d", term, index), Index: index, Term: term,
		Configuration: configuration, ConfigurationIndex: configurationIndex,
	}}, nil
}

// List implements raft.SnapshotStore.
func (s *simSnapshots) List() ([]*raft.SnapshotMeta, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.meta.ID == "" {
		return nil, nil
	}
	meta := s.meta
	return []*raft.SnapshotMeta{&meta}, nil
}

// Open implements raft.SnapshotStore.
func (s *simSnapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.meta.ID != id {
		return nil, nil, fmt.Errorf("no snapshot %s", id)
	}
	meta := s.meta
	return &meta, io.NopCloser(bytes.NewReader(s.content)), nil
}

type simSink struct {
	store   *simSnapshots
	meta    raft.SnapshotMeta
	content bytes.Buffer
}

func (k *simSink) Write(p []byte) (int, error) { return k.content.Write(p) }
func (k *simSink) ID() string                  { return k.meta.ID }
func (k *simSink) Cancel() error               { return nil }

func (k *simSink) Close() error {
	k.store.mu.Lock()
	defer k.store.mu.Unlock()
	k.meta.Size = int64(k.content.Len())
	k.store.meta, k.store.content = k.meta, k.content.Bytes()
	return nil
}
