package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"github.com/syllecta/syllecta/fsm"
)

// logStoreFlag is how nodes keep their log in tests that do not say.
var logStoreFlag = flag.String("log-store", LogStoreAuto, "log `store` of nodes in tests that are not about one")

var discardLog = slog.New(slog.DiscardHandler)

// fatals collects what a node would end for.
type fatals struct {
	mu   sync.Mutex
	errs []error
}

func (f *fatals) report(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs = append(f.errs, err)
}

// only returns the one error that was reported, if its text has the words.
func (f *fatals) only(t *testing.T, words ...string) error {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.errs) != 1 {
		t.Fatalf("%d fatal errors instead of one: %v", len(f.errs), f.errs)
	}
	for _, w := range words {
		if !strings.Contains(f.errs[0].Error(), w) {
			t.Errorf("%q does not say %q", f.errs[0], w)
		}
	}
	return f.errs[0]
}

func (f *fatals) none(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.errs) != 0 {
		t.Fatalf("fatal: %v", f.errs)
	}
}

// brokenStore is a log and stable store whose calls first take a while and then fail.
type brokenStore struct {
	*raft.InmemStore
	takes time.Duration
	err   error
}

func (s *brokenStore) do() error                   { time.Sleep(s.takes); return s.err }
func (s *brokenStore) FirstIndex() (uint64, error) { return 0, s.do() }
func (s *brokenStore) LastIndex() (uint64, error)  { return 0, s.do() }
func (s *brokenStore) GetLog(index uint64, log *raft.Log) error {
	*log = *sealed(&raft.Log{Index: index, Type: raft.LogNoop})
	return s.do()
}
func (s *brokenStore) StoreLogs(logs []*raft.Log) error         { return s.do() }
func (s *brokenStore) DeleteRange(lo, hi uint64) error          { return s.do() }
func (s *brokenStore) Set(key, value []byte) error              { return s.do() }
func (s *brokenStore) Get(key []byte) ([]byte, error)           { return nil, s.do() }
func (s *brokenStore) SetUint64(key []byte, value uint64) error { return s.do() }
func (s *brokenStore) GetUint64(key []byte) (uint64, error)     { return 0, s.do() }

func guard(s *brokenStore, deadline time.Duration) (*guardedLogs, *guardedStable, *fatals) {
	f := &fatals{}
	g := &storeGuard{deadline: deadline, fatal: f.report, observe: func(time.Duration) {}}
	return &guardedLogs{g, s}, &guardedStable{g, s}, f
}

// storeCalls are all calls that raft makes to its stores.
var storeCalls = map[string]func(raft.LogStore, raft.StableStore) error{
	"first index": func(l raft.LogStore, _ raft.StableStore) error { _, err := l.FirstIndex(); return err },
	"last index":  func(l raft.LogStore, _ raft.StableStore) error { _, err := l.LastIndex(); return err },
	"read entry":  func(l raft.LogStore, _ raft.StableStore) error { return l.GetLog(1, &raft.Log{Type: raft.LogNoop}) },
	"write one": func(l raft.LogStore, _ raft.StableStore) error {
		return l.StoreLog(&raft.Log{Index: 1, Type: raft.LogNoop})
	},
	"write several": func(l raft.LogStore, _ raft.StableStore) error {
		return l.StoreLogs([]*raft.Log{{Index: 1, Type: raft.LogNoop}})
	},
	"delete":      func(l raft.LogStore, _ raft.StableStore) error { return l.DeleteRange(1, 1) },
	"set":         func(_ raft.LogStore, s raft.StableStore) error { return s.Set([]byte("k"), nil) },
	"get":         func(_ raft.LogStore, s raft.StableStore) error { _, err := s.Get([]byte("k")); return err },
	"set integer": func(_ raft.LogStore, s raft.StableStore) error { return s.SetUint64([]byte("k"), 1) },
	"get integer": func(_ raft.LogStore, s raft.StableStore) error { _, err := s.GetUint64([]byte("k")); return err },
}

func TestStoreErrorIsFatal(t *testing.T) {
	t.Parallel()
	broken := errors.New("input/output error")
	for name, call := range storeCalls {
		logs, stable, f := guard(&brokenStore{err: broken}, time.Hour)
		if err := call(logs, stable); !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
		if err := f.only(t, "log store failed", "unknown", "input/output error"); !errors.Is(err, broken) {
			t.Errorf("%s: the fatal error is %v", name, err)
		}
	}
}

func TestStoreHangIsFatal(t *testing.T) {
	t.Parallel()
	for name, call := range storeCalls {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				// The call that takes just too long; one that takes just not too long; and one that hangs for good.
				for _, takes := range []time.Duration{5*time.Second + 1, 5*time.Second - 1, time.Hour} {
					logs, stable, f := guard(&brokenStore{takes: takes}, 5*time.Second)
					done := make(chan struct{})
					go func() { defer close(done); _ = call(logs, stable) }()
					time.Sleep(5*time.Second - 1)
					f.none(t)
					time.Sleep(2 * time.Nanosecond)
					if takes < 5*time.Second {
						f.none(t)
					} else {
						f.only(t, "within 5s", "disk hangs")
					}
					<-done
				}
			})
		})
	}
}

