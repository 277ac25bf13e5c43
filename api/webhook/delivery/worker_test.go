package delivery

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/syllecta/syllecta/api/envelope"
	"github.com/syllecta/syllecta/api/webhook"
	"github.com/syllecta/syllecta/api/webhook/redact"
	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

// receiver is a tenant's server, which notes what it gets.
type receiver struct {
	status atomic.Int32 // that it answers with; 0 is 200

	mu       sync.Mutex
	requests []received
}

type received struct {
	header http.Header
	body   string
}

func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // broken off
	}
	rc.mu.Lock()
	rc.requests = append(rc.requests, received{r.Header.Clone(), string(body)})
	rc.mu.Unlock()
	if status := int(rc.status.Load()); status != 0 {
		w.WriteHeader(status)
	}
}

func (rc *receiver) got() []received {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return slices.Clone(rc.requests)
}

// newReceiver returns a receiver and its URL.
func newReceiver(t testing.TB) (*receiver, string) {
	t.Helper()
	rc := new(receiver)
	return rc, serve(t, rc.ServeHTTP).URL
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	rc, url := newReceiver(t)
	s := o.source("default", url+"/hooks", nil)
	start(t, o, nil)
	id := o.accept(s, "evt_theirs")
	e := o.waitStatus(id, fsm.EventProcessed)
	if e.Attempts != 1 || len(e.Kept) != 1 || e.Kept[0].StatusCode != 200 || e.Kept[0].Error != "" || e.Kept[0].StartedAtMs != noon2026 {
		t.Errorf("attempts %+v", e.Kept)
	}
	if e.Form != fsm.PayloadNone || len(e.Payload) != 0 {
		t.Errorf("the payload is kept as %v", e.Form)
	}
	got := rc.got()
	if len(got) != 1 {
		t.Fatalf("%d requests", len(got))
	}
	source := webhook.Source{Provider: "standard-webhooks", Secrets: []string{signingSecret}}
	_, err := webhook.Accept(source, webhook.Request{
		Method: "POST", URL: url, Header: got[0].header, Body: []byte(got[0].body), ReceivedAt: noon,
	})
	if err != nil {
		t.Error(err)
	}
	var n normalised
	if err := json.Unmarshal([]byte(got[0].body), &n); err != nil {
		t.Fatal(err)
	}
	if n.ID != "evt_theirs" || n.EventID != id.String() || string(n.Payload) != `{"id":"evt_theirs","amount":12.50,"cvc":"123"}` {
		t.Errorf("received %s", got[0].body)
	}
}

func TestRawSourcesGetTheProvidersBytes(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	rc, url := newReceiver(t)
	s := o.source("default", url, func(s *fsm.Source) { s.Raw = true })
	start(t, o, nil)
	o.waitStatus(o.accept(s, "evt_1"), fsm.EventProcessed)
	got := rc.got()[0]
	if got.body != `{ "id": "evt_1", "amount": 12.50 }` || got.header.Get("Stripe-Signature") != "t=1,v1=00" ||
		got.header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Errorf("received %+v", got)
	}
}

func TestRetriesWaitForTheirTime(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	rc, url := newReceiver(t)
	rc.status.Store(500)
	s := o.source("default", url, func(s *fsm.Source) { s.RetryDelaysMs = []int64{60_000, 120_000} })
	start(t, o, nil)
	id := o.accept(s, "evt_1")
	e := o.waitAttempts(id, 1)
	for n, wait := range []int64{60_000, 120_000} {
		if e.NextAtMs < o.ClusterNowMs()+wait || e.NextAtMs > o.ClusterNowMs()+wait*6/5 {
			t.Errorf("attempt %d is due in %d ms, want %d to a fifth more", n+2, e.NextAtMs-o.ClusterNowMs(), wait)
		}
		o.advance(time.Duration(wait-1) * time.Millisecond)
		// An event of another source shows that the worker has looked at the new time.
		other, otherURL := newReceiver(t)
		o.waitStatus(o.accept(o.source(fmt.Sprint("other", n), otherURL, nil), "evt_2"), fsm.EventProcessed)
		if len(other.got()) != 1 || len(rc.got()) != n+1 {
			t.Fatalf("%d attempts before the time has come", len(rc.got()))
		}
		o.advance(time.Duration(wait/4) * time.Millisecond)
		e = o.waitAttempts(id, uint32(n+2))
	}
	if e.Status != fsm.EventFailed || e.Form != fsm.PayloadWhole {
		t.Errorf("after the schedule: %v, payload %v", e.Status, e.Form)
	}
	var attempts []string
	for _, got := range rc.got() {
		if got.header.Get("Webhook-Id") != id.String() || got.header.Get("Idempotency-Key") != "stripe:default:evt_1" {
			t.Errorf("header %v", got.header)
		}
		attempts = append(attempts, got.header.Get("Syllecta-Attempt"))
	}
	if strings.Join(attempts, " ") != "1 2 3" {
		t.Errorf("attempts %v", attempts)
	}
	rc.status.Store(0)
	o.apply(audited(fsm.ReplayEvents{Tenant: tenantID, Events: []fsm.EventID{id}, Nonce: "again"}))
	e = o.waitStatus(id, fsm.EventProcessed)
	last := rc.got()[3].header
	if last.Get("Syllecta-Attempt") != "4" || last.Get("Syllecta-Replay") != "again" || last.Get("Webhook-Id") != id.String() {
		t.Errorf("replayed with %v", last)
	}
	if e.Kept[3].Replay != "again" {
		t.Errorf("attempts %+v", e.Kept)
	}
}

