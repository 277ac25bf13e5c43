package cluster

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

// Bounds of the proposer.
const (
	// maxQueuedCalls and maxQueuedBytes bound what waits to be proposed; more is refused with ErrBusy.
	maxQueuedCalls = 8_192
	maxQueuedBytes = 64 << 20
	// maxWaiters bounds the claims that wait for a lock; one more is answered at once.
	maxWaiters = 8_192
	// maxBatchCalls and maxBatchBytes bound an entry. A single larger proposal still makes an entry of its own.
	maxBatchCalls = 512
	maxBatchBytes = 1 << 20
	// MaxCallsPerProposal bounds one Propose.
	MaxCallsPerProposal = 256
	// enqueueTimeout bounds how long raft may take to accept an entry.
	enqueueTimeout = time.Second
	// refusedPause keeps those who wait for a lock from being proposed without end while raft takes no entries.
	refusedPause = 10 * time.Millisecond
	// settleTimeout bounds how long a call waits to learn what became of an entry that raft gave up on.
	settleTimeout = 3 * time.Second
)

// proposer turns concurrent calls into log entries, one in flight at a time: while an entry is being committed the
// next one fills, so the dearer a commit is, the more calls share it.
type proposer struct {
	raft  *raft.Raft
	clock *clusterClock
	// view reads a record. It is only called while an entry is being applied, on the goroutine that applies.
	view    func(fsm.RecordID) fsm.View
	metrics *metrics
	tally   *tally // rides in the next entry

	mu      sync.Mutex
	leading bool
	paused  bool // while the state is replaced
	queue   []*proposal
	calls   int // in queue
	bytes   int // in queue
	wake    chan struct{}
	batches map[fsm.BatchID]*batch // in flight, or not settled since raft gave up on them
	applied uint64                 // last log index applied
	jumped  uint64                 // index of the last snapshot that the state jumped to
	waits   waitQueues

	batchPrefix [8]byte
	batchCount  uint64
}

func newProposer(clock *clusterClock, view func(fsm.RecordID) fsm.View, m *metrics) *proposer {
	p := &proposer{
		clock:   clock,
		view:    view,
		metrics: m,
		tally:   newTally(),
		wake:    make(chan struct{}, 1),
		batches: make(map[fsm.BatchID]*batch),
	}
	_, _ = rand.Read(p.batchPrefix[:]) // never fails (crypto/rand)
	p.waits = newWaitQueues(p.signal, &p.mu, clock)
	return p
}

// propose queues the calls and waits for their results.
func (p *proposer) propose(ctx context.Context, calls []Call) ([]fsm.Result, Receipt, error) {
	pr, err := newProposal(calls, time.Now())
	if err != nil {
		return nil, Receipt{}, err
	}
	if err := p.enqueue(pr); err != nil {
		return nil, Receipt{}, err
	}
	if err := p.await(ctx, pr); err != nil {
		return nil, Receipt{}, err
	}
	return pr.results, pr.receipt, nil
}

func (p *proposer) enqueue(pr *proposal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.leading {
		return ErrNotLeader
	}
	if p.paused {
		return ErrUnavailable
	}
	if p.calls+len(pr.calls) > maxQueuedCalls || p.bytes+pr.bytes > maxQueuedBytes {
		p.metrics.rejected.Inc()
		return ErrBusy
	}
	p.push(pr)
	return nil
}

func (p *proposer) push(pr *proposal) {
	p.queue = append(p.queue, pr)
	p.calls += len(pr.calls)
	p.bytes += pr.bytes
	p.signal()
}

// signal tells run that there is something to propose.
func (p *proposer) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// await waits until the proposal is done, its calls have waited long enough, or ctx ends.
func (p *proposer) await(ctx context.Context, pr *proposal) error {
	if pr.waits && p.awaitWaiters(ctx, pr) {
		return pr.err
	}
	select {
	case <-pr.done:
		return pr.err
	case <-ctx.Done():
		return p.abandon(pr)
	}
}

