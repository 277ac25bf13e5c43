package cluster

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"
)

const (
	// pacedBytes is how much of a snapshot is written at a time.
	pacedBytes = 2 << 20
	// pacedRest is for how many times as long as writing took the writer rests, and pacedRestMost the longest rest.
	pacedRest     = 9
	pacedRestMost = 100 * time.Millisecond
)

// pacedWriter writes a snapshot in the background of everything else. A node of millions of records writes gigabytes:
// at full speed they would take a processor from those who wait for an answer, and fill the page cache with what the
// kernel, once it writes it out, puts before the next fsync of the log (ext4 in its ordered mode does). So each piece is
// sent to the disk at once, and after each the writer rests.
type pacedWriter struct {
	dst   io.Writer
	file  *os.File // what dst writes to; nil if that is no file
	ctx   context.Context
	hurry func() bool // reports whether others wait for the snapshot; nil if never
	begun time.Time   // when the piece at hand was begun
	piece int64       // bytes of it
	done  int64       // bytes before it
}

// paceSnapshot returns a writer into a sink of the store. It does not rest while hurry says so, and fails once ctx has ended.
func (s *snapshotStore) paceSnapshot(ctx context.Context, hurry func() bool, sink raft.SnapshotSink) *pacedWriter {
	w := &pacedWriter{dst: sink, ctx: ctx, hurry: hurry, begun: time.Now()}
	if s.dir != "" {
		// Without the file the kernel chooses when to write out, which is slower for others, and as right.
		w.file, _ = os.Open(filepath.Join(s.dir, sink.ID()+".tmp", "state.bin")) // as raft.FileSnapshotStore has it
	}
	return w
}

// Write implements io.Writer.
func (w *pacedWriter) Write(p []byte) (int, error) {
	n, err := w.dst.Write(p)
	w.piece += int64(n)
	if err != nil || w.piece < pacedBytes {
		return n, err
	}
	return n, w.rest()
}

// rest sends the piece to the disk, and pauses.
func (w *pacedWriter) rest() error {
	if w.file != nil {
		// It makes nothing durable, closing the sink does; so an error is not one of the snapshot.
		_ = unix.SyncFileRange(int(w.file.Fd()), w.done, w.piece,
			unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
	}
	w.done, w.piece = w.done+w.piece, 0
	if w.hurry != nil && w.hurry() {
		w.begun = time.Now()
		return w.ctx.Err()
	}
	pause := time.NewTimer(min(pacedRest*time.Since(w.begun), pacedRestMost))
	defer pause.Stop()
	select {
	case <-pause.C:
		w.begun = time.Now()
		return nil
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
}

// close gives up what the writer holds, and returns how much it has written.
func (w *pacedWriter) close() int64 {
	if w.file != nil {
		_ = w.file.Close() // it was only read from
	}
	return w.done + w.piece
}
