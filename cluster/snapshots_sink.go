package cluster

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
	"github.com/syllecta/syllecta/snapshot"
)

// raftSectionRoom is how much of a snapshot is looked at to find sectionRaft, which comes first and lists the members.
const raftSectionRoom = 64 << 10

// snapshotSink writes a snapshot that tells itself what it is of. What it gets comes from this node's state machine
// (persister), from the leader, which sends its own as it is, or from an operator (backupReader).
type snapshotSink struct {
	raft.SnapshotSink
	meta     raftMeta
	restored *restoredState
	backup   *backupReader // where the content comes from; nil if from elsewhere
}

// begin writes what comes first in every snapshot of this node's own to dst, which leads into the sink.
func (s *snapshotSink) begin(dst io.Writer) (*snapshot.Writer, error) {
	w, err := snapshot.NewWriter(dst)
	if err != nil {
		return nil, err
	}
	meta, err := json.Marshal(s.meta)
	if err != nil {
		return nil, err
	}
	if err := w.Begin(sectionRaft, sectionRaftVersion); err != nil {
		return nil, err
	}
	return w, w.Append(meta)
}

// ReadFrom implements io.ReaderFrom, through which raft fills a sink that the state machine does not. It returns how
// many bytes it read.
func (s *snapshotSink) ReadFrom(r io.Reader) (int64, error) {
	if b, ok := r.(*backupReader); ok {
		return s.rebase(b)
	}
	return s.receive(r)
}

// rebase writes a backup as a snapshot of this cluster.
func (s *snapshotSink) rebase(b *backupReader) (int64, error) {
	s.backup, s.meta.Restored = b, true
	r, err := snapshot.NewReader(b)
	if err != nil {
		return b.read, err
	}
	w, err := s.begin(s.SnapshotSink)
	if err != nil {
		return b.read, err
	}
	if _, err := fsm.Rebase(w, r, b.to, s.meta.Index, s.meta.Term); err != nil {
		return b.read, fmt.Errorf("rewrite a backup: %w", err)
	}
	return b.read, w.Close()
}

// receive copies a snapshot that the leader sends.
func (s *snapshotSink) receive(r io.Reader) (int64, error) {
	buffered := bufio.NewReaderSize(r, raftSectionRoom)
	head, err := buffered.Peek(raftSectionRoom)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	sr, err := snapshot.NewReader(bytes.NewReader(head))
	if err != nil {
		return 0, fmt.Errorf("receive a snapshot: %w", err)
	}
	meta, err := readRaftSection(sr)
	if err != nil {
		return 0, fmt.Errorf("receive a snapshot: %w", err)
	}
	s.meta.Restored = meta.Restored
	return io.Copy(struct{ io.Writer }{s.SnapshotSink}, buffered)
}

// Close makes the snapshot the newest.
func (s *snapshotSink) Close() error {
	if err := s.SnapshotSink.Close(); err != nil {
		return err
	}
	s.restored.note(s.meta)
	if s.backup != nil {
		s.backup.installed.Store(true)
	}
	return nil
}
