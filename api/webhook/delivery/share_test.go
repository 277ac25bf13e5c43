package delivery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/syllecta/syllecta/api/webhook"
	"github.com/syllecta/syllecta/fsm"
)

// neighbour adds a second tenant with a source for a URL, and returns what has it accept an event.
func (o *outbox) neighbour(url string, payload json.RawMessage) (accept func(providerID string) fsm.EventID) {
	o.t.Helper()
	o.apply(fsm.CreateTenant{PublicID: "ten_2", Slug: "other", Name: "Other"})
	wrapped, err := o.vault.NewDataKey("clu_1", "ten_2")
	if err != nil {
		o.t.Fatal(err)
	}
	o.apply(fsm.PutDataKey{Tenant: 2, Wrapped: wrapped})
	key, err := o.vault.DataKey("clu_1", "ten_2", wrapped)
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
				for _, s := range w.Destinations() {
					n += s.InFlight
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