func audited(c fsm.Command) fsm.Audited {
	return fsm.Audited{By: fsm.Actor{Name: "ada", Role: "admin", RequestID: "req_1"}, Command: c}
}

func TestGoneDisablesTheSource(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	rc, url := newReceiver(t)
	rc.status.Store(http.StatusGone)
	s := o.source("default", url, func(s *fsm.Source) { s.MaxConcurrency = 1 })
	start(t, o, nil)
	first, second := o.accept(s, "evt_1"), o.accept(s, "evt_2")
	waitFor(t, "the source is disabled", func() bool { return o.Directory().SourceByID(s.ID).Disabled })
	for _, id := range []fsm.EventID{first, second} {
		if status := o.event(id).StatusIn(o.Directory()); status != fsm.EventHeld {
			t.Errorf("an event is %v", status)
		}
	}
	rc.status.Store(0)
	again := *o.Directory().SourceByID(s.ID)
	again.Disabled, again.DisabledReason = false, ""
	o.apply(fsm.PutSource{Source: again, IfRevision: again.Revision})
	o.waitStatus(first, fsm.EventProcessed)
	o.waitStatus(second, fsm.EventProcessed)
}

func TestRetryAfterPausesTheDestination(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	var requests atomic.Int32
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) == 1 {
			w.Header().Set("Retry-After", "600")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	}).URL
	s := o.source("default", url, func(s *fsm.Source) { s.MaxConcurrency = 1 })
	w := start(t, o, nil)
	first := o.accept(s, "evt_1")
	e := o.waitAttempts(first, 1)
	if e.NextAtMs != noon2026+600_000 {
		t.Errorf("the next attempt is due in %d ms", e.NextAtMs-noon2026)
	}
	second := o.accept(s, "evt_2")
	o.advance(599 * time.Second)
	_, otherURL := newReceiver(t)
	o.waitStatus(o.accept(o.source("other", otherURL, nil), "evt_3"), fsm.EventProcessed)
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests while the destination is to be left alone", n)
	}
	if state := stateOf(w, s); state.RestsUntilMs != noon2026+600_000 || state.Breaker != "closed" {
		t.Errorf("state %+v", state)
	}
	o.advance(time.Second)
	o.waitStatus(first, fsm.EventProcessed)
	if e := o.waitStatus(second, fsm.EventProcessed); e.Attempts != 1 {
		t.Errorf("the second event took %d attempts", e.Attempts)
	}
}

// stateOf returns what a worker knows of a source's destination.
func stateOf(w *Worker, s *fsm.Source) DestinationState {
	if r := w.current.Load(); r != nil {
		s = r.outbox.Directory().SourceByID(s.ID)
	}
	return w.Destination(s)
}

