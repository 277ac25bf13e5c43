package delivery

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"hash/maphash"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/syllecta/syllecta/api/envelope"
	"github.com/syllecta/syllecta/api/webhook"
	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

// noon2026 is when the tests' clusters begin.
var noon2026 = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC).UnixMilli()

// outbox is a cluster of one state machine, whose clock stands still unless it is moved.
type outbox struct {
	t       testing.TB
	vault   *envelope.Vault
	changed chan struct{}

	mu      sync.Mutex
	m       *fsm.Machine
	index   uint64
	nowMs   int64
	nonce   uint64
	refuse  error // what Propose fails with; nil lets it work
	batches [][]fsm.ReportAttempt
	mostDue int // that were returned at once
}

const (
	tenantID      = fsm.TenantID(1)
	signingSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// newOutbox returns an outbox with a tenant that has a data key.
func newOutbox(t testing.TB) *outbox {
	t.Helper()
	_, line := envelope.NewKEK()
	keks, err := envelope.ParseKEKs([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	o := &outbox{
		t: t, vault: envelope.NewVault(keks), changed: make(chan struct{}, 1),
		m: fsm.New(fsm.Config{HashSeed: maphash.MakeSeed()}), nowMs: noon2026,
	}
	o.apply(fsm.Init{ClusterID: "clu_1"}, fsm.RaiseFeatureLevel{Level: fsm.LevelWebhooks, Version: "0.4.0"},
		fsm.CreateTenant{PublicID: "ten_1", Slug: "acme", Name: "Acme"})
	wrapped, err := o.vault.NewDataKey("ten_1")
	if err != nil {
		t.Fatal(err)
	}
	o.apply(fsm.PutDataKey{Tenant: tenantID, Wrapped: wrapped})
	return o
}

// apply applies commands in one entry.
func (o *outbox) apply(commands ...fsm.Command) []fsm.Result {
	o.t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	results, err := o.entry(commands)
	if err != nil {
		o.t.Fatal(err)
	}
	return results
}

func (o *outbox) entry(commands []fsm.Command) ([]fsm.Result, error) {
	var frames [][]byte
	for _, c := range commands {
		if err := fsm.Validate(c); err != nil {
			return nil, err
		}
		frames = append(frames, fsm.Encode(c))
	}
	o.index++
	_, results, err := o.m.Apply(o.index, 1, fsm.EncodeEntry(o.nowMs, fsm.BatchID{1}, frames...))
	o.wake()
	return results, err
}

func (o *outbox) wake() {
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// advance moves the clock.
func (o *outbox) advance(d time.Duration) {
	o.mu.Lock()
	o.nowMs += d.Milliseconds()
	o.mu.Unlock()
	o.wake()
}

// key is the tenant's data key.
func (o *outbox) key() *envelope.DataKey {
	o.t.Helper()
	k, err := o.vault.DataKey("ten_1", []byte(o.Directory().Tenant(tenantID).DataKey))
	if err != nil {
		o.t.Fatal(err)
	}
	return k
}

// source adds a source that delivers to a URL. change, which may be nil, has a look at it before.
func (o *outbox) source(name, url string, change func(*fsm.Source)) *fsm.Source {
	o.t.Helper()
	s := fsm.Source{
		Tenant: tenantID, PublicID: "src_" + name, Provider: "stripe", Name: name, CallbackURL: url,
		DedupeWindowMs: fsm.DefaultDedupeWindowMs,
	}
	s.SigningSecret = o.key().Seal(signingPurpose(&s), []byte(signingSecret))
	if change != nil {
		change(&s)
	}
	result := o.apply(fsm.PutSource{Source: s})[0]
	if result.Outcome != fsm.OK {
		o.t.Fatalf("the source is not taken: %+v", result)
	}
	return result.Source
}

// accept accepts an event.
func (o *outbox) accept(s *fsm.Source, providerID string) fsm.EventID {
	o.t.Helper()
	return o.acceptStored(s, providerID, webhook.Stored{
		Headers: http.Header{"Stripe-Signature": {"t=1,v1=00"}, "X-Api-Key": {"123"}},
		Payload: json.RawMessage(`{"id":"` + providerID + `","amount":12.50,"cvc":"123"}`),
		Raw:     []byte(`{ "id": "` + providerID + `", "amount": 12.50 }`), ContentType: "application/json; charset=utf-8",
	})
}

func (o *outbox) acceptStored(s *fsm.Source, providerID string, stored webhook.Stored) fsm.EventID {
	o.t.Helper()
	plain, err := webhook.EncodeStored(stored)
	if err != nil {
		o.t.Fatal(err)
	}
	o.nonce++
	result := o.apply(fsm.AcceptEvent{
		Tenant: tenantID, Source: s.ID, Nonce: o.nonce, ProviderID: providerID, RawType: "charge.succeeded",
		Type: "payment.succeeded", OccurredAtMs: noon2026 - 1234, Payload: o.key().Seal(payloadPurpose(s), plain),
	})[0]
	if result.Outcome != fsm.EventAccepted {
		o.t.Fatalf("the event is not accepted: %+v", result)
	}
	return result.Event.ID
}

func (o *outbox) event(id fsm.EventID) *fsm.Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.m.Event(tenantID, id)
}

// count is how many events have a status.
func (o *outbox) count(status fsm.EventStatus) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.m.EventLog().Count(fsm.EventQuery{Tenant: tenantID}) {
		if c.Status == status {
			n += int(c.Events)
		}
	}
	return n
}

func (o *outbox) DueEvents(nowMs int64, most func(fsm.SourceID) int) []*fsm.Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	due := o.m.DueEvents(nowMs, most)
	o.mostDue = max(o.mostDue, len(due))
	return due
}

func (o *outbox) NextEventDueMs() (int64, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.m.NextEventDueMs()
}

func (o *outbox) ClusterNowMs() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.nowMs
}

