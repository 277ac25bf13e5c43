package cluster

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
	"github.com/syllecta/syllecta/snapshot"
)

// applier is raft's view of the state machine (raft.FSM). Raft calls it from one goroutine; reads come from any.
type applier struct {
	mu      sync.RWMutex
	machine *fsm.Machine
	digests digestLog
	metrics *metrics
	// pace slows the writing of a snapshot down; nil has it written at full speed.
	pace       func(raft.SnapshotSink) *pacedWriter
	compaction compaction

	directory atomic.Pointer[fsm.Directory]
	applied   broadcastIndex
	listing   atomic.Pointer[listing] // of the machine

	// eventsChanged holds a value when events or sources have changed; eventVersion is the machine's at the last look.
	eventsChanged chan struct{}
	eventVersion  uint64

	// onApply is told of every entry in log order, on raft's goroutine; onRestore of every jump to a snapshot.
	onApply   func(index, term uint64, e fsm.Entry, results []fsm.Result)
	onRestore func(index uint64)
	fatal     func(error)
	halted    bool
	// restoreErr says why a snapshot was refused, which raft does not pass on when it starts.
	restoreErr error
}

var errHalted = errors.New("this node has stopped applying")

func newApplier(m *metrics) *applier {
	a := &applier{machine: fsm.New(fsmConfig()), metrics: m, eventsChanged: make(chan struct{}, 1)}
	a.directory.Store(a.machine.Directory())
	a.applied.init()
	a.beginListing()
	return a
}

func fsmConfig() fsm.Config { return fsm.Config{HashSeed: maphash.MakeSeed()} }

// Apply implements raft.FSM. What a call is told travels through onApply, not through the return value, because it
// must arrive even when raft has given up on the call.
func (a *applier) Apply(log *raft.Log) any {
	if log.Type != raft.LogCommand {
		return nil
	}
	if a.halted {
		return errHalted
	}
	a.mu.Lock()
	start := time.Now()
	a.digests.before(log.Index, a.machine.Digest())
	e, results, err := a.machine.Apply(log.Index, log.Term, log.Data)
	took := time.Since(start)
	a.mu.Unlock()
	a.metrics.applySeconds.Observe(took.Seconds())
	if err != nil {
		a.halted = true
		if errors.Is(err, fsm.ErrUnsupported) {
			err = fmt.Errorf("%w; run a version of syllecta that knows it", err)
		}
		a.fatal(fmt.Errorf("stopped at an entry that cannot be applied: %w", err))
		return errHalted
	}
	a.directory.Store(a.machine.Directory())
	a.noteEvents()
	a.compaction.applied(log)
	a.applied.advance(log.Index) // before anyone is answered: a follower that catches up then must not miss it
	a.onApply(log.Index, log.Term, e, results)
	return nil
}

// Snapshot implements raft.FSM.
func (a *applier) Snapshot() (raft.FSMSnapshot, error) {
	if a.halted {
		return nil, errHalted
	}
	a.mu.Lock() // a backup may be captured at the same time
	start := time.Now()
	captured := a.machine.Snapshot()
	took := time.Since(start)
	a.mu.Unlock()
	a.metrics.captureSeconds.Observe(took.Seconds())
	return &persister{
		captured: captured, pace: a.pace, seconds: a.metrics.persistSeconds, persisted: a.compaction.mark(),
	}, nil
}

// beginListing has the cursors that were given out be good no longer.
func (a *applier) beginListing() {
	l := newListing()
	a.listing.Store(&l)
}

// Restore implements raft.FSM. The new state is complete and verified before it replaces the old.
func (a *applier) Restore(rc io.ReadCloser) error {
	a.restoreErr = a.restore(rc)
	return a.restoreErr
}

func (a *applier) restore(rc io.ReadCloser) error {
	defer rc.Close()
	counted := &countedReader{r: rc}
	r, err := snapshot.NewReader(counted)
	if err != nil {
		return fmt.Errorf("restore a snapshot: %w", err)
	}
	m, err := fsm.Restore(fsmConfig(), r)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.machine = m
	a.digests = digestLog{from: m.Index()}
	a.mu.Unlock()
	a.compaction.restored(counted.n)
	a.directory.Store(m.Directory())
	a.noteEvents()
	a.beginListing()
	a.onRestore(m.Index())
	a.applied.advance(m.Index())
	if counted.n > cheapSnapshot {
		debug.FreeOSMemory() // the state before, and what reading has left behind
	}
	return nil
}

// countedReader counts what is read.
type countedReader struct {
	r io.Reader
	n int64
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// read calls f with the machine while nothing is being applied.
func (a *applier) read(f func(*fsm.Machine)) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	f(a.machine)
}

// capture calls f with the machine while nothing else looks at it.
func (a *applier) capture(f func(*fsm.Machine)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(a.machine)
}

// noteEvents tells whoever delivers events that there is something to look at.
func (a *applier) noteEvents() {
	version := a.machine.EventVersion()
	if version == a.eventVersion {
		return
	}
	a.eventVersion = version
	select {
	case a.eventsChanged <- struct{}{}:
	default: // it has not looked since the last time
	}
}

func (a *applier) view(id fsm.RecordID) (v fsm.View, at Receipt, clockMs int64) {
	a.read(func(m *fsm.Machine) {
		v, at, clockMs = m.View(id), Receipt{m.Index(), m.Term()}, m.ClockMs()
	})
	return v, at, clockMs
}

// checkpoints returns the digests to compare with other nodes.
func (a *applier) checkpoints() []digestCheckpoint {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return slices.Clone(a.digests.checkpoints)
}

// viewWhileApplying is view for raft's own goroutine, within onApply: nothing else changes the state meanwhile.
func (a *applier) viewWhileApplying(id fsm.RecordID) fsm.View { return a.machine.View(id) }

// broadcastIndex is a number that only grows, and can be waited for.
type broadcastIndex struct {
	mu    sync.Mutex
	value uint64
	grown chan struct{} // closed and replaced when value grows
}

func (b *broadcastIndex) init() { b.grown = make(chan struct{}) }

func (b *broadcastIndex) get() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.value
}

func (b *broadcastIndex) advance(to uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if to > b.value {
		b.value = to
		close(b.grown)
		b.grown = make(chan struct{})
	}
}

// wait returns a channel that is closed when the value may have reached target; nil if it has.
func (b *broadcastIndex) wait(target uint64) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.value >= target {
		return nil
	}
	return b.grown
}
