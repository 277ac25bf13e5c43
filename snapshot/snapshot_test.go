package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// section is a whole section in memory.
type section struct {
	Section
	records [][]byte
}

// fataler is what helpers need of testing.T and rapid.T.
type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// encode writes the sections in blocks of about targetBytes.
func encode(t fataler, targetBytes int, sections ...section) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := NewWriter(&buf)
	if err != nil {
		t.Fatal(err)
	}
	w.targetBytes = targetBytes
	for _, s := range sections {
		if err := w.Begin(s.ID, s.Version); err != nil {
			t.Fatal(err)
		}
		for _, record := range s.records {
			if err := w.Append(record); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// decode reads everything and returns what it got before the error, which is nil for a good snapshot.
func decode(r io.Reader) ([]section, error) {
	sr, err := NewReader(r)
	if err != nil {
		return nil, err
	}
	var sections []section
	for {
		head, err := sr.Next()
		if err == io.EOF {
			return sections, nil
		}
		if err != nil {
			return sections, err
		}
		s := section{Section: head}
		for {
			record, err := sr.Record()
			if err == io.EOF {
				break
			}
			if err != nil {
				return append(sections, s), err
			}
			s.records = append(s.records, bytes.Clone(record))
		}
		sections = append(sections, s)
	}
}

// small is a snapshot of several sections and blocks that is short enough to try everything on.
func small() []section {
	return []section{
		{Section{1, 1}, [][]byte{[]byte("alpha"), []byte("beta"), {}, []byte("gamma")}},
		{Section{9, 300}, nil},
		{Section{0, 0}, [][]byte{{0}, bytes.Repeat([]byte{0xff}, 40)}},
	}
}

func smallFile(t fataler) []byte {
	t.Helper()
	return encode(t, 24, small()...)
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	const full = blockTargetBytes - recordPrefixBytes // fills a block to the byte
	for name, sections := range map[string][]section{
		"no section":       nil,
		"empty section":    {{Section{7, 2}, nil}},
		"empty record":     {{Section{7, 2}, [][]byte{{}}}},
		"several":          small(),
		"extreme heads":    {{Section{0, 0}, [][]byte{{1}}}, {Section{255, 65535}, [][]byte{{2}}}},
		"a block filled":   {{Section{1, 1}, [][]byte{make([]byte, full), {1}}}},
		"a block overfull": {{Section{1, 1}, [][]byte{{1}, make([]byte, full+1), {2}}}},
		"largest record":   {{Section{1, 1}, [][]byte{{1}, bytes.Repeat([]byte{3}, MaxRecordBytes), {2}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := decode(bytes.NewReader(encode(t, blockTargetBytes, sections...)))
			if err != nil {
				t.Fatal(err)
			}
			checkSame(t, got, sections)
		})
	}
}

func TestEverySectionID(t *testing.T) {
	t.Parallel()
	var want []section
	for id := range 256 {
		want = append(want, section{Section{SectionID(id), uint16(id)}, [][]byte{{byte(id)}}})
	}
	got, err := decode(bytes.NewReader(encode(t, blockTargetBytes, want...)))
	if err != nil {
		t.Fatal(err)
	}
	checkSame(t, got, want)
}

func TestRoundTripProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := drawSections(t)
		file := encode(t, rapid.IntRange(1, 200).Draw(t, "target"), want...)
		var r io.Reader = bytes.NewReader(file)
		switch rapid.SampledFrom([]string{"plain", "one byte", "half", "data with EOF"}).Draw(t, "reader") {
		case "one byte":
			r = iotest.OneByteReader(r)
		case "half":
			r = iotest.HalfReader(r)
		case "data with EOF":
			r = iotest.DataErrReader(r)
		}
		got, err := decode(r)
		if err != nil {
			t.Fatal(err)
		}
		checkSame(t, got, want)
		checkInfo(t, file, want)
	})
}

// TestSkipProperty reads only a part of each section: the rest must be skipped without disturbing what follows.
func TestSkipProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := drawSections(t)
		r, err := NewReader(bytes.NewReader(encode(t, rapid.IntRange(1, 100).Draw(t, "target"), want...)))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range want {
			head, err := r.Next()
			if err != nil || head != s.Section {
				t.Fatalf("Next: %v, %v, want %v", head, err, s.Section)
			}
			for i := range rapid.IntRange(0, len(s.records)).Draw(t, "read") {
				if got, err := r.Record(); err != nil || !bytes.Equal(got, s.records[i]) {
					t.Fatalf("record %d: %q, %v, want %q", i, got, err, s.records[i])
				}
			}
		}
		for range 2 {
			if _, err := r.Next(); err != io.EOF {
				t.Fatalf("Next at the end: %v, want io.EOF", err)
			}
		}
	})
}

