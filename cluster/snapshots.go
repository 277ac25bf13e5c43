package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/syllecta/syllecta/fsm"
	"github.com/syllecta/syllecta/snapshot"
)

const (
	snapshotsDir    = "snapshots" // as raft.FileSnapshotStore names it
	snapshotsRetain = 2

	// sectionRaft repeats inside the snapshot what raft keeps beside it, where nothing but itself protects it: a
	// damaged index or configuration would otherwise go unnoticed.
	sectionRaft        = fsm.SectionForeign
	sectionRaftVersion = 1
)

// raftMeta is what sectionRaft holds.
type raftMeta struct {
	Index, Term        uint64
	Configuration      raft.Configuration
	ConfigurationIndex uint64
	// Restored tells that the state is an operator's, put in the place of what the log had led to: see restoredState.
	Restored bool `json:",omitempty"`
}

// snapshotStore is a raft.SnapshotStore that keeps raft's own metadata inside each snapshot, and offers only the
// newest: falling back to an older one after damage would need log entries that may be gone.
type snapshotStore struct {
	raft.SnapshotStore
	dir      string // of the snapshots
	restored restoredState
	// verified names the snapshot that was found intact when the store was opened, until it is opened itself.
	verified atomic.Pointer[string]
}

// openSnapshots opens the snapshots in dir, removes those that a crash left unfinished, and refuses a newest one that
// is damaged: raft would only say that it found none.
func openSnapshots(dir string, log hclog.Logger) (*snapshotStore, error) {
	files, err := raft.NewFileSnapshotStoreWithLogger(dir, snapshotsRetain, log)
	if err != nil {
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	s := &snapshotStore{SnapshotStore: files, dir: filepath.Join(dir, snapshotsDir)}
	for _, leftovers := range []string{filepath.Join(s.dir, "*.tmp"), filepath.Join(dir, spoolPattern)} {
		if err := removeUnfinished(leftovers); err != nil {
			return nil, err
		}
	}
	newest, err := newestSnapshot(s.dir)
	if err != nil || newest == "" {
		return s, err
	}
	meta, err := checkSnapshot(newest)
	if err != nil {
		return nil, damagedSnapshot(newest, err)
	}
	s.restored.note(meta)
	id := filepath.Base(newest)
	s.verified.Store(&id)
	return s, nil
}

func damagedSnapshot(path string, err error) error {
	return fmt.Errorf("snapshot %s is damaged and was not applied: %w; restore the directory from a copy, or empty this "+
		"node's data directory and let it join again under a new node id", path, err)
}

// removeUnfinished removes what a crash left behind under names that match.
func removeUnfinished(pattern string) error {
	unfinished, err := filepath.Glob(pattern)
	if err != nil {
		return fmt.Errorf("list unfinished snapshots: %w", err)
	}
	for _, path := range unfinished {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove an unfinished snapshot: %w", err)
		}
	}
	return nil
}

// newestSnapshot returns the path of the snapshot with the highest term and index, or "". Names are term-index-time.
func newestSnapshot(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("list snapshots: %w", err)
	}
	var newest string
	var highest []uint64
	for _, e := range entries {
		order, ok := snapshotOrder(e.Name())
		if ok && (newest == "" || slices.Compare(order, highest) > 0) {
			newest, highest = filepath.Join(dir, e.Name()), order
		}
	}
	return newest, nil
}

func snapshotOrder(name string) (order []uint64, ok bool) {
	for part := range strings.SplitSeq(name, "-") {
		n, err := strconv.ParseUint(part, 10, 64)
		if err != nil {
			return nil, false
		}
		order = append(order, n)
	}
	return order, len(order) == 3
}