// awaitWaiters waits as long as calls of the proposal may wait for a lock, and reports whether it got done.
func (p *proposer) awaitWaiters(ctx context.Context, pr *proposal) bool {
	for {
		p.mu.Lock()
		next := pr.nextWait()
		p.mu.Unlock()
		if next.IsZero() {
			return pr.isDone()
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-pr.done:
			timer.Stop()
			return true
		case <-ctx.Done():
			timer.Stop()
			return false
		case now := <-timer.C:
			p.stopWaiting(pr, now)
		}
	}
}

// stopWaiting ends the waits of a proposal that are over. A call whose claim is in the log's hands at this moment gets
// the answer of that claim.
func (p *proposer) stopWaiting(pr *proposal, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range pr.calls {
		if c.waitUntil.IsZero() || now.Before(c.waitUntil) {
			continue
		}
		c.waitUntil = time.Time{}
		if c.waiting && c.claims == 0 {
			p.waits.remove(c)
			p.settleInProgress(c)
		}
	}
}

// abandon gives up on a proposal. What is known by now decides the error: nothing was proposed, or everything open
// was only waiting, or the outcome is unknown.
func (p *proposer) abandon(pr *proposal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pr.isDone() {
		return pr.err
	}
	pr.gone = true
	if i := slices.Index(p.queue, pr); i >= 0 {
		p.queue = slices.Delete(p.queue, i, i+1)
		p.calls -= len(pr.calls)
		p.bytes -= pr.bytes
		pr.fail(ErrUnavailable)
		return pr.err
	}
	for _, c := range pr.calls {
		if c.waiting && c.claims == 0 {
			p.waits.remove(c)
			p.settleInProgress(c)
		}
	}
	if !pr.isDone() {
		p.metrics.unknown.Inc()
		pr.fail(ErrOutcomeUnknown)
	}
	return pr.err
}

// settleInProgress answers a waiter with what the log last told it, brought up to now.
func (p *proposer) settleInProgress(c *pendingCall) {
	c.waiting = false
	c.settle(progressAt(c.last, p.clock.nowMs()), Receipt{})
}

func progressAt(r fsm.Result, nowMs int64) fsm.Result {
	if r.LeaseEndMs != fsm.NeverMs {
		r.LeaseRemainingMs = max(1, r.LeaseEndMs-nowMs)
		r.RetryAfterMs = min(fsm.RetryDelayMs, r.LeaseRemainingMs)
	}
	return r
}

// lead lets calls in. run must be started besides.
func (p *proposer) lead() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leading = true
}

// revoke ends the reign: what was not proposed is refused, and waiters return at once. Calls whose entry is in the
// log's hands stay until that is settled.
func (p *proposer) revoke() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leading = false
	p.tally.clear()
	p.dismiss(ErrNotLeader)
}

// dismiss refuses what was not proposed with an error, and answers who waits for a lock.
func (p *proposer) dismiss(err error) {
	for _, pr := range p.queue {
		pr.fail(err)
	}
	p.queue, p.calls, p.bytes = nil, 0, 0
	for _, c := range p.waits.clear() {
		if c.claims == 0 {
			p.settleInProgress(c)
		}
	}
}

// run proposes until ctx ends.
func (p *proposer) run(ctx context.Context) {
	for ctx.Err() == nil {
		b := p.nextBatch()
		switch {
		case b == nil:
			select {
			case <-p.wake:
			case <-ctx.Done():
			}
		case !p.commit(b):
			select {
			case <-time.After(refusedPause):
			case <-ctx.Done():
			}
		}
	}
}

// nextBatch takes from the queue what fits into an entry; nil if there is nothing to propose.
func (p *proposer) nextBatch() *batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := &batch{id: p.nextBatchID()}
	taken := 0
	for _, pr := range p.queue {
		full := len(b.slots)+len(pr.calls) > maxBatchCalls || b.bytes+pr.bytes > maxBatchBytes
		if full && len(b.slots) > 0 {
			break
		}
		taken++
		p.calls -= len(pr.calls)
		p.bytes -= pr.bytes
		b.proposals = append(b.proposals, pr)
		for _, c := range pr.calls {
			p.addCall(b, c)
		}
	}
	p.queue = slices.Delete(p.queue, 0, taken)
	for _, id := range p.waits.takeDue(maxBatchCalls) {
		p.addHead(b, id)
	}
	if len(b.slots) == 0 && len(b.proposals) == 0 {
		return nil
	}
	if c, ok := p.tally.take(); ok {
		b.tally = &c
	}
	p.batches[b.id] = b
	return b
}

