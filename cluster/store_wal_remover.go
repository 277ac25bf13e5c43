package cluster

import (
	"log/slog"
	"os"
	"sync"
	"time"
)

// removalPause is the time between two segments that are removed. A file system commits to its journal what it gets back,
// and may tell the disk of it, too, while flushes wait: a snapshot frees dozens of segments at once.
const removalPause = 100 * time.Millisecond

// segmentRemover removes the segments that are no part of the log any more, one after the other, in the background,
// because raft-wal has its writes wait meanwhile. What is still there at the next start is removed then,
// before anything is written.
type segmentRemover struct {
	log *slog.Logger

	mu      sync.Mutex
	paths   []string
	stopped chan struct{} // closed by close; nil until something was to be removed
	closed  bool
	task    sync.WaitGroup
}

// remove has a file removed.
func (r *segmentRemover) remove(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.paths = append(r.paths, path)
	if len(r.paths) > 1 {
		return
	}
	if r.stopped == nil {
		r.stopped = make(chan struct{})
	}
	r.task.Go(r.run)
}

// run removes until nothing is left.
func (r *segmentRemover) run() {
	for path := r.first(); path != ""; path = r.done() {
		if err := os.Remove(path); err != nil {
			r.log.Warn("cannot remove a segment of the log that is not needed any more", "error", err)
		}
		select {
		case <-time.After(removalPause):
		case <-r.stopped:
			return
		}
	}
}

func (r *segmentRemover) first() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.paths[0]
}

// done takes the file that was removed off the list, and returns the next one, or "".
func (r *segmentRemover) done() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.paths = r.paths[1:]; len(r.paths) == 0 {
		r.paths = nil
		return ""
	}
	return r.paths[0]
}

// close leaves the rest for the next start.
func (r *segmentRemover) close() {
	r.mu.Lock()
	if !r.closed && r.stopped != nil {
		close(r.stopped)
	}
	r.closed = true
	r.mu.Unlock()
	r.task.Wait()
}