func TestBreakerUsesUpNoSchedule(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	rc, url := newReceiver(t)
	rc.status.Store(http.StatusServiceUnavailable)
	s := o.source("default", url, func(s *fsm.Source) { s.RetryDelaysMs = []int64{0, 0, 0, 0, 0, 0, 0} })
	release := make(chan struct{})
	w := workerOf(t, o, func(w *Worker) { w.cooldown = time.Hour })
	run(t, w, o)
	var ids []fsm.EventID
	for i := range 20 {
		ids = append(ids, o.accept(s, fmt.Sprint("evt_", i)))
	}
	waitFor(t, "the breaker opens", func() bool { return stateOf(w, s).Breaker == "open" && stateOf(w, s).InFlight == 0 })
	attempts := len(rc.got())
	close(release)
	if attempts < breakerFailures || attempts > breakerFailures+defaultConcurrency {
		t.Errorf("it took %d attempts", attempts)
	}
	if n := w.current.Load().breakersOpen(); n != 1 {
		t.Errorf("%d breakers are open", n)
	}
	o.advance(24 * time.Hour)
	_, otherURL := newReceiver(t)
	o.waitStatus(o.accept(o.source("other", otherURL, nil), "evt_other"), fsm.EventProcessed)
	if n := len(rc.got()); n != attempts {
		t.Errorf("%d attempts while the breaker is open", n-attempts)
	}
	if n := o.count(fsm.EventQueued); n != len(ids) {
		t.Errorf("%d events of %d still wait", n, len(ids))
	}
	// Whoever changes the source wants it tried.
	rc.status.Store(0)
	changed := *o.Directory().SourceByID(s.ID)
	o.apply(fsm.PutSource{Source: changed, IfRevision: changed.Revision})
	for _, id := range ids {
		o.waitStatus(id, fsm.EventProcessed)
	}
}

func TestBreakerCloses(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	rc, url := newReceiver(t)
	rc.status.Store(http.StatusInternalServerError)
	s := o.source("default", url, func(s *fsm.Source) { s.RetryDelaysMs = slices.Repeat([]int64{0}, fsm.MaxRetryDelays) })
	w := start(t, o, func(w *Worker) { w.cooldown = 20 * time.Millisecond })
	id := o.accept(s, "evt_1")
	o.waitAttempts(id, breakerFailures+2) // attempts beyond those that open it find out whether it may close
	rc.status.Store(0)
	o.waitStatus(id, fsm.EventProcessed)
	waitFor(t, "the breaker is closed", func() bool { return stateOf(w, s).Breaker == "closed" })
}

func TestRefusedEventsAreNoMatterOfTheDestination(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Syllecta-Event-Id") != "evt_good" {
			w.WriteHeader(http.StatusUnprocessableEntity)
		}
	}).URL
	s := o.source("default", url, nil)
	w := start(t, o, nil)
	for i := range 3 * breakerFailures {
		o.waitAttempts(o.accept(s, fmt.Sprint("evt_", i)), 1)
	}
	o.waitStatus(o.accept(s, "evt_good"), fsm.EventProcessed)
	if state := stateOf(w, s); state.Breaker != "closed" {
		t.Errorf("the breaker is %s", state.Breaker)
	}
}

// TestADeadDestinationCostsTheOthersNothing has 50 destinations, of which one takes connections and never answers.
func TestADeadDestinationCostsTheOthersNothing(t *testing.T) {
	t.Parallel()
	const destinations, events = 50, 20
	o := newOutbox(t)
	release := make(chan struct{})
	hanging := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) }) // before the server waits for its requests
	rc, url := newReceiver(t)
	dead := o.source("dead", hanging.URL, nil)
	sources := []*fsm.Source{dead}
	for i := range destinations - 1 {
		sources = append(sources, o.source(fmt.Sprint("live", i), url, nil))
	}
	for i := range events {
		for _, s := range sources {
			o.accept(s, fmt.Sprintf("evt_%d_%d", s.ID, i))
		}
	}
	w := start(t, o, nil)
	waitFor(t, "49 destinations have their events", func() bool { return o.count(fsm.EventProcessed) == (destinations-1)*events })
	if n := len(rc.got()); n != (destinations-1)*events {
		t.Errorf("%d requests for %d events", n, (destinations-1)*events)
	}
	if n := o.count(fsm.EventQueued); n != events {
		t.Errorf("%d events of the dead destination are queued", n)
	}
	if state := stateOf(w, dead); state.InFlight != defaultConcurrency {
		t.Errorf("state of the dead destination: %+v", state)
	}
}

