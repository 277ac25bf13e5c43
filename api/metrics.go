package api

import (
	"fmt"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// requestBuckets reach from one group commit on a fast disk to the longest wait.
var requestBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// metrics are what the edge counts.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inFlight prometheus.Gauge
	limited  *prometheus.CounterVec
	unsigned *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "syllecta_http_requests_total",
			Help: "Requests answered, by route and by what the protocol answered or the problem's code.",
		}, []string{"route", "method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "syllecta_http_request_seconds",
			Help:    "Time from a request's header to the end of its answer, waiting included.",
			Buckets: requestBuckets,
		}, []string{"route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "syllecta_http_in_flight",
			Help: "Requests being answered.",
		}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "syllecta_http_rate_limited_total",
			Help: "Requests refused because too many came: with one API key, from one address, with refused credentials, or by or about " +
				"one tenant.",
		}, []string{"reason"}),
		unsigned: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "syllecta_webhook_invalid_signatures_total",
			Help: "Webhooks refused because no secret of their source has signed them, by provider.",
		}, []string{"provider"}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.inFlight, m.limited, m.unsigned} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("registering the API's metrics: %w", err)
		}
	}
	for _, reason := range limitReasons {
		m.limited.WithLabelValues(string(reason)) // shown from the start, as 0
	}
	return m, nil
}

// newLockedTenants tells on every node, also on those that need the key only once they lead, that it is not there.
func (s *Server) newLockedTenants() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "syllecta_kek_missing_tenants",
		Help: "Tenants whose webhooks this node could not take, for want of the key-encryption key of their data key.",
	}, func() float64 {
		n := s.attached()
		if n == nil {
			return 0
		}
		locked := 0
		for _, t := range n.Directory().Tenants() {
			if t.DataKey != "" && s.cfg.Vault.Lacks([]byte(t.DataKey)) {
				locked++
			}
		}
		return float64(locked)
	})
}

// routeMetrics are a route's own counters, looked up once per outcome instead of once per request.
type routeMetrics struct {
	seconds  prometheus.Observer
	requests *prometheus.CounterVec // curried: only the code is open

	grow   sync.Mutex
	byCode atomic.Pointer[map[string]prometheus.Counter]
}

func (m *metrics) route(method, label string) *routeMetrics {
	return &routeMetrics{
		seconds:  m.seconds.WithLabelValues(label),
		requests: m.requests.MustCurryWith(prometheus.Labels{"route": label, "method": method}),
	}
}

// counter returns the counter of an outcome. The set of outcomes is fixed in the code, so the map stops growing.
func (m *routeMetrics) counter(code string) prometheus.Counter {
	if known := m.byCode.Load(); known != nil {
		if c, ok := (*known)[code]; ok {
			return c
		}
	}
	m.grow.Lock()
	defer m.grow.Unlock()
	grown := make(map[string]prometheus.Counter)
	if known := m.byCode.Load(); known != nil {
		maps.Copy(grown, *known)
	}
	c := m.requests.WithLabelValues(code)
	grown[code] = c
	m.byCode.Store(&grown)
	return c
}

// newMetricsPage serves what was gathered.
func (s *Server) newMetricsPage() handler {
	page := promhttp.HandlerFor(s.cfg.Gatherer, promhttp.HandlerOpts{})
	return func(x *exchange) {
		x.outcome = "shown"
		page.ServeHTTP(http.ResponseWriter(x), x.r)
	}
}
