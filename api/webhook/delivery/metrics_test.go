package delivery

import (
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/syllecta/syllecta/fsm"
)

// gathered returns the values of counters and gauges by name and label.
func gathered(t *testing.T, registry prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			switch {
			case m.GetCounter() != nil:
				values[name] = m.GetCounter().GetValue()
			case m.GetGauge() != nil:
				values[name] = m.GetGauge().GetValue()
			case m.GetHistogram() != nil:
				values[name] = float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return values
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	w := workerOf(t, o, nil)
	registry := w.cfg.Metrics.(*prometheus.Registry)
	for _, name := range []string{"delivered", "retry", "failed", "disabled"} {
		if n, shown := gathered(t, registry)["syllecta_delivery_attempts_total "+name]; !shown || n != 0 {
			t.Errorf("%s is %v at first", name, n)
		}
	}
	rc, url := newReceiver(t)
	broken := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }).URL
	good := o.source("good", url, nil)
	bad := o.source("bad", broken, func(s *fsm.Source) { s.RetryDelaysMs = []int64{0, 0, 0, 0, fsm.MaxRetryDelayMs} })
	stop := run(t, w, o)
	o.waitStatus(o.accept(good, "evt_1"), fsm.EventProcessed)
	o.waitAttempts(o.accept(bad, "evt_2"), breakerFailures)
	waitFor(t, "the breaker is open", func() bool { return stateOf(w, bad).Breaker == "open" })
	o.accept(bad, "evt_3") // due, and not started
	o.advance(90_000_000_000)
	waitFor(t, "the lag shows", func() bool { return gathered(t, registry)["syllecta_delivery_lag_seconds"] == 90 })
	for name, want := range map[string]float64{
		"syllecta_delivery_attempts_total delivered": 1, "syllecta_delivery_attempts_total retry": breakerFailures,
		"syllecta_delivery_attempt_seconds": 1 + breakerFailures, "syllecta_delivery_in_flight": 0,
		"syllecta_delivery_breakers_open": 1,
	} {
		if got := gathered(t, registry)[name]; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	stop()
	for _, name := range []string{"syllecta_delivery_lag_seconds", "syllecta_delivery_breakers_open", "syllecta_delivery_in_flight"} {
		if got := gathered(t, registry)[name]; got != 0 {
			t.Errorf("%s is %v on a node that leads no more", name, got)
		}
	}
	if n := len(rc.got()); n != 1 {
		t.Errorf("%d requests", n)
	}
}
