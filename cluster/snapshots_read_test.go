package cluster

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

// sourceOf returns n random bytes.
func sourceOf(n int) []byte {
	b := make([]byte, n)
	random := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = random.Read(b)
	return b
}

func TestReadAheadGivesWhatTheSourceHas(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, size := range []int{0, 1, readAheadBytes - 1, readAheadBytes, readAheadBytes + 1, 6*readAheadBytes + 77} {
		want := sourceOf(size)
		for name, source := range map[string]io.Reader{
			"whole":   bytes.NewReader(want),
			"halves":  iotest.HalfReader(bytes.NewReader(want)),
			"at once": iotest.DataErrReader(bytes.NewReader(want)),
		} {
			a := readAhead(source)
			if err := iotest.TestReader(a, want); err != nil && size > 0 {
				t.Errorf("%d bytes, %s: %v", size, name, err)
			}
			if n, err := a.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("%d bytes, %s: behind the end %d, %v", size, name, n, err)
			}
			if err := errors.Join(a.Close(), a.Close()); err != nil {
				t.Error(err)
			}
		}
		a := readAhead(io.MultiReader(bytes.NewReader(want), iotest.ErrReader(broken)))
		if got, err := io.ReadAll(a); err != broken || !bytes.Equal(got, want) {
			t.Errorf("%d bytes and an error: %d bytes, %v", size, len(got), err)
		}
		_ = a.Close()
	}
}

// A reader that is closed before its end reads no further.
func TestReadAheadIsBounded(t *testing.T) {
	t.Parallel()
	source := bytes.NewReader(sourceOf(20 * readAheadBytes))
	a := readAhead(source)
	if _, err := io.ReadFull(a, make([]byte, readAheadBytes/2)); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if read := 20*readAheadBytes - source.Len(); read > readAheadBlocks*readAheadBytes {
		t.Errorf("%d bytes were read, want at most %d blocks", read, readAheadBlocks)
	}
	for range readAheadBlocks + 1 {
		if _, err := io.ReadAll(a); err == nil || err == io.EOF {
			t.Fatalf("read after Close: %v", err)
		}
	}
}

// The checksum over a whole file is spared once, for the snapshot that was verified at the start. Later damage shows.
func TestSnapshotIsOpenedOnceWithoutItsChecksum(t *testing.T) {
	t.Parallel()
	dir, _, _ := snapshottedDir(t)
	store, err := openSnapshots(dir, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(newestIn(t, dir), "state.bin")
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	id := filepath.Base(newestIn(t, dir))
	for i := range 2 {
		meta, rc, err := store.Open(id)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(rc)
		if err != nil || !bytes.Equal(got, want) || meta.ID != id || meta.Size != int64(len(want)) {
			t.Errorf("opening %d: %d bytes, %v, %+v", i+1, len(got), err, meta)
		}
		if err := rc.Close(); err != nil {
			t.Error(err)
		}
	}
	rewrite(t, path, func(b []byte) []byte { b[len(b)/2]++; return b })
	if _, _, err := store.Open(id); err == nil {
		t.Error("later damage went unnoticed")
	}
}

var startRecords = flag.Int("records", 50_000, "how many records BenchmarkStart restores")

// BenchmarkStart verifies and restores the newest snapshot of a data directory, as a start does. It reports the time of
// one record: keys of 40 bytes, bodies of 200.
func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	n := writeSnapshotOf(b, dir, *startRecords)
	b.ReportAllocs()
	for b.Loop() {
		store, err := openSnapshots(dir, hclog.NewNullLogger())
		if err != nil {
			b.Fatal(err)
		}
		all, err := store.List()
		if err != nil {
			b.Fatal(err)
		}
		_, rc, err := store.Open(all[0].ID)
		if err != nil {
			b.Fatal(err)
		}
		a, _ := newTestApplier()
		if err := a.Restore(rc); err != nil || a.machine.Records() != n {
			b.Fatalf("%d records, %v", a.machine.Records(), err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/record")
}

// writeSnapshotOf makes a snapshot of about that many records the only one of a directory.
func writeSnapshotOf(b *testing.B, dir string, records int) (n int) {
	b.Helper()
	const perEntry = 256
	a, _ := newTestApplier()
	body := bytes.Repeat([]byte("x"), 200)
	for index := uint64(1); n < records; index++ {
		frames := make([][]byte, perEntry)
		for i := range frames {
			frames[i] = fsm.Encode(fsm.Complete{
				ID:     fsm.RecordID{Tenant: 1, Scope: "orders", Key: fmt.Sprintf("%040d", n)},
				Status: 200, Headers: []byte("{}"), Body: body, TTLMs: 86_400_000,
			})
			n++
		}
		a.Apply(commandLog(index, fsm.EncodeEntry(1_800_000_000_000, fsm.BatchID{}, frames...)))
	}
	store, err := openSnapshots(dir, hclog.NewNullLogger())
	if err != nil {
		b.Fatal(err)
	}
	_, trans := raft.NewInmemTransport("")
	sink, err := store.Create(raft.SnapshotVersionMax, a.machine.Index(), 1, raft.Configuration{}, 1, trans)
	if err != nil {
		b.Fatal(err)
	}
	captured, err := a.Snapshot()
	if err != nil {
		b.Fatal(err)
	}
	if err := captured.Persist(sink); err != nil {
		b.Fatal(err)
	}
	return n
}
