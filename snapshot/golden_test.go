package snapshot

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the golden file of the current format version")

// golden are the contents of testdata/v1.snapshot. They never change: snapshots of version 1 stay readable.
func golden() []section {
	return []section{
		{Section{1, 1}, [][]byte{
			[]byte("a record"), {}, []byte("schlüssel\x00\xff"), bytes.Repeat([]byte("0123456789"), 20),
		}},
		{Section{2, 7}, nil},
		{Section{255, 65535}, [][]byte{{0}, {1, 2, 3}}},
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	path := filepath.Join("testdata", "v1.snapshot")
	written := encode(t, 64, golden()...)
	if *update {
		if err := os.WriteFile(path, written, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	checkSame(t, got, golden())
	checkInfo(t, file, golden())
	if !bytes.Equal(written, file) {
		t.Errorf("version %d is written differently now: that takes a new format version", FormatVersion)
	}
}
