package cluster

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

// deadlineSlices is into how many timers a deadline is cut. A process that stands still, frozen or with its whole
// machine, loses one slice at most, however long that takes: only time in which it ran counts against the disk.
const deadlineSlices = 10

// storeGuard watches the calls to a store. A call that fails or takes longer than the deadline, by up to one slice, is
// reported as fatal: a failed bolt commit may be on disk all the same, and raft keeps a leader whose disk hangs for ever.
type storeGuard struct {
	deadline time.Duration
	fatal    func(error)
	observe  func(time.Duration) // of a write
	makeRoom func()              // when a write finds no space; nil if there is nothing to be done about it

	mu      sync.Mutex
	running []watchedCall // a call has the place that begin gave it until it ends
	timer   *time.Timer   // of all calls; made by the first
	armed   bool
}

// watchedCall is a call to a store that has begun, or a free place.
type watchedCall struct {
	what   string // "" is a free place
	slices int    // of the deadline that are left
}

// begin has a call watched until it is told to end.
func (g *storeGuard) begin(what string) (place int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	call := watchedCall{what, deadlineSlices}
	if g.armed {
		call.slices++ // the one that has begun already does not count
	}
	if place = slices.Index(g.running, watchedCall{}); place >= 0 {
		g.running[place] = call
	} else {
		place = len(g.running)
		g.running = append(g.running, call)
	}
	if g.armed {
		return place
	}
	g.armed = true
	if g.timer == nil {
		g.timer = time.AfterFunc(g.deadline/deadlineSlices, g.tick)
	} else {
		g.timer.Reset(g.deadline / deadlineSlices)
	}
	return place
}

// end returns err, which a call has ended with, after it was reported.
func (g *storeGuard) end(place int, err error) error {
	g.mu.Lock()
	what := g.running[place].what
	g.running[place] = watchedCall{}
	g.mu.Unlock()
	if err != nil {
		g.fatal(fmt.Errorf("the log store failed to %s, so whether it did is unknown: %w", what, err))
	}
	return err
}

// tick is the end of a slice. While no call runs there is none.
func (g *storeGuard) tick() {
	g.mu.Lock()
	g.armed = false
	var hung string
	for i := range g.running {
		call := &g.running[i]
		if call.what == "" {
			continue
		}
		g.armed = true
		if call.slices--; call.slices == 0 {
			hung = call.what
		}
	}
	if g.armed {
		g.timer.Reset(g.deadline / deadlineSlices)
	}
	g.mu.Unlock()
	if hung != "" {
		g.fatal(fmt.Errorf("the log store has not finished to %s within %s: the disk hangs, so whether it will is unknown",
			hung, g.deadline))
	}
}

// write watches a write. One that finds no space is tried once more after room was made, the only error of a store
// that does not mean "unknown". A bbolt commit writes its pages to places that the last commit does not use, flushes
// them, overwrites one of two meta pages in place, and flushes that; nothing of it can be seen before the meta page.
//   - A page for which there is no space fails in write(2), and isFull recognises that alone. The meta pages have had
//     theirs since the file was made; where a file system copies even those, one that was not taken is the old one.
//   - So nothing became visible. bbolt rolls back: the list of free pages is made anew from the last commit, the one on
//     disk, and the handle goes on from there. The next try writes all of its pages again, wherever they are free, and
//     has its own flushes: nothing of the first try is relied on.
//   - What is written is entries at indexes, keys with values, or indexes removed: twice is once.
//
// A flush that fails is another matter. The meta page of that commit may be visible but not on disk, and bbolt would
// reuse pages that the one on disk still needs. That stays unknown, and fatal.
func (g *storeGuard) write(what string, do func() error) error {
	call := g.begin(what)
	err := do()
	if isFull(err) && g.makeRoom != nil {
		g.makeRoom()
		err = do()
	}
	return g.end(call, err)
}

// guardedLogs is a raft.LogStore under a storeGuard that also checks what it reads back.
type guardedLogs struct {
	*storeGuard
	logs raft.LogStore
}

func (s *guardedLogs) FirstIndex() (uint64, error) {
	call := s.begin("read its first index")
	index, err := s.logs.FirstIndex()
	return index, s.end(call, err)
}

func (s *guardedLogs) LastIndex() (uint64, error) {
	call := s.begin("read its last index")
	index, err := s.logs.LastIndex()
	return index, s.end(call, err)
}

// GetLog reads an entry and verifies it: the store itself keeps no checksum.
func (s *guardedLogs) GetLog(index uint64, log *raft.Log) error {
	call := s.begin("read an entry")
	err := s.logs.GetLog(index, log)
	if errors.Is(err, raft.ErrLogNotFound) {
		_ = s.end(call, nil)
		return err
	}
	if err == nil {
		err = unseal(index, log)
	}
	if err == nil && log.Type == raft.LogCommand {
		if err = fsm.VerifyEntry(log.Data); errors.Is(err, fsm.ErrUnsupported) {
			err = nil // whole, but from a newer version: the state machine says so when it is to be applied
		}
	}
	if err != nil {
		err = fmt.Errorf("log entry %d: %w", index, err)
	}
	return s.end(call, err)
}

func (s *guardedLogs) StoreLog(log *raft.Log) error { return s.StoreLogs([]*raft.Log{log}) }

func (s *guardedLogs) StoreLogs(logs []*raft.Log) error {
	sealed := sealAll(logs)
	start := time.Now()
	err := s.write("write entries", func() error { return s.logs.StoreLogs(sealed) })
	s.observe(time.Since(start))
	return err
}

func (s *guardedLogs) DeleteRange(lo, hi uint64) error {
	if p, ok := s.logs.(piecemeal); ok {
		return s.deletePiecemeal(lo, hi, p.deletedAtOnce())
	}
	return s.delete(lo, hi)
}

func (s *guardedLogs) delete(lo, hi uint64) error {
	return s.write("delete entries", func() error { return s.logs.DeleteRange(lo, hi) })
}

// guardedStable is a raft.StableStore under a storeGuard.
type guardedStable struct {
	*storeGuard
	stable raft.StableStore
}

func (s *guardedStable) Set(key, value []byte) error {
	return s.write("write raft's state", func() error { return s.stable.Set(key, value) })
}

func (s *guardedStable) Get(key []byte) ([]byte, error) {
	call := s.begin("read raft's state")
	value, err := s.stable.Get(key)
	if absent(err) {
		_ = s.end(call, nil)
		return value, err
	}
	return value, s.end(call, err)
}

func (s *guardedStable) SetUint64(key []byte, value uint64) error {
	return s.write("write raft's state", func() error { return s.stable.SetUint64(key, value) })
}

func (s *guardedStable) GetUint64(key []byte) (uint64, error) {
	call := s.begin("read raft's state")
	value, err := s.stable.GetUint64(key)
	if absent(err) {
		_ = s.end(call, nil)
		return value, err
	}
	return value, s.end(call, err)
}
