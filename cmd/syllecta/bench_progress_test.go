package main

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

// TestLoadMeter follows a load for a quarter of a minute.
func TestLoadMeter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		began := time.Now()
		m := (&terminal{err: &out}).startLoadMeter("measuring", 20*time.Second, func() (answered, failed int64) {
			return time.Since(began).Milliseconds() * 2, 1
		})
		time.Sleep(12 * time.Second)
		m.finish()
		want := "measuring, 5s of 20s: 10000 requests, 2000/s now, 1 error\n" +
			"measuring, 10s of 20s: 20000 requests, 2000/s now, 1 error\n"
		if got := out.String(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

// TestLoadMeterLine has no end that is known.
func TestLoadMeterLine(t *testing.T) {
	t.Parallel()
	m := &loadMeter{name: "preparing"}
	if got, want := m.line(time.Second, 1, 0, 1), "preparing, 1s: 1 request, 1/s now, 0 errors"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
