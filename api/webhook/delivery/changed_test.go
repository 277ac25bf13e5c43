package delivery

import (
	"net/http"
	"testing"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// TestWhatTheOldDestinationSaysIsNotTheNewOnes changes where a source delivers to while an attempt is under way.
func TestWhatTheOldDestinationSaysIsNotTheNewOnes(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{
		"it is gone": http.StatusGone, "it wants a pause": http.StatusServiceUnavailable, "it fails": http.StatusInternalServerError,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOutbox(t)
			arrived, release := make(chan struct{}), make(chan struct{})
			url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				arrived <- struct{}{}
				<-release
				w.Header().Set("Retry-After", "86400")
				w.WriteHeader(status)
			}).URL
			s := o.source("default", url, func(s *fsm.Source) { s.MaxConcurrency = 1 })
			w := start(t, o, nil)
			first := o.accept(s, "evt_1")
			<-arrived
			rc, newURL := newReceiver(t)
			changed := *o.Directory().SourceByID(s.ID)
			changed.CallbackURL = newURL
			o.apply(fsm.PutSource{Source: changed, IfRevision: changed.Revision})
			second := o.accept(s, "evt_2")
			close(release)
			if e := o.waitAttempts(first, 1); e.Kept[0].StatusCode != uint16(status) {
				t.Errorf("attempts %+v", e.Kept)
			}
			o.waitStatus(second, fsm.EventProcessed)
			o.advance(10 * time.Second)
			o.waitStatus(first, fsm.EventProcessed)
			if state := stateOf(w, s); len(rc.got()) != 2 || state.RestsUntilMs != 0 || o.Directory().SourceByID(s.ID).Disabled {
				t.Errorf("%d requests to the new destination, %+v", len(rc.got()), state)
			}
		})
	}
}