func (p *proposer) nextBatchID() (id fsm.BatchID) {
	p.batchCount++
	copy(id[:], p.batchPrefix[:])
	binary.LittleEndian.PutUint64(id[8:], p.batchCount)
	return id
}

// addCall adds a call where waiting stays first come first served: whoever waits for the key claims before a newcomer
// does, and behind what may free the lock. The calls of a batch are all concurrent, so what may free the lock can go
// first; a call must not stand twice, for both places might take the lock, and its caller is told of one.
func (p *proposer) addCall(b *batch, c *pendingCall) {
	switch c.command.(type) {
	case fsm.Claim:
		p.addHead(b, c.id)
		b.add(c)
		if !c.waitUntil.IsZero() {
			b.noteFirst(c)
		}
	case fsm.Release, fsm.Delete:
		b.addBefore(b.first[c.id], c)
		p.addHead(b, c.id)
	default:
		b.add(c)
	}
}

// addHead adds the claim of the first who waits for a key, unless there is none or it has its place already.
func (p *proposer) addHead(b *batch, id fsm.RecordID) {
	if head := p.waits.head(id); head != nil && b.first[id] == nil {
		b.add(head)
		b.noteFirst(head)
	}
}

// commit proposes a batch and waits until raft is done with it. It reports whether raft took it.
func (p *proposer) commit(b *batch) bool {
	p.metrics.batchCalls.Observe(float64(len(b.slots)))
	start := time.Now()
	future := p.raft.Apply(fsm.EncodeEntry(p.clock.nowMs(), b.id, b.frames()...), enqueueTimeout)
	err := future.Error()
	p.metrics.commitSeconds.Observe(time.Since(start).Seconds())
	switch {
	case err == nil: // delivered when it was applied
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		p.discard(b, ErrNotLeader)
		return false
	case errors.Is(err, raft.ErrEnqueueTimeout):
		p.discard(b, ErrBusy)
		return false
	default:
		p.suspect(b, future.Index())
	}
	return true
}

// discard fails a batch of which nothing was applied.
func (p *proposer) discard(b *batch, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failBatch(b, err)
}

// suspect keeps a batch that raft gave up on until the log shows what became of it.
func (p *proposer) suspect(b *batch, index uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.batches[b.id] == nil: // delivered
	case index == 0: // raft was shut down before it said where the entry went
		p.failBatch(b, ErrOutcomeUnknown)
	case index <= p.jumped: // it may be part of the snapshot
		p.failBatch(b, ErrOutcomeUnknown)
	case index <= p.applied:
		p.failBatch(b, ErrNotLeader)
	default:
		b.index, b.suspectAt = index, time.Now()
	}
}

// failBatch ends a batch that brought no results. Those who wait for a lock have an answer all the same.
func (p *proposer) failBatch(b *batch, err error) {
	if p.batches[b.id] == nil {
		return
	}
	delete(p.batches, b.id)
	if errors.Is(err, ErrOutcomeUnknown) {
		p.metrics.unknown.Inc()
	} else if b.tally != nil && p.leading {
		p.tally.putBack(*b.tally)
	}
	for _, c := range b.slots {
		c.claims--
		switch {
		case !c.waiting:
			c.proposal.fail(err)
		case errors.Is(err, ErrOutcomeUnknown):
			p.waits.remove(c)
			c.proposal.fail(err)
		case p.waits.contains(c):
			p.waits.retryLater(c.id)
		case c.claims == 0:
			p.settleInProgress(c)
		}
	}
	for _, pr := range b.proposals {
		if len(pr.calls) == 0 {
			pr.fail(err)
		}
	}
}

// onApply delivers the results of an entry that was applied. Own entries are recognised by their batch id, whoever
// led when they were committed; an own entry whose index was taken by another is proof that it was not applied.
func (p *proposer) onApply(index, term uint64, e fsm.Entry, results []fsm.Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.applied = index
	if b := p.batches[e.BatchID]; b != nil {
		delete(p.batches, b.id)
		p.deliver(b, Receipt{index, term}, results)
	}
	p.failUpTo(index, ErrNotLeader)
}

