package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/syllecta/syllecta/api/webhook"
	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

// neighbour adds a second tenant with a source for a URL, and returns what has it accept an event.
func (o *outbox) neighbour(url string, payload json.RawMessage) (accept func(providerID string) fsm.EventID) {
	o.t.Helper()
	o.apply(fsm.CreateTenant{PublicID: "ten_2", Slug: "other", Name: "Other"})
	wrapped, err := o.vault.NewDataKey("ten_2")
	if err != nil {
		o.t.Fatal(err)
	}
	o.apply(fsm.PutDataKey{Tenant: 2, Wrapped: wrapped})
	key, err := o.vault.DataKey("ten_2", wrapped)
	if err != nil {
		o.t.Fatal(err)
	}
	s := o.apply(fsm.PutSource{Source: fsm.Source{Tenant: 2, PublicID: "src_other", Provider: "github", Name: "default",
		CallbackURL: url, DedupeWindowMs: fsm.DefaultDedupeWindowMs}})[0].Source
	return func(providerID string) fsm.EventID {
		plain, err := webhook.EncodeStored(webhook.Stored{Payload: payload})
		if err != nil {
			o.t.Fatal(err)
		}
		o.nonce++
		return o.apply(fsm.AcceptEvent{Tenant: 2, Source: s.ID, Nonce: o.nonce, ProviderID: providerID,
			Payload: key.Seal(payloadPurpose(s), plain)})[0].Event.ID
	}
}

// TestATenantLeavesRoomToOthers has a tenant whose destinations take as many events as there may be in flight, or in memory,
// and never answer.
func TestATenantLeavesRoomToOthers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ events, bytes int }{
		"attempts": {2 * maxInFlight, 0},
		"bytes":    {maxOpenBytes / (800 << 10) * 3 / 2, 800 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOutbox(t)
			release := make(chan struct{})
			hanging := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
			t.Cleanup(func() { close(release) }) // before the server waits for its requests
			const destinations = 6
			payload := json.RawMessage(`"` + string(bytes.Repeat([]byte("x"), c.bytes)) + `"`)
			for n := range destinations {
				s := o.source(fmt.Sprint("s", n), hanging.URL, func(s *fsm.Source) { s.MaxConcurrency = fsm.MaxSourceConcurrency })
				for i := range c.events / destinations {
					o.acceptStored(s, fmt.Sprint("evt_", i), webhook.Stored{Payload: payload})
				}
			}
			rc, url := newReceiver(t)
			accept := o.neighbour(url, payload)
			w := start(t, o, func(w *Worker) { w.timeout = time.Hour })
			waitFor(t, "the first tenant has all that it may have", func() bool {
				n := 0
				for _, s := range o.Directory().Sources(tenantID) {
					n += w.Destination(s).InFlight
				}
				return n >= min(maxInFlight, c.events)/3
			})
			for i := range 2 * windowBeyond {
				accept(fmt.Sprint("evt_", i))
			}
			waitFor(t, "the other tenant's events are delivered", func() bool { return len(rc.got()) == 2*windowBeyond })
		})
	}
}

// TestWhatRestsIsNotLookedThrough has destinations that are left alone, with many events each, beside one of which many are
// not reported yet: a look into the outbox, during which nothing is applied, does not go through all of theirs.
func TestWhatRestsIsNotLookedThrough(t *testing.T) {
	t.Parallel()
	const resting, events = 10, 300
	o := newOutbox(t)
	rc, url := newReceiver(t)
	var pauses []*fsm.Source
	slow := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "600")
		w.WriteHeader(http.StatusServiceUnavailable)
	}).URL
	for n := range resting {
		pauses = append(pauses, o.source(fmt.Sprint("slow", n), slow, nil))
	}
	for i := range events {
		for _, s := range pauses {
			o.accept(s, fmt.Sprint("evt_", i))
		}
	}
	w := start(t, o, nil)
	waitFor(t, "all of them rest", func() bool {
		for _, s := range pauses {
			if state := stateOf(w, s); state.RestsUntilMs == 0 || state.InFlight > 0 {
				return false
			}
		}
		return true
	})
	o.setRefuse(cluster.ErrBusy) // what is delivered stays open
	fast := o.source("fast", url, func(s *fsm.Source) { s.MaxConcurrency = 16 })
	o.mu.Lock()
	o.mostDue = 0
	o.mu.Unlock()
	for i := range events {
		o.accept(fast, fmt.Sprint("evt_", i))
	}
	waitFor(t, "as much is delivered as may be open", func() bool { return len(rc.got()) == 16*openPerAttempt })
	o.mu.Lock()
	defer o.mu.Unlock()
	if most := 16*openPerAttempt + windowBeyond + resting*(defaultConcurrency+1); o.mostDue > most {
		t.Errorf("%d events were looked at at once, at most %d should be", o.mostDue, most)
	}
}

// slowOutbox has a look take long, and wants the next not to follow at once.
type slowOutbox struct {
	*outbox
	looks atomic.Int32
	took  time.Duration // by the last look; of the goroutine that looks
	ended time.Time
}

func (o *slowOutbox) DueEvents(nowMs int64, most func(fsm.SourceID) int) []*fsm.Event {
	began := time.Now()
	if pause := began.Sub(o.ended); o.took > 0 && pause < 3*o.took {
		o.t.Errorf("a look begins %v after one of %v", pause, o.took)
	}
	for time.Since(began) < 2*cheapLook {
		runtime.Gosched()
	}
	due := o.outbox.DueEvents(nowMs, most)
	o.looks.Add(1)
	o.ended = time.Now()
	o.took = o.ended.Sub(began)
	return due
}

// TestDearLooksAreSeldom: while the worker looks into the outbox nothing is applied, and so it does not look all the time.
func TestDearLooksAreSeldom(t *testing.T) {
	t.Parallel()
	o := &slowOutbox{outbox: newOutbox(t)}
	w := workerOf(t, o.outbox, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Run(ctx, o)
	}()
	waitFor(t, "it has looked often", func() bool {
		o.wake()
		return o.looks.Load() >= 10
	})
	cancel()
	<-ended
}
