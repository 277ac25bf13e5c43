package cluster

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

// simJournal is the committed log as the nodes of a simulated cluster applied it, and when they did in true time.
type simJournal struct {
	mu      sync.Mutex
	entries map[uint64]*simEntry
	// calls holds when a client made the call that a command stems from.
	calls  map[simIdentity]time.Time
	broken []string
}

// simEntry is an entry as the first node to apply it saw it.
type simEntry struct {
	index, term uint64
	at          time.Time
	by          raft.ServerID
	fsm.Entry
	results []fsm.Result
}

// simIdentity recognises a client's command in the log: every claim has a token of its own, every complete a body,
// every renewal a lease; a token is released once.
type simIdentity struct {
	kind string
	name string
}

func identify(cmd fsm.Command) simIdentity {
	switch c := cmd.(type) {
	case fsm.Claim:
		return simIdentity{"claim", fmt.Sprintf("%x", c.Token)}
	case fsm.Complete:
		return simIdentity{"complete", string(c.Body)}
	case fsm.Renew:
		return simIdentity{"renew", fmt.Sprintf("%x %d", c.Token, c.LeaseMs)}
	case fsm.Release:
		return simIdentity{"release", fmt.Sprintf("%x", c.Token)}
	}
	return simIdentity{}
}

func newSimJournal() *simJournal {
	return &simJournal{entries: make(map[uint64]*simEntry), calls: make(map[simIdentity]time.Time)}
}

// called notes that a client is about to make a call.
func (j *simJournal) called(cmd fsm.Command) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.calls[identify(cmd)] = time.Now()
}

// record notes what a node applied. All nodes, whenever they apply an index, must find the same there.
func (j *simJournal) record(by raft.ServerID, index, term uint64, e fsm.Entry, results []fsm.Result) {
	j.mu.Lock()
	defer j.mu.Unlock()
	first := j.entries[index]
	if first == nil {
		j.entries[index] = &simEntry{index, term, time.Now(), by, e, results}
		return
	}
	same := first.term == term && first.StampMs == e.StampMs && first.BatchID == e.BatchID &&
		slices.EqualFunc(first.results, results, sameResult)
	if !same {
		j.broken = append(j.broken, fmt.Sprintf("%s and %s applied different entries at index %d", first.by, by, index))
	}
}

func sameResult(a, b fsm.Result) bool {
	return a.Outcome == b.Outcome && a.Fence == b.Fence && a.Token == b.Token && a.LeaseEndMs == b.LeaseEndMs &&
		a.Reentered == b.Reentered && a.Existed == b.Existed && bytes.Equal(a.Record.Body, b.Record.Body)
}

func (j *simJournal) last() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Max(slices.Collect(maps.Keys(j.entries)))
}

// ordered returns the entries in log order.
func (j *simJournal) ordered() []*simEntry {
	j.mu.Lock()
	defer j.mu.Unlock()
	var all []*simEntry
	for _, index := range slices.Sorted(maps.Keys(j.entries)) {
		all = append(all, j.entries[index])
	}
	return all
}

// replay applies the journal to a new state machine and compares every result.
func (j *simJournal) replay(t *testing.T) (index, digest uint64) {
	t.Helper()
	m := fsm.New(fsmConfig())
	for _, e := range j.ordered() {
		var frames [][]byte
		for _, cmd := range e.Commands {
			frames = append(frames, fsm.Encode(cmd))
		}
		_, results, err := m.Apply(e.index, e.term, fsm.EncodeEntry(e.StampMs, e.BatchID, frames...))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(results, e.results, sameResult) {
			t.Errorf("index %d: a replay gives %+v, %s had %+v", e.index, results, e.by, e.results)
		}
	}
	return m.Index(), m.Digest()
}

// simLock is who holds a key, as the journal tells it.
type simLock struct {
	token      fsm.Token
	leaseEndMs int64
	// protected is until when in true time nobody else may be granted the lock: the lease from when its holder asked.
	protected time.Time
	lease     time.Duration
}