// TestStrainedDestinationsShareTheirPart has more destinations that hang than attempts may run at once.
func TestStrainedDestinationsShareTheirPart(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	r := newReign(workerOf(t, o, nil), o)
	r.destinations[0] = new(destination)
	fill := func(tenants int, strained bool, size int) (n int) {
		r.open, r.all, r.strained = make(map[fsm.EventID]*openEvent), load{}, load{}
		clear(r.tenants)
		for full := 0; full < tenants; {
			full = 0
			for i := range tenants {
				e := &openEvent{tenant: fsm.TenantID(i + 1), bytes: size, strained: strained}
				if !r.room(e.tenant, size, strained) {
					full++
					continue
				}
				n++
				r.open[fsm.EventID{Seq: uint64(n)}] = e
				r.add(e, 1, size)
			}
		}
		return n
	}
	for _, c := range []struct {
		tenants  int
		strained bool
		size     int
		least    int
		most     int
	}{
		{1, false, 1, maxInFlight * 2 / 3, maxInFlight*2/3 + 1},
		{20, false, 1, maxInFlight * 9 / 10, maxInFlight - 1},
		{20, true, 1, maxStrained, maxStrained},
		{1, false, 1 << 20, maxOpenBytes * 2 / 3 >> 20, maxOpenBytes*2/3>>20 + 1},
		{20, true, 1 << 20, maxStrainedBytes >> 20, maxStrainedBytes >> 20},
	} {
		if n := fill(c.tenants, c.strained, c.size); n < c.least || n > c.most {
			t.Errorf("room for %d attempts, want %d to %d: %+v", n, c.least, c.most, c)
		}
		if !r.room(99, 1, false) {
			t.Errorf("%+v leave nothing to the others", c)
		}
	}
	fill(1, false, maxOpenBytes+1)
	if len(r.open) != 1 || r.room(2, 1, false) {
		t.Error("a payload above all bounds is not alone")
	}
	for id, e := range r.open {
		r.add(e, -1, 0)
		r.close([]fsm.EventID{id})
	}
	if r.all != (load{}) || len(r.tenants) != 0 || len(r.open) != 0 {
		t.Errorf("a load is left: %+v, of %d tenants", r.all, len(r.tenants))
	}
}

// TestInFlightIsNeverDoubled has many looks into the outbox while attempts are under way and reports are not taken.
func TestInFlightIsNeverDoubled(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	var mu sync.Mutex
	inFlight := make(map[string]bool)
	finished := make(map[string]int)
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("Webhook-Id")
		mu.Lock()
		if inFlight[id] {
			t.Errorf("%s is in flight twice", id)
		}
		inFlight[id] = true
		mu.Unlock()
		runtime.Gosched()
		mu.Lock()
		delete(inFlight, id)
		finished[id]++
		mu.Unlock()
	}).URL
	s := o.source("default", url, func(s *fsm.Source) { s.MaxConcurrency = 16 })
	o.setRefuse(cluster.ErrOutcomeUnknown)
	start(t, o, nil)
	const events = 100
	for i := range events {
		o.accept(s, fmt.Sprint("evt_", i)) // each has the worker look
	}
	waitFor(t, "as many are delivered as may be unreported", func() bool {
		o.wake()
		mu.Lock()
		defer mu.Unlock()
		return len(finished) == openPerAttempt*16
	})
	if n := o.count(fsm.EventQueued); n != events {
		t.Errorf("%d events are queued", n)
	}
	o.setRefuse(nil)
	waitFor(t, "every report is taken", func() bool { return o.count(fsm.EventProcessed) == events })
	mu.Lock()
	defer mu.Unlock()
	for id, n := range finished {
		if n != 1 {
			t.Errorf("%s was delivered %d times", id, n)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, b := range o.batches {
		if len(b) > maxReports {
			t.Errorf("%d reports in one proposal", len(b))
		}
	}
	if len(o.batches) >= events {
		t.Errorf("%d proposals for %d reports", len(o.batches), events)
	}
}

func TestConcurrencyAndRate(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	var now, most atomic.Int32
	url := serve(t, func(http.ResponseWriter, *http.Request) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		runtime.Gosched()
		now.Add(-1)
	}).URL
	few := o.source("few", url, func(s *fsm.Source) { s.MaxConcurrency = 2 })
	slow := o.source("slow", url, func(s *fsm.Source) { s.MaxConcurrency, s.MaxPerSecond = 2, 100 })
	for i := range 30 {
		o.accept(few, fmt.Sprint("evt_", i))
		o.accept(slow, fmt.Sprint("evt_", i))
	}
	start(t, o, nil)
	waitFor(t, "all is delivered", func() bool { return o.count(fsm.EventProcessed) == 60 })
	if n := most.Load(); n > 4 {
		t.Errorf("%d requests at once to two destinations of two", n)
	}
}

