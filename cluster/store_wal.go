package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/segment"
)

const (
	// maxWALGap is how many indexes may be missing between two entries. Behind a larger gap, what lies before is dropped:
	// a node that is so far behind has nothing in its log that a majority has not had without it.
	maxWALGap = 1 << 16
	// walGapType is the type, none of raft's, of what stands where an index is missing.
	walGapType raft.LogType = 0xff
)

// walSegmentBytes is when a segment is full. What is compacted away frees whole segments only. Tests, which open logs by
// the hundred, and read each to its end, have smaller ones.
var walSegmentBytes = 32 << 20

// walStore is a log and stable store on raft-wal. Beyond what that does:
//   - Its last segment is verified when it is opened, and mended if a crash has torn its last write (walCheck).
//   - A write that finds no space is repeated where that is safe: in a file, not in the log, for raft-wal counts entries
//     that it could not write (walFile, walMeta).
//   - Indexes may be missing. raft-wal's log is contiguous, and raft would empty it whenever it puts a snapshot behind it;
//     but what lies before a restored snapshot is the way back (keptLogs). So this is no raft.MonotonicLogStore: an entry
//     of walGapType stands for each index that is missing, and is not found; and what is deleted within the log is noted
//     (walRecord.Missing).
type walStore struct {
	*wal.WAL
	meta  *walMeta
	files *walFiles
}

// walOptions say how to open one.
type walOptions struct {
	log          *slog.Logger
	readOnly     bool
	segmentBytes int // 0 is walSegmentBytes
}

// openWAL opens the log in a directory of its own.
func openWAL(path string, o walOptions) (s *walStore, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("open %s: %w", path, err)
		}
	}()
	room := &roomForWrites{}
	meta, err := openWALMeta(path, o.readOnly, room)
	if err != nil {
		return nil, err
	}
	if s, err = openSegments(path, meta, room, o); err != nil {
		return nil, errors.Join(err, meta.Close())
	}
	return s, nil
}

// makeWAL makes an empty log unless there is one. It is there whole, or not at all.
func makeWAL(path string, o walOptions) error {
	if there, err := exists(path); err != nil || there {
		return err
	}
	if err := buildWAL(path+convertedSuffix, o); err != nil {
		return err
	}
	return errors.Join(os.Rename(path+convertedSuffix, path), syncDir(filepath.Dir(path)))
}

// buildWAL makes an empty log in the place of whatever is there.
func buildWAL(path string, o walOptions) error {
	if err := errors.Join(os.RemoveAll(path), os.Mkdir(path, 0o700), makeWALMeta(path)); err != nil {
		return err
	}
	s, err := openWAL(path, o)
	if err != nil {
		return err
	}
	return s.Close()
}

func openSegments(path string, meta *walMeta, room *roomForWrites, o walOptions) (s *walStore, err error) {
	defer refuseDamage(&err)()
	files := &walFiles{room: room, readOnly: o.readOnly, ends: make(map[string]int64), remover: segmentRemover{log: o.log}}
	if err := (&walCheck{path, meta, files, o.log}).run(); err != nil {
		return nil, err
	}
	bytes := o.segmentBytes
	if bytes == 0 {
		bytes = walSegmentBytes
	}
	w, err := wal.Open(path, wal.WithMetaStore(meta), wal.WithSegmentFiler(&walFiler{segment.NewFiler(path, files), &meta.rotation}),
		wal.WithSegmentSize(bytes), wal.WithLogger(raftLogger(o.log).Named("wal")))
	if err != nil {
		return nil, err
	}
	files.opened.Store(true)
	return &walStore{w, meta, files}, nil
}

// IsMonotonic implements raft.MonotonicLogStore: this is none, although what it stands on is one.
func (s *walStore) IsMonotonic() bool { return false }

// whenFull implements roomMaker.
func (s *walStore) whenFull(makeRoom func()) { s.files.room.make = makeRoom }

// Close notes how far the log has got, so that nothing of it can go unnoticed, and closes it.
func (s *walStore) Close() error {
	last, err := s.LastIndex()
	if errors.Is(err, wal.ErrClosed) {
		return nil
	}
	if err == nil && !s.meta.readOnly {
		err = s.meta.reached(last)
	}
	err = errors.Join(err, s.WAL.Close())
	s.meta.rotation.begin() // it will not any more
	s.files.remover.close()
	return errors.Join(err, s.meta.Close())
}