func drawSections(t *rapid.T) []section {
	ids := rapid.SliceOfNDistinct(rapid.Uint8(), 0, 5, rapid.ID).Draw(t, "ids")
	record := rapid.SliceOfN(rapid.Byte(), 0, 60)
	var sections []section
	for _, id := range ids {
		sections = append(sections, section{
			Section{SectionID(id), rapid.Uint16().Draw(t, "version")},
			rapid.SliceOfN(record, 0, 12).Draw(t, "records"),
		})
	}
	return sections
}

func checkSame(t fataler, got, want []section) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d sections, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i].Section != want[i].Section {
			t.Fatalf("section %d: got %v, want %v", i, got[i].Section, want[i].Section)
		}
		if len(got[i].records) != len(want[i].records) {
			t.Fatalf("section %d: %d records, want %d", i, len(got[i].records), len(want[i].records))
		}
		for j, record := range want[i].records {
			if !bytes.Equal(got[i].records[j], record) {
				t.Fatalf("section %d, record %d differs", i, j)
			}
		}
	}
}

func checkInfo(t fataler, file []byte, sections []section) {
	t.Helper()
	want := Info{FormatVersion: FormatVersion, Bytes: int64(len(file))}
	for _, s := range sections {
		info := SectionInfo{ID: s.ID, Version: s.Version, Records: uint64(len(s.records))}
		for _, record := range s.records {
			info.Bytes += uint64(len(record))
		}
		want.Sections = append(want.Sections, info)
	}
	got, err := Verify(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	checkInfo(t, smallFile(t), small())
	checkInfo(t, encode(t, blockTargetBytes), nil)
}

// TestBatching pins what the block size is for: many records, few writes, none much larger than the target.
func TestBatching(t *testing.T) {
	t.Parallel()
	var writes []int
	w, err := NewWriter(writerFunc(func(p []byte) (int, error) {
		writes = append(writes, len(p))
		return len(p), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Begin(1, 1); err != nil {
		t.Fatal(err)
	}
	record := make([]byte, 1000)
	for range 2000 {
		if err := w.Append(record); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	// File header, begin, end and finish, and the records.
	if want := 4 + (2000*1004+blockTargetBytes-1)/blockTargetBytes; len(writes) != want {
		t.Errorf("%d writes, want %d", len(writes), want)
	}
	for _, n := range writes {
		if most := blockHeaderBytes + blockTargetBytes + checksumBytes; n > most {
			t.Errorf("a write of %d bytes, at most %d are due", n, most)
		}
	}
}

// TestAppendCopies reuses one slice for all records, as callers do.
func TestAppendCopies(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	w, err := NewWriter(&buf)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Begin(1, 1); err != nil {
		t.Fatal(err)
	}
	scratch := make([]byte, 8)
	for i := range uint64(10) {
		binary.BigEndian.PutUint64(scratch, i)
		if err := w.Append(scratch); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := decode(&buf)
	if err != nil {
		t.Fatal(err)
	}
	for i, record := range got[0].records {
		if binary.BigEndian.Uint64(record) != uint64(i) {
			t.Errorf("record %d is % x", i, record)
		}
	}
}

// TestRecordIsCapped: appending to a record must not overwrite the one behind it.
func TestRecordIsCapped(t *testing.T) {
	t.Parallel()
	r, err := NewReader(bytes.NewReader(encode(t, blockTargetBytes, small()...)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	first, err := r.Record()
	if err != nil {
		t.Fatal(err)
	}
	_ = append(first, "overwritten"...)
	if second, err := r.Record(); err != nil || string(second) != "beta" {
		t.Fatalf("got %q, %v", second, err)
	}
}

func TestReaderOrderOfCalls(t *testing.T) {
	t.Parallel()
	r, err := NewReader(bytes.NewReader(smallFile(t)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Record(); !errors.Is(err, errRecordNoSection) {
		t.Fatalf("Record before Next: %v", err)
	}
	if _, err := r.Next(); err != nil {
		t.Fatalf("Next after a Record too early: %v", err)
	}
	for range small()[0].records {
		if _, err := r.Record(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if _, err := r.Record(); err != io.EOF {
			t.Fatalf("Record at the end of the section: %v, want io.EOF", err)
		}
	}
	if head, err := r.Next(); err != nil || head != small()[1].Section {
		t.Fatalf("Next: %v, %v", head, err)
	}
}