// simRecord is a completed record, as the journal tells it.
type simRecord struct {
	body        []byte
	expiresAtMs int64
	kept        time.Time // until when in true time it must be there: its life from when it was stored
	life        time.Duration
}

// simLedger goes through the journal once and checks what must hold at every index.
type simLedger struct {
	t       *testing.T
	journal *simJournal
	locks   map[fsm.RecordID]*simLock
	records map[fsm.RecordID]simRecord
	clockMs int64
	fence   uint64
	entry   *simEntry
}

// check goes through the journal and reports every breach of an invariant.
func (j *simJournal) check(t *testing.T) {
	t.Helper()
	for _, b := range j.broken {
		t.Error(b)
	}
	l := &simLedger{t: t, journal: j, locks: make(map[fsm.RecordID]*simLock), records: make(map[fsm.RecordID]simRecord)}
	for _, e := range j.ordered() {
		l.entry = e
		l.clockMs = max(l.clockMs, e.StampMs)
		for i, cmd := range e.Commands {
			l.command(cmd, e.results[i])
		}
	}
}

func (l *simLedger) errorf(format string, args ...any) {
	l.t.Helper()
	l.t.Errorf("index %d, %v: %s", l.entry.index, l.entry.at.Format("15:04:05.000000"), fmt.Sprintf(format, args...))
}

func (l *simLedger) command(cmd fsm.Command, r fsm.Result) {
	l.t.Helper()
	switch c := cmd.(type) {
	case fsm.Establish:
		still := max(0, c.ClockMs-l.clockMs)
		for _, lock := range l.locks {
			if l.live(lock) {
				lock.leaseEndMs += c.GraceMs + still
			}
		}
		l.clockMs += still
	case fsm.Claim:
		l.claim(c, r)
	case fsm.Complete:
		l.complete(c, r)
	case fsm.Renew:
		l.renew(c, r)
	case fsm.Release:
		l.release(c, r)
	case fsm.Delete:
		delete(l.locks, c.ID)
		delete(l.records, c.ID)
	}
}

func (l *simLedger) live(lock *simLock) bool {
	return lock != nil && (lock.leaseEndMs == fsm.NeverMs || l.clockMs < lock.leaseEndMs)
}

// record returns the completed record of a key unless it has expired.
func (l *simLedger) record(id fsm.RecordID) (simRecord, bool) {
	r, ok := l.records[id]
	return r, ok && l.clockMs < r.expiresAtMs
}

func (l *simLedger) claim(c fsm.Claim, r fsm.Result) {
	l.t.Helper()
	lock := l.locks[c.ID]
	switch rec, completed := l.record(c.ID); {
	case completed && (r.Outcome != fsm.Cached || !bytes.Equal(r.Record.Body, rec.body)):
		l.errorf("%v holds a record, yet a claim met outcome %d, body %q", c.ID, r.Outcome, r.Record.Body)
	case completed:
	case r.Outcome == fsm.Cached:
		l.errorf("%v holds no record, yet a claim met one: %q", c.ID, r.Record.Body)
	case r.Outcome == fsm.Granted && r.Reentered:
		if lock == nil || lock.token != r.Token {
			l.errorf("%v: a claim re-entered %x, held by %+v", c.ID, r.Token, lock)
			return
		}
		l.protect(lock, c, r)
	case r.Outcome == fsm.Granted:
		l.grant(c, r, lock)
	case r.Outcome == fsm.InProgress && !l.live(lock):
		l.errorf("%v: a claim met a lock that nobody holds: %+v", c.ID, lock)
	}
}

