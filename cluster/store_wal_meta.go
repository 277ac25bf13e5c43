package cluster

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
	"go.etcd.io/bbolt"
)

// walMetaFile holds which segments make up the log, and raft's own state: term and vote.
const walMetaFile = "meta.db"

// The values in it, each of which is always there.
var (
	walMetaBucket  = []byte("wal")
	walSegmentsKey = []byte("segments") // a walRecord
	walStableKey   = []byte("stable")   // raft's state: values by their names
)

// walRecord is what walMetaFile says of the log.
type walRecord struct {
	types.PersistentState
	// Reached is how far the last segment had got when that was last noted: less than that is damage. It says nothing of
	// another segment.
	Reached walMark
	// Missing are indexes that were deleted within the log, at most maxWALMissing ranges.
	Missing []indexRange `json:",omitempty"`
}

// maxWALMissing bounds walRecord.Missing. One is missing for each restored snapshot, until it is compacted away.
const maxWALMissing = 1_000

// indexRange is the indexes from Lo to Hi.
type indexRange struct{ Lo, Hi uint64 }

// walMark is the last entry of a segment.
type walMark struct{ SegmentID, Index uint64 }

// walMeta keeps a walRecord and raft's state in a file of bbolt's, each value with a checksum. raft-wal's own
// (metadb.BoltMetaDB) has none, waits for ever for a file that another process has open, and is not closed with its log.
// It implements types.MetaStore.
type walMeta struct {
	dir      string // of the log
	db       *bbolt.DB
	readOnly bool
	room     *roomForWrites
	rotation rotation

	mu     sync.Mutex // held while one of these is read or replaced
	record walRecord
	stable map[string][]byte
	// missing is record.Missing, for those who read entries.
	missing atomic.Pointer[[]indexRange]
}

// makeWALMeta makes the file for an empty log.
func makeWALMeta(dir string) error {
	db, err := bbolt.Open(filepath.Join(dir, walMetaFile), 0o600, boltOptions(false))
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket(walMetaBucket); return err })
	if err == nil {
		m := &walMeta{db: db, room: &roomForWrites{}}
		err = errors.Join(m.put(walSegmentsKey, walRecord{}), m.put(walStableKey, map[string][]byte{}))
	}
	return errors.Join(err, db.Close())
}

// openWALMeta opens the file, which must be there.
func openWALMeta(dir string, readOnly bool, room *roomForWrites) (m *walMeta, err error) {
	path := filepath.Join(dir, walMetaFile)
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", walMetaFile, err)
		}
	}()
	defer refuseDamage(&err)()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("it is missing: the node has forgotten what it stored and voted, and must not go on; restore " +
			"it, or empty the data directory and give the node a new id")
	}
	if err := walkBolt(path, func(_, _ []byte) error { return nil }); err != nil {
		return nil, err
	}
	if err := flushBolt(path, readOnly); err != nil {
		return nil, err
	}
	db, err := bbolt.Open(path, 0o600, boltOptions(readOnly))
	if err != nil {
		return nil, err
	}
	m = &walMeta{dir: dir, db: db, readOnly: readOnly, room: room}
	if err := m.load(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return m, nil
}

func (m *walMeta) load() error {
	if err := errors.Join(m.get(walSegmentsKey, &m.record), m.get(walStableKey, &m.stable)); err != nil {
		return err
	}
	missing := m.record.Missing // the record itself is going to be replaced
	m.missing.Store(&missing)
	return nil
}

// Load implements types.MetaStore.
func (m *walMeta) Load(string) (types.PersistentState, error) { return m.record.PersistentState, nil }

