package cluster

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestZerosAhead: whatever is written while zeros are written ahead of it stays, and behind it there are only zeros.
func TestZerosAhead(t *testing.T) {
	t.Parallel()
	const size = 12 << 20
	path := filepath.Join(t.TempDir(), "segment")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	files := &walFiles{room: &roomForWrites{}, remover: segmentRemover{log: discardLog}}
	random := rand.New(rand.NewPCG(1, 2))
	want := make([]byte, size)
	ahead, at := int64(0), int64(0)
	for at < size {
		f, err := files.OpenWriter(filepath.Split(path))
		if err != nil {
			t.Fatal(err)
		}
		for range 200 { // then it is opened again, as after a restart
			n := min(1+random.Int64N(20<<10), size-at)
			if random.IntN(50) == 0 { // faster than the zeros
				n = min(random.Int64N(2<<20), size-at)
			}
			for i := range n {
				want[at+i] = byte(random.IntN(256))
			}
			if _, err := f.WriteAt(want[at:at+n], at); err != nil {
				t.Fatal(err)
			}
			if random.IntN(4) == 0 {
				if err := f.Sync(); err != nil {
					t.Fatal(err)
				}
			}
			at += n
			ahead = max(ahead, f.(*walFile).zeros.flushed.Load()-at)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("after %d bytes the file holds something else, %v", at, err)
		}
	}
	if ahead <= 0 {
		t.Error("there were never any zeros ahead")
	}
}

// TestZerosAheadAreBounded: no more are written than are about to be needed, and none by a segment that is not written to.
func TestZerosAheadAreBounded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "segment")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1<<30); err != nil {
		t.Fatal(err)
	}
	var z zerosAhead
	if err := z.open(path, 1<<30); err != nil {
		t.Fatal(err)
	}
	if z.running || z.flushed.Load() != 0 {
		t.Error("zeros are written before anything else")
	}
	if err := z.write(100, func(bool) error { return nil }); err != nil {
		t.Fatal(err)
	}
	z.task.Wait()
	if got := z.flushed.Load(); got < walZerosAhead || got > walZerosAhead+walZerosStep {
		t.Errorf("%d zeros are written ahead, want %d", got, walZerosAhead)
	}
	allocated := false
	if err := z.write(200, func(a bool) error { allocated = a; return nil }); err != nil || !allocated {
		t.Errorf("a write where zeros are is told that there is no space, %v", err)
	}
	if err := z.close(); err != nil {
		t.Fatal(err)
	}
	if err := z.write(1<<29, func(bool) error { return nil }); err != nil {
		t.Fatal(err)
	}
	z.task.Wait()
	if got := z.flushed.Load(); got > walZerosAhead+walZerosStep {
		t.Errorf("%d zeros are written after the end", got)
	}
}
