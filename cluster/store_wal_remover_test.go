package cluster

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// TestSegmentRemover: files go one after the other, and what is left when it is closed stays for the next start.
func TestSegmentRemover(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := func() int {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	var paths []string
	for i := range 20 {
		paths = append(paths, filepath.Join(dir, fmt.Sprint(i)))
		if err := os.WriteFile(paths[i], nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := segmentRemover{log: discardLog}
	r.remove(paths[0])
	r.task.Wait()
	r.remove(filepath.Join(dir, "gone already"))
	r.task.Wait()
	if got := files(); got != 19 {
		t.Fatalf("%d files are left, want 19", got)
	}
	start := time.Now()
	for _, path := range paths[1:] {
		r.remove(path)
	}
	waitFor(t, "three more are gone", func() bool { return files() <= 16 })
	if took := time.Since(start); took < 2*removalPause {
		t.Errorf("no pause between removals: three took %v", took)
	}
	r.close()
	left := files()
	r.remove(paths[19])
	if got := files(); left == 0 || got != left {
		t.Errorf("%d files were left when it was closed, and %d later", left, got)
	}
}

// TestOrphanOfTheNextSegment: a crash leaves a file that was made for a segment whose id was not used up yet. The segment
// that gets the id, and so the name, later on is not removed in its place.
func TestOrphanOfTheNextSegment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open := func() *guardedLogs {
		store, err := openStore(dir, LogStoreWAL, discardLog)
		if err != nil {
			t.Fatal(err)
		}
		return guardedBy(t, store)
	}
	logs := open()
	for index := uint64(1); index <= 10; index++ {
		if err := logs.StoreLogs([]*raft.Log{walEntry(index)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := logs.logs.(io.Closer).Close(); err != nil {
		t.Fatal(err)
	}
	segments := filepath.Join(dir, walDir)
	orphan := func(base, id int) string { return filepath.Join(segments, fmt.Sprintf("%020d-%016x.wal", base, id)) }
	paths := []string{orphan(6, 1)}
	for i := range 20 {
		paths = append(paths, orphan(100+i, 100+i))
	}
	for _, path := range paths {
		if err := os.WriteFile(path, make([]byte, 64), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	logs = open()
	if err := logs.DeleteRange(6, 10); err != nil {
		t.Fatal(err)
	}
	if err := logs.StoreLogs([]*raft.Log{walEntry(6)}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(paths[0]); err != nil {
		t.Fatalf("the new segment is not the one that this is about: %v", err)
	}
	waitFor(t, "the other orphans are gone", func() bool {
		return !slices.ContainsFunc(paths[1:], func(path string) bool {
			_, err := os.Stat(path)
			return err == nil
		})
	})
	if err := logs.logs.(io.Closer).Close(); err != nil {
		t.Fatal(err)
	}
	logs = open()
	var got raft.Log
	if err := logs.GetLog(6, &got); err != nil {
		t.Errorf("the entry that was stored last is lost: %v", err)
	}
	if err := logs.logs.(io.Closer).Close(); err != nil {
		t.Fatal(err)
	}
}
