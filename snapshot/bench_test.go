package snapshot

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

// benchBytes is the payload of one iteration.
const benchBytes = 64 << 20

var benchSizes = []int{100, 1 << 10, 64 << 10, 1 << 20, MaxRecordBytes}

func writeBench(b *testing.B, dst io.Writer, record []byte) {
	w, err := NewWriter(dst)
	if err != nil {
		b.Fatal(err)
	}
	if err := w.Begin(1, 1); err != nil {
		b.Fatal(err)
	}
	for range benchBytes / len(record) {
		if err := w.Append(record); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprintf("record=%d", size), func(b *testing.B) {
			record := make([]byte, size)
			b.ReportAllocs()
			b.SetBytes(int64(benchBytes / size * size))
			for b.Loop() {
				writeBench(b, io.Discard, record)
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprintf("record=%d", size), func(b *testing.B) {
			var file bytes.Buffer
			writeBench(b, &file, make([]byte, size))
			b.ReportAllocs()
			b.SetBytes(int64(benchBytes / size * size))
			for b.Loop() {
				if _, err := Verify(bytes.NewReader(file.Bytes())); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