// GetLog implements raft.LogStore. raft-wal panics over some damaged entries, and goes on to find entries that were
// compacted away, for as long as their segment is written to.
func (s *walStore) GetLog(index uint64, log *raft.Log) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the data is damaged: %v", p)
		}
	}()
	first, err := s.FirstIndex()
	if err != nil {
		return err
	}
	if index < first {
		return raft.ErrLogNotFound // as it is: raft compares it
	}
	err = s.WAL.GetLog(index, log)
	if errors.Is(err, os.ErrClosed) {
		// Its segment was compacted away between raft-wal's look at what there is and the read. It looks anew.
		err = s.WAL.GetLog(index, log)
	}
	if err != nil {
		return err
	}
	if isWALGap(index, log) || s.meta.isMissing(index) {
		return raft.ErrLogNotFound
	}
	return nil
}

// StoreLog implements raft.LogStore.
func (s *walStore) StoreLog(log *raft.Log) error { return s.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore.
func (s *walStore) StoreLogs(logs []*raft.Log) error {
	last, err := s.LastIndex()
	if err != nil || len(logs) == 0 {
		return err
	}
	if first := logs[0].Index; last > 0 && first > last+1 {
		if logs, err = s.bridge(last, logs); err != nil {
			return err
		}
	}
	return s.WAL.StoreLogs(logs)
}

// bridge returns the entries with what stands for the indexes that are missing before them.
func (s *walStore) bridge(last uint64, logs []*raft.Log) ([]*raft.Log, error) {
	first := logs[0].Index
	if first-last-1 > maxWALGap {
		oldest, err := s.FirstIndex()
		if err != nil {
			return nil, err
		}
		return logs, s.truncate(oldest, last)
	}
	var bridged []*raft.Log
	for index := last + 1; index < first; index++ {
		bridged = append(bridged, walGap(index))
	}
	return append(bridged, logs...), nil
}

func walGap(index uint64) *raft.Log { return sealed(&raft.Log{Index: index, Type: walGapType}) }

// isWALGap reports whether an entry stands for one that is missing, and does not only look so by damage.
func isWALGap(index uint64, log *raft.Log) bool {
	if log.Type != walGapType {
		return false
	}
	gap := *log
	return unseal(index, &gap) == nil
}

// DeleteRange implements raft.LogStore. What stands for missing indexes goes with the first entries, or the last: the log
// begins and ends with entries.
func (s *walStore) DeleteRange(lo, hi uint64) error {
	first, err := s.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.LastIndex()
	if err != nil {
		return err
	}
	if first < lo && lo <= hi && hi < last {
		return s.meta.miss(indexRange{lo, hi})
	}
	for hi < last && lo <= first && hi >= first && s.missing(hi+1) {
		hi++
	}
	for lo > first && hi >= last && lo <= last && s.missing(lo-1) {
		lo--
	}
	return s.truncate(lo, hi)
}

// truncate deletes the first or the last entries.
func (s *walStore) truncate(lo, hi uint64) error {
	s.meta.rotation.wait()
	return s.WAL.DeleteRange(lo, hi)
}

// missing reports whether an index within the log is.
func (s *walStore) missing(index uint64) bool {
	return errors.Is(s.GetLog(index, new(raft.Log)), raft.ErrLogNotFound)
}

// Get implements raft.StableStore.
func (s *walStore) Get(key []byte) ([]byte, error) {
	value, err := s.meta.GetStable(key)
	if err == nil && value == nil {
		err = raftboltdb.ErrKeyNotFound
	}
	return value, err
}

// Set implements raft.StableStore.
func (s *walStore) Set(key, value []byte) error { return s.meta.SetStable(key, value) }

// GetUint64 implements raft.StableStore.
func (s *walStore) GetUint64(key []byte) (uint64, error) {
	value, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("%q is no number", key)
	}
	return binary.BigEndian.Uint64(value), nil
}

// SetUint64 implements raft.StableStore.
func (s *walStore) SetUint64(key []byte, value uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, value))
}
