package cluster

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/raft"
)

// A snapshot is read this far ahead of whoever decodes it. Starting with a large state is reading it twice: the disk and
// the checksum that raft keeps beside it then cost the time of one processor, decoding that of another.
const (
	readAheadBytes  = 1 << 20
	readAheadBlocks = 4
)

// aheadReader reads from another reader on a goroutine of its own, which Close stops and waits for.
type aheadReader struct {
	filled chan []byte // closed behind the last one
	spare  chan []byte
	done   chan struct{} // closed by the first Close
	close  sync.Once
	err    error  // of the source; to be read once filled is closed
	block  []byte // to be given back to spare
	unread []byte // of block
}

func readAhead(r io.Reader) *aheadReader {
	a := &aheadReader{
		filled: make(chan []byte, readAheadBlocks),
		spare:  make(chan []byte, readAheadBlocks),
		done:   make(chan struct{}),
	}
	for range readAheadBlocks {
		a.spare <- make([]byte, readAheadBytes)
	}
	go a.run(r)
	return a
}

func (a *aheadReader) run(r io.Reader) {
	defer close(a.filled)
	for {
		select {
		case block := <-a.spare:
			n, err := io.ReadFull(r, block[:readAheadBytes])
			a.filled <- block[:n] // there is room for all blocks
			if err != nil {
				a.err = err
				return
			}
		case <-a.done:
			return
		}
	}
}

// Read implements io.Reader.
func (a *aheadReader) Read(p []byte) (int, error) {
	for len(a.unread) == 0 {
		if a.block != nil {
			a.spare <- a.block
		}
		block, ok := <-a.filled
		if !ok {
			a.block = nil
			return 0, a.failure()
		}
		a.block, a.unread = block, block
	}
	n := copy(p, a.unread)
	a.unread = a.unread[n:]
	return n, nil
}

func (a *aheadReader) failure() error {
	switch a.err {
	case nil:
		return io.ErrClosedPipe
	case io.ErrUnexpectedEOF:
		return io.EOF
	default:
		return a.err
	}
}

// Close ends the reading. It must not be called beside Read; the source may be closed afterwards.
func (a *aheadReader) Close() error {
	a.close.Do(func() { close(a.done) })
	for range a.filled { // until the goroutine has ended
	}
	return nil
}

// snapshotFile is the content of a snapshot, read ahead.
type snapshotFile struct {
	*aheadReader
	file *os.File
}

func (f *snapshotFile) Close() error {
	_ = f.aheadReader.Close() // it has no error
	return f.file.Close()
}

// Open implements raft.SnapshotStore. Raft's own store verifies a checksum over the whole file first. That of the
// snapshot which a node starts from has just been verified, and its content verifies itself again while it is restored.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	if verified := s.verified.Swap(nil); verified == nil || *verified != id {
		return s.SnapshotStore.Open(id)
	}
	all, err := s.SnapshotStore.List()
	if err != nil {
		return nil, nil, fmt.Errorf("open a snapshot: %w", err)
	}
	for _, meta := range all {
		if meta.ID != id {
			continue
		}
		file, err := os.Open(filepath.Join(s.dir, id, "state.bin"))
		if err != nil {
			return nil, nil, fmt.Errorf("open a snapshot: %w", err)
		}
		return meta, &snapshotFile{readAhead(file), file}, nil
	}
	return nil, nil, fmt.Errorf("open a snapshot: %s is not there", id)
}
