package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"
)

const (
	ballastFile = "ballast"
	// maxBallastBytes and ballastShare, a part of the file system, bound the size of a ballast.
	maxBallastBytes = 64 << 20
	ballastShare    = 50
	// ballastReleaseShare: a ballast is given up when less than this part of its size is free besides it.
	ballastReleaseShare = 4
	// ballastPause is how long a ballast that was given up, or could not be reserved, is not tried again.
	ballastPause = 10 * time.Second
)

// ballast is space set aside for the moment when there is no other: completes, votes and terms must still be written
// when claims are refused already. It is given up when the disk is full, and taken again when that is over.
type ballast struct {
	path string
	log  *slog.Logger

	held  atomic.Int64 // bytes; 0 without
	short atomic.Bool  // a write failed for want of space, and the ballast has not been regained since

	mu      sync.Mutex // held while the file is made or removed
	notYet  time.Time  // before this it is not reserved
	refused string     // why it could not be reserved the last time
}

// openBallast takes over what an earlier process left: a whole ballast is kept, a part of one removed.
func openBallast(dir string, log *slog.Logger) (*ballast, error) {
	b := &ballast{path: filepath.Join(dir, ballastFile), log: log}
	var s unix.Stat_t
	err := unix.Stat(b.path, &s)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.path, err)
	}
	const statBlock = 512 // bytes, whatever the file system's own
	if allocated := s.Blocks * statBlock; s.Size > 0 && allocated >= s.Size {
		b.held.Store(s.Size)
		return b, nil
	}
	if err := os.Remove(b.path); err != nil {
		return nil, fmt.Errorf("remove an unfinished ballast: %w", err)
	}
	return b, nil
}

// ballastSize is how much a file system of that size affords.
func ballastSize(total int64) int64 { return min(maxBallastBytes, total/ballastShare) }

// tend gives the ballast up or takes it again, by how much space there is. Between the two lies enough for neither to
// cause the other, and a ballast is never what brings free space near the floor.
func (b *ballast) tend(now time.Time, free, total, floor int64) {
	size := ballastSize(total)
	switch held := b.held.Load(); {
	case size == 0:
		b.short.Store(false)
	case held > 0 && free < held/ballastReleaseShare:
		b.release("almost no space is free")
	case held == 0 && free >= min(floor, total/smallDiskShare)+2*size:
		b.reserve(now, size)
	case held == 0:
		b.mu.Lock()
		defer b.mu.Unlock()
		b.cannot(fmt.Sprintf("only %d bytes are free", free))
	}
}

// reserve makes the file, unless that failed a moment ago.
func (b *ballast) reserve(now time.Time, size int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Before(b.notYet) {
		return
	}
	if err := b.make(size); err != nil {
		b.notYet = now.Add(ballastPause)
		b.cannot(err.Error())
		if !outOfSpace(err) { // not a quota that statfs(2) does not know of: there is space, but no way to reserve it
			b.short.Store(false)
		}
		return
	}
	b.held.Store(size)
	b.short.Store(false)
	b.refused = ""
	b.log.Info("reserved disk space to fall back on", "bytes", size)
}

// cannot notes why there is no ballast, and logs it when it is news.
func (b *ballast) cannot(reason string) {
	if b.refused == "" {
		b.log.Warn("no disk space is reserved to fall back on", "reason", reason)
	}
	b.refused = reason
}

func (b *ballast) make(size int64) error {
	f, err := os.OpenFile(b.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, size), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("allocate %d bytes: %w", size, err), os.Remove(b.path))
	}
	return nil
}

// release gives the space back to the file system.
func (b *ballast) release(reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	size := b.held.Load()
	if size == 0 {
		return
	}
	err := os.Remove(b.path)
	if err == nil {
		err = syncDir(filepath.Dir(b.path)) // journalling file systems free the blocks no earlier
	}
	if err != nil {
		b.log.Error("cannot give up the reserved disk space", "error", err)
		return
	}
	b.held.Store(0)
	b.notYet, b.refused = time.Now().Add(ballastPause), reason
	b.log.Warn("gave up the reserved disk space: claims are refused, completes go on", "bytes", size, "reason", reason)
}

// makeRoom is what a store does whose write found no space.
func (b *ballast) makeRoom() {
	b.short.Store(true)
	b.release("a write found no space")
}

// spent reports whether the ballast was given up to a write, and not regained: what is free then is for the log alone.
func (b *ballast) spent() bool { return b.short.Load() }

var errNoRoom = errors.New("what little disk space is left is kept for the log")

// frugalSnapshots is a raft.SnapshotStore that leaves the last space to the log: a snapshot that does not fit must
// neither eat up what the ballast gave, nor stay behind in parts.
type frugalSnapshots struct {
	raft.SnapshotStore
	dir     string // of the snapshots
	ballast *ballast
}

// leaveRoom has no snapshots written once the ballast is spent.
func (s *snapshotStore) leaveRoom(b *ballast) {
	s.SnapshotStore = &frugalSnapshots{s.SnapshotStore, s.dir, b}
}

// Create implements raft.SnapshotStore.
func (s *frugalSnapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	if s.ballast.spent() {
		return nil, errNoRoom
	}
	sink, err := s.SnapshotStore.Create(version, index, term, configuration, configurationIndex, trans)
	if err != nil {
		return nil, errors.Join(err, s.remove(fmt.Sprintf("%d-%d-*", term, index)))
	}
	return &frugalSink{sink, s}, nil
}

// remove takes the unfinished snapshots of that name away, and their space at once: raft may keep their files open.
func (s *frugalSnapshots) remove(pattern string) error {
	unfinished, err := filepath.Glob(filepath.Join(s.dir, pattern+".tmp"))
	for _, path := range unfinished {
		_ = os.Truncate(filepath.Join(path, "state.bin"), 0) // may not exist, and is removed anyway
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

type frugalSink struct {
	raft.SnapshotSink
	store *frugalSnapshots
}

// Write implements raft.SnapshotSink.
func (s *frugalSink) Write(p []byte) (int, error) {
	if s.store.ballast.spent() {
		return 0, errNoRoom
	}
	return s.SnapshotSink.Write(p)
}

// Close implements raft.SnapshotSink.
func (s *frugalSink) Close() error { return s.orRemove(s.SnapshotSink.Close()) }

// Cancel implements raft.SnapshotSink.
func (s *frugalSink) Cancel() error { return s.orRemove(s.SnapshotSink.Cancel()) }

// orRemove removes what raft's own sink leaves in place if its last bytes cannot be written.
func (s *frugalSink) orRemove(err error) error {
	if err == nil {
		return nil
	}
	return errors.Join(err, s.store.remove(s.ID()))
}

// outOfSpace reports whether there was no space, or none within the quota.
func outOfSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// isFull reports whether a write failed for want of space in a way that it may be repeated, see storeGuard.write: what
// write(2) says of itself counts, what fsync(2) says does not.
func isFull(err error) bool {
	var failed *fs.PathError
	return errors.As(err, &failed) && failed.Op == "write" && outOfSpace(failed)
}
