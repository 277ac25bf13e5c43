package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"
)

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

var errDisk = errors.New("disk on fire")

func newWriter(t *testing.T) *Writer {
	t.Helper()
	w, err := NewWriter(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWriterMisuse(t *testing.T) {
	t.Parallel()
	for name, misuse := range map[string]func(w *Writer) error{
		"append before begin": func(w *Writer) error { return w.Append(nil) },
		"oversize record": func(w *Writer) error {
			return errors.Join(w.Begin(1, 1), w.Append(make([]byte, MaxRecordBytes+1)))
		},
		"section twice":       func(w *Writer) error { return errors.Join(w.Begin(1, 1), w.Begin(1, 1)) },
		"section twice, late": func(w *Writer) error { return errors.Join(w.Begin(1, 1), w.Begin(2, 1), w.Begin(1, 2)) },
	} {
		w := newWriter(t)
		if err := misuse(w); err == nil {
			t.Errorf("%s: no error", name)
		}
		// The snapshot lacks something now, so it must not become a good one.
		if w.Append(nil) == nil || w.Begin(77, 1) == nil || w.Close() == nil || w.Close() == nil {
			t.Errorf("%s: the error did not stay", name)
		}
	}
}

func TestWriterClosed(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	if err := errors.Join(w.Begin(1, 1), w.Close()); err != nil {
		t.Fatal(err)
	}
	if err := w.Begin(2, 1); !errors.Is(err, errClosed) {
		t.Errorf("Begin: %v", err)
	}
	if err := w.Append(nil); !errors.Is(err, errClosed) {
		t.Errorf("Append: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("Close again: %v, want nil as before", err)
	}
}

// TestWriteError lets the underlying writer fail at every byte of the file. Whichever call meets it, Close tells.
func TestWriteError(t *testing.T) {
	t.Parallel()
	size := len(smallFile(t))
	for room := range size {
		var kept bytes.Buffer
		err := writeSmall(writerFunc(func(p []byte) (int, error) {
			n, _ := kept.Write(p[:min(len(p), room-kept.Len())])
			if n < len(p) {
				return n, errDisk
			}
			return n, nil
		}))
		if !errors.Is(err, errDisk) {
			t.Fatalf("room for %d bytes: %v, want %v", room, err, errDisk)
		}
		if _, err := Verify(&kept); !errors.Is(err, ErrTruncated) {
			t.Fatalf("room for %d bytes: what was written verifies with %v", room, err)
		}
	}
}

func TestShortWrite(t *testing.T) {
	t.Parallel()
	// The last block is written short, without an error: against the contract of io.Writer, but it happens.
	left := len(smallFile(t)) - 1
	err := writeSmall(writerFunc(func(p []byte) (int, error) {
		n := min(len(p), left)
		left -= n
		return n, nil
	}))
	if !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v, want %v", err, io.ErrShortWrite)
	}
}

// writeSmall writes the sections of small and looks at the error of Close only, as TestWriteError is about that.
func writeSmall(dst io.Writer) error {
	w, err := NewWriter(dst)
	if err != nil {
		return err
	}
	w.targetBytes = 24
	for _, s := range small() {
		_ = w.Begin(s.ID, s.Version)
		for _, record := range s.records {
			_ = w.Append(record)
		}
	}
	return w.Close()
}

// TestReadError lets the underlying reader fail at every byte, the one behind the end included.
func TestReadError(t *testing.T) {
	t.Parallel()
	file := smallFile(t)
	for at := range len(file) + 1 {
		head := func() io.Reader { return bytes.NewReader(file[:at]) }
		_, err := Verify(io.MultiReader(head(), iotest.ErrReader(errDisk)))
		if !errors.Is(err, errDisk) || errors.Is(err, ErrTruncated) || errors.Is(err, ErrCorrupt) {
			t.Fatalf("failing at byte %d: %v, want %v alone", at, err, errDisk)
		}
		_, err = Verify(iotest.TimeoutReader(iotest.OneByteReader(head())))
		if at > 1 && !errors.Is(err, iotest.ErrTimeout) {
			t.Fatalf("timeout: %v, want %v", err, iotest.ErrTimeout)
		}
	}
}

// TestNoFalseEnd: an underlying error that wraps io.EOF must not pass for the verified end of the snapshot.
func TestNoFalseEnd(t *testing.T) {
	t.Parallel()
	file := smallFile(t)
	for _, cause := range []error{io.ErrUnexpectedEOF, fmt.Errorf("connection lost: %w", io.EOF)} {
		for at := range len(file) + 1 {
			_, err := Verify(io.MultiReader(bytes.NewReader(file[:at]), iotest.ErrReader(cause)))
			if !errors.Is(err, ErrTruncated) || errors.Is(err, io.EOF) {
				t.Fatalf("%v at byte %d: got %v, want %v", cause, at, err, ErrTruncated)
			}
		}
	}
}
