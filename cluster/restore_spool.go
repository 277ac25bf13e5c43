package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/syllecta/syllecta/fsm"
)

const (
	// spoolPattern names the files in which uploads are kept until they are verified. What a crash leaves behind is
	// removed when the node starts.
	spoolPattern = "restore-*.tmp"
	// spoolChunk is how much is written between two looks at the free space.
	spoolChunk = 4 << 20
)

// spool is an upload on disk, which nobody else writes.
type spool struct {
	file *os.File
	size int64
}

// spoolBackup keeps what r brings. There must be room for as much again, for the snapshot that is made of it.
func (n *Node) spoolBackup(ctx context.Context, r io.Reader) (*spool, error) {
	f, err := os.CreateTemp(n.cfg.DataDir, spoolPattern) // mode 0600
	if err != nil {
		return nil, fmt.Errorf("keep a backup until it is verified: %w", err)
	}
	s := &spool{file: f}
	if err := s.fill(ctx, r, n.room); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

// fill writes what r brings, as long as there is room for a number of bytes more.
func (s *spool) fill(ctx context.Context, r io.Reader, room func(int64) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := room(spoolChunk + s.size); err != nil {
			return fmt.Errorf("a backup of more than %d bytes, and the state made of it: %w", s.size, err)
		}
		written, err := io.CopyN(s.file, r, spoolChunk)
		s.size += written
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("keep a backup until it is verified: %w", err)
		}
	}
}

// room fails if so many bytes more in the data directory would leave less than the floor.
func (n *Node) room(bytes int64) error { return roomIn(n.cfg.DataDir, bytes, n.cfg.DiskFreeFloor) }

func roomIn(dir string, bytes, floor int64) error {
	free, total, err := diskSpace(dir)
	if err != nil {
		return err
	}
	if belowFloor(free-bytes, total, floor) {
		return fmt.Errorf("%w: %d bytes are free in %s", ErrStorageFull, free, dir)
	}
	return nil
}

// rewound returns the file, to be read from its beginning.
func (s *spool) rewound() (io.Reader, error) {
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read the backup again: %w", err)
	}
	return s.file, nil
}

// reader returns what raft is to restore from.
func (s *spool) reader(to fsm.Identity) (*backupReader, error) {
	r, err := s.rewound()
	return &backupReader{r: r, to: to}, err
}

// remove deletes the file. A failure costs disk space until the next start, which tries again.
func (s *spool) remove() {
	_ = s.file.Close()
	_ = os.Remove(s.file.Name())
}

// backupReader is a verified backup on its way into raft, which hands it to our own snapshotSink.
type backupReader struct {
	r         io.Reader
	to        fsm.Identity
	read      int64
	installed atomic.Bool // it has become the newest snapshot
}

func (b *backupReader) Read(p []byte) (int, error) {
	k, err := b.r.Read(p)
	b.read += int64(k)
	return k, err
}
