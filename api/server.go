package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/julienschmidt/httprouter"
	"golang.org/x/net/netutil"

	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

// Bounds of a connection. A request is written within what its reading, its waiting and its work may take.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeSlack        = 15 * time.Second
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 16 << 10
	// hardHeaderBytes is where net/http gives up reading, and answers 431 itself, in plain text.
	hardHeaderBytes = 4 * maxHeaderBytes

	// drainGrace is how long requests in flight may take once the server stops; then they are cancelled.
	drainGrace = 5 * time.Second
	// cancelGrace is how long cancelled requests may take to say so; then their connections are closed.
	cancelGrace = time.Second
)

// Server is the HTTP edge of one node.
type Server struct {
	cfg       Config
	limits    limits
	log       *slog.Logger
	admin     adminToken
	metrics   *metrics
	unmatched *route
	router    *httprouter.Router
	forwarder *http.Transport
	now       func() time.Time
	node      atomic.Pointer[node]
	keyHasher atomic.Pointer[keyHasher]

	// requestRate is how many claims per second each API key of a tenant may make; 0 is no limit.
	requestRate  func(*fsm.Tenant) int
	perKey       *buckets[[32]byte] // by the key's hash
	perAddress   *buckets[netip.Addr]
	perReplayer  *buckets[fsm.TenantID]
	perChanger   *buckets[fsm.TenantID]
	perLister    *buckets[fsm.TenantID]
	failedAuth   *failedAuth
	certificates *certificates
	webhookBytes atomic.Int64 // of the bodies that providers have sent and that are being answered
	// webhookForwards counts those requests of providers that are being passed on to the leader.
	webhookForwards atomic.Int64

	// draining ends when draining starts, base when requests in flight are cancelled.
	draining      context.Context
	startDraining context.CancelFunc
	base          context.Context
	cancelBase    context.CancelFunc
}

// New returns a Server that refuses requests until a node is attached.
func New(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("configuring the API: %w", err)
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	s := &Server{
		limits:    cfg.limits(),
		log:       cfg.Logger,
		admin:     newAdminToken(cfg.AdminToken),
		metrics:   m,
		forwarder: newForwarder(cfg.ForwardRoots),
		now:       time.Now,

		perKey:       newBuckets[[32]byte]("requests", requestWindow),
		perAddress:   newBuckets[netip.Addr]("address", addressWindow),
		perReplayer:  newBuckets[fsm.TenantID]("replays", replayWindow),
		perChanger:   newBuckets[fsm.TenantID]("changes", changeWindow),
		perLister:    newBuckets[fsm.TenantID]("listings", listingWindow),
		failedAuth:   newFailedAuth(cfg.FailedAuthPerSecond),
		certificates: newCertificates(),
	}
	s.requestRate = s.planRate
	cfg.AdminToken = ""
	s.cfg = cfg
	s.draining, s.startDraining = context.WithCancel(context.Background())
	s.base, s.cancelBase = context.WithCancel(context.Background())
	s.unmatched = &route{label: "unmatched", metrics: m.route("other", "unmatched")}
	s.router = s.newRouter()
	if err := cfg.Metrics.Register(s.newLockedTenants()); err != nil {
		return nil, fmt.Errorf("registering the API's metrics: %w", err)
	}
	return s, nil
}

// Attach gives the server the node to serve. Until then every call of the API answers 503.
func (s *Server) Attach(n *cluster.Node) { s.attach(n) }

func (s *Server) attach(n node) { s.node.Store(&n) }

func (s *Server) attached() node {
	if n := s.node.Load(); n != nil {
		return *n
	}
	return nil
}

// Drain makes the server report that it is not ready, and ends claims that wait, so that callers go elsewhere.
// Everything else is still served. It may be called more than once, and before Serve ends.
func (s *Server) Drain() { s.startDraining() }

// Serve answers requests on l until ctx ends. Then it drains: it accepts nothing more, lets the requests in flight
// finish for a bounded time, and returns. It is called once, and closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	hs := s.httpServer()
	failed := make(chan error, 1)
	go func() { failed <- s.serve(hs, netutil.LimitListener(l, s.cfg.MaxConnections)) }()
	select {
	case err := <-failed:
		s.cancelBase()
		return fmt.Errorf("serving HTTP on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	s.Drain()
	err := s.shutdown(hs)
	<-failed // http.ErrServerClosed
	s.forwarder.CloseIdleConnections()
	s.certificates.client.CloseIdleConnections()
	return err
}

func (s *Server) httpServer() *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:                      s,
		Protocols:                    &protocols,
		ReadHeaderTimeout:            readHeaderTimeout,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 readTimeout + maxWaitMs*time.Millisecond + s.cfg.RequestTimeout + writeSlack,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               hardHeaderBytes,
		DisableGeneralOptionsHandler: true,
		BaseContext:                  func(net.Listener) context.Context { return s.base },
		ErrorLog:                     slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// shutdown waits for the requests in flight, then for those it cancelled, then for nobody.
func (s *Server) shutdown(hs *http.Server) error {
	for _, grace := range []time.Duration{drainGrace, cancelGrace} {
		ctx, cancel := context.WithTimeout(context.Background(), grace)
		err := hs.Shutdown(ctx)
		cancel()
		s.cancelBase()
		if !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
	if err := hs.Close(); err != nil {
		return fmt.Errorf("closing connections that outlived the drain: %w", err)
	}
	return nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{
		ResponseWriter: w,
		s:              s,
		r:              r,
		node:           s.attached(),
		start:          time.Now(),
		route:          s.unmatched,
		out:            getBuffer(),
	}
	h := w.Header()
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
	x.setRequestID(newRequestID())
	if len(r.TransferEncoding) > 0 {
		// net/http has dropped a Content-Length that came beside it, so whatever follows on the connection could be
		// smuggled: it is not read.
		h["Connection"] = []string{"close"}
	}
	s.metrics.inFlight.Inc()
	defer x.finish()
	p := headerFault(r)
	if p == nil {
		p = pathFault(r.URL)
	}
	if p != nil {
		x.refuse(p)
		return
	}
	s.router.ServeHTTP(x, r)
}
