package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

// Read is a linearizable read of one record; only the leader answers it. It fails with ErrNotLeader, ErrUnavailable
// if no majority answers before ctx ends, or as Propose does.
func (n *Node) Read(ctx context.Context, id fsm.RecordID) (fsm.View, Receipt, error) {
	if !n.IsLeader() {
		return fsm.View{}, Receipt{}, ErrNotLeader
	}
	term := n.readyTerm.Load()
	if err := n.confirmer.confirm(ctx); err != nil {
		return fsm.View{}, Receipt{}, err
	}
	v, at, _ := n.applier.view(id)
	if due := v.ChangesAtMs; due != fsm.NeverMs && due <= n.clock.nowMs() {
		// The record changes by a stamp that no entry carries yet. Only a committed stamp may say so, or a later
		// leader could disagree.
		if _, _, err := n.proposer.propose(ctx, nil); err != nil {
			return fsm.View{}, Receipt{}, err
		}
		v, at, _ = n.applier.view(id)
	}
	if !n.servedBy(term) {
		return fsm.View{}, Receipt{}, ErrUnavailable
	}
	if v.State == fsm.StateLocked && v.LeaseEndMs != fsm.NeverMs {
		v.LeaseRemainingMs = max(1, v.LeaseEndMs-n.clock.nowMs())
	}
	return v, at, nil
}

// servedBy reports whether this node has led and served since that term began. What was read before the call is then no
// restored state that was never committed.
func (n *Node) servedBy(term uint64) bool { return n.IsLeader() && n.readyTerm.Load() == term }

// Staleness bounds the age of a state that was read without asking the leader.
type Staleness struct {
	Known bool          // false: this node has not heard from a leader
	Max   time.Duration // everything acknowledged longer ago than this is included
}

// ReadStale reads this node's state as it is. What has run out by this node's own clock, which is no later than the
// leader's, has run out, though no entry may have said so yet.
func (n *Node) ReadStale(id fsm.RecordID) (fsm.View, Receipt, Staleness) {
	age := n.staleness.bound(n.applier.applied.get())
	if asOf, ok := n.quorumTime(); ok {
		age = Staleness{Known: true, Max: time.Since(asOf)}
	}
	var v fsm.View
	var at Receipt
	n.applier.read(func(m *fsm.Machine) {
		v, at = m.ViewAt(id, n.clock.nowMs()), Receipt{m.Index(), m.Term()}
	})
	return v, at, age
}

// staleness remembers how far the leader was, and when, to tell how old this node's state may be.
type staleness struct {
	mu      sync.Mutex
	asOf    time.Time // this node has applied everything acknowledged before
	pending heard     // what the leader said last that this node has not caught up with yet
	waiting bool      // pending is set
}

// heard notes what the leader said, when this node had applied so much.
func (s *staleness) heard(h heard, applied uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(applied)
	if !s.waiting {
		s.pending, s.waiting = h, true
		s.settle(applied)
	}
}

// led notes that this node was the only leader at that instant.
func (s *staleness) led(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at.After(s.asOf) {
		s.asOf = at
	}
}

func (s *staleness) bound(applied uint64) Staleness {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(applied)
	if s.asOf.IsZero() {
		return Staleness{}
	}
	return Staleness{Known: true, Max: time.Since(s.asOf)}
}

func (s *staleness) settle(applied uint64) {
	if s.waiting && applied >= s.pending.reply.Applied {
		s.asOf = s.pending.asked.Add(-s.pending.reply.QuorumAge)
		s.waiting = false
	}
}

// CatchUp waits until this node has applied everything the leader had applied when it was asked, so that what was
// acknowledged anywhere before the call can be seen here. It fails with ErrUnavailable if there is no leader or ctx
// ends.
func (n *Node) CatchUp(ctx context.Context) error {
	if n.IsLeader() {
		return n.confirmer.confirm(ctx)
	}
	return n.catchUp.confirm(ctx)
}

// askLeader is one round of CatchUp on a follower.
func (n *Node) askLeader(ctx context.Context) error {
	at, id := n.raft.LeaderWithID()
	if id == "" || id == n.id {
		return ErrUnavailable
	}
	var reply PingReply
	_, bare := locate(at)
	to := n.addresses.at(raft.Server{ID: id, Address: raft.ServerAddress(bare)})
	if err := n.peers.ask.call(ctx, to, methodPing, PingRequest{From: n.id, Confirm: true}, &reply); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if !reply.Leading {
		return ErrUnavailable
	}
	return n.waitApplied(ctx, reply.Applied)
}

func (n *Node) waitApplied(ctx context.Context, index uint64) error {
	for {
		grown := n.applier.applied.wait(index)
		if grown == nil {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ErrUnavailable
		}
	}
}

// confirmTerm is one round of the quorum confirm: it proves that this node still led after the round began.
func (n *Node) confirmTerm(ctx context.Context) error {
	term := n.readyTerm.Load()
	if term == 0 || n.raft.CurrentTerm() != term {
		return ErrNotLeader
	}
	voters := n.voters()
	answers := make(chan uint64, len(voters))
	for _, s := range voters {
		if s.ID == n.id {
			answers <- term
			continue
		}
		if !n.tasks.start(func() { answers <- n.askTerm(ctx, s) }) {
			return ErrClosed
		}
	}
	if err := countTerms(ctx, answers, term, len(voters)); err != nil {
		return err
	}
	if n.raft.CurrentTerm() != term || n.readyTerm.Load() != term {
		return ErrNotLeader
	}
	return nil
}

// askTerm returns the term a voter is in, or 0 if it does not answer.
func (n *Node) askTerm(ctx context.Context, s raft.Server) uint64 {
	var reply TermReply
	if err := n.peers.ask.call(ctx, n.addresses.at(s), methodTerm, TermRequest{}, &reply); err != nil {
		return 0
	}
	return reply.Term
}

// countTerms waits until a majority of the voters said they are in term.
func countTerms(ctx context.Context, answers <-chan uint64, term uint64, voters int) error {
	agreed := 0
	for range voters {
		select {
		case t := <-answers:
			if t > term {
				return ErrNotLeader
			}
			if t == term {
				agreed++
			}
			if agreed > voters/2 {
				return nil
			}
		case <-ctx.Done():
			return ErrUnavailable
		}
	}
	return ErrUnavailable
}

// coalescer runs a question that many ask at once in rounds: a caller joins the next round, never the running one,
// so that its answer was found after it asked.
type coalescer struct {
	round   func(context.Context) error
	timeout time.Duration
	tasks   *tasks

	mu      sync.Mutex
	next    *round
	running bool
}

type round struct {
	done chan struct{}
	err  error
}

func (c *coalescer) confirm(ctx context.Context) error {
	c.mu.Lock()
	r := c.next
	if r == nil {
		r = &round{done: make(chan struct{})}
		c.next = r
	}
	if !c.running {
		c.running = c.tasks.start(c.run)
	}
	started := c.running
	c.mu.Unlock()
	if !started {
		return ErrClosed
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ErrUnavailable
	}
}

// run runs rounds until nobody waits for one.
func (c *coalescer) run() {
	for {
		c.mu.Lock()
		r := c.next
		c.next = nil
		if r == nil {
			c.running = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
		r.err = c.round(ctx)
		cancel()
		close(r.done)
	}
}
