package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
)

const (
	// meterQuiet is how long a transfer may take without a word.
	meterQuiet = time.Second
	// meterEvery is the pace of lines where nobody looks at a bar; meterFrame that of the bar.
	meterEvery = 5 * time.Second
	meterFrame = 100 * time.Millisecond
)

// meter shows on standard error how far a transfer has come: a bar on a terminal, a line now and then elsewhere,
// nothing if it is over quickly. It counts what is written to it.
type meter struct {
	t     *terminal
	what  string // "saved"
	total int64  // bytes; 0 if unknown
	then  string // what is waited for when all is through; "" for nothing
	start time.Time
	moved atomic.Int64
	stop  chan struct{}
	done  chan struct{}
}

// startMeter starts a meter. Its owner must finish it.
func (t *terminal) startMeter(what string, total int64, then string) *meter {
	m := &meter{
		t: t, what: what, total: total, then: then, start: time.Now(),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	go func() {
		defer close(m.done)
		if isTerminal(t.err) {
			m.bar()
		} else {
			m.lines()
		}
	}()
	return m
}

func (m *meter) Write(p []byte) (int, error) {
	m.moved.Add(int64(len(p)))
	return len(p), nil
}

// finish takes the bar away, and may be called once.
func (m *meter) finish() {
	close(m.stop)
	<-m.done
}

func (m *meter) lines() {
	ticker := time.NewTicker(meterEvery)
	defer ticker.Stop()
	for {
		select {
		case <-m.stop:
			return
		case <-ticker.C:
			fmt.Fprintln(m.t.err, m.line(time.Since(m.start)))
		}
	}
}

// line is, for instance, "saved 40 MB of 80 MB, 12 MB/s".
func (m *meter) line(elapsed time.Duration) string {
	moved := m.moved.Load()
	of := ""
	if m.total > 0 && moved >= m.total && m.then != "" {
		return m.what + " " + byteText(moved) + "; " + m.then
	}
	if m.total > 0 {
		of = " of " + byteText(m.total)
	}
	perSecond := int64(float64(moved) / max(elapsed, time.Millisecond).Seconds())
	return m.what + " " + byteText(moved) + of + ", " + byteText(perSecond) + "/s"
}

func (m *meter) bar() {
	select {
	case <-m.stop:
		return
	case <-time.After(meterQuiet):
	}
	w := progress.NewWriter()
	w.SetOutputWriter(m.t.err)
	w.SetUpdateFrequency(meterFrame)
	w.Style().Visibility.ETA = m.total > 0
	w.Style().Visibility.Speed = true
	if m.t.errColor {
		w.Style().Colors = progress.StyleColorsExample
	}
	tracker := &progress.Tracker{
		Message: m.what, Total: m.total, Units: progress.UnitsBytes, AutoStopDisabled: true, RemoveOnCompletion: true,
	}
	w.AppendTracker(tracker)
	drawn := make(chan struct{})
	go func() {
		defer close(drawn)
		w.Render()
	}()
	m.follow(tracker)
	for {
		w.Stop() // has no effect before Render has begun
		select {
		case <-drawn:
			return
		case <-time.After(meterFrame):
		}
	}
}

// follow keeps the bar up to date until the transfer is over.
func (m *meter) follow(tracker *progress.Tracker) {
	ticker := time.NewTicker(meterFrame)
	defer ticker.Stop()
	for {
		tracker.SetValue(m.moved.Load())
		select {
		case <-m.stop:
			tracker.MarkAsDone()
			return
		case <-ticker.C:
		}
	}
}

// byteText writes a number of bytes for people: three digits and a decimal unit.
func byteText(n int64) string {
	const units = "kMGTPE"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n)/1000, 0
	for v >= 999.5 && unit < len(units)-1 {
		v, unit = v/1000, unit+1
	}
	if v < 9.95 {
		return fmt.Sprintf("%.1f %cB", v, units[unit])
	}
	return fmt.Sprintf("%.0f %cB", v, units[unit])
}

// countReads counts what is read from r.
func (m *meter) countReads(r io.Reader) io.Reader { return io.TeeReader(r, m) }