// CommitState implements types.MetaStore. A segment's file is there, empty and of its full size, before it becomes part of
// the log: one that is missing, or shorter, has been lost.
func (m *walMeta) CommitState(s types.PersistentState) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leavesTail(s) {
		m.rotation.begin()
	}
	end := uint64(math.MaxUint64)
	if last := lastSegment(s); last != nil && (m.tail() == nil || last.ID != m.tail().ID) {
		if err := m.room.write(outOfSpace, func() error { return m.makeSegment(last) }); err != nil {
			return fmt.Errorf("make segment %s: %w", segment.FileName(*last), err)
		}
		end = last.BaseIndex // it is empty: the log goes on from here, or is cut off here
	}
	missing := slices.DeleteFunc(slices.Clone(m.record.Missing), func(r indexRange) bool {
		return r.Hi < s.Segments[0].MinIndex || r.Hi >= end
	})
	return m.commit(walRecord{s, m.record.Reached, missing})
}

// leavesTail reports whether in s the segment that was written to is not any more.
func (m *walMeta) leavesTail(s types.PersistentState) bool {
	tail := m.tail()
	return tail == nil || !slices.ContainsFunc(s.Segments, func(i types.SegmentInfo) bool {
		return i.ID == tail.ID && i.SealTime.IsZero()
	})
}

// miss notes that indexes within the log are missing from now on.
func (m *walMeta) miss(r indexRange) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.record.Missing) >= maxWALMissing {
		return fmt.Errorf("entries are missing at %d places of the log", maxWALMissing)
	}
	return m.commit(walRecord{m.record.PersistentState, m.record.Reached, append(slices.Clip(m.record.Missing), r)})
}

// isMissing reports whether an index is.
func (m *walMeta) isMissing(index uint64) bool {
	missing := m.missing.Load()
	return missing != nil && slices.ContainsFunc(*missing, func(r indexRange) bool { return r.Lo <= index && index <= r.Hi })
}

func (m *walMeta) commit(r walRecord) error {
	if !m.readOnly {
		if err := m.put(walSegmentsKey, r); err != nil {
			return err
		}
	}
	m.record = r
	m.missing.Store(&r.Missing)
	return nil
}

// makeSegment may be repeated, whatever it has failed with: nothing is in the file yet.
func (m *walMeta) makeSegment(info *types.SegmentInfo) error {
	if m.readOnly {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(m.dir, segment.FileName(*info)), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(int64(info.SizeLimit)), f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncDir(m.dir)
}

// tail is the segment that is written to; nil before there is one.
func (m *walMeta) tail() *types.SegmentInfo { return lastSegment(m.record.PersistentState) }

func lastSegment(s types.PersistentState) *types.SegmentInfo {
	if len(s.Segments) == 0 {
		return nil
	}
	return &s.Segments[len(s.Segments)-1]
}

// reached notes that the log has got to index.
func (m *walMeta) reached(index uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	mark := walMark{m.tail().ID, index}
	if mark == m.record.Reached {
		return nil
	}
	return m.commit(walRecord{m.record.PersistentState, mark, m.record.Missing})
}

// GetStable implements types.MetaStore; nil is a value that was never set.
func (m *walMeta) GetStable(key []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stable[string(key)], nil
}

// SetStable implements types.MetaStore.
func (m *walMeta) SetStable(key, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	stable := maps.Clone(m.stable)
	stable[string(key)] = append([]byte{}, value...)
	if err := m.put(walStableKey, stable); err != nil {
		return err
	}
	m.stable = stable
	return nil
}

// Close implements types.MetaStore.
func (m *walMeta) Close() error { return m.db.Close() }

func (m *walMeta) get(key []byte, value any) error {
	return m.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(walMetaBucket)
		if b == nil {
			return errors.New("the data is damaged: everything is missing")
		}
		raw := b.Get(key)
		cut := len(raw) - sealBytes
		if cut < 0 || binary.LittleEndian.Uint32(raw[cut:]) != valueChecksum(key, raw[:cut]) {
			return fmt.Errorf("the data is damaged: %q is missing, or its checksum does not match", key)
		}
		return json.Unmarshal(raw[:cut], value)
	})
}

// put writes, once more if it finds no space: see storeGuard.write, whose reasons hold for this file too.
func (m *walMeta) put(key []byte, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	raw = binary.LittleEndian.AppendUint32(raw, valueChecksum(key, raw))
	return m.room.write(isFull, func() error {
		return m.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(walMetaBucket).Put(key, raw) })
	})
}

func valueChecksum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}
