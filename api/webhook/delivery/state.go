package delivery

import (
	"errors"
	"strings"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/syllecta/syllecta/fsm"
)

// failedLocked is told of an attempt that was not made because the node lacks a key. It is the only one that nothing in
// the log remembers.
const failedLocked = "what is sealed for it cannot be opened"

// DestinationState is what the node that leads knows of where a source's events go: by its own attempts, since it leads
// or the source was changed.
type DestinationState struct {
	// Breaker is "closed" while attempts are made, "open" while none are, and "half_open" when the next one decides.
	Breaker string
	// InFlight is how many attempts are under way.
	InFlight int
	// RestsUntilMs is when the next attempt may start, on the cluster clock: because the breaker is open, or because the
	// destination asked for it, or because a key cannot be had. It is 0 if nothing of that holds now.
	RestsUntilMs int64
	// FailingSinceMs is when the first attempt began after which none has delivered anything, on the cluster clock; 0 if
	// the last one did, or none has ended yet. LastFailure is the last such attempt.
	FailingSinceMs int64
	LastFailure    fsm.Attempt
}

// remember keeps how an attempt ended, for people to look at.
func (d *destination) remember(out outcome) {
	last := out.report.Attempt
	switch {
	case errors.Is(out.err, errReignOver):
		return
	case out.err != nil:
		last.Error = failedLocked
	case out.report.Verdict == fsm.VerdictDelivered:
		d.failingSinceMs, d.lastFailure = 0, fsm.Attempt{}
		return
	}
	if d.failingSinceMs == 0 {
		d.failingSinceMs = last.StartedAtMs
	}
	d.lastFailure = last
}

func (d *destination) state(nowMs int64, now time.Time) DestinationState {
	s := DestinationState{
		Breaker:  strings.ReplaceAll(d.breaker.State().String(), "-", "_"),
		InFlight: d.inFlight, FailingSinceMs: d.failingSinceMs, LastFailure: d.lastFailure,
	}
	restMs := d.pausedUntilMs - nowMs
	if now.Before(d.probeAt) {
		restMs = max(restMs, d.probeAt.Sub(now).Milliseconds())
	}
	if restMs > 0 {
		s.RestsUntilMs = nowMs + restMs
	}
	return s
}

// Destination returns what this node knows of where a source's events go. While it does not lead, or has not tried
// since the source was changed, it knows nothing, and says that all is well.
func (w *Worker) Destination(s *fsm.Source) DestinationState {
	if r := w.current.Load(); r != nil {
		return r.state(s)
	}
	return DestinationState{Breaker: breakerClosed}
}

// breakerClosed is how a breaker begins.
const breakerClosed = "closed"

// state returns what is known of a source's destination.
func (r *reign) state(s *fsm.Source) DestinationState {
	nowMs := r.outbox.ClusterNowMs()
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.destinations[s.ID]
	switch {
	case d == nil:
		return DestinationState{Breaker: breakerClosed}
	case d.source.Revision != s.Revision: // what it knows is of what the source was
		return DestinationState{Breaker: breakerClosed, InFlight: d.inFlight}
	}
	return d.state(nowMs, time.Now())
}

// breakersOpen is how many destinations are left alone because they failed.
func (r *reign) breakersOpen() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.destinations {
		if d.breaker.State() != gobreaker.StateClosed {
			n++
		}
	}
	return n
}
