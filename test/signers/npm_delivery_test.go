//go:build npm

package signers

import (
	"context"
	"encoding/json"
	"hash/maphash"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/syllecta/syllecta/api/envelope"
	"github.com/syllecta/syllecta/api/webhook"
	"github.com/syllecta/syllecta/api/webhook/delivery"
	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

// An outbox has one tenant.
const (
	tenantID       = fsm.TenantID(1)
	tenantPublicID = "ten_1"
)

// rolledSecret takes the place of standardSecret.
const rolledSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

// testDeliveries has the libraries for Standard Webhooks verify deliveries as they reach a receiver: those of the
// normalised JSON, those of a provider's own bytes, and those that are signed with two secrets, by either.
func (n *node) testDeliveries(t *testing.T) {
	arrived := make(chan call, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		headers := map[string]string{}
		for name := range r.Header {
			headers[name] = r.Header.Get(name)
		}
		arrived <- call{Secret: standardSecret, Headers: headers, Body: string(body)}
	}))
	t.Cleanup(receiver.Close)
	o := newOutbox(t)
	o.run(t)
	for name, raw := range map[string]bool{"normalised": false, "raw": true} {
		o.accept(t, o.source(t, name, receiver.URL, raw))
		select {
		case c := <-arrived:
			for _, library := range []string{"standardwebhooks", "svix"} {
				c.Library = library
				n.agrees(t, c, `"amount":12`)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s: nothing was delivered", name)
		}
	}
	o.accept(t, o.roll(t, o.source(t, "rolled", receiver.URL, false), rolledSecret))
	select {
	case c := <-arrived:
		for _, library := range []string{"standardwebhooks", "svix"} {
			for _, c.Secret = range []string{standardSecret, rolledSecret} {
				c.Library = library
				n.agrees(t, c, `"amount":12`)
			}
		}
	case <-time.After(time.Minute):
		t.Fatal("rolled: nothing was delivered")
	}
}

// outbox is a node that leads, as far as a delivery.Worker sees: a state machine.
type outbox struct {
	vault   *envelope.Vault
	changed chan struct{}

	mu    sync.Mutex
	m     *fsm.Machine
	index uint64
}

func newOutbox(t *testing.T) *outbox {
	t.Helper()
	_, line := envelope.NewKEK()
	keks, err := envelope.ParseKEKs([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	o := &outbox{
		vault: envelope.NewVault(keks), changed: make(chan struct{}, 1),
		m: fsm.New(fsm.Config{HashSeed: maphash.MakeSeed()}),
	}
	wrapped, err := o.vault.NewDataKey(tenantPublicID)
	if err != nil {
		t.Fatal(err)
	}
	o.propose(t, fsm.Init{ClusterID: "clu_1"})
	o.propose(t, fsm.RaiseFeatureLevel{Level: fsm.LevelWebhooks, Version: "0.4.0"})
	o.propose(t, fsm.CreateTenant{PublicID: tenantPublicID, Slug: "acme", Name: "Acme"})
	o.propose(t, fsm.PutDataKey{Tenant: tenantID, Wrapped: wrapped})
	return o
}

// run has a worker deliver what is due until the test ends.
func (o *outbox) run(t *testing.T) {
	t.Helper()
	guard, err := delivery.NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w, err := delivery.New(delivery.Config{
		Guard: guard, Vault: o.vault, Version: "1.2.3", Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx, o) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

// source adds a source that delivers to a URL, signed with standardSecret.
func (o *outbox) source(t *testing.T, name, url string, raw bool) *fsm.Source {
	t.Helper()
	s := fsm.Source{
		Tenant: tenantID, PublicID: "src_" + name, Provider: "stripe", Name: name, CallbackURL: url, Raw: raw,
		DedupeWindowMs: fsm.DefaultDedupeWindowMs,
	}
	s.SigningSecret = o.seal(t, "source/"+s.PublicID+"/signing", []byte(standardSecret))
	result := o.propose(t, fsm.PutSource{Source: s})
	if result.Outcome != fsm.OK {
		t.Fatalf("the source is not taken: %+v", result)
	}
	return result.Source
}

// roll has a source sign with another secret, and for an hour with the one that it had.
func (o *outbox) roll(t *testing.T, s *fsm.Source, secret string) *fsm.Source {
	t.Helper()
	next := *s
	next.SigningSecret = o.seal(t, "source/"+s.PublicID+"/signing", []byte(secret))
	result := o.propose(t, fsm.PutSource{Source: next, IfRevision: s.Revision, OverlapMs: time.Hour.Milliseconds()})
	if result.Outcome != fsm.OK {
		t.Fatalf("the secret is not rolled: %+v", result)
	}
	return result.Source
}

func (o *outbox) accept(t *testing.T, s *fsm.Source) {
	t.Helper()
	body := json.RawMessage(`{"id":"evt_1","amount":12.50,"text":"<é> & ♥"}`)
	stored, err := webhook.EncodeStored(webhook.Stored{
		Headers: http.Header{"X-Request": {"1"}}, Payload: body, Raw: body, ContentType: "application/json",
	})
	if err != nil {
		t.Fatal(err)
	}
	result := o.propose(t, fsm.AcceptEvent{
		Tenant: tenantID, Source: s.ID, Nonce: 1, ProviderID: "evt_1", RawType: "payment_intent.succeeded",
		Type: "payment.succeeded", Payload: o.seal(t, "event/"+s.PublicID, stored),
	})
	if result.Outcome != fsm.EventAccepted {
		t.Fatalf("the event is not accepted: %+v", result)
	}
}

func (o *outbox) seal(t *testing.T, purpose string, plain []byte) []byte {
	t.Helper()
	key, err := o.vault.DataKey(tenantPublicID, []byte(o.Directory().Tenant(tenantID).DataKey))
	if err != nil {
		t.Fatal(err)
	}
	return key.Seal(purpose, plain)
}

func (o *outbox) propose(t *testing.T, c fsm.Command) fsm.Result {
	t.Helper()
	results, _, err := o.Propose(t.Context(), cluster.Call{Command: c})
	if err != nil {
		t.Fatal(err)
	}
	return results[0]
}

// Propose applies calls at once.
func (o *outbox) Propose(_ context.Context, calls ...cluster.Call) ([]fsm.Result, cluster.Receipt, error) {
	var frames [][]byte
	for _, c := range calls {
		if err := fsm.Validate(c.Command); err != nil {
			return nil, cluster.Receipt{}, err
		}
		frames = append(frames, fsm.Encode(c.Command))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.index++
	_, results, err := o.m.Apply(o.index, 1, fsm.EncodeEntry(o.ClusterNowMs(), fsm.BatchID{1}, frames...))
	select {
	case o.changed <- struct{}{}:
	default:
	}
	return results, cluster.Receipt{Index: o.index, Term: 1}, err
}

func (o *outbox) DueEvents(nowMs int64, most func(fsm.SourceID) int) []*fsm.Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.m.DueEvents(nowMs, most)
}

func (o *outbox) NextEventDueMs() (int64, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.m.NextEventDueMs()
}

func (o *outbox) ClusterNowMs() int64 { return time.Now().UnixMilli() }

func (o *outbox) EventsChanged() <-chan struct{} { return o.changed }

func (o *outbox) Directory() *fsm.Directory {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.m.Directory()
}
