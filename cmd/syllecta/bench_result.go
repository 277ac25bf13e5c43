package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// measurement is what was seen.
type measurement struct {
	*tally
	elapsed       time.Duration
	unsent        int64
	generatorCPU  time.Duration
	servers       serverCost
	leader        string
	leaderChanges int64
}

// benchResult is the answer of bench with --json. Members are added, never changed.
type benchResult struct {
	Scenario        string  `json:"scenario"`
	Connections     int     `json:"connections"`
	Rate            float64 `json:"rate"`            // requests per second that were due; 0 in a closed loop
	DurationSeconds float64 `json:"durationSeconds"` // from the first request to the last answer
	Requests        int64   `json:"requests"`        // that were answered without error
	Operations      int64   `json:"operations"`      // claims that were answered
	Unsent          int64   `json:"unsent"`          // requests that were due and never sent

	// Errors counts requests, and claims of batches that were refused, by kind: the code of a problem, http_STATUS for
	// what is none, connection, timeout, malformed, unknown_leader or redirect_loop.
	Errors   map[string]int64 `json:"errors"`
	Outcomes benchOutcomeSums `json:"outcomes"`

	RequestsPerSecond   float64                 `json:"requestsPerSecond"`
	OperationsPerSecond float64                 `json:"operationsPerSecond"`
	LatencyMs           benchLatency            `json:"latencyMs"`
	LatencyMsByCall     map[string]benchLatency `json:"latencyMsByCall"` // claim, put, release, batch

	// CPU time is divided by all requests, the failed ones included.
	GeneratorCPUMicrosPerRequest float64 `json:"generatorCpuMicrosPerRequest"`
	ServerCPUMicrosPerRequest    float64 `json:"serverCpuMicrosPerRequest"` // of all serverNodes together
	ServerNodes                  int     `json:"serverNodes"`               // whose metrics could be read
	ServerMaxRSSBytes            int64   `json:"serverMaxRssBytes"`         // of the largest, before or after

	Leader        string `json:"leader"` // its URL, at the end
	LeaderChanges int64  `json:"leaderChanges"`

	asked int // nodes that were asked for their metrics
}

// benchOutcomeSums counts what the protocol said: of a batch, about each claim.
type benchOutcomeSums struct {
	Locked     int64 `json:"locked"`
	Cached     int64 `json:"cached"`
	InProgress int64 `json:"inProgress"`
	Stored     int64 `json:"stored"`
	Released   int64 `json:"released"`
}

// benchLatency is a distribution in milliseconds.
type benchLatency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

func (m *measurement) result(o benchOptions) *benchResult {
	r := &benchResult{
		Scenario: o.scenario, Connections: o.connections, Rate: o.rate, DurationSeconds: seconds(m.elapsed),
		Requests: m.answered, Operations: m.operations(), Unsent: m.unsent, Errors: m.errors,
		Outcomes: benchOutcomeSums{
			Locked: m.outcomes[outcomeLocked], Cached: m.outcomes[outcomeCached],
			InProgress: m.outcomes[outcomeInProgress], Stored: m.outcomes[outcomeStored],
			Released: m.outcomes[outcomeReleased],
		},
		LatencyMs: latencyOf(m.latency()), LatencyMsByCall: map[string]benchLatency{},
		ServerNodes: m.servers.nodes, ServerMaxRSSBytes: m.servers.maxRSSBytes,
		Leader: m.leader, LeaderChanges: m.leaderChanges, asked: m.servers.asked,
	}
	for call, h := range m.latencies {
		if h != nil {
			r.LatencyMsByCall[benchCall(call).String()] = latencyOf(h)
		}
	}
	if elapsed := m.elapsed.Seconds(); elapsed > 0 {
		r.RequestsPerSecond = rounded(float64(r.Requests) / elapsed)
		r.OperationsPerSecond = rounded(float64(r.Operations) / elapsed)
	}
	if all := float64(m.answered + m.failed); all > 0 {
		r.GeneratorCPUMicrosPerRequest = rounded(float64(m.generatorCPU.Microseconds()) / all)
		r.ServerCPUMicrosPerRequest = rounded(float64(m.servers.cpu.Microseconds()) / all)
	}
	return r
}