func TestRateDelaysAttempts(t *testing.T) {
	t.Parallel()
	d := newDestination(&fsm.Source{MaxPerSecond: 20, MaxConcurrency: 100}, &fsm.Tenant{}, time.Hour)
	now, started, waits := time.Now(), 0, 0
	for end := now.Add(time.Second); now.Before(end); {
		done, wait := d.admit(noon2026, now)
		if done != nil {
			started++
			continue
		}
		if wait <= 0 {
			t.Fatal("a rate is no time to wait for")
		}
		waits++
		now = now.Add(wait)
	}
	if started < 20 || started > 22 || waits > 2*started {
		t.Errorf("%d attempts and %d waits in a second, at a rate of 20", started, waits)
	}
}

func TestWhatCannotBeDelivered(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	rc, url := newReceiver(t)
	s := o.source("default", url, nil)
	nowhere := o.source("nowhere", url, nil)
	dropped := o.accept(s, "evt_dropped")
	damaged := o.accept(s, "evt_damaged")
	lost := o.accept(nowhere, "evt_lost")
	forbidden := o.accept(o.source("forbidden", "https://10.0.0.1/", nil), "evt_forbidden")
	changed := *o.Directory().SourceByID(nowhere.ID)
	changed.CallbackURL = ""
	o.apply(fsm.PutSource{Source: changed, IfRevision: changed.Revision})
	for id, payload := range map[fsm.EventID][]byte{dropped: nil, damaged: []byte("damaged")} {
		form := fsm.PayloadWhole
		if payload == nil {
			form = fsm.PayloadNone
		}
		e := *o.event(id)
		e.Payload, e.Form = payload, form
		out := newReign(workerOf(t, o, nil), o).attempt(t.Context(), order{
			event: &e, source: s, tenant: o.Directory().Tenant(tenantID),
		})
		want := map[fsm.EventID]string{dropped: failedDropped, damaged: failedUnreadable}[id]
		if out.sent || out.report.Verdict != fsm.VerdictFailed || out.report.Attempt.Error != want {
			t.Errorf("%s: %+v", want, out.report)
		}
	}
	start(t, o, nil)
	if e := o.waitStatus(lost, fsm.EventFailed); e.Kept[0].Error != failedNoURL {
		t.Errorf("without a URL: %+v", e.Kept)
	}
	if e := o.waitAttempts(forbidden, 1); e.Status != fsm.EventQueued || e.Kept[0].Error != failedNotAllowed {
		t.Errorf("to an address that is not allowed: %v %+v", e.Status, e.Kept)
	}
	if n := len(rc.got()); n > 2 {
		t.Errorf("%d requests", n)
	}
}

// TestEventsWaitForTheirKey takes the key-encryption key away and gives it back.
func TestEventsWaitForTheirKey(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	rc, url := newReceiver(t)
	s := o.source("default", url, nil)
	id := o.accept(s, "evt_1")
	w := workerOf(t, o, func(w *Worker) { w.cfg.Vault = envelope.NewVault(nil) })
	stop := run(t, w, o)
	waitFor(t, "the destination is paused", func() bool { return stateOf(w, s).RestsUntilMs > 0 })
	o.advance(time.Minute)
	waitFor(t, "it is asked again, and paused again", func() bool { return stateOf(w, s).RestsUntilMs > noon2026+60_000 })
	if e := o.event(id); e.Attempts != 0 || e.Status != fsm.EventQueued || len(rc.got()) != 0 {
		t.Errorf("without a key: %v after %d attempts", e.Status, e.Attempts)
	}
	// The log remembers no attempt, so this is told by the node alone.
	if d := stateOf(w, s); d.Breaker != "closed" || d.FailingSinceMs != noon2026 || d.LastFailure.Error != failedLocked {
		t.Errorf("state %+v", d)
	}
	stop()
	start(t, o, nil)
	if e := o.waitStatus(id, fsm.EventProcessed); e.Attempts != 1 {
		t.Errorf("%d attempts", e.Attempts)
	}
}

