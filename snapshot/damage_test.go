package snapshot

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// checkRefused reads damaged in each way there is and wants the error every time.
func checkRefused(t fataler, what string, damaged []byte, want error) {
	t.Helper()
	info, err := Verify(bytes.NewReader(damaged))
	if !errors.Is(err, want) {
		t.Fatalf("%s: Verify: %v, want %v", what, err, want)
	}
	if info.FormatVersion != 0 || info.Bytes != 0 || info.Sections != nil {
		t.Fatalf("%s: Verify returned %+v beside its error", what, info)
	}
	if !strings.Contains(err.Error(), "at byte ") {
		t.Fatalf("%s: %q does not say where", what, err)
	}
	if err := skipAll(damaged); !errors.Is(err, want) {
		t.Fatalf("%s: skipping: %v, want %v", what, err, want)
	}
}

// skipAll goes through the sections without reading a record. It returns nil at a verified end.
func skipAll(file []byte) error {
	r, err := NewReader(bytes.NewReader(file))
	for err == nil {
		_, err = r.Next()
	}
	if err == io.EOF {
		return nil
	}
	if r != nil {
		if _, again := r.Next(); again != err {
			return errors.New("Next: the error did not stay")
		}
		if _, again := r.Record(); again != err {
			return errors.New("Record: the error did not stay")
		}
	}
	return err
}

// TestEveryByte changes every byte into every other value.
func TestEveryByte(t *testing.T) {
	t.Parallel()
	file := smallFile(t)
	for at := range file {
		for mask := 1; mask < 256; mask++ {
			damaged := bytes.Clone(file)
			damaged[at] ^= byte(mask)
			if _, err := Verify(bytes.NewReader(damaged)); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("byte %d changed by %#02x: %v, want %v", at, mask, err, ErrCorrupt)
			}
		}
		for _, mask := range []byte{0x01, 0x80, 0xff} {
			damaged := bytes.Clone(file)
			damaged[at] ^= mask
			checkRefused(t, "one byte", damaged, ErrCorrupt)
		}
	}
}

func TestEveryTruncation(t *testing.T) {
	t.Parallel()
	file := smallFile(t)
	for length := range file {
		checkRefused(t, "cut off", file[:length], ErrTruncated)
	}
}

func TestAppended(t *testing.T) {
	t.Parallel()
	file := smallFile(t)
	_, blocks := cut(file)
	for name, tail := range map[string][]byte{
		"zero byte":          {0},
		"newline":            {'\n'},
		"another snapshot":   file,
		"another end marker": blocks[len(blocks)-1],
		"a page of zeros":    make([]byte, 4096),
	} {
		checkRefused(t, name, slices.Concat(file, tail), ErrCorrupt)
	}
}

// TestBlocks drops, doubles and swaps blocks, first as an accident would, then with sequence numbers and checksums
// that hide it as well as they can.
func TestBlocks(t *testing.T) {
	t.Parallel()
	header, blocks := cut(smallFile(t))
	if len(blocks) < 9 {
		t.Fatalf("only %d blocks", len(blocks))
	}
	check := func(what string, changed [][]byte, want error) {
		t.Helper()
		checkRefused(t, what, join(header, changed), want)
		checkRefused(t, what+", resealed", reseal(join(header, changed)), want)
	}
	for i := range blocks {
		want := ErrCorrupt
		if i == len(blocks)-1 {
			want = ErrTruncated // without the end marker there is nothing wrong but its absence
		}
		check("dropped", slices.Delete(slices.Clone(blocks), i, i+1), want)
		check("doubled", slices.Insert(slices.Clone(blocks), i, blocks[i]), ErrCorrupt)
		for j := range i {
			swapped := slices.Clone(blocks)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			check("swapped", swapped, ErrCorrupt)
		}
	}
}

// TestSplice puts a block of another snapshot in the place of the same block of this one: same kind, section, number
// and length. It must be refused at once, and not only at the end of the file.
func TestSplice(t *testing.T) {
	t.Parallel()
	ours := func(fill byte) [][]byte {
		return [][]byte{bytes.Repeat([]byte{fill}, 32), []byte("second"), []byte("third")}
	}
	header, a := cut(encode(t, 1, section{Section{1, 1}, ours('a')}))
	_, b := cut(encode(t, 1, section{Section{1, 1}, ours('b')}))
	for i := 1; i < len(a); i++ {
		spliced := slices.Clone(a)
		spliced[i] = b[i]
		checkRefused(t, "spliced", join(header, spliced), ErrCorrupt)
	}
	// Block 2 is the same in both but for what was before it.
	spliced := slices.Clone(a)
	spliced[2] = b[2]
	got, err := decode(bytes.NewReader(join(header, spliced)))
	if !errors.Is(err, ErrCorrupt) || len(got) != 1 || len(got[0].records) != 1 {
		t.Errorf("got %v, %v: the foreign block was handed out", got, err)
	}
}

// TestDamageProperty damages larger files in ways that tables do not think of.
func TestDamageProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		file := encode(t, rapid.IntRange(1, 100).Draw(t, "target"), drawSections(t)...)
		at := rapid.IntRange(0, len(file)-1).Draw(t, "at")
		n := rapid.IntRange(1, min(64, len(file)-at)).Draw(t, "n")
		var damaged []byte
		switch rapid.SampledFrom([]string{"change", "remove", "insert", "zero"}).Draw(t, "how") {
		case "change":
			damaged = bytes.Clone(file)
			copy(damaged[at:], rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "bytes"))
		case "remove":
			damaged = slices.Delete(bytes.Clone(file), at, at+n)
		case "insert":
			damaged = slices.Insert(bytes.Clone(file), at, rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "bytes")...)
		case "zero":
			damaged = bytes.Clone(file)
			clear(damaged[at : at+n])
		}
		if bytes.Equal(damaged, file) {
			return
		}
		_, err := Verify(bytes.NewReader(damaged))
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTruncated) {
			t.Fatalf("accepted or misjudged: %v", err)
		}
	})
}
