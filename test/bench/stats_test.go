package main

import (
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	for _, c := range []struct {
		sorted []time.Duration
		p      float64
		want   time.Duration
	}{
		{hundred, 50, 50},
		{hundred, 99, 99},
		{hundred, 100, 100},
		{hundred, 0, 1},
		{hundred[:1], 99, 1},
		{hundred[:2], 50, 1},
		{hundred[:2], 51, 2},
		{hundred[:3], 99, 3},
	} {
		if got := percentile(c.sorted, c.p); got != c.want {
			t.Errorf("percentile %v of %d values: %d, want %d", c.p, len(c.sorted), got, c.want)
		}
	}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []float64
		want   spread
	}{
		{[]float64{3}, spread{3, 3, 3}},
		{[]float64{3, 1}, spread{2, 1, 3}},
		{[]float64{9, 1, 2}, spread{2, 1, 9}},
		{[]float64{4, 1, 9, 2}, spread{3, 1, 9}},
	} {
		if got := newSpread(c.values); got != c.want {
			t.Errorf("spread of %v: %+v, want %+v", c.values, got, c.want)
		}
	}
}

func TestMeasurement(t *testing.T) {
	t.Parallel()
	latencies := [][]time.Duration{{3 * time.Millisecond, time.Millisecond}, nil, {2 * time.Millisecond, 9 * time.Millisecond}}
	got, err := newMeasurement(latencies, 2*time.Second, usage{servers: 1, generator: 0.5, kernel: 0.125, others: 0.25})
	want := measurement{
		Operations: 4, OperationsPerSecond: 2, P50Ms: 2, P99Ms: 9,
		ServerCPUMicros: 500_000, GeneratorCPUMicros: 250_000, KernelPercent: 12.5, OthersPercent: 25,
	}
	if err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if m, err := newMeasurement([][]time.Duration{nil}, time.Second, usage{}); err == nil {
		t.Errorf("a run without a grant came to %+v", m)
	}
}
