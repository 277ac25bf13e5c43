package cluster

import (
	"fmt"
	"slices"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// Call is one command to propose.
type Call struct {
	Command fsm.Command
	// Wait lets a Claim that meets a live lock wait on the leader, first come first served: until it is granted, the
	// record completes, leadership moves or this time is over. At most MaxWait; 0 answers at once.
	Wait time.Duration
}

// Receipt says where in the log a call was applied.
type Receipt struct{ Index, Term uint64 }

// proposal is the calls of one Propose, which share an entry. Its members are the proposer's, under its lock, until
// done is closed.
type proposal struct {
	calls   []*pendingCall
	bytes   int
	open    int // calls without a result
	results []fsm.Result
	receipt Receipt
	err     error
	done    chan struct{}
	gone    bool // nobody waits for the results any more
	waits   bool // some of the calls may wait for a lock; never changes

	one       [1]*pendingCall // what calls, results and the call itself are made of if there is one call
	oneCall   pendingCall
	oneResult [1]fsm.Result
}

// pendingCall is a call on its way to a result.
type pendingCall struct {
	proposal *proposal
	at       int // its place in the proposal
	command  fsm.Command
	id       fsm.RecordID
	frame    []byte

	waitUntil time.Time  // of a claim that may wait; zero otherwise
	waiting   bool       // the log answered in progress, so the call stands in its key's queue
	last      fsm.Result // that answer
	claims    int        // times the call stands in batches that are not settled
	settled   bool
}

// newProposal encodes the calls. A command that could not be decoded again is refused here: in the log, it would stop
// every node.
func newProposal(calls []Call, now time.Time) (*proposal, error) {
	p := &proposal{open: len(calls), done: make(chan struct{})}
	var pending []pendingCall
	if len(calls) == 1 {
		p.calls, p.results = p.one[:], p.oneResult[:]
	} else {
		p.calls, p.results = make([]*pendingCall, len(calls)), make([]fsm.Result, len(calls))
		pending = make([]pendingCall, len(calls))
	}
	for i, c := range calls {
		call := &p.oneCall
		if pending != nil {
			call = &pending[i]
		}
		if err := fsm.Validate(c.Command); err != nil {
			return nil, fmt.Errorf("propose command %d of %d: %w", i+1, len(calls), err)
		}
		*call = pendingCall{proposal: p, at: i, command: c.Command, id: recordOf(c.Command), frame: fsm.Encode(c.Command)}
		if _, ok := c.Command.(fsm.Claim); ok && c.Wait > 0 {
			call.waitUntil = now.Add(min(c.Wait, MaxWait))
			p.waits = true
		}
		p.calls[i] = call
		p.bytes += len(call.frame)
	}
	return p, nil
}

// recordOf returns the record a command is about; the zero RecordID if none.
func recordOf(cmd fsm.Command) fsm.RecordID {
	switch c := cmd.(type) {
	case fsm.Claim:
		return c.ID
	case fsm.Complete:
		return c.ID
	case fsm.Renew:
		return c.ID
	case fsm.Release:
		return c.ID
	case fsm.Delete:
		return c.ID
	}
	return fsm.RecordID{}
}

// owner returns the owner that a claim names.
func (c *pendingCall) owner() string {
	claim, _ := c.command.(fsm.Claim)
	return claim.Owner
}

// settle gives a call its result. The proposal is done when every call has one.
func (c *pendingCall) settle(r fsm.Result, at Receipt) {
	if c.settled || c.proposal.err != nil {
		return
	}
	c.settled = true
	c.proposal.results[c.at] = r
	if at.Index != 0 {
		c.proposal.receipt = at
	}
	c.proposal.open--
	c.proposal.finishIfSettled()
}

func (p *proposal) finishIfSettled() {
	if p.open == 0 && p.err == nil {
		close(p.done)
	}
}

// fail ends a proposal with an error, unless it has its results already.
func (p *proposal) fail(err error) {
	if p.err != nil || p.open == 0 && p.isDone() {
		return
	}
	p.err = err
	close(p.done)
}

func (p *proposal) isDone() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// nextWait returns the earliest instant at which a call stops waiting; zero if none waits.
func (p *proposal) nextWait() (next time.Time) {
	for _, c := range p.calls {
		if !c.settled && !c.waitUntil.IsZero() && (next.IsZero() || c.waitUntil.Before(next)) {
			next = c.waitUntil
		}
	}
	return next
}

// batch is the content of one log entry.
type batch struct {
	id        fsm.BatchID
	proposals []*proposal
	slots     []*pendingCall // one per command; a waiter's call may stand here besides those of the proposals
	bytes     int
	tally     *fsm.Tally // what was counted besides, behind the slots; nil if nothing
	// first is, for a key, the call that comes first of those that would wait for its lock.
	first map[fsm.RecordID]*pendingCall

	index     uint64    // in the log, once raft has given up on the batch without knowing what became of it
	suspectAt time.Time // when that was
}

func (b *batch) add(c *pendingCall) {
	b.slots = append(b.slots, c)
	b.bytes += len(c.frame)
	c.claims++
}

// addBefore adds a call before another one, unless that would turn the order of its own proposal round.
func (b *batch) addBefore(next, c *pendingCall) {
	b.add(c)
	if i := slices.Index(b.slots, next); i >= 0 && len(c.proposal.calls) == 1 {
		copy(b.slots[i+1:], b.slots[i:])
		b.slots[i] = c
	}
}

// sharesGrant reports whether a lock that was granted to c is also that of another call, which was told so: c took it
// again for its owner, or its owner has claimed it twice.
func (b *batch) sharesGrant(c *pendingCall, results []fsm.Result) bool {
	for i, other := range b.slots {
		if other == c && results[i].Reentered {
			return true
		}
		sameOwner := other != c && other.id == c.id && other.owner() == c.owner()
		if sameOwner && results[i].Outcome == fsm.Granted && !other.proposal.gone {
			return true
		}
	}
	return false
}

func (b *batch) noteFirst(c *pendingCall) {
	if b.first == nil {
		b.first = make(map[fsm.RecordID]*pendingCall)
	}
	if b.first[c.id] == nil {
		b.first[c.id] = c
	}
}

func (b *batch) frames() [][]byte {
	frames := make([][]byte, len(b.slots), len(b.slots)+1)
	for i, c := range b.slots {
		frames[i] = c.frame
	}
	if b.tally != nil {
		frames = append(frames, fsm.Encode(*b.tally))
	}
	return frames
}
