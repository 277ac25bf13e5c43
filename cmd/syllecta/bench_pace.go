package main

import (
	"context"
	"math"
	"time"
)

// pace says when the requests of a phase are due. It is used by all connections at the same time.
type pace interface {
	// next returns when the next request is due, no earlier than that; now is the caller's. There is none if ok is false.
	next(now time.Time) (due time.Time, ok bool)
	// end is called when no connection asks any more. It returns how many requests were due and never sent.
	end() (unsent int64, err error)
}

// closedLoop has a request due on each connection as soon as it is free.
type closedLoop struct {
	ctx   context.Context
	until time.Time
}

func (p *closedLoop) next(now time.Time) (time.Time, bool) {
	return now, now.Before(p.until) && p.ctx.Err() == nil
}

func (p *closedLoop) end() (int64, error) { return 0, nil }

// openLoop has requests due at even distances, whatever became of those before. The free connections take turns: one
// waits until the next request is due and goes to send it, while another one waits for the request after it. If none
// is free, requests become overdue, and are sent late with the time at which they were due. Nothing is queued: what is
// overdue is a number.
type openLoop struct {
	ctx          context.Context
	start, until time.Time
	interval     float64 // nanoseconds
	total        int64   // requests due before the end

	turn  chan struct{} // holds an element while a connection has its turn
	taken int64         // guarded by turn
	err   error         // guarded by turn: what ended the phase early

	now  func() time.Time
	wait func(time.Duration) error // returns the error of ctx if that ended
}

func newOpenLoop(ctx context.Context, start time.Time, d time.Duration, rate float64) *openLoop {
	interval := float64(time.Second) / rate
	return &openLoop{
		ctx: ctx, start: start, until: start.Add(d), interval: interval,
		total: int64(math.Ceil(float64(d) / interval)), turn: make(chan struct{}, 1), now: time.Now,
	}
}

func (p *openLoop) next(time.Time) (time.Time, bool) {
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	now := p.now()
	if p.taken == p.total || p.err != nil || !now.Before(p.until) {
		return time.Time{}, false
	}
	due := p.start.Add(time.Duration(float64(p.taken) * p.interval))
	if p.err = p.wait(due.Sub(now)); p.err != nil {
		return time.Time{}, false
	}
	p.taken++
	return due, true
}

func (p *openLoop) end() (int64, error) {
	if p.ctx.Err() != nil {
		return 0, nil // the rest was never due
	}
	return p.total - p.taken, p.err
}