// onRestore is told that the state jumped to a snapshot: what became of entries up to there cannot be seen.
func (p *proposer) onRestore(index uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.applied, p.jumped = max(p.applied, index), index
	p.tally.clear() // the tenants may be others now
	p.failUpTo(index, ErrOutcomeUnknown)
}

func (p *proposer) failUpTo(index uint64, err error) {
	for _, b := range p.batches {
		if b.index != 0 && b.index <= index {
			p.failBatch(b, err)
		}
	}
}

// expireSuspects gives up on batches of which the log has shown nothing for too long.
func (p *proposer) expireSuspects(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.batches {
		if b.index != 0 && now.Sub(b.suspectAt) > settleTimeout {
			p.failBatch(b, ErrOutcomeUnknown)
		}
	}
}

// close gives up on every batch: the log will show nothing more.
func (p *proposer) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.batches {
		p.failBatch(b, ErrOutcomeUnknown)
	}
}

func (p *proposer) deliver(b *batch, at Receipt, results []fsm.Result) {
	for _, pr := range b.proposals {
		pr.receipt = at
		if len(pr.calls) == 0 {
			pr.finishIfSettled()
		}
	}
	now := time.Now()
	for i, c := range b.slots {
		c.claims--
		left := c.waiting && c.proposal.gone
		p.deliverCall(c, results[i], at, now)
		if left && results[i].Outcome == fsm.Granted && !b.sharesGrant(c, results) {
			p.giveBack(c.id, results[i].Token)
		}
	}
}

func (p *proposer) deliverCall(c *pendingCall, r fsm.Result, at Receipt, now time.Time) {
	mayWait := p.leading && !p.paused && now.Before(c.waitUntil) && !c.proposal.gone && !c.settled && (c.waiting || p.waits.room())
	switch {
	case r.Outcome == fsm.InProgress && mayWait:
		c.last = r
		p.waits.add(c)
	case r.Outcome == fsm.InProgress && c.claims > 0 && !c.settled:
		// The call claims again further down the log; that answer is the later one.
	case c.waiting:
		p.leaveQueue(c, r, at)
	default:
		c.settle(r, at)
	}
	p.noteLock(c, r, at)
}

// leaveQueue answers a waiter.
func (p *proposer) leaveQueue(c *pendingCall, r fsm.Result, at Receipt) {
	p.waits.remove(c)
	c.waiting = false
	if r.Outcome != fsm.Granted && r.Outcome != fsm.InProgress {
		p.waits.retryLater(c.id) // the lock is free, and this call did not take it
	}
	c.settle(r, at)
}

// giveBack releases a lock that was granted to a waiter who has left. It goes before everything that is queued: the
// same owner may claim again, since it was told that the outcome is unknown, and must not lose what that claim brings.
func (p *proposer) giveBack(id fsm.RecordID, token fsm.Token) {
	if !p.leading || p.paused {
		return // the lock lapses by itself
	}
	pr, err := newProposal([]Call{{Command: fsm.Release{ID: id, Token: token}}}, time.Time{})
	if err != nil {
		return
	}
	p.push(pr)
	copy(p.queue[1:], p.queue)
	p.queue[0] = pr
}

// noteLock tells those who wait for a key what a command did to its lock.
func (p *proposer) noteLock(c *pendingCall, r fsm.Result, at Receipt) {
	if !p.waits.any(c.id) {
		return
	}
	switch r.Outcome {
	case fsm.Granted, fsm.InProgress, fsm.Renewed:
		p.waits.watchLease(c.id, r.LeaseEndMs)
	case fsm.OK, fsm.Deleted:
		p.waits.retryLater(c.id)
	case fsm.Stored:
		v := p.view(c.id)
		if v.State != fsm.StateCompleted { // deleted again by the same entry
			p.waits.retryLater(c.id)
			return
		}
		for _, w := range p.waits.take(c.id) {
			w.waiting = false
			w.settle(fsm.Result{Outcome: fsm.Cached, Record: v.Record}, at)
		}
	}
}

// queued returns how many calls and bytes wait to be proposed.
func (p *proposer) queued() (calls, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls, p.bytes
}
