package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

func u32(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
func u64(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }

// forge makes a file of these blocks with right sequence numbers and checksums.
func forge(blocks ...[]byte) []byte {
	header := make([]byte, fileHeaderBytes)
	putFileHeader(header, FormatVersion)
	number(blocks)
	return reseal(join(header, blocks))
}

// TestForged takes files that are wrong in one thing only: their checksums are right.
func TestForged(t *testing.T) {
	t.Parallel()
	one, two := Section{1, 1}, Section{2, 1}
	begin := func(s Section) []byte { return block(kindBegin, s, nil) }
	records := func(s Section, payload ...[]byte) []byte { return block(kindRecords, s, slices.Concat(payload...)) }
	end := func(s Section, n uint64) []byte { return block(kindEnd, s, u64(n)) }
	finish := func(blocks, n uint64) []byte { return block(kindFinish, Section{}, slices.Concat(u64(blocks), u64(n))) }
	x := slices.Concat(u32(1), []byte("x"))

	good := forge(begin(one), records(one, x), end(one, 1), finish(3, 1))
	if _, err := Verify(bytes.NewReader(good)); err != nil {
		t.Fatalf("what the others are variations of: %v", err)
	}
	for name, file := range map[string][]byte{
		"records before a section": forge(records(one, x), finish(1, 0)),
		"end before a section":     forge(end(one, 0), finish(1, 0)),
		"section not ended":        forge(begin(one), records(one, x), finish(2, 1)),
		"section in a section":     forge(begin(one), begin(two), end(two, 0), finish(3, 0)),
		"section again":            forge(begin(one), end(one, 0), begin(one), end(one, 0), finish(4, 0)),
		"records of another":       forge(begin(one), records(two, x), end(one, 1), finish(3, 1)),
		"records of a version":     forge(begin(one), records(Section{1, 2}, x), end(one, 1), finish(3, 1)),
		"end of another":           forge(begin(one), end(two, 0), finish(2, 0)),
		"records after the end":    forge(begin(one), end(one, 0), records(one, x), finish(3, 0)),
		"one record missing":       forge(begin(one), records(one, x), end(one, 2), finish(3, 2)),
		"one record too many":      forge(begin(one), records(one, x, x), end(one, 1), finish(3, 1)),
		"section count alone":      forge(begin(one), records(one, x), end(one, 2), finish(3, 1)),
		"section in itself":        forge(begin(one), begin(one), end(one, 0), finish(3, 0)),
		"end marker in section 0":  forge(begin(Section{}), finish(1, 0)),
		"total of records":         forge(begin(one), records(one, x), end(one, 1), finish(3, 2)),
		"total of blocks":          forge(begin(one), records(one, x), end(one, 1), finish(4, 1)),
		"end marker of a section":  forge(block(kindFinish, one, make([]byte, finishPayloadBytes))),
		"kind 0":                   forge(block(0, one, nil), finish(1, 0)),
		"kind 5":                   forge(block(5, one, nil), finish(1, 0)),
		"begin with a payload":     forge(block(kindBegin, one, x), end(one, 0), finish(2, 0)),
		"empty records":            forge(begin(one), records(one), end(one, 0), finish(3, 0)),
		"short end":                forge(begin(one), block(kindEnd, one, u32(0)), finish(2, 0)),
		"long end":                 forge(begin(one), block(kindEnd, one, make([]byte, 9)), finish(2, 0)),
		"short finish":             forge(block(kindFinish, Section{}, u64(0))),
		"length cut":               forge(begin(one), records(one, x, []byte{1, 0, 0}), end(one, 1), finish(3, 1)),
		"record past its block":    forge(begin(one), records(one, u32(2), []byte("x")), end(one, 1), finish(3, 1)),
		"record of 4 GiB":          forge(begin(one), records(one, u32(math.MaxUint32)), end(one, 1), finish(3, 1)),
		"version 0":                reseal(withBytes(good, 8, 0, 0)),
		"reserved":                 reseal(withBytes(good, 10, 1, 0)),
		"not a snapshot":           []byte("PK\x03\x04, an archive for example"),
		"not a snapshot and short": []byte("no"),
		"sequence number":          reseal(withBytes(good, fileHeaderBytes+8, 1)),
	} {
		checkRefused(t, name, file, ErrCorrupt)
	}
}

// withBytes returns file with some bytes replaced.
func withBytes(file []byte, at int, b ...byte) []byte {
	file = bytes.Clone(file)
	copy(file[at:], b)
	return file
}

// TestHostileLength claims lengths beyond the bound, with right checksums: nothing may be read or set aside for them.
func TestHostileLength(t *testing.T) {
	t.Parallel()
	for _, length := range []uint32{maxPayloadBytes + 1, 1 << 30, math.MaxInt32, math.MaxUint32} {
		file := forge(block(kindBegin, Section{1, 1}, nil), block(kindRecords, Section{1, 1}, make([]byte, 100)))
		at := fileHeaderBytes + blockHeaderBytes + checksumBytes
		binary.LittleEndian.PutUint32(file[at+4:], length)
		r, err := NewReader(io.MultiReader(bytes.NewReader(reseal(file)), zeros{}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Record(); !errors.Is(err, ErrCorrupt) {
			t.Errorf("length %d: %v, want %v", length, err, ErrCorrupt)
		}
		if want := int64(at + blockHeaderBytes); r.offset != want {
			t.Errorf("length %d: read %d bytes, want %d", length, r.offset, want)
		}
		if cap(r.block) > 1024 {
			t.Errorf("length %d: set aside %d bytes", length, cap(r.block))
		}
	}
}

// TestReaderMemory reads blocks of growing size up to the largest: the one buffer stays within the bound.
func TestReaderMemory(t *testing.T) {
	t.Parallel()
	var records [][]byte
	for size := 1; size < MaxRecordBytes; size *= 3 {
		records = append(records, make([]byte, size))
	}
	records = append(records, make([]byte, MaxRecordBytes))
	r, err := NewReader(bytes.NewReader(encode(t, 1, section{Section{1, 1}, records})))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	for i := range records {
		if got, err := r.Record(); err != nil || len(got) != len(records[i]) {
			t.Fatalf("record %d: %d bytes, %v", i, len(got), err)
		}
		if cap(r.block) > maxPayloadBytes+checksumBytes {
			t.Fatalf("record %d: the buffer has %d bytes", i, cap(r.block))
		}
	}
}

func TestNewerFormat(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{FormatVersion + 1, 0x1234, math.MaxUint16} {
		file := smallFile(t)
		binary.LittleEndian.PutUint16(file[8:], version)
		// What follows the header may be anything in a later version: even the reserved bytes may have a meaning.
		file = reseal(withBytes(file[:fileHeaderBytes+3], 10, 0xaa, 0xaa))
		_, err := NewReader(bytes.NewReader(file))
		if !errors.Is(err, ErrNewerFormat) || errors.Is(err, ErrCorrupt) {
			t.Errorf("version %d: %v, want %v", version, err, ErrNewerFormat)
		}
	}
	file := smallFile(t)
	file[8] = 7
	_, err := NewReader(bytes.NewReader(reseal(file)))
	for _, want := range []string{"version 7", "version 1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

// zeros is an input without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
