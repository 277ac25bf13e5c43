package delivery

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// Bounds of a reign.
const (
	// maxInFlight bounds the attempts that run at once; maxStrained those of them that go to strained destinations, so that
	// the rest is left to those that answer quickly.
	maxInFlight = 256
	maxStrained = maxInFlight / 2
	// maxOpen bounds the events that are in flight or not reported yet, and maxOpenBytes their payloads, of which an attempt
	// holds a few copies; maxStrainedBytes those of strained destinations. One event alone may have more.
	maxOpen          = 1_024
	maxOpenBytes     = 32 << 20
	maxStrainedBytes = maxOpenBytes / 2
	// tenantShare is how many times as much as is free a tenant may have of attempts and of bytes: alone two thirds of all,
	// and however many tenants want more than there is, something is left for one that has nothing yet.
	tenantShare = 2

	// minWait and maxWait bound the time from one look into the outbox to the next.
	minWait = time.Millisecond
	maxWait = time.Minute
	// pollEvery is the time between two looks while something is due that cannot start: what else becomes due is not told
	// then.
	pollEvery = 250 * time.Millisecond
	// cheapLook is how long a look may take to be followed by the next at once. After one that took longer, as when thousands
	// of destinations are dead, there is none for lookPause times as long: nothing is applied while one goes on.
	cheapLook = time.Millisecond
	lookPause = 4
	// lockedPause is for how long a destination is left alone whose key cannot be had; lockedLogEvery is the time between
	// two messages about that.
	lockedPause    = 10 * time.Second
	lockedLogEvery = time.Minute
)

// reign is the work of a worker from one taking over of the leadership to its loss. One goroutine decides everything; it
// starts one for each attempt, and one for each report to the log.
type reign struct {
	worker *Worker
	outbox Outbox

	finished chan outcome       // of attempts; never full
	reported chan []fsm.EventID // that were reported; never full
	running  sync.WaitGroup

	// The rest belongs to the goroutine that decides.
	open       map[fsm.EventID]*openEvent
	all        load
	strained   load                   // of all, what goes to strained destinations
	tenants    map[fsm.TenantID]*load // of all, what is each tenant's that has any
	unreported []fsm.ReportAttempt
	reporting  bool
	turn       int       // who is served first
	lookAgain  time.Time // there is no look before
	lockedSaid time.Time
	directory  *fsm.Directory // as it was looked at last

	mu           sync.Mutex
	destinations map[fsm.SourceID]*destination
}

// load is what is in flight, and the payloads of what is open.
type load struct{ inFlight, bytes int }

// openEvent is an event of which an attempt is in flight, or not reported yet. No other is started meanwhile.
type openEvent struct {
	source   fsm.SourceID
	tenant   fsm.TenantID
	bytes    int
	strained bool
	done     func(error)
}

func newReign(w *Worker, outbox Outbox) *reign {
	return &reign{
		worker: w, outbox: outbox,
		finished:     make(chan outcome, maxInFlight),
		reported:     make(chan []fsm.EventID, 1),
		open:         make(map[fsm.EventID]*openEvent),
		tenants:      make(map[fsm.TenantID]*load),
		destinations: make(map[fsm.SourceID]*destination),
	}
}

// run works until ctx ends, and waits for what it has started.
func (r *reign) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer r.running.Wait()
	defer cancel()
	defer r.worker.metrics.clear()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case out := <-r.finished:
			r.settle(out)
		case ids := <-r.reported:
			r.reporting = false
			r.close(ids)
		case <-r.outbox.EventsChanged():
		case <-timer.C:
		}
		r.settleRest()
		if ctx.Err() != nil {
			return
		}
		r.startReport(ctx)
		timer.Reset(r.look(ctx))
	}
}

// look starts what is due and may start, and returns when to look again.
func (r *reign) look(ctx context.Context) time.Duration {
	if early := time.Until(r.lookAgain); early > 0 {
		return early
	}
	began := time.Now()
	wait := r.startDue(ctx)
	if now := time.Now(); now.Sub(began) > cheapLook {
		r.lookAgain = now.Add(lookPause * now.Sub(began))
	}
	return wait
}

// settleRest takes in what else has come, so that what ends in the same moment is reported together.
func (r *reign) settleRest() {
	for {
		select {
		case out := <-r.finished:
			r.settle(out)
		case ids := <-r.reported:
			r.reporting = false
			r.close(ids)
		default:
			return
		}
	}
}

// settle takes in how an attempt went.
func (r *reign) settle(out outcome) {
	e := r.open[out.event.ID]
	r.add(e, -1, 0)
	r.noteDestination(e, out)
	switch {
	case errors.Is(out.err, errReignOver):
		r.close([]fsm.EventID{out.event.ID})
	case out.err != nil:
		r.sayLocked(out)
		r.close([]fsm.EventID{out.event.ID})
	default:
		r.worker.metrics.count(out)
		r.unreported = append(r.unreported, out.report)
	}
}

func (r *reign) noteDestination(e *openEvent, out outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.destinations[e.source]
	d.inFlight--
	if d.source.Revision != out.source.Revision {
		e.done(errNoMatter) // of a breaker that was given up with what the source was
		return
	}
	before := d.breaker.State()
	d.note(out, e.done, time.Now(), r.worker.cooldown)
	d.remember(out)
	pause := out.pause
	switch {
	case out.err != nil:
		pause = lockedPause
	case out.report.Verdict == fsm.VerdictDisable:
		pause = maxRetryAfter // which ends when somebody enables the source again
	}
	if pause > 0 {
		d.pausedUntilMs = max(d.pausedUntilMs, r.outbox.ClusterNowMs()+pause.Milliseconds())
	}
	if after := d.breaker.State(); after != before {
		r.worker.cfg.Logger.Info("the breaker of a webhook source has changed",
			"source", d.source.PublicID, "tenant", d.tenant.PublicID, "from", before.String(), "to", after.String())
	}
}

// sayLocked tells the operator that events wait for a key.
func (r *reign) sayLocked(out outcome) {
	if now := time.Now(); r.lockedSaid.IsZero() || now.Sub(r.lockedSaid) >= lockedLogEvery {
		r.lockedSaid = now
		r.worker.cfg.Logger.Warn("events wait because what is sealed for them cannot be opened",
			"source", out.source.PublicID, "tenant", out.tenant.PublicID, "error", out.err)
	}
}

// close forgets events whose state is in the outbox again.
func (r *reign) close(ids []fsm.EventID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		e := r.open[id]
		r.destinations[e.source].open--
		r.add(e, 0, -e.bytes)
		delete(r.open, id)
	}
}

// add counts what an event adds to the load, or takes from it.
func (r *reign) add(e *openEvent, inFlight, bytes int) {
	t := r.tenants[e.tenant]
	if t == nil {
		t = new(load)
		r.tenants[e.tenant] = t
	}
	loads := []*load{&r.all, t}
	if e.strained {
		loads = append(loads, &r.strained)
	}
	for _, l := range loads {
		l.inFlight += inFlight
		l.bytes += bytes
	}
	if *t == (load{}) {
		delete(r.tenants, e.tenant)
	}
	r.worker.metrics.inFlight.Set(float64(r.all.inFlight))
}
