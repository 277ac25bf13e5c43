package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
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
