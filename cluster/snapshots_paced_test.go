package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// slowSink takes its time for each write.
type slowSink struct {
	raft.SnapshotSink
	bytes.Buffer
	takes time.Duration
}

func (s *slowSink) Write(p []byte) (int, error) {
	time.Sleep(s.takes)
	return s.Buffer.Write(p)
}

// TestPacedWriter: it rests for a multiple of the time that writing takes, within bounds, and not once it is to stop.
func TestPacedWriter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		sink, hurry := &slowSink{takes: 5 * time.Millisecond}, false
		w := (&snapshotStore{}).paceSnapshot(ctx, func() bool { return hurry }, sink)
		half := make([]byte, pacedBytes/2)
		write := func(want time.Duration) {
			t.Helper()
			start := time.Now()
			if n, err := w.Write(half); n != len(half) || err != nil {
				t.Fatal(n, err)
			}
			if took := time.Since(start); took != want {
				t.Errorf("took %v, want %v", took, want)
			}
		}
		for range 3 {
			write(sink.takes)
			write(sink.takes + 2*sink.takes*pacedRest)
		}
		hurry = true
		write(sink.takes)
		write(sink.takes)
		hurry = false
		sink.takes = pacedRestMost
		write(sink.takes)
		write(sink.takes + pacedRestMost)
		time.AfterFunc(3*sink.takes/2, stop)
		write(sink.takes)
		if _, err := io.Copy(w, bytes.NewReader(half)); !errors.Is(err, context.Canceled) {
			t.Errorf("after it was to stop: %v", err)
		}
		if got := w.close(); got != int64(sink.Len()) || got != 12*int64(len(half)) {
			t.Errorf("%d bytes are told, %d written", got, sink.Len())
		}
	})
}
