package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"
)

// openTestKind opens a store of a kind, with segments so small that a test fills many.
func openTestKind(dir, kind string) (durableStore, error) { return openTestStore(dir, kind, 4<<10) }

// openTestStore opens a store of a kind, with segments of that size if it has any.
func openTestStore(dir, kind string, segmentBytes int) (durableStore, error) {
	path := filepath.Join(dir, storeNames[kind])
	if kind != LogStoreWAL {
		return openKindAt(path, kind, false, discardLog)
	}
	o := walOptions{log: discardLog, segmentBytes: segmentBytes}
	if err := makeWAL(path, o); err != nil {
		return nil, err
	}
	return asStore(openWAL(path, o))
}

// storeModel is what a log must be: entries at indexes, some of which may be missing.
type storeModel struct {
	entries map[uint64]*raft.Log
	numbers map[string]uint64
}

func (m *storeModel) bounds() (first, last uint64) {
	for index := range m.entries {
		if first == 0 || index < first {
			first = index
		}
		last = max(last, index)
	}
	return first, last
}

func (m *storeModel) deleteRange(lo, hi uint64) {
	for index := range m.entries {
		if lo <= index && index <= hi {
			delete(m.entries, index)
		}
	}
}

// check compares the store with what it must be.
func (m *storeModel) check(t rapid.TB, logs raft.LogStore, stable raft.StableStore) {
	t.Helper()
	first, last := m.bounds()
	gotFirst, err := logs.FirstIndex()
	gotLast, err2 := logs.LastIndex()
	if err != nil || err2 != nil || gotFirst != first || gotLast != last {
		t.Fatalf("from %d to %d, want %d to %d: %v %v", gotFirst, gotLast, first, last, err, err2)
	}
	for index := first; index <= last && first > 0; index++ {
		var got raft.Log
		err := logs.GetLog(index, &got)
		want := m.entries[index]
		if want == nil && errors.Is(err, raft.ErrLogNotFound) {
			continue
		}
		if err != nil || want == nil || !sameEntry(want, &got) {
			t.Fatalf("entry %d is %+v, %v; want %+v", index, got, err, want)
		}
	}
	for _, beyond := range []uint64{first - 1, last + 1} {
		if err := logs.GetLog(beyond, new(raft.Log)); err != raft.ErrLogNotFound { // as raft compares it
			t.Fatalf("entry %d, where there is %d to %d: %v", beyond, first, last, err)
		}
	}
	for key, want := range m.numbers {
		if got, err := stable.GetUint64([]byte(key)); err != nil || got != want {
			t.Fatalf("%s is %d, %v; want %d", key, got, err, want)
		}
	}
}

// TestStoreIsWhatWasStored does at random with each of the stores what raft and a restore may do, closing it in between.
func TestStoreIsWhatWasStored(t *testing.T) {
	t.Parallel()
	for _, kind := range storeKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) { testStoreModel(rt, kind) })
		})
	}
}

func testStoreModel(t *rapid.T, kind string) {
	dir, err := os.MkdirTemp("", "store-model-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := openTestKind(dir, kind)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	g := &storeGuard{deadline: time.Hour, fatal: func(err error) { t.Error(err) }, observe: func(time.Duration) {}}
	logs, stable := &guardedLogs{g, store}, &guardedStable{g, store}
	m := &storeModel{make(map[uint64]*raft.Log), make(map[string]uint64)}
	t.Repeat(map[string]func(*rapid.T){
		"append": func(t *rapid.T) {
			_, last := m.bounds()
			next := last + 1
			if rapid.IntRange(0, 9).Draw(t, "leap") == 0 {
				next += rapid.Uint64Range(1, 20).Draw(t, "by")
			}
			var batch []*raft.Log
			for range rapid.IntRange(1, 5).Draw(t, "entries") {
				log := &raft.Log{
					Index: next, Term: next / 7, Type: raft.LogNoop, AppendedAt: time.Unix(int64(next), 0),
					Data: []byte(fmt.Sprint("entry ", next)), Extensions: rapid.SliceOfN(rapid.Byte(), 0, 900).Draw(t, "more"),
				}
				m.entries[next] = log
				batch = append(batch, log)
				next++
			}
			if err := logs.StoreLogs(batch); err != nil {
				t.Fatal(err)
			}
		},
		"compact": func(t *rapid.T) {
			first, last := m.bounds()
			if first == 0 {
				t.Skip("empty")
			}
			hi := rapid.Uint64Range(first, last).Draw(t, "up to")
			m.deleteRange(first, hi)
			if err := logs.DeleteRange(first, hi); err != nil {
				t.Fatal(err)
			}
		},
		"overrule": func(t *rapid.T) {
			first, last := m.bounds()
			if first == 0 {
				t.Skip("empty")
			}
			lo := rapid.Uint64Range(first, last).Draw(t, "from")
			m.deleteRange(lo, last)
			if err := logs.DeleteRange(lo, last); err != nil {
				t.Fatal(err)
			}
		},
		"open a gap": func(t *rapid.T) {
			first, last := m.bounds()
			if last < first+2 {
				t.Skip("too short")
			}
			at := rapid.Uint64Range(first+1, last-1).Draw(t, "at")
			m.deleteRange(at, at)
			if err := logs.DeleteRange(at, at); err != nil {
				t.Fatal(err)
			}
		},
		"set": func(t *rapid.T) {
			key, value := rapid.SampledFrom(stableNumbers).Draw(t, "key"), rapid.Uint64().Draw(t, "value")
			m.numbers[key] = value
			if err := stable.SetUint64([]byte(key), value); err != nil {
				t.Fatal(err)
			}
		},
		"reopen": func(t *rapid.T) {
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			if store, err = openTestKind(dir, kind); err != nil {
				t.Fatal(err)
			}
			logs.logs, stable.stable = store, store
		},
		"": func(t *rapid.T) { m.check(t, logs, stable) },
	})
}

// TestStoreConcurrently compacts and reads a log while it is written: what is read is what was written, or not there any
// more.
func TestStoreConcurrently(t *testing.T) {
	t.Parallel()
	for _, kind := range storeKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			store, err := openTestKind(t.TempDir(), kind)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			testStoreConcurrently(t, guardedBy(t, store))
		})
	}
}

func testStoreConcurrently(t *testing.T, logs *guardedLogs) {
	const entries, kept = 300, 40
	var last atomic.Uint64
	var all errgroup.Group
	all.Go(func() error {
		for index := uint64(1); index <= entries; index++ {
			if err := logs.StoreLogs([]*raft.Log{walEntry(index)}); err != nil {
				return err
			}
			last.Store(index)
		}
		return nil
	})
	all.Go(func() error {
		for last.Load() < entries {
			if to := last.Load(); to > kept {
				if err := logs.DeleteRange(1, to-kept); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for range 2 {
		all.Go(func() error {
			for last.Load() < entries {
				first, err := logs.FirstIndex()
				if err != nil {
					return err
				}
				for index := max(first, 1); index <= last.Load(); index += 7 {
					var got raft.Log
					err := logs.GetLog(index, &got)
					if err == nil && !sameEntry(walEntry(index), &got) {
						err = fmt.Errorf("entry %d is %+v", index, &got)
					}
					if err != nil && !errors.Is(err, raft.ErrLogNotFound) {
						return err
					}
				}
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
}