// checkSnapshot verifies a snapshot to its end, and its metadata file against what it says of itself.
func checkSnapshot(path string) (inside raftMeta, err error) {
	raw, err := os.ReadFile(filepath.Join(path, "meta.json"))
	if err != nil {
		return inside, err
	}
	var outside struct {
		raft.SnapshotMeta
		CRC []byte
	}
	if err := json.Unmarshal(raw, &outside); err != nil {
		return inside, fmt.Errorf("meta.json: %w", err)
	}
	f, err := os.Open(filepath.Join(path, "state.bin"))
	if err != nil {
		return inside, err
	}
	defer f.Close()
	crc := crc64.New(crc64.MakeTable(crc64.ECMA)) // as raft.FileSnapshotStore has it
	ahead := readAhead(io.TeeReader(f, crc))
	inside, err = readRaftMeta(ahead)
	if err := errors.Join(err, ahead.Close()); err != nil {
		return inside, err
	}
	info, err := f.Stat()
	if err != nil {
		return inside, err
	}
	want := raftMeta{outside.Index, outside.Term, outside.Configuration, outside.ConfigurationIndex, inside.Restored}
	if !reflect.DeepEqual(inside, want) || outside.ID != filepath.Base(path) || outside.Version != 1 ||
		outside.Size != info.Size() || !bytes.Equal(outside.CRC, crc.Sum(nil)) {
		return inside, errors.New("meta.json does not describe state.bin")
	}
	return inside, nil
}

// readRaftMeta reads the first section of a snapshot, and verifies the rest.
func readRaftMeta(r io.Reader) (meta raftMeta, err error) {
	sr, err := snapshot.NewReader(r)
	if err != nil {
		return meta, err
	}
	if meta, err = readRaftSection(sr); err != nil {
		return meta, err
	}
	for err == nil {
		_, err = sr.Next()
	}
	if !errors.Is(err, io.EOF) {
		return meta, err
	}
	return meta, nil
}

// readRaftSection reads the first section.
func readRaftSection(sr *snapshot.Reader) (meta raftMeta, err error) {
	section, err := sr.Next()
	if err != nil {
		return meta, err
	}
	if section.ID != sectionRaft || section.Version != sectionRaftVersion {
		return meta, fmt.Errorf("%w: section %d version %d where raft's own should be",
			snapshot.ErrCorrupt, section.ID, section.Version)
	}
	b, err := sr.Record()
	if err != nil {
		return meta, err
	}
	if err := json.Unmarshal(b, &meta); err != nil {
		return meta, fmt.Errorf("raft section: %w", err)
	}
	return meta, nil
}

// Create implements raft.SnapshotStore.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.SnapshotStore.Create(version, index, term, configuration, configurationIndex, trans)
	if err != nil {
		return nil, err
	}
	meta := raftMeta{Index: index, Term: term, Configuration: configuration, ConfigurationIndex: configurationIndex}
	return &snapshotSink{SnapshotSink: sink, meta: meta, restored: &s.restored}, nil
}

// List implements raft.SnapshotStore: the newest snapshot alone.
func (s *snapshotStore) List() ([]*raft.SnapshotMeta, error) {
	all, err := s.SnapshotStore.List()
	return all[:min(1, len(all))], err
}

// persister writes a captured state into a sink; it implements raft.FSMSnapshot.
type persister struct {
	captured *fsm.Snapshot
	// The rest is nil where nobody else needs the processor or the disk, and nobody asks.
	pace      func(raft.SnapshotSink) *pacedWriter
	seconds   prometheus.Observer // of the writing
	persisted func(bytes int64)   // told when the snapshot is safe
}

// Persist runs beside Apply.
func (p *persister) Persist(sink raft.SnapshotSink) error {
	start := time.Now()
	bytes, err := p.writePaced(sink.(*snapshotSink))
	if err != nil {
		return errors.Join(fmt.Errorf("write a snapshot: %w", err), sink.Cancel())
	}
	if err := sink.Close(); err != nil {
		return err
	}
	if p.seconds != nil {
		p.seconds.Observe(time.Since(start).Seconds())
	}
	if p.persisted != nil {
		p.persisted(bytes)
	}
	return nil
}

func (p *persister) writePaced(sink *snapshotSink) (bytes int64, err error) {
	if p.pace == nil {
		return 0, p.write(sink, sink.SnapshotSink)
	}
	paced := p.pace(sink.SnapshotSink)
	err = p.write(sink, paced)
	return paced.close(), err
}

func (p *persister) write(sink *snapshotSink, dst io.Writer) error {
	w, err := sink.begin(dst)
	if err != nil {
		return err
	}
	if err := p.captured.Write(w); err != nil {
		return err
	}
	return w.Close()
}

// Release implements raft.FSMSnapshot.
func (p *persister) Release() {}
