package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

// unconverted makes a data directory with a log that was compacted and has a gap, and returns what is in it.
func unconverted(t *testing.T, kind string) (dir string, m *storeModel) {
	t.Helper()
	dir = t.TempDir()
	store, err := openStore(dir, kind, discardLog)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	logs, m := guardedBy(t, store), &storeModel{make(map[uint64]*raft.Log), map[string]uint64{"CurrentTerm": 7, "LastVoteTerm": 6}}
	for index := uint64(1); index <= 700; index++ {
		if index == 500 {
			index++
		}
		m.entries[index] = walEntry(index)
		if err := logs.StoreLogs([]*raft.Log{walEntry(index)}); err != nil {
			t.Fatal(err)
		}
	}
	m.deleteRange(1, 30)
	if err := logs.DeleteRange(1, 30); err != nil {
		t.Fatal(err)
	}
	stable := &guardedStable{logs.storeGuard, store}
	err = stable.Set([]byte("LastVoteCand"), []byte("n1"))
	for key, value := range m.numbers {
		err = errors.Join(err, stable.SetUint64([]byte(key), value))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir, m
}

// checkConverted opens a directory as a node would and compares what is in it. It returns the kind of its log.
func checkConverted(t *testing.T, dir string, m *storeModel) string {
	t.Helper()
	store, err := openStore(dir, LogStoreAuto, discardLog)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	stable := &guardedStable{guardedBy(t, store).storeGuard, store}
	m.check(t, guardedBy(t, store), stable)
	if candidate, err := stable.Get([]byte("LastVoteCand")); err != nil || string(candidate) != "n1" {
		t.Errorf("the vote was for %q, %v", candidate, err)
	}
	kind, err := storeIn(dir)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v is left, %v", entries, err)
	}
	return kind
}

func TestConvert(t *testing.T) {
	t.Parallel()
	for from, to := range map[string]string{LogStoreBolt: LogStoreWAL, LogStoreWAL: LogStoreBolt} {
		t.Run("to "+to, func(t *testing.T) {
			t.Parallel()
			dir, m := unconverted(t, from)
			want := Conversion{From: from, To: to, FirstIndex: 31, LastIndex: 700, Entries: 669}
			for index := range m.entries {
				want.Bytes += int64(len(walEntry(index).Data))
			}
			if c, err := ConvertLogStore(dir, to, ConvertOptions{DryRun: true}); err != nil || c != want {
				t.Errorf("dry run: %+v, %v; want %+v", c, err, want)
			}
			if kind := checkConverted(t, dir, m); kind != from {
				t.Errorf("a dry run has made it %s", kind)
			}
			want.Done = true
			progress := int64(0)
			c, err := ConvertLogStore(dir, to, ConvertOptions{Progress: func(n int64) { progress += n }})
			if err != nil || c != want || progress != 2*want.Bytes { // written, and read again
				t.Errorf("%+v, %v, %d bytes told; want %+v", c, err, progress, want)
			}
			if kind := checkConverted(t, dir, m); kind != to {
				t.Errorf("it is %s", kind)
			}
			want.From = to
			if c, err := ConvertLogStore(dir, to, ConvertOptions{}); err != nil || c != want {
				t.Errorf("again: %+v, %v; want %+v", c, err, want)
			}
		})
	}
}

