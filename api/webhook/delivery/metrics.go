package delivery

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/syllecta/syllecta/fsm"
)

// attemptBuckets reach from a receiver on the same machine to the end of an attempt.
var attemptBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15}

// The outcomes of attempts.
var outcomes = map[fsm.Verdict]string{
	fsm.VerdictDelivered: "delivered", fsm.VerdictRetry: "retry", fsm.VerdictFailed: "failed", fsm.VerdictDisable: "disabled",
}

// metrics are what a worker counts.
type metrics struct {
	attempts   *prometheus.CounterVec
	seconds    prometheus.Histogram
	inFlight   prometheus.Gauge
	lagSeconds prometheus.Gauge
}

func newMetrics(registry prometheus.Registerer, w *Worker) (*metrics, error) {
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "syllecta_delivery_attempts_total",
			Help: "Attempts to deliver an event, by what came of them: retry is another attempt later, failed was the last one.",
		}, []string{"outcome"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "syllecta_delivery_attempt_seconds",
			Help:    "Time from the beginning of a delivery's request to the header of its answer, or to its failure.",
			Buckets: attemptBuckets,
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "syllecta_delivery_in_flight",
			Help: "Attempts under way.",
		}),
		lagSeconds: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "syllecta_delivery_lag_seconds",
			Help: "For how long the event has been due that has been due longest, on the leader.",
		}),
	}
	breakers := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "syllecta_delivery_breakers_open",
		Help: "Destinations that are left alone because they failed, on the leader.",
	}, func() float64 {
		if r := w.current.Load(); r != nil {
			return float64(r.breakersOpen())
		}
		return 0
	})
	for _, c := range []prometheus.Collector{m.attempts, m.seconds, m.inFlight, m.lagSeconds, breakers} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("registering the metrics of deliveries: %w", err)
		}
	}
	for _, outcome := range outcomes {
		m.attempts.WithLabelValues(outcome) // shown from the start, as 0
	}
	return m, nil
}

// count counts an attempt.
func (m *metrics) count(out outcome) {
	m.attempts.WithLabelValues(outcomes[out.report.Verdict]).Inc()
	if out.sent {
		m.seconds.Observe(out.answer.latency.Seconds())
	}
}

// lag notes since when the first event has been due; 0 if none is.
func (m *metrics) lag(nowMs, oldestMs int64) {
	if oldestMs == 0 {
		m.lagSeconds.Set(0)
		return
	}
	m.lagSeconds.Set(float64(max(nowMs-oldestMs, 0)) / 1000)
}

// clear is for the end of a reign: another node goes on.
func (m *metrics) clear() {
	m.inFlight.Set(0)
	m.lagSeconds.Set(0)
}