func TestPayloadPolicies(t *testing.T) {
	t.Parallel()
	for policy, want := range map[fsm.PayloadPolicy]fsm.PayloadForm{
		fsm.PayloadMetadataOnly:   fsm.PayloadNone,
		fsm.PayloadRedacted:       fsm.PayloadPartial,
		fsm.PayloadRawDebugWindow: fsm.PayloadWhole,
	} {
		t.Run(policy.String(), func(t *testing.T) {
			t.Parallel()
			o := newOutbox(t)
			o.apply(fsm.UpdateTenant{Tenant: tenantID, SetPayloadPolicy: true, PayloadPolicy: policy})
			rc, url := newReceiver(t)
			s := o.source("default", url, func(s *fsm.Source) { s.Raw = true })
			start(t, o, nil)
			id := o.accept(s, "evt_1")
			e := o.waitStatus(id, fsm.EventProcessed)
			if e.Form != want || (len(e.Payload) == 0) != (want == fsm.PayloadNone) {
				t.Fatalf("kept as %v with %d bytes", e.Form, len(e.Payload))
			}
			if want == fsm.PayloadNone {
				return
			}
			stored, err := openPayload(o.key(), order{event: e, source: s})
			if err != nil {
				t.Fatal(err)
			}
			redacted := string(stored.Payload) == `{"id":"evt_1","amount":12.50,"cvc":"`+redact.Redacted+`"}` &&
				stored.Headers.Get("X-Api-Key") == redact.Redacted && len(stored.Raw) == 0
			if redacted != (want == fsm.PayloadPartial) {
				t.Errorf("kept %+v: %s", stored, stored.Payload)
			}
			replay := o.apply(audited(fsm.ReplayEvents{Tenant: tenantID, Events: []fsm.EventID{id}, Nonce: "again"}))
			if want == fsm.PayloadPartial {
				if replay[0].Count != 0 {
					t.Error("what is left of it is to be delivered as if it were all")
				}
				return
			}
			if e := o.waitAttempts(id, 2); e.Form != want || e.Status != fsm.EventProcessed {
				t.Errorf("after a replay: kept as %v, %v", e.Form, e.Status)
			}
			if got := rc.got(); got[1].body != got[0].body {
				t.Errorf("replayed as %s", got[1].body)
			}
		})
	}
}

// TestTooLongForWhatIsKept has what stands for sensitive parts be longer than they were.
func TestTooLongForWhatIsKept(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	o.apply(fsm.UpdateTenant{Tenant: tenantID, SetPayloadPolicy: true, PayloadPolicy: fsm.PayloadRedacted})
	_, url := newReceiver(t)
	s := o.source("default", url, nil)
	start(t, o, nil)
	short := `["` + strings.Repeat(`a@b.cd","`, fsm.MaxEventPayloadBytes/10) + `"]`
	id := o.acceptStored(s, "evt_1", webhook.Stored{Payload: json.RawMessage(short)})
	if e := o.waitStatus(id, fsm.EventProcessed); e.Form != fsm.PayloadNone {
		t.Errorf("kept as %v", e.Form)
	}
}

// TestLargeReportsAreProposedApart has redacted payloads that no single entry should hold together.
func TestLargeReportsAreProposedApart(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	o.apply(fsm.UpdateTenant{Tenant: tenantID, SetPayloadPolicy: true, PayloadPolicy: fsm.PayloadRedacted})
	_, url := newReceiver(t)
	s := o.source("default", url, func(s *fsm.Source) { s.MaxConcurrency = 12 })
	large := json.RawMessage(`"` + strings.Repeat("*", maxReportBytes/3) + `"`)
	o.setRefuse(cluster.ErrBusy)
	start(t, o, nil)
	for i := range 12 {
		o.acceptStored(s, fmt.Sprint("evt_", i), webhook.Stored{Payload: large})
	}
	o.setRefuse(nil)
	waitFor(t, "all is delivered", func() bool { return o.count(fsm.EventProcessed) == 12 })
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, b := range o.batches {
		if len(b) > 2 {
			t.Errorf("%d large reports in one proposal", len(b))
		}
	}
}

// TestLateReportsChangeNothing ignores an event while it is in flight.
func TestLateReportsChangeNothing(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	url := serve(t, func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	}).URL
	s := o.source("default", url, nil)
	w := start(t, o, nil)
	id := o.accept(s, "evt_1")
	<-arrived
	o.apply(audited(fsm.IgnoreEvents{Tenant: tenantID, Events: []fsm.EventID{id}}))
	close(release)
	waitFor(t, "the attempt has ended", func() bool { return stateOf(w, s).InFlight == 0 })
	if e := o.event(id); e.Status != fsm.EventIgnored || e.Attempts != 0 {
		t.Errorf("%v after %d attempts", e.Status, e.Attempts)
	}
}