// TestAbsentIsNotFatal: a new node finds neither entries nor state, in the store of production as in that of tests.
func TestAbsentIsNotFatal(t *testing.T) {
	t.Parallel()
	type both interface {
		raft.LogStore
		raft.StableStore
	}
	stores := []both{raft.NewInmemStore()}
	for _, kind := range storeKinds {
		store, err := openStore(t.TempDir(), kind, discardLog)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		stores = append(stores, store)
	}
	for _, store := range stores {
		f := &fatals{}
		g := &storeGuard{deadline: time.Hour, fatal: f.report, observe: func(time.Duration) {}}
		logs, stable := &guardedLogs{g, store}, &guardedStable{g, store}
		if err := logs.GetLog(7, &raft.Log{}); !errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("%T: %v", store, err)
		}
		if _, err := stable.Get([]byte("never set")); !absent(err) {
			t.Errorf("%T: %v", store, err)
		}
		// raft compares this error's text.
		if _, err := stable.GetUint64([]byte("never set")); err != nil && err.Error() != "not found" {
			t.Errorf("%T: %v", store, err)
		}
		f.none(t)
	}
}

// TestEveryByteOfAnEntry damages every byte of an entry as the store keeps it. Either the entry is refused, and the
// fatal error names it, or what was read is what was written.
func TestEveryByteOfAnEntry(t *testing.T) {
	t.Parallel()
	for _, kind := range storeKinds {
		t.Run(kind, func(t *testing.T) { t.Parallel(); testEveryByteOfAnEntry(t, kind) })
	}
}

func testEveryByteOfAnEntry(t *testing.T, kind string) {
	const first = 1_000 // all indexes are encoded in as many bytes
	written := func(index uint64) *raft.Log {
		frame := fsm.Encode(claim(fsm.RecordID{Tenant: 1, Scope: "orders", Key: "1"}, "owner"))
		return &raft.Log{Index: index, Term: 3, Type: raft.LogCommand, Data: fsm.EncodeEntry(1, fsm.BatchID{}, frame)}
	}
	dir := t.TempDir()
	withLogs(t, dir, kind, nil, func(logs *guardedLogs) {
		for i := range uint64(512) {
			if err := logs.StoreLog(written(first + i)); err != nil {
				t.Fatal(err)
			}
		}
	})
	size := 0
	editEntries(t, dir, func(index uint64, value []byte) {
		size = len(value)
		if at := int(index - first); at < size {
			value[at] ^= 0x01
		}
	})
	if size == 0 || size > 512 {
		t.Fatalf("an entry takes %d bytes", size)
	}
	f := &fatals{}
	withLogs(t, dir, kind, f, func(logs *guardedLogs) {
		for at := range size {
			f.errs = nil
			want := written(first + uint64(at))
			var got raft.Log
			if err := logs.GetLog(want.Index, &got); err != nil {
				f.only(t, fmt.Sprintf("log entry %d", want.Index))
				continue
			}
			f.none(t)
			got.AppendedAt = time.Time{} // raft keeps it for its metrics
			if !reflect.DeepEqual(&got, want) {
				t.Errorf("byte %d of %d: read %+v, wrote %+v", at, size, &got, want)
			}
		}
		for at := range 512 - size {
			if err := logs.GetLog(first+uint64(size+at), &raft.Log{}); err != nil {
				t.Fatalf("an intact entry is refused: %v", err)
			}
		}
	})
}

// withLogs opens the log store in dir, without the fsyncs that a test has no use for.
func withLogs(t *testing.T, dir, kind string, f *fatals, use func(*guardedLogs)) {
	t.Helper()
	store, err := openStore(dir, kind, discardLog)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if f == nil {
		f = &fatals{}
	}
	use(&guardedLogs{&storeGuard{deadline: time.Hour, fatal: f.report, observe: func(time.Duration) {}}, store})
}

