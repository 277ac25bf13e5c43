package main

import (
	"fmt"
	"time"
)

// loadMeterFrame is the pace of a line on a terminal that is written over.
const loadMeterFrame = 500 * time.Millisecond

// loadMeter shows on standard error how a load goes: on a terminal one line that changes, elsewhere a line at times.
type loadMeter struct {
	t        *terminal
	name     string
	total    time.Duration // 0 if unknown
	progress func() (answered, failed int64)
	start    time.Time
	stop     chan struct{}
	done     chan struct{}
}

// startLoadMeter starts a meter. Its owner must finish it.
func (t *terminal) startLoadMeter(name string, total time.Duration, progress func() (answered, failed int64),
) *loadMeter {
	m := &loadMeter{
		t: t, name: name, total: total, progress: progress, start: time.Now(),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	every, format := meterEvery, "%s\n"
	if isTerminal(t.err) {
		every, format = loadMeterFrame, "\r\x1b[K%s"
	}
	go func() {
		defer close(m.done)
		m.show(every, format)
	}()
	return m
}

func (m *loadMeter) show(every time.Duration, format string) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var last int64
	for {
		select {
		case <-m.stop:
			if format[0] == '\r' {
				fmt.Fprintf(m.t.err, format, "") // takes the line away
			}
			return
		case <-ticker.C:
			answered, failed := m.progress()
			fmt.Fprintf(m.t.err, format, m.line(time.Since(m.start), answered, failed, float64(answered-last)/every.Seconds()))
			last = answered
		}
	}
}

// line is, for instance, "measuring, 5s of 10s: 122400 requests, 24480/s now, 3 errors".
func (m *loadMeter) line(elapsed time.Duration, answered, failed int64, perSecond float64) string {
	of := ""
	if m.total > 0 {
		of = " of " + m.total.String()
	}
	return fmt.Sprintf("%s, %s%s: %s, %.0f/s now, %s", m.name, elapsed.Round(time.Second), of,
		countOf(int(answered), "request"), perSecond, countOf(int(failed), "error"))
}

// finish ends the line, and may be called once.
func (m *loadMeter) finish() {
	close(m.stop)
	<-m.done
}
