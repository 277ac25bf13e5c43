package main

import (
	"errors"
	"math"
	"slices"
	"time"
)

// measurement is what one run came to. CPU counts per operation, in microseconds.
type measurement struct {
	Operations          int64   `json:"operations"` // all of them granted or answered as they must be
	OperationsPerSecond float64 `json:"operationsPerSecond"`
	P50Ms               float64 `json:"p50Ms"` // of a request, which may be of many operations
	P99Ms               float64 `json:"p99Ms"`
	ServerCPUMicros     float64 `json:"serverCpuMicrosPerOperation"` // all server processes together
	GeneratorCPUMicros  float64 `json:"generatorCpuMicrosPerOperation"`
	KernelPercent       float64 `json:"kernelPercentOfCore"` // what the kernel's own threads used meanwhile
	OthersPercent       float64 `json:"othersPercentOfCore"` // what all other processes used meanwhile
}

// newMeasurement sums up the latencies of all workers.
func newMeasurement(latencies [][]time.Duration, elapsed time.Duration, used usage) (measurement, error) {
	all := slices.Concat(latencies...)
	if len(all) == 0 {
		return measurement{}, errors.New("nothing was granted within the measured time")
	}
	slices.Sort(all)
	m := measurement{
		Operations:          int64(len(all)),
		OperationsPerSecond: float64(len(all)) / elapsed.Seconds(),
		P50Ms:               milliseconds(percentile(all, 50)),
		P99Ms:               milliseconds(percentile(all, 99)),
	}
	m.charge(used)
	return m, nil
}

// charge adds what the operations cost.
func (m *measurement) charge(used usage) {
	m.ServerCPUMicros = used.servers * 1e6 / m.OperationsPerSecond
	m.GeneratorCPUMicros = used.generator * 1e6 / m.OperationsPerSecond
	m.KernelPercent = used.kernel * 100
	m.OthersPercent = used.others * 100
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// percentile returns the smallest value that at least p percent do not exceed. sorted must not be empty.
func percentile(sorted []time.Duration, p float64) time.Duration {
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}

// spread is a figure over the rounds.
type spread struct{ median, min, max float64 }

// newSpread needs at least one value.
func newSpread(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return spread{
		median: (sorted[(n-1)/2] + sorted[n/2]) / 2,
		min:    sorted[0],
		max:    sorted[n-1],
	}
}