func (o *outbox) EventsChanged() <-chan struct{} { return o.changed }

func (o *outbox) Directory() *fsm.Directory {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.m.Directory()
}

func (o *outbox) Propose(ctx context.Context, calls ...cluster.Call) ([]fsm.Result, cluster.Receipt, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, cluster.Receipt{}, err
	}
	if o.refuse != nil {
		return nil, cluster.Receipt{}, o.refuse
	}
	var commands []fsm.Command
	var batch []fsm.ReportAttempt
	for _, c := range calls {
		commands = append(commands, c.Command)
		batch = append(batch, c.Command.(fsm.ReportAttempt))
	}
	o.batches = append(o.batches, batch)
	results, err := o.entry(commands)
	return results, cluster.Receipt{Index: o.index, Term: 1}, err
}

func (o *outbox) setRefuse(err error) {
	o.mu.Lock()
	o.refuse = err
	o.mu.Unlock()
}

// workerOf returns a worker that may go to this machine, and has not begun to work. change, which may be nil, has a look
// at it before.
func workerOf(t testing.TB, o *outbox, change func(*Worker)) *Worker {
	t.Helper()
	w, err := New(Config{
		Guard: newTestGuard(t, "127.0.0.0/8"), Vault: o.vault, Version: "1.2.3",
		Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.wall = func() time.Time { return time.UnixMilli(noon2026) }
	if change != nil {
		change(w)
	}
	return w
}

// run has a worker work until the test ends, or stop is called.
func run(t testing.TB, w *Worker, o *outbox) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Run(ctx, o)
	}()
	stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(stop)
	return stop
}

// start has a worker work that may go to this machine.
func start(t testing.TB, o *outbox, change func(*Worker)) *Worker {
	t.Helper()
	w := workerOf(t, o, change)
	run(t, w, o)
	return w
}

// serve runs a server until the test ends.
func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// waitFor waits until a condition holds.
func waitFor(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if condition() {
			return
		}
	}
	t.Fatalf("%s: not within a while", what)
}

// waitStatus waits until an event has a status, and returns it.
func (o *outbox) waitStatus(id fsm.EventID, want fsm.EventStatus) *fsm.Event {
	o.t.Helper()
	waitFor(o.t, "the event is "+want.String(), func() bool { return o.event(id).Status == want })
	return o.event(id)
}

// waitAttempts waits until that many attempts of an event are in the log, and returns it.
func (o *outbox) waitAttempts(id fsm.EventID, n uint32) *fsm.Event {
	o.t.Helper()
	waitFor(o.t, "attempts are reported", func() bool { return o.event(id).Attempts >= n })
	return o.event(id)
}

// randomText returns a text that nothing else contains.
func randomText() string {
	var b [18]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b[:])
}