func TestNewNeedsItsConfiguration(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{}); err == nil {
		t.Error("taken")
	}
	o := newOutbox(t)
	w := workerOf(t, o, nil)
	if _, err := New(w.cfg); err == nil {
		t.Error("the metrics are registered twice")
	}
	if state := w.Destination(o.source("default", "https://callback.example/", nil)); state != (DestinationState{Breaker: "closed"}) {
		t.Errorf("a worker that does not work knows %+v", state)
	}
}

func TestReportsAreTriedUntilTheEnd(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	rc, url := newReceiver(t)
	s := o.source("default", url, nil)
	o.setRefuse(errors.New("the disk is slow"))
	w := workerOf(t, o, nil)
	stop := run(t, w, o)
	id := o.accept(s, "evt_1")
	waitFor(t, "the event is delivered", func() bool { return len(rc.got()) == 1 })
	stop() // with a report that nobody takes
	if e := o.event(id); e.Status != fsm.EventQueued || e.Attempts != 0 {
		t.Errorf("%v after %d attempts", e.Status, e.Attempts)
	}
	o.setRefuse(nil)
	run(t, w, o) // the same node leads again
	if e := o.waitStatus(id, fsm.EventProcessed); e.Attempts != 1 {
		t.Errorf("%d attempts", e.Attempts)
	}
	got := rc.got()
	if len(got) != 2 || got[0].header.Get("Webhook-Id") != got[1].header.Get("Webhook-Id") || got[0].body != got[1].body {
		t.Errorf("received %+v", got)
	}
}

// lockedBuffer takes what several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestNothingSecretIsLogged looks for canaries in messages of every level, and in what is told of attempts.
func TestNothingSecretIsLogged(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	canary := randomText()
	var logged lockedBuffer
	rc, good := newReceiver(t)
	bad := hostile(t, func(conn net.Conn) {
		readRequest(conn)
		_, _ = io.WriteString(conn, canary+"\r\n") // the worker may have gone
	})
	sealed := o.key().Seal("source/src_sealed/signing", []byte("whsec_"+canary+"!")) // not base64
	sources := []*fsm.Source{
		o.source("bad", bad+"/?token="+canary, func(s *fsm.Source) { s.RetryDelaysMs = slices.Repeat([]int64{0}, 10) }),
		o.source("refused", "http://10.0.0.1/?token="+canary, nil),
		o.source("sealed", good, func(s *fsm.Source) { s.SigningSecret = sealed }),
	}
	w := start(t, o, func(w *Worker) {
		w.cfg.Logger = slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	var ids []fsm.EventID
	for _, s := range sources {
		ids = append(ids, o.acceptStored(s, "evt_1", webhook.Stored{
			Headers: http.Header{"X-Canary": {canary}}, Payload: json.RawMessage(`{"canary":"` + canary + `"}`),
		}))
	}
	o.waitAttempts(ids[0], breakerFailures)
	o.waitAttempts(ids[1], 1)
	waitFor(t, "the source whose secret cannot be opened is paused", func() bool { return stateOf(w, sources[2]).RestsUntilMs > 0 })
	if text := logged.String(); !strings.Contains(text, "src_sealed") || !strings.Contains(text, "src_bad") || strings.Contains(text, canary) {
		t.Errorf("logged:\n%s", text)
	}
	for _, id := range ids {
		for _, a := range o.event(id).Kept {
			if strings.Contains(a.Error, canary) || strings.Contains(a.Error, "10.0.0.1") {
				t.Errorf("an attempt tells %q", a.Error)
			}
		}
	}
	if len(rc.got()) != 0 {
		t.Error("an event went unsigned")
	}
}

// BenchmarkDelivery delivers to a receiver in the same process; what the log costs is left out.
func BenchmarkDelivery(b *testing.B) {
	o := newOutbox(b)
	rc, url := newReceiver(b)
	s := o.source("default", url, func(s *fsm.Source) { s.MaxConcurrency = 16 })
	for i := range b.N {
		o.accept(s, fmt.Sprint("evt_", i))
	}
	b.ReportAllocs()
	b.ResetTimer()
	start(b, o, nil)
	waitFor(b, "all is delivered", func() bool {
		_, queued := o.NextEventDueMs()
		return !queued
	})
	b.StopTimer()
	if n := len(rc.got()); n != b.N {
		b.Errorf("%d requests for %d events", n, b.N)
	}
}
