package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

// TestLeap: entries far behind the last one. Up to a limit what lies before is kept, as the way back; nothing of it is
// beyond.
func TestLeap(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		missing uint64
		first   uint64
	}{
		"kept":    {maxWALGap, 1},
		"dropped": {maxWALGap + 1, 5 + maxWALGap + 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			store, err := openStore(dir, LogStoreWAL, discardLog)
			if err != nil {
				t.Fatal(err)
			}
			m := &storeModel{entries: make(map[uint64]*raft.Log)}
			logs := guardedBy(t, store)
			for _, index := range []uint64{1, 2, 3, 4, 5, 5 + c.missing + 1, 5 + c.missing + 2} {
				if err := logs.StoreLogs([]*raft.Log{walEntry(index)}); err != nil {
					t.Fatal(err)
				}
				if index >= c.first {
					m.entries[index] = walEntry(index)
				}
			}
			m.check(t, logs, store)
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			if store, err = openStore(dir, LogStoreWAL, discardLog); err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			logs = guardedBy(t, store)
			m.check(t, logs, store)
			// The way back: what follows on the gap goes, and the gap with it.
			if c.first > 1 {
				return
			}
			if err := logs.DeleteRange(5+c.missing+1, 5+c.missing+2); err != nil {
				t.Fatal(err)
			}
			m.deleteRange(6, 5+c.missing+2)
			m.check(t, logs, store)
		})
	}
}

// TestSealedByACrash: the process was killed between the write that filled a segment and the note that another one had
// begun, or its file was made and not yet noted.
func TestSealedByACrash(t *testing.T) {
	t.Parallel()
	for _, made := range []bool{false, true} {
		dir := t.TempDir()
		store, err := openTestKind(dir, LogStoreWAL)
		if err != nil {
			t.Fatal(err)
		}
		logs := guardedBy(t, store)
		last := uint64(0)
		var before string
		for len(segmentsIn(t, dir)) < 3 {
			before = copyDir(t, dir)
			last++
			if err := logs.StoreLogs([]*raft.Log{walEntry(last)}); err != nil {
				t.Fatal(err)
			}
			store.(*walStore).meta.rotation.wait()
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		// The segments as they are now, with what was known of them before.
		for _, name := range segmentsIn(t, dir) {
			if _, err := os.Stat(filepath.Join(before, walDir, name)); err != nil && !made {
				continue
			}
			raw, err := os.ReadFile(filepath.Join(dir, walDir, name))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(before, walDir, name), raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, readOnly := range []bool{true, false} {
			back, err := openWAL(filepath.Join(before, walDir), walOptions{log: discardLog, readOnly: readOnly})
			if err != nil {
				t.Fatal(err)
			}
			logs := guardedBy(t, back)
			if got, err := logs.LastIndex(); err != nil || got != last {
				t.Errorf("made %t: it ends with %d, not %d: %v", made, got, last, err)
			}
			for index := uint64(1); index <= last; index++ {
				if err := logs.GetLog(index, &raft.Log{}); err != nil {
					t.Error(err)
				}
			}
			if err := logs.StoreLogs([]*raft.Log{walEntry(last + 1)}); (err != nil) != readOnly {
				t.Errorf("made %t, read only %t: %v", made, readOnly, err)
			}
			if err := back.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestWALFilesAreLost: a log without the file that says what it is made of, or without a segment, is refused.
func TestWALFilesAreLost(t *testing.T) {
	t.Parallel()
	intact, _, _ := writtenWAL(t, true)
	for i := range walFileNames(t, intact) {
		dir := copyDir(t, intact)
		path := walFileNames(t, dir)[i]
		remove(t, path)
		_, err := openStore(dir, LogStoreAuto, discardLog)
		if err == nil {
			t.Errorf("%s is missing, and not missed", filepath.Base(path))
			continue
		}
		checkWords(t, path, err.Error())
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s was made anew", filepath.Base(path))
		}
	}
}