func latencyOf(h *hdrhistogram.Histogram) benchLatency {
	ms := func(micros float64) float64 { return rounded(micros / 1000) }
	at := func(quantile float64) float64 { return ms(float64(h.ValueAtQuantile(quantile))) }
	return benchLatency{
		Mean: ms(h.Mean()), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: ms(float64(h.Max())),
	}
}

// rounded keeps three decimals.
func rounded(v float64) float64 { return math.Round(v*1000) / 1000 }

// resultText is the result for people.
func (t *terminal) resultText(r *benchResult) string {
	load := t.newTable("SCENARIO", "CONNECTIONS", "RATE", "SECONDS", "REQUESTS", "REQUESTS/S", "OPERATIONS/S")
	rate := "closed loop"
	if r.Rate > 0 {
		rate = fmt.Sprintf("%.0f/s", r.Rate)
	}
	load.AppendRow([]any{
		r.Scenario, r.Connections, rate, fmt.Sprintf("%.1f", r.DurationSeconds), r.Requests,
		fmt.Sprintf("%.0f", r.RequestsPerSecond), fmt.Sprintf("%.0f", r.OperationsPerSecond),
	})
	return load.Render() + "\n\n" + t.latencyTable(r) + "\n\n" + r.notes()
}

func (t *terminal) latencyTable(r *benchResult) string {
	w := t.newTable("LATENCY IN MS", "MEAN", "P50", "P90", "P99", "P99.9", "MAX")
	add := func(name string, l benchLatency) {
		cells := []any{name}
		for _, v := range []float64{l.Mean, l.P50, l.P90, l.P99, l.P999, l.Max} {
			cells = append(cells, fmt.Sprintf("%.2f", v))
		}
		w.AppendRow(cells)
	}
	for call := range benchCalls {
		if l, made := r.LatencyMsByCall[call.String()]; made {
			add(call.String(), l)
		}
	}
	if len(r.LatencyMsByCall) != 1 {
		add("all", r.LatencyMs)
	}
	return w.Render()
}

// notes are what there is to say besides the figures of the tables, a line each.
func (r *benchResult) notes() string {
	o := r.Outcomes
	var b strings.Builder
	fmt.Fprintf(&b, "outcomes  %s\n", countsText([]string{"locked", "cached", "in progress", "stored", "released"},
		[]int64{o.Locked, o.Cached, o.InProgress, o.Stored, o.Released}))
	kinds := slices.Sorted(maps.Keys(r.Errors))
	sums := make([]int64, len(kinds))
	for i, kind := range kinds {
		sums[i] = r.Errors[kind]
	}
	fmt.Fprintf(&b, "errors    %s\n", countsText(kinds, sums))
	if r.Unsent > 0 {
		fmt.Fprintf(&b, "unsent    %d requests were due and no connection was free: the rate is too high\n", r.Unsent)
	}
	if r.ServerNodes > 0 {
		fmt.Fprintf(&b, "CPU       %.1f µs per request on %d of %d nodes, %.1f µs in this program\n",
			r.ServerCPUMicrosPerRequest, r.ServerNodes, r.asked, r.GeneratorCPUMicrosPerRequest)
		fmt.Fprintf(&b, "memory    %s in the largest node\n", byteText(r.ServerMaxRSSBytes))
	} else {
		fmt.Fprintf(&b, "CPU       %.1f µs per request in this program; no node shows its own\n",
			r.GeneratorCPUMicrosPerRequest)
	}
	changes := "all the time"
	if r.LeaderChanges > 0 {
		changes = "at the end, after " + countOf(int(r.LeaderChanges), "change")
	}
	fmt.Fprintf(&b, "leader    %s, %s\n", printable(r.Leader), changes)
	return b.String()
}

// countsText is, for instance, "busy 12, timeout 1"; what there is none of is left out.
func countsText(names []string, counts []int64) string {
	var parts []string
	for i, n := range counts {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", printable(names[i]), n))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