// grant checks that at most one token is live (L1), that none is taken over early (L2), and that fences rise (L4).
func (l *simLedger) grant(c fsm.Claim, r fsm.Result, held *simLock) {
	l.t.Helper()
	if l.live(held) {
		l.errorf("%v: %x is granted while %x is live until %d, and it is %d",
			c.ID, r.Token, held.token, held.leaseEndMs, l.clockMs)
	}
	if held != nil {
		if early := held.protected.Sub(l.entry.at); early > tolerance(held.lease) {
			l.errorf("%v: %x is taken over %v before its lease of %v is over", c.ID, held.token, early, held.lease)
		}
	}
	if rec, ok := l.records[c.ID]; ok {
		delete(l.records, c.ID)
		if early := rec.kept.Sub(l.entry.at); early > tolerance(rec.life) {
			l.errorf("%v: %q is forgotten %v before its life of %v is over", c.ID, rec.body, early, rec.life)
		}
	}
	if r.Fence <= l.fence {
		l.errorf("%v: fence %d is granted after %d", c.ID, r.Fence, l.fence)
	}
	l.fence = r.Fence
	l.locks[c.ID] = &simLock{token: r.Token, leaseEndMs: r.LeaseEndMs}
	l.protect(l.locks[c.ID], c, r)
}

// tolerance is how much too early a lease may end: what the clock is slewed by, and rounding.
func tolerance(lease time.Duration) time.Duration { return lease/1000 + 5*time.Millisecond }

// protect has a lock respected for what its holder was told, from when it asked.
func (l *simLedger) protect(lock *simLock, c fsm.Claim, r fsm.Result) {
	lease := time.Duration(r.LeaseMs) * time.Millisecond
	if r.LeaseMs == fsm.NeverMs {
		lease = 1 << 40 // of nanoseconds, some minutes: longer than a simulation waits
	}
	asked, ok := l.journal.calls[identify(c)]
	if !ok {
		return
	}
	if until := asked.Add(lease); until.After(lock.protected) {
		lock.protected, lock.lease = until, lease
	}
}

func (l *simLedger) complete(c fsm.Complete, r fsm.Result) {
	l.t.Helper()
	rec, completed := l.record(c.ID)
	lock := l.locks[c.ID]
	switch {
	case completed && bytes.Equal(rec.body, c.Body):
	case completed && r.Outcome != fsm.AlreadyCompleted:
		l.errorf("%v holds %q, yet storing %q had outcome %d", c.ID, rec.body, c.Body, r.Outcome)
	case completed:
	case !c.Token.IsZero() && (lock == nil || lock.token != c.Token):
		if r.Outcome != fsm.LockLost {
			l.errorf("%v: a complete with outdated token %x had outcome %d", c.ID, c.Token, r.Outcome)
		}
	case r.Outcome != fsm.Stored:
		l.errorf("%v: a complete that nothing opposes had outcome %d", c.ID, r.Outcome)
	default:
		delete(l.locks, c.ID)
		life := time.Duration(c.TTLMs) * time.Millisecond
		l.records[c.ID] = simRecord{c.Body, r.ExpiresAtMs, l.journal.calls[identify(c)].Add(life), life}
	}
}

func (l *simLedger) renew(c fsm.Renew, r fsm.Result) {
	l.t.Helper()
	lock := l.locks[c.ID]
	if holds := lock != nil && lock.token == c.Token; holds != (r.Outcome == fsm.Renewed) {
		l.errorf("%v: renewing %x, held by %+v, had outcome %d", c.ID, c.Token, lock, r.Outcome)
		return
	}
	if r.Outcome == fsm.Renewed {
		lock.leaseEndMs = r.LeaseEndMs
		lock.lease = time.Duration(c.LeaseMs) * time.Millisecond
		lock.protected = l.journal.calls[identify(c)].Add(lock.lease)
	}
}

func (l *simLedger) release(c fsm.Release, r fsm.Result) {
	l.t.Helper()
	lock := l.locks[c.ID]
	switch {
	case r.Outcome == fsm.OK && r.Existed && (lock == nil || lock.token != c.Token):
		l.errorf("%v: %x is released, held by %+v", c.ID, c.Token, lock)
	case r.Outcome == fsm.OK && r.Existed:
		delete(l.locks, c.ID)
	case r.Outcome == fsm.LockLost && (lock == nil || lock.token == c.Token):
		l.errorf("%v: %x is lost to its releaser, held by %+v", c.ID, c.Token, lock)
	}
}
