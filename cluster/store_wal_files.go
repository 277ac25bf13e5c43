package cluster

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
	"golang.org/x/sys/unix"
)

// walReserveBytes is how much space is reserved at a time for a segment to grow into.
const walReserveBytes = 1 << 20

// roomForWrites has a write that finds no space done once more, after room was made.
type roomForWrites struct{ make func() }

// write does something that may be repeated after the errors that again says.
func (r *roomForWrites) write(again func(error) bool, do func() error) error {
	err := do()
	if err != nil && r.make != nil && again(err) {
		r.make()
		err = do()
	}
	return err
}

// walFiles are the segments' files. It implements types.VFS in the place of raft-wal's own, which allocates all of a
// segment when it makes it, in one step that cannot be repeated, and lets everybody read it.
type walFiles struct {
	room     *roomForWrites
	readOnly bool
	ends     map[string]int64 // of what is whole in files that are not to be mended, by path
	remover  segmentRemover
	opened   atomic.Bool // raft-wal has opened the log
}

// ListDir implements types.VFS.
func (*walFiles) ListDir(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// Create implements types.VFS. The file was made when the segment became part of the log, see walMeta.CommitState.
func (w *walFiles) Create(dir, name string, _ uint64) (types.WritableFile, error) {
	return w.OpenWriter(dir, name)
}

// Delete implements types.VFS. The file is no part of the log any more. What raft-wal deletes when it opens the log may
// be what was made when a crash came, before the segment's id was used up: a new segment may get the same name, so it is
// gone before anything is written. Later the ids have been used up.
func (w *walFiles) Delete(dir, name string) error {
	path := filepath.Join(dir, name)
	switch {
	case w.readOnly:
		return nil
	case !w.opened.Load():
		return os.Remove(path)
	}
	w.remover.remove(path)
	return nil
}

// OpenReader implements types.VFS.
func (*walFiles) OpenReader(dir, name string) (types.ReadableFile, error) {
	return os.Open(filepath.Join(dir, name))
}

// OpenWriter implements types.VFS.
func (w *walFiles) OpenWriter(dir, name string) (types.WritableFile, error) {
	path := filepath.Join(dir, name)
	if w.readOnly {
		return openUnchanged(path, w.ends[path])
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	stat, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	file := &walFile{File: f, room: w.room}
	if err := file.zeros.open(path, stat.Size()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return file, nil
}

// walFile is a segment that is written to.
type walFile struct {
	*os.File
	room     *roomForWrites
	zeros    zerosAhead
	reserved int64 // up to where there is space for sure, if there are no zeros
}

// WriteAt implements io.WriterAt. It may be repeated after any error: the same bytes go to the same place. What fails for
// want of space has not been flushed, so it was never relied on.
func (f *walFile) WriteAt(p []byte, at int64) (n int, err error) {
	to := at + int64(len(p))
	err = f.room.write(outOfSpace, func() error {
		return f.zeros.write(to, func(allocated bool) error {
			if !allocated {
				if err := f.reserve(at, to); err != nil {
					return err
				}
			}
			n, err = f.File.WriteAt(p, at)
			return err
		})
	})
	return n, err
}

// Close implements io.Closer.
func (f *walFile) Close() error {
	return errors.Join(f.zeros.close(), f.File.Close())
}

// reserve finds space for a write, and for those that will follow if there is so much.
func (f *walFile) reserve(from, to int64) error {
	if to <= f.reserved {
		return nil
	}
	ahead := min((to+walReserveBytes-1)/walReserveBytes*walReserveBytes, f.zeros.full)
	err := f.allocate(from, max(to, ahead))
	if outOfSpace(err) {
		err = f.allocate(from, to)
	}
	return err
}

func (f *walFile) allocate(from, to int64) error {
	switch err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, from, to-from); {
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS): // then the writes find the space, or do not
	case err != nil:
		return &fs.PathError{Op: "allocate", Path: f.Name(), Err: err}
	}
	f.reserved = to
	return nil
}

// Sync implements types.WritableFile. The file's name and size are on disk since it was made.
func (f *walFile) Sync() error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync "+f.Name(), err)
		}
	}
}

// unchangedFile is a segment that could be written to, and is only read: up to where it is whole.
type unchangedFile struct {
	*io.SectionReader
	io.Closer
}

func openUnchanged(path string, end int64) (types.WritableFile, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && end == 0 { // it would have been made
		return &unchangedFile{io.NewSectionReader(nil, 0, 0), io.NopCloser(nil)}, nil
	}
	if err != nil {
		return nil, err
	}
	return &unchangedFile{io.NewSectionReader(f, 0, end), f}, nil
}

var errReadOnly = errors.New("the log is open for reading only")

// WriteAt implements io.WriterAt.
func (*unchangedFile) WriteAt([]byte, int64) (int, error) { return 0, errReadOnly }

// Sync implements types.WritableFile.
func (*unchangedFile) Sync() error { return errReadOnly }

// walFiler is a types.SegmentFiler that says which file an error is of, and mends one of raft-wal's.
type walFiler struct {
	*segment.Filer
	rotation *rotation
}

// Create implements types.SegmentFiler.
func (f *walFiler) Create(info types.SegmentInfo) (types.SegmentWriter, error) {
	return f.watch(info)(f.Filer.Create(info))
}

// RecoverTail implements types.SegmentFiler.
func (f *walFiler) RecoverTail(info types.SegmentInfo) (types.SegmentWriter, error) {
	return f.watch(info)(f.Filer.RecoverTail(info))
}

func (f *walFiler) watch(info types.SegmentInfo) func(types.SegmentWriter, error) (types.SegmentWriter, error) {
	return func(w types.SegmentWriter, err error) (types.SegmentWriter, error) {
		if err != nil {
			return nil, ofSegment(info, err)
		}
		return &watchedWriter{w, f.rotation}, nil
	}
}

// Open implements types.SegmentFiler. A segment whose last entries were overruled while it was still written to has no
// index (raft-wal 0.4.0 starts a new one and leaves it as it is), and could not be read again: where its entries are is
// found out as for one that is still written to.
func (f *walFiler) Open(info types.SegmentInfo) (types.SegmentReader, error) {
	if info.IndexStart == 0 {
		return f.RecoverTail(info)
	}
	r, err := f.Filer.Open(info)
	return r, ofSegment(info, err)
}

func ofSegment(info types.SegmentInfo, err error) error {
	if err != nil {
		return fmt.Errorf("segment %s: %w", segment.FileName(info), err)
	}
	return nil
}
