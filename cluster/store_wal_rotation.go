package cluster

import (
	"sync"

	"github.com/hashicorp/raft-wal/types"
)

// rotation is the change to the next segment, which raft-wal makes behind the write that has filled one. What is written
// waits for it there, but what is deleted (in 0.4.0) does not: done in between, it would have the wrong segment sealed.
type rotation struct {
	mu  sync.Mutex
	due chan struct{} // closed when it has begun; nil if none is due
}

// fall has it due.
func (r *rotation) fall() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.due == nil {
		r.due = make(chan struct{})
	}
}

// begin says that it has begun, or never will. Raft-wal is locked from then on until it is done.
func (r *rotation) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.due != nil {
		close(r.due)
		r.due = nil
	}
}

// wait returns when it has begun, if it is due.
func (r *rotation) wait() {
	r.mu.Lock()
	due := r.due
	r.mu.Unlock()
	if due != nil {
		<-due
	}
}

// watchedWriter is a segment that says when it is full.
type watchedWriter struct {
	types.SegmentWriter
	rotation *rotation
}

// Sealed implements types.SegmentWriter. raft-wal asks after each write.
func (w *watchedWriter) Sealed() (full bool, index uint64, err error) {
	full, index, err = w.SegmentWriter.Sealed()
	if full && err == nil {
		w.rotation.fall()
	}
	return full, index, err
}
