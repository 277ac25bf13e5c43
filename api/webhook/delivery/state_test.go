package delivery

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// TestDestinationStates has a destination fail, and then be well again.
func TestDestinationStates(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	rc, url := newReceiver(t)
	s := o.source("default", url, func(s *fsm.Source) { s.RetryDelaysMs = []int64{60_000, 0, 0, 0, 0, 0, 0} })
	w := start(t, o, func(w *Worker) { w.cooldown = time.Hour })
	fresh := DestinationState{Breaker: "closed"}
	if state := w.Destination(s); state != fresh {
		t.Errorf("before anything came: %+v", state)
	}
	o.waitStatus(o.accept(s, "evt_good"), fsm.EventProcessed)
	if state := w.Destination(s); state != fresh {
		t.Errorf("after a delivery: %+v", state)
	}

	rc.status.Store(http.StatusNotFound) // which is no matter of the breaker
	o.waitAttempts(o.accept(s, "evt_404"), 1)
	rc.status.Store(http.StatusServiceUnavailable)
	o.advance(2 * time.Minute) // and a fifth more than one may be waited
	o.accept(s, "evt_503")
	waitFor(t, "the breaker opens", func() bool { return w.Destination(s).Breaker == "open" })
	state := w.Destination(s)
	if state.FailingSinceMs != noon2026 || state.LastFailure.StatusCode != http.StatusServiceUnavailable ||
		state.LastFailure.StartedAtMs != noon2026+120_000 || state.LastFailure.Error != "" {
		t.Errorf("state %+v", state)
	}
	if left := time.Duration(state.RestsUntilMs-noon2026-120_000) * time.Millisecond; left > time.Hour || left < 59*time.Minute {
		t.Errorf("it rests for %v", left)
	}

	rc.status.Store(0)
	changed := *o.Directory().SourceByID(s.ID)
	next := o.apply(fsm.PutSource{Source: changed, IfRevision: changed.Revision})[0].Source
	if state := w.Destination(next); state.Breaker != "closed" || state.FailingSinceMs != 0 {
		t.Errorf("right after a change of the source: %+v", state)
	}
	o.advance(2 * time.Minute)
	waitFor(t, "all is delivered", func() bool { return o.count(fsm.EventProcessed) == 3 && w.Destination(next) == fresh })
}

func TestHalfOpenDestination(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	rc, url := newReceiver(t)
	rc.status.Store(http.StatusBadGateway)
	s := o.source("default", url, func(s *fsm.Source) { s.RetryDelaysMs = []int64{60_000} })
	w := start(t, o, func(w *Worker) { w.cooldown = time.Millisecond })
	for i := range breakerFailures {
		o.waitAttempts(o.accept(s, fmt.Sprint("evt_", i)), 1)
	}
	waitFor(t, "the breaker lets one attempt through", func() bool { return w.Destination(s).Breaker == "half_open" })
	if state := w.Destination(s); state.RestsUntilMs != 0 || state.FailingSinceMs != noon2026 {
		t.Errorf("state %+v", state)
	}
}
