package snapshot

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzReader feeds the reader anything. With sealed, the checksums are made right first, so that the fuzzer gets to
// the checks behind them.
func FuzzReader(f *testing.F) {
	file := smallFile(f)
	_, blocks := cut(file)
	for _, sealed := range []bool{false, true} {
		f.Add([]byte{}, sealed)
		f.Add(file, sealed)
		f.Add(file[:len(file)/2], sealed)
		f.Add(append(bytes.Clone(file), 0), sealed)
		f.Add(forge(blocks[0], blocks[1], blocks[0]), sealed)
		f.Add(encode(f, blockTargetBytes), sealed)
		f.Add(encode(f, blockTargetBytes, golden()...), sealed)
	}
	f.Fuzz(func(t *testing.T, file []byte, sealed bool) {
		if sealed {
			file = reseal(file)
		}
		sections, err := decode(bytes.NewReader(file))
		info, verifyErr := Verify(bytes.NewReader(file))
		if skipErr := skipAll(file); !sameVerdict(err, verifyErr) || !sameVerdict(err, skipErr) {
			t.Fatalf("read: %v, verified: %v, skipped: %v", err, verifyErr, skipErr)
		}
		if err != nil {
			checkSentinel(t, err)
			return
		}
		if info.Bytes != int64(len(file)) {
			t.Fatalf("accepted %d of %d bytes", info.Bytes, len(file))
		}
		again, err := decode(bytes.NewReader(encode(t, blockTargetBytes, sections...)))
		if err != nil {
			t.Fatal(err)
		}
		checkSame(t, again, sections)
	})
}

func sameVerdict(a, b error) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Error() == b.Error())
}

func checkSentinel(t *testing.T, err error) {
	t.Helper()
	for _, known := range []error{ErrCorrupt, ErrTruncated, ErrNewerFormat} {
		if errors.Is(err, known) {
			return
		}
	}
	t.Fatalf("an error of no kind: %v", err)
}
