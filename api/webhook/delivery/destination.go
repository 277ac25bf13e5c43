package delivery

import (
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/time/rate"

	"github.com/syllecta/syllecta/fsm"
)

// How destinations are kept from harm, and from harming each other.
const (
	// defaultConcurrency is how many attempts of a source run at once, unless it says otherwise.
	defaultConcurrency = 4
	// openPerAttempt times as many events may be in flight or not reported yet. It is what is delivered again if the node
	// fails, and covers the time that a report takes.
	openPerAttempt = 4
	// breakerFailures in a row open a destination's breaker; breakerCooldown later a single attempt finds out whether it may
	// close again.
	breakerFailures = 5
	breakerCooldown = 30 * time.Second
	// slowAttempt is from when on an attempt is slow.
	slowAttempt = 2 * time.Second
)

var (
	// errUnwell and errNoMatter are what a breaker is told: the first counts as a failure, the second as nothing.
	errUnwell   = errors.New("the destination is unwell")
	errNoMatter = errors.New("the attempt says nothing about the destination")
)

// destination is where a source's events go, and what is known of it. It belongs to a reign, under its lock.
type destination struct {
	source  *fsm.Source
	tenant  *fsm.Tenant
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	// probeAt is when a breaker that was found open lets an attempt through.
	probeAt  time.Time
	limiter  *rate.Limiter // nil without a limit
	inFlight int
	open     int // in flight, or not reported yet
	// failing: the last attempt found it unwell. One attempt at a time is enough to see when that changes.
	failing bool
	// strained: the last attempt took a failure or a long time to end. Those that are strained share a part of all attempts.
	strained      bool
	pausedUntilMs int64 // on the cluster clock
	// What people are told, see DestinationState.
	failingSinceMs int64
	lastFailure    fsm.Attempt
}

func newDestination(s *fsm.Source, t *fsm.Tenant, cooldown time.Duration) *destination {
	d := &destination{source: s, tenant: t, breaker: newBreaker(cooldown)}
	d.limit()
	return d
}

func newBreaker(cooldown time.Duration) *gobreaker.TwoStepCircuitBreaker[struct{}] {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1,
		Timeout:     cooldown,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakerFailures },
		IsExcluded:  func(err error) bool { return errors.Is(err, errNoMatter) },
	})
}

// limit sets the rate that the source wants; a tenth of a second's deliveries may come together.
func (d *destination) limit() {
	d.limiter = nil
	if n := d.source.MaxPerSecond; n > 0 {
		d.limiter = rate.NewLimiter(rate.Limit(n), int(max(1, n/10)))
	}
}

// follow takes on what the source says now. Whoever has changed it wants it tried: what was known of it is forgotten.
func (d *destination) follow(s *fsm.Source, t *fsm.Tenant, cooldown time.Duration) {
	d.tenant = t
	if d.source == s {
		return
	}
	changed := d.source.Revision != s.Revision
	d.source = s
	if changed {
		d.breaker = newBreaker(cooldown)
		d.probeAt, d.failing, d.strained, d.pausedUntilMs = time.Time{}, false, false, 0
		d.failingSinceMs, d.lastFailure = 0, fsm.Attempt{}
		d.limit()
	}
}

// concurrency is how many attempts may run at once now.
func (d *destination) concurrency() int {
	switch {
	case d.failing:
		return 1
	case d.source.MaxConcurrency > 0:
		return int(d.source.MaxConcurrency)
	}
	return defaultConcurrency
}

// resting reports whether no attempt may start now, whatever is due.
func (d *destination) resting(nowMs int64, now time.Time) bool {
	return d.pausedUntilMs > nowMs || d.busy() || now.Before(d.probeAt)
}

// busy reports whether an attempt must end, or be reported, before another one starts.
func (d *destination) busy() bool {
	return d.inFlight >= d.concurrency() || d.open >= openPerAttempt*d.concurrency()
}

// admit lets an attempt through, and returns what is to be called with how it went. Otherwise done is nil, and wait is
// when to ask again; 0 is when an attempt has ended or was reported.
func (d *destination) admit(nowMs int64, now time.Time) (done func(error), wait time.Duration) {
	if d.pausedUntilMs > nowMs {
		return nil, time.Duration(d.pausedUntilMs-nowMs) * time.Millisecond
	}
	if d.busy() {
		return nil, 0
	}
	if now.Before(d.probeAt) {
		return nil, d.probeAt.Sub(now)
	}
	if wait := d.untilToken(now); wait > 0 {
		return nil, wait
	}
	done, err := d.breaker.Allow()
	switch {
	case errors.Is(err, gobreaker.ErrOpenState): // opened by an attempt that began before the last one ended
		return nil, minWait
	case err != nil: // the attempt that finds out is under way
		return nil, 0
	}
	if d.limiter != nil {
		d.limiter.AllowN(now, 1)
	}
	return done, 0
}

// untilToken is how long the rate has an attempt wait.
func (d *destination) untilToken(now time.Time) time.Duration {
	if d.limiter == nil || d.limiter.TokensAt(now) >= 1 {
		return 0
	}
	missing := 1 - d.limiter.TokensAt(now)
	return max(time.Duration(missing/float64(d.limiter.Limit())*float64(time.Second)), minWait)
}

// note learns from an attempt that done was returned for.
func (d *destination) note(out outcome, done func(error), now time.Time, cooldown time.Duration) {
	if !out.sent || out.err != nil {
		done(errNoMatter)
		return
	}
	d.failing = out.answer.unwell()
	d.strained = d.failing || out.took >= slowAttempt
	if !d.failing {
		done(nil)
		return
	}
	before := d.breaker.State()
	done(errUnwell)
	if before != gobreaker.StateOpen && d.breaker.State() == gobreaker.StateOpen {
		d.probeAt = now.Add(cooldown + minWait) // the breaker must be past its time, not at it
	}
}
