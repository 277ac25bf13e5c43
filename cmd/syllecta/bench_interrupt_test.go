package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// interruptedRun is a run of claims against the fake, which ends with cancel.
func interruptedRun(t *testing.T, f *benchFake, warmUp time.Duration) *benchRun {
	t.Helper()
	u, err := url.Parse(f.nodes[0].URL)
	if err != nil {
		t.Fatal(err)
	}
	o := benchOptions{
		scenario: scenarioClaim, connections: 2, duration: time.Hour, warmUp: warmUp, timeout: time.Minute, keyBytes: 64,
		bodyBytes: 2, ttlSeconds: 60, scope: "bench",
	}
	w, err := newWorkload(o)
	if err != nil {
		t.Fatal(err)
	}
	at := newEndpoint(u)
	l := &leadership{members: []*endpoint{at}}
	l.leader.Store(at)
	d := dialling{leadership: l, key: fakeBenchKey, timeout: o.timeout}
	out := writerFunc(func(b []byte) (int, error) { return len(b), nil })
	return newBenchRun(&terminal{err: out}, w, d, &benchServers{nodes: l.members, http: http.DefaultClient})
}

// TestBenchInterrupted ends runs of an hour: one while it measures, which tells what it has seen, one before.
func TestBenchInterrupted(t *testing.T) {
	t.Parallel()
	for warmUp, measured := range map[time.Duration]bool{0: true, time.Hour: false} {
		f := newBenchFake(t, 1, 0)
		ctx, cancel := context.WithCancel(t.Context())
		f.fault = func(n int64, _ http.ResponseWriter) bool {
			if n == 50 {
				cancel()
			}
			return false
		}
		r, err := interruptedRun(t, f, warmUp).measure(ctx)
		if measured && (err != nil || r.Requests < 49 || r.DurationSeconds > 3000 || r.ServerNodes != 1) {
			t.Errorf("got %+v, %v", r, err)
		}
		if !measured && !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted in the warm-up: got %+v, %v", r, err)
		}
	}
}