// TestConvertCutShort stops a conversion after each of its steps, and opens what is there then: as a node would, and by
// the same conversion again.
func TestConvertCutShort(t *testing.T) {
	t.Parallel()
	for from, to := range map[string]string{LogStoreBolt: LogStoreWAL, LogStoreWAL: LogStoreBolt} {
		t.Run("to "+to, func(t *testing.T) {
			t.Parallel()
			dir, m := unconverted(t, from)
			c := &conversion{Conversion: Conversion{From: from, To: to}, dir: dir}
			c.o.Logger, c.o.Progress = discardLog, func(int64) {}
			var kinds []string
			for _, step := range c.steps() {
				if err := step(); err != nil {
					t.Fatal(err)
				}
				kinds = append(kinds, checkConverted(t, copyDir(t, dir), m))
				again := copyDir(t, dir)
				if done, err := ConvertLogStore(again, to, ConvertOptions{}); err != nil || !done.Done || done.Entries != 669 {
					t.Errorf("again after %d steps: %+v, %v", len(kinds), done, err)
				}
				if kind := checkConverted(t, again, m); kind != to {
					t.Errorf("again after %d steps: it is %s", len(kinds), kind)
				}
			}
			if err := c.close(false); err != nil {
				t.Fatal(err)
			}
			want := []string{from, from, from, from, from, to, to, to}
			if !reflect.DeepEqual(kinds, want) {
				t.Errorf("after each step it was %v, want %v", kinds, want)
			}
		})
	}
}

// TestConvertDamaged: a log that is damaged is not converted, and stays as it is.
func TestConvertDamaged(t *testing.T) {
	t.Parallel()
	for from, to := range map[string]string{LogStoreBolt: LogStoreWAL, LogStoreWAL: LogStoreBolt} {
		dir, _ := unconverted(t, from)
		editEntries(t, dir, func(index uint64, value []byte) {
			if index == 600 {
				value[len(value)/2] ^= 1
			}
		})
		for _, dry := range []bool{true, false} {
			_, err := ConvertLogStore(dir, to, ConvertOptions{DryRun: dry})
			if err == nil || !strings.Contains(err.Error(), "log entry 600") {
				t.Errorf("to %s: %v", to, err)
			}
		}
		if kind, err := storeIn(dir); err != nil || kind != from {
			t.Errorf("it is %s, %v", kind, err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("%v is left, %v", entries, err)
		}
	}
}

// TestConvertLeap: what lies before a gap that is too large for one of the stores is left out.
func TestConvertLeap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, err := openStore(dir, LogStoreBolt, discardLog)
	if err != nil {
		t.Fatal(err)
	}
	const leap = 10 + maxWALGap + 2
	logs := guardedBy(t, store)
	for _, index := range []uint64{8, 9, 10, leap, leap + 1} {
		if err := logs.StoreLogs([]*raft.Log{walEntry(index)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := ConvertLogStore(dir, LogStoreWAL, ConvertOptions{})
	if err != nil || c.FirstIndex != leap || c.LastIndex != leap+1 || c.Entries != 2 || !c.Done {
		t.Fatalf("%+v, %v", c, err)
	}
	m := &storeModel{entries: map[uint64]*raft.Log{leap: walEntry(leap), leap + 1: walEntry(leap + 1)}}
	if store, err = openStore(dir, LogStoreAuto, discardLog); err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	m.check(t, guardedBy(t, store), store)
}

func TestConvertRefused(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	both, _ := unconverted(t, LogStoreBolt)
	if err := os.Mkdir(filepath.Join(both, walDir), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ dir, to, words string }{
		{empty, LogStoreWAL, "not the data directory of a node that has run"},
		{both, LogStoreWAL, "has two logs"},
		{empty, LogStoreAuto, "cannot be converted to"},
	} {
		if _, err := ConvertLogStore(c.dir, c.to, ConvertOptions{}); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%v does not say %q", err, c.words)
		}
	}
}

// TestKindIsKept: a directory has one kind of log, and another one that is asked for is refused with the command for it.
func TestKindIsKept(t *testing.T) {
	t.Parallel()
	for has, other := range map[string]string{LogStoreBolt: LogStoreWAL, LogStoreWAL: LogStoreBolt} {
		dir := t.TempDir()
		for _, want := range []string{has, LogStoreAuto} {
			store, err := openStore(dir, want, discardLog)
			if err != nil {
				t.Fatal(err)
			}
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
		}
		_, err := openStore(dir, other, discardLog)
		words := fmt.Sprintf("`syllecta log-store convert --data-dir %s --to %s`", dir, other)
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%v does not say %q", err, words)
		}
		if kind, err := storeIn(dir); err != nil || kind != has {
			t.Errorf("it is %s, %v", kind, err)
		}
	}
}
