package main

import (
	"context"
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// pace says when the requests of a phase are due. It is used by all connections at the same time.
type pace interface {
	// next returns when the next request is due, no earlier than that; now is the caller's. There is none if ok is false.
	next(ctx context.Context, now time.Time) (due time.Time, ok bool)
	// unsent is how many requests were due and never sent, once the phase is over.
	unsent() int64
}

// closedLoop has a request due on each connection as soon as it is free.
type closedLoop struct{ end time.Time }

func (p *closedLoop) next(ctx context.Context, now time.Time) (time.Time, bool) {
	return now, now.Before(p.end) && ctx.Err() == nil
}

func (p *closedLoop) unsent() int64 { return 0 }

// openLoop has requests due at even distances, whatever became of those before. The free connections take turns: one
// waits until the next request is due and goes to send it, while another one waits for the request after it. If none
// is free, requests become overdue, and are sent late with the time at which they were due. Nothing is queued: what is
// overdue is a number.
type openLoop struct {
	start, end time.Time
	interval   float64 // nanoseconds
	total      int64   // requests due before the end

	turn  chan struct{} // holds an element while a connection has its turn
	taken int64         // guarded by turn
	// abandoned tells that the phase ended early, so that the rest was never due.
	abandoned bool // guarded by turn

	now        func() time.Time
	sleepUntil func(ctx context.Context, due time.Time)
}

func newOpenLoop(start time.Time, d time.Duration, rate float64) *openLoop {
	interval := float64(time.Second) / rate
	return &openLoop{
		start: start, end: start.Add(d), interval: interval, total: int64(math.Ceil(float64(d) / interval)),
		turn: make(chan struct{}, 1), now: time.Now, sleepUntil: sleepUntil,
	}
}

func (p *openLoop) next(ctx context.Context, _ time.Time) (time.Time, bool) {
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	if p.taken == p.total || p.abandoned || !p.now().Before(p.end) {
		return time.Time{}, false
	}
	due := p.start.Add(time.Duration(float64(p.taken) * p.interval))
	p.sleepUntil(ctx, due)
	if ctx.Err() != nil {
		p.abandoned = true
		return time.Time{}, false
	}
	p.taken++
	return due, true
}

func (p *openLoop) unsent() int64 {
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	if p.abandoned {
		return 0
	}
	return p.total - p.taken
}

// exactSleep is the end of a wait that is left to the kernel's clock: the runtime's timers come up to a millisecond late
// in a process that has nothing else to do, which is as much as a fast answer takes.
const exactSleep = 2 * time.Millisecond

// sleepUntil returns when a moment has come, within some ten microseconds, or ctx has ended.
func sleepUntil(ctx context.Context, due time.Time) {
	if d := time.Until(due); d > exactSleep && !pause(ctx, d-exactSleep) {
		return
	}
	for d := time.Until(due); d > 0; d = time.Until(due) {
		left := unix.NsecToTimespec(int64(d))
		if err := unix.Nanosleep(&left, nil); err != nil && err != unix.EINTR {
			return // the arguments are good, so that this does not happen
		}
	}
}
