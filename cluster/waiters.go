package cluster

import (
	"slices"
	"sync"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// waitQueues are the claims that wait for a lock, first come first served per key. They live in the leader's memory
// and are guarded by the proposer's lock; the log alone decides who is granted.
type waitQueues struct {
	mu     *sync.Mutex
	clock  *clusterClock
	signal func()
	byKey  map[fsm.RecordID]*waitQueue
	due    []fsm.RecordID // keys whose first waiter shall claim again
	count  int            // of all keys
}

type waitQueue struct {
	calls      []*pendingCall
	leaseEndMs int64
	timer      *time.Timer // fires when the lease is over
}

func newWaitQueues(signal func(), mu *sync.Mutex, clock *clusterClock) waitQueues {
	return waitQueues{mu: mu, clock: clock, signal: signal, byKey: make(map[fsm.RecordID]*waitQueue)}
}

func (w *waitQueues) any(id fsm.RecordID) bool { return w.byKey[id] != nil }

// room reports whether one more may wait.
func (w *waitQueues) room() bool { return w.count < maxWaiters }

// head returns who has waited longest for a key, or nil.
func (w *waitQueues) head(id fsm.RecordID) *pendingCall {
	if q := w.byKey[id]; q != nil {
		return q.calls[0]
	}
	return nil
}

// add puts a call at the end of its key's queue, unless it stands there already.
func (w *waitQueues) add(c *pendingCall) {
	if c.waiting {
		return
	}
	c.waiting = true
	q := w.byKey[c.id]
	if q == nil {
		q = &waitQueue{}
		w.byKey[c.id] = q
	}
	q.calls = append(q.calls, c)
	w.count++
}

// remove takes a call out of its key's queue.
func (w *waitQueues) remove(c *pendingCall) {
	q := w.byKey[c.id]
	if q == nil {
		return
	}
	if i := slices.Index(q.calls, c); i >= 0 {
		q.calls = slices.Delete(q.calls, i, i+1)
		w.count--
	}
	if len(q.calls) == 0 {
		w.take(c.id)
	}
}

// take empties a key's queue.
func (w *waitQueues) take(id fsm.RecordID) []*pendingCall {
	q := w.byKey[id]
	if q == nil {
		return nil
	}
	delete(w.byKey, id)
	w.count -= len(q.calls)
	if q.timer != nil {
		q.timer.Stop()
	}
	return q.calls
}

// clear empties all queues.
func (w *waitQueues) clear() (all []*pendingCall) {
	for id := range w.byKey {
		all = append(all, w.take(id)...)
	}
	w.due = nil
	return all
}

// retryLater has the first waiter of a key claim again with the next entry.
func (w *waitQueues) retryLater(id fsm.RecordID) {
	if w.any(id) && !slices.Contains(w.due, id) {
		w.due = append(w.due, id)
		w.signal()
	}
}

// takeDue takes at most limit of the keys whose first waiter shall claim again.
func (w *waitQueues) takeDue(limit int) []fsm.RecordID {
	n := min(limit, len(w.due))
	due := w.due[:n:n]
	w.due = w.due[n:]
	if len(w.due) > 0 {
		w.signal()
	}
	return due
}

func (w *waitQueues) contains(c *pendingCall) bool {
	q := w.byKey[c.id]
	return q != nil && slices.Contains(q.calls, c)
}

// watchLease has the first waiter of a key claim again when the lease of the lock is over.
func (w *waitQueues) watchLease(id fsm.RecordID, leaseEndMs int64) {
	q := w.byKey[id]
	if q == nil || q.leaseEndMs == leaseEndMs && q.timer != nil {
		return
	}
	if q.timer != nil {
		q.timer.Stop()
	}
	q.leaseEndMs, q.timer = leaseEndMs, nil
	if leaseEndMs == fsm.NeverMs {
		return
	}
	left := time.Duration(leaseEndMs-w.clock.nowMs()) * time.Millisecond
	q.timer = time.AfterFunc(max(left, 0)+time.Millisecond, func() { w.leaseOver(id, q) })
}

func (w *waitQueues) leaseOver(id fsm.RecordID, q *waitQueue) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byKey[id] == q {
		q.timer = nil
		w.retryLater(id)
	}
}