// editEntries changes entries in the store's files behind its back.
func editEntries(t *testing.T, dir string, edit func(index uint64, value []byte)) {
	t.Helper()
	kind, err := storeIn(dir)
	if err != nil {
		t.Fatal(err)
	}
	if kind == LogStoreWAL {
		editWAL(t, dir, edit)
		return
	}
	db, err := bbolt.Open(filepath.Join(dir, "raft.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket([]byte("logs"))
		edited := make(map[string][]byte)
		err := bucket.ForEach(func(key, value []byte) error {
			changed := append([]byte(nil), value...)
			edit(binary.BigEndian.Uint64(key), changed)
			edited[string(key)] = changed
			return nil
		})
		for key, value := range edited {
			err = errors.Join(err, bucket.Put([]byte(key), value))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// editWAL is editEntries for the only segment of a log. Its checksums of batches fit what is in them then.
func editWAL(t *testing.T, dir string, edit func(index uint64, value []byte)) {
	t.Helper()
	segments := segmentsIn(t, dir)
	if len(segments) != 1 {
		t.Fatalf("%d segments", len(segments))
	}
	rewrite(t, filepath.Join(dir, walDir, segments[0]), func(data []byte) []byte {
		index, batch := binary.LittleEndian.Uint64(data[8:]), int64(0) // the header has the first index
		for at := int64(segmentHeaderBytes); ; {
			f, ok := frameAt(data, at)
			if !ok {
				return data
			}
			switch f.kind {
			case frameEntry:
				length := int64(binary.LittleEndian.Uint32(data[at+4:]))
				edit(index, data[at+frameHeaderBytes:][:length])
				index++
			case frameCommit:
				binary.LittleEndian.PutUint32(data[at+4:], crc32.Checksum(data[batch:at], castagnoli))
				batch = f.next
			}
			at = f.next
		}
	})
}

// TestUnsupportedEntryPasses: an entry of a newer version is whole, so reading it back is no failure of the store.
func TestUnsupportedEntryPasses(t *testing.T) {
	t.Parallel()
	f := &fatals{}
	withLogs(t, t.TempDir(), *logStoreFlag, f, func(logs *guardedLogs) {
		entry := newerEntry(t)
		if err := logs.StoreLog(&raft.Log{Index: 1, Term: 1, Type: raft.LogCommand, Data: entry}); err != nil {
			t.Fatal(err)
		}
		var got raft.Log
		if err := logs.GetLog(1, &got); err != nil || string(got.Data) != string(entry) {
			t.Fatalf("%v, %q", err, got.Data)
		}
		f.none(t)
	})
}

// TestDirectoryInUse: a second node on the same directory says so instead of waiting for ever.
func TestDirectoryInUse(t *testing.T) {
	t.Parallel()
	for _, kind := range storeKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			openNode(t, Config{DataDir: dir, LogStore: kind})
			_, open := Open(t.Context(), Config{DataDir: dir, RaftAddr: freeAddr(t)})
			_, survey := SurveyDirectory(dir)
			_, convert := ConvertLogStore(dir, LogStoreBolt, ConvertOptions{})
			for _, err := range []error{open, survey, convert} {
				if err == nil || !strings.Contains(err.Error(), "another process uses this data directory") {
					t.Errorf("got %v", err)
				} else if !strings.Contains(err.Error(), dir) {
					t.Errorf("%q does not name the directory", err)
				}
			}
		})
	}
}

// TestDamagedStore cuts the store's file off and blanks it, page by page, as a file system does that lost writes. A
// node on it must not panic: it starts, since the page was in no use, or refuses with words.
func TestDamagedStore(t *testing.T) {
	t.Parallel()
	intact, _, _ := snapshottedDirOf(t, LogStoreBolt)
	const page = 4096
	size := fileSize(t, filepath.Join(intact, "raft.db"))
	dir := copyDir(t, intact)
	path := filepath.Join(dir, "raft.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	check := func(what string, damaged []byte) {
		t.Helper()
		remove(t, path) // with the lock on it that a panic left behind
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		err := reopen(t, dir)
		if err == nil {
			return
		}
		refused++
		if strings.Contains(err.Error(), "another process") {
			t.Errorf("%s: %q", what, err)
		}
		if !strings.Contains(err.Error(), "raft.db") && !strings.Contains(err.Error(), "log entry") {
			t.Errorf("%s: %q does not say where the damage is", what, err)
		}
	}
	for at := 0; at < size; at += page {
		check(fmt.Sprintf("cut off at page %d", at/page), whole[:at])
		check(fmt.Sprintf("cut off within page %d", at/page), whole[:at+page/2])
		zero := bytes.Clone(whole)
		clear(zero[at : at+page])
		check(fmt.Sprintf("page %d zeroed", at/page), zero)
	}
	if refused == 0 {
		t.Error("no damage was noticed")
	}
}

// reopen starts raft on a data directory, as Open does but without a network, and stops it again.
func reopen(t *testing.T, dir string) error {
	t.Helper()
	store, err := openStore(dir, LogStoreAuto, discardLog)
	if err != nil {
		return err
	}
	defer store.Close()
	snapshots, err := openSnapshots(dir, hclog.NewNullLogger())
	if err != nil {
		return err
	}
	_, transport := raft.NewInmemTransport("127.0.0.1:1")
	defer transport.Close()
	cfg := Config{DataDir: dir, RaftAddr: "127.0.0.1:1"}.withDefaults()
	n, err := assemble(cfg, parts{
		passport: newPassport(cfg, "n0", "", &affiliation{}), addresses: newAddressBook("n0", cfg.RaftAddr),
		logs: store, stable: store, snapshots: snapshots, transport: transport, wall: time.Now,
	})
	if err != nil {
		return err
	}
	return n.raft.Shutdown().Error()
}
