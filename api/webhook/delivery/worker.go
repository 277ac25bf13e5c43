package delivery

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/syllecta/syllecta/api/envelope"
	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

// Outbox is what a worker needs of the node that leads, a *cluster.Node.
type Outbox interface {
	DueEvents(nowMs int64, most func(fsm.SourceID) int) []*fsm.Event
	NextEventDueMs() (dueMs int64, ok bool)
	ClusterNowMs() int64
	EventsChanged() <-chan struct{}
	Directory() *fsm.Directory
	Propose(ctx context.Context, calls ...cluster.Call) ([]fsm.Result, cluster.Receipt, error)
}

// Config is what a Worker is made of. All members but Version are required.
type Config struct {
	Guard *Guard
	// Vault opens what is sealed. What it has no key for is delivered once it has it.
	Vault *envelope.Vault
	// Version is the release, as it is told to destinations.
	Version string
	Logger  *slog.Logger
	Metrics prometheus.Registerer
}

// Worker delivers events. One is enough for the life of a process: it works while its node leads.
type Worker struct {
	cfg        Config
	transports transports
	agent      string
	metrics    *metrics
	current    atomic.Pointer[reign] // nil while the node does not lead

	// Tests have their own.
	timeout  time.Duration // of an attempt
	cooldown time.Duration // of a breaker
	wall     func() time.Time
}

// New returns a worker that has not begun to work. It fails if a member of the configuration is missing, or its metrics
// are registered already.
func New(cfg Config) (*Worker, error) { return newWorker(cfg, nil) }

// newWorker is New for a worker that trusts other certificate authorities than the system's, if roots is not nil.
func newWorker(cfg Config, roots *x509.CertPool) (*Worker, error) {
	if cfg.Guard == nil || cfg.Vault == nil || cfg.Logger == nil || cfg.Metrics == nil {
		return nil, errors.New("the delivery of events lacks a part of its configuration")
	}
	w := &Worker{
		cfg:        cfg,
		transports: newTransports(cfg.Guard, roots),
		agent:      "Syllecta-Webhooks/" + cfg.Version,
		timeout:    AttemptTimeout,
		cooldown:   breakerCooldown,
		wall:       time.Now,
	}
	var err error
	if w.metrics, err = newMetrics(cfg.Metrics, w); err != nil {
		return nil, err
	}
	return w, nil
}

// Run delivers the outbox's events until ctx ends, which is when the node leads no more. Attempts that are under way then
// are broken off and nobody reports them: the next leader makes them again. When Run returns, nothing of it is left. It
// must not be called again before.
func (w *Worker) Run(ctx context.Context, outbox Outbox) {
	r := newReign(w, outbox)
	w.current.Store(r)
	defer w.current.Store(nil)
	r.run(ctx)
	w.transports.close()
}
