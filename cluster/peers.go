package cluster

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

const (
	// pingEvery is how often nodes tell each other how they are; pingTimeout bounds one answer.
	pingEvery = 200 * time.Millisecond
	// pingSoon is the pace while a leader is elected that has not said yet that it is ready to serve.
	pingSoon    = 20 * time.Millisecond
	pingTimeout = time.Second
	// peerFresh is how long what a peer said of itself is believed.
	peerFresh = 2 * time.Second
)

// Peer is what a node knows of a member of the cluster.
type Peer struct {
	ID      string
	HTTPURL string // the advertised base URL, no trailing slash; "" while unknown
	// TicketKey signs requests that are redirected to that node; nil while unknown. It lives in memory only and
	// changes when the node restarts.
	TicketKey []byte
}

// heard is the last answer of a peer.
type heard struct {
	reply PingReply
	asked time.Time // when the question was sent
	at    time.Time // when the answer arrived
}

// peerTable is what this node has heard of the others, and keeps asking them.
type peerTable struct {
	node *Node
	ask  caller

	mu      sync.Mutex
	byID    map[raft.ServerID]heard
	changed chan struct{} // closed and replaced when something worth waiting for changes

	kick chan struct{} // asks for a round now
}

func newPeerTable(n *Node, ask caller) *peerTable {
	return &peerTable{
		node:    n,
		ask:     ask,
		byID:    make(map[raft.ServerID]heard),
		changed: make(chan struct{}),
		kick:    make(chan struct{}, 1),
	}
}

// run asks all peers, each at its own pace, until ctx ends. A peer that hangs holds up nobody else.
func (t *peerTable) run(ctx context.Context) {
	timer := time.NewTimer(pingEvery)
	defer timer.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	busy := make(map[raft.ServerID]bool)
	finished := make(chan raft.ServerID)
	for {
		select {
		case <-ctx.Done():
			for len(busy) > 0 {
				delete(busy, <-finished)
			}
			return
		case id := <-finished:
			delete(busy, id)
			continue
		case <-timer.C:
		case <-t.kick:
		}
		timer.Reset(t.pause())
		servers := t.node.servers()
		t.node.addresses.update(servers, t.node.gossiped())
		for _, s := range servers {
			if s.ID != t.node.id && !busy[s.ID] {
				busy[s.ID] = true
				wg.Go(func() {
					t.ping(ctx, s)
					finished <- s.ID
				})
			}
		}
	}
}

// pause is how long to wait until the next round.
func (t *peerTable) pause() time.Duration {
	_, elected := t.node.raft.LeaderWithID()
	if _, ready := t.node.Leader(); elected != "" && !ready {
		return pingSoon
	}
	return pingEvery
}

func (t *peerTable) ping(ctx context.Context, s raft.Server) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	var reply PingReply
	asked := time.Now()
	if err := t.ask.call(ctx, t.node.addresses.at(s), methodPing, PingRequest{From: t.node.id}, &reply); err != nil {
		t.node.log.Debug("a peer does not answer", "peer", s.ID, "error", err)
		return
	}
	if reply.ID != s.ID {
		t.node.log.Warn("another node answers at a peer's address", "peer", s.ID, "address", s.Address, "answers", reply.ID)
		return
	}
	t.note(heard{reply, asked, time.Now()})
}

func (t *peerTable) note(h heard) {
	t.mu.Lock()
	before := t.byID[h.reply.ID]
	t.byID[h.reply.ID] = h
	if before.reply.Leading != h.reply.Leading || before.reply.Term != h.reply.Term {
		t.broadcast()
	}
	t.mu.Unlock()
	t.node.heardFrom(h)
}

// forget drops what a peer has said.
func (t *peerTable) forget(id raft.ServerID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byID, id)
}

// notify wakes those who wait for a leader, and asks the peers how they are.
func (t *peerTable) notify() {
	t.mu.Lock()
	t.broadcast()
	t.mu.Unlock()
	select {
	case t.kick <- struct{}{}:
	default:
	}
}

func (t *peerTable) broadcast() {
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *peerTable) changes() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

func (t *peerTable) get(id raft.ServerID) (heard, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h, ok := t.byID[id]
	return h, ok
}

// fresh returns the answers of those voters that are recent enough to be believed.
func (t *peerTable) fresh() []heard {
	voters := t.node.voters()
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []heard
	for _, s := range voters {
		if h, ok := t.byID[s.ID]; ok && time.Since(h.at) < peerFresh {
			all = append(all, h)
		}
	}
	return all
}

// introduce is what this node tells others of itself.
func (n *Node) introduce() PingReply {
	clock, sure := n.clock.reading()
	asOf, quorum := n.quorumTime() // before Applied, which then holds everything acknowledged until then
	reply := PingReply{
		Digests:   n.applier.checkpoints(),
		ID:        n.id,
		HTTPURL:   n.cfg.HTTPURL,
		Version:   n.cfg.Version,
		TicketKey: n.ticketKey,
		Term:      n.raft.CurrentTerm(),
		Leading:   n.IsLeader(),
		Applied:   n.applier.applied.get(),
		Clock:     clock,
		ClockSure: sure,
		Wall:      n.wall(),
		Role:      roleName(n.raft.State()),
		Passed:    n.raft.AppliedIndex(),
		Draining:  n.draining.Load(),
		Contact:   -1,
		DiskID:    n.passport.diskID,
		Feature:   fsm.FeatureLevel,
		GossipKey: n.gossipKey(),
	}
	reply.DiskFree, reply.DiskTotal = n.diskNow()
	if ago, ok := n.lastContact(); ok {
		reply.Contact = ago
	}
	if quorum {
		reply.Quorum, reply.QuorumAge = true, time.Since(asOf)
	}
	return reply
}

// quorumTime returns the latest instant at which this node is known to have been the only leader: a majority of the
// voters, itself included, was asked then or later and was in its term. Everything acknowledged before, by whomever, is
// part of its state. ok is false if this node does not lead, or has not heard from a majority in this term.
func (n *Node) quorumTime() (at time.Time, ok bool) {
	term := n.readyTerm.Load()
	if term == 0 || !n.IsLeader() {
		return time.Time{}, false
	}
	asked := []time.Time{time.Now()}
	voters := n.voters()
	for _, s := range voters {
		if h, known := n.peers.get(s.ID); known && h.reply.Term == term {
			asked = append(asked, h.asked)
		}
	}
	majority := len(voters)/2 + 1
	if len(asked) < majority {
		return time.Time{}, false
	}
	slices.SortFunc(asked, func(a, b time.Time) int { return b.Compare(a) })
	return asked[majority-1], true
}

// heardFrom uses a peer's answer: a leader's clock is carried on, and digests are compared.
func (n *Node) heardFrom(h heard) {
	if h.reply.Expelled {
		n.leaveForGood()
		return
	}
	if h.reply.Leading && h.reply.Term == n.raft.CurrentTerm() && !n.IsLeader() {
		n.clock.carry(h.reply.Clock, h.asked, h.at)
	}
	if h.reply.Quorum {
		n.staleness.heard(h, n.applier.applied.get())
	}
	n.compareDigests()
}

// compareDigests stops this node if a majority of the voters agree on a state that is not its own.
func (n *Node) compareDigests() {
	var others [][]digestCheckpoint
	for _, h := range n.peers.fresh() {
		others = append(others, h.reply.Digests)
	}
	if index, differs := outvoted(n.applier.checkpoints(), others, len(n.voters())); differs {
		n.fail(fmt.Errorf("this node's state differs from the majority's at log index %d: its memory or disk is damaged; "+
			"empty its data directory and let it join again under a new node id", index))
	}
}
