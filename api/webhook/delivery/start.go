package delivery

import (
	"context"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// windowBeyond is how many events of a source are looked at beyond those that are open, if more than one may start.
const windowBeyond = 16

// line is the events of a source that are due, and where starting them has come to.
type line struct {
	source  fsm.SourceID
	events  []*fsm.Event
	window  int // how many were asked for
	next    int
	blocked bool // nothing more of it starts in this round
}

// startDue starts what may start, and returns when to look again.
func (r *reign) startDue(ctx context.Context) time.Duration {
	for {
		nowMs := r.outbox.ClusterNowMs()
		now, windows := time.Now(), make(map[fsm.SourceID]int)
		due := r.outbox.DueEvents(nowMs, func(id fsm.SourceID) int {
			windows[id] = r.window(id, nowMs, now)
			return windows[id]
		})
		lines, oldestMs := r.lines(due, windows)
		r.worker.metrics.lag(nowMs, oldestMs)
		started, wait := r.startRound(ctx, lines, nowMs)
		if started == 0 || !r.mayBeMore(lines) {
			return r.untilNext(nowMs, wait)
		}
	}
}

// window is how many events of a source to look at: those that are open stand in front. Of one that is to be left alone
// one more tells until when, so that many such, with as many events as may be, cost little.
func (r *reign) window(id fsm.SourceID, nowMs int64, now time.Time) int {
	d := r.destinations[id]
	switch {
	case d == nil:
		return windowBeyond
	case d.resting(nowMs, now):
		return d.open + 1
	}
	return d.open + windowBeyond
}

// lines sorts events by source, and returns since when the first has been due; 0 if there is none.
func (r *reign) lines(due []*fsm.Event, windows map[fsm.SourceID]int) (lines []*line, oldestMs int64) {
	at := make(map[fsm.SourceID]*line)
	for _, e := range due {
		if oldestMs == 0 || e.NextAtMs < oldestMs {
			oldestMs = e.NextAtMs
		}
		l := at[e.Source]
		if l == nil {
			l = &line{source: e.Source, window: windows[e.Source]}
			at[e.Source] = l
			lines = append(lines, l)
		}
		l.events = append(l.events, e)
	}
	return lines, oldestMs
}

// mayBeMore reports whether a source may have events that could start and were not looked at.
func (r *reign) mayBeMore(lines []*line) bool {
	for _, l := range lines {
		if !l.blocked && len(l.events) == l.window {
			return true
		}
	}
	return false
}

// startRound starts the events of all lines in turn, one of each, until none may start. wait is when the first of those
// that wait for a time may; 0 if there is none.
func (r *reign) startRound(ctx context.Context, lines []*line, nowMs int64) (started int, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lookAtDirectory()
	r.turn++
	for open := len(lines); open > 0; {
		open = 0
		for i := range lines {
			l := lines[(i+r.turn)%len(lines)]
			if l.blocked || !r.nextOf(l) {
				continue
			}
			begun, until := r.startOne(ctx, l.source, l.events[l.next], nowMs)
			if begun {
				open++
				started++
				continue
			}
			l.blocked = true
			if until > 0 && (wait == 0 || until < wait) {
				wait = until
			}
		}
	}
	return started, wait
}

// nextOf moves a line on to an event that is not open; false if there is none.
func (r *reign) nextOf(l *line) bool {
	for l.next < len(l.events) && r.open[l.events[l.next].ID] != nil {
		l.next++
	}
	return l.next < len(l.events)
}

// lookAtDirectory forgets destinations whose source is gone.
func (r *reign) lookAtDirectory() {
	directory := r.outbox.Directory()
	if directory == r.directory {
		return
	}
	r.directory = directory
	for id, d := range r.destinations {
		if directory.SourceByID(id) == nil && d.open == 0 {
			delete(r.destinations, id)
		}
	}
}

// startOne starts an attempt, unless something has it wait: until is for how long, 0 if it is not a time.
func (r *reign) startOne(ctx context.Context, id fsm.SourceID, e *fsm.Event, nowMs int64) (begun bool, until time.Duration) {
	source, tenant := r.directory.SourceByID(id), r.directory.Tenant(e.Tenant)
	if source == nil || tenant == nil {
		return false, 0 // the directory is newer than the event
	}
	d := r.destinations[id]
	if d == nil {
		d = newDestination(source, tenant, r.worker.cooldown)
		r.destinations[id] = d
	}
	d.follow(source, tenant, r.worker.cooldown)
	size := len(e.Payload)
	if !r.room(e.Tenant, size, d.strained) {
		return false, 0
	}
	done, until := d.admit(nowMs, time.Now())
	if done == nil {
		return false, until
	}
	d.inFlight++
	d.open++
	r.open[e.ID] = &openEvent{source: id, tenant: e.Tenant, bytes: size, strained: d.strained, done: done}
	r.add(r.open[e.ID], 1, size)
	o := order{event: e, source: source, tenant: tenant}
	r.running.Go(func() { r.finished <- r.attempt(ctx, o) })
	return true, 0
}

// room reports whether the whole of what is open leaves room for an attempt, and a tenant does.
func (r *reign) room(tenant fsm.TenantID, size int, strained bool) bool {
	if r.all.inFlight >= maxInFlight || len(r.open) >= maxOpen || strained && r.strained.inFlight >= maxStrained {
		return false
	}
	if len(r.open) == 0 {
		return true
	}
	if r.all.bytes+size > maxOpenBytes || strained && r.strained.bytes+size > maxStrainedBytes {
		return false
	}
	t := r.tenants[tenant]
	return t == nil || t.inFlight < tenantShare*(maxInFlight-r.all.inFlight) &&
		t.bytes+size <= tenantShare*(maxOpenBytes-r.all.bytes)
}

// untilNext is when to look again, if nothing else calls for it: when something becomes due, or what is due may start.
func (r *reign) untilNext(nowMs int64, wait time.Duration) time.Duration {
	next := maxWait
	if dueMs, ok := r.outbox.NextEventDueMs(); ok {
		next = pollEvery
		if dueMs > nowMs {
			next = time.Duration(min(dueMs-nowMs, maxWait.Milliseconds())) * time.Millisecond
		}
	}
	if wait > 0 {
		next = min(next, wait)
	}
	return max(next, minWait)
}
