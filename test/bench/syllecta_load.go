package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// benchPatience bounds how long `syllecta bench` may take beside warming up and measuring, for what it prepares.
	benchPatience = 60 * time.Second
	// readInterval is the pause between two readings of the meter while another process makes the load. It is what the
	// edges of the measured time are known to.
	readInterval = 250 * time.Millisecond
)

// ourCluster is a running cluster of ours. Its load is made by `syllecta bench`.
type ourCluster struct {
	servers []*server
	binary  string // of the generator
	urls    []string
	apiKey  string
}

func (c *ourCluster) stop() { stopAll(c.servers) }

// benchReport is what `syllecta bench --json` prints, as far as it matters here.
type benchReport struct {
	Requests            int64            `json:"requests"`   // without error
	Operations          int64            `json:"operations"` // claims that were answered
	OperationsPerSecond float64          `json:"operationsPerSecond"`
	Errors              map[string]int64 `json:"errors"`
	Outcomes            map[string]int64 `json:"outcomes"`
	LatencyMs           struct {
		P50 float64 `json:"p50"`
		P99 float64 `json:"p99"`
	} `json:"latencyMs"`
}

// run starts the generator and reads the meter until it ends.
func (c *ourCluster) run(ctx context.Context, t task) (measurement, error) {
	ctx, cancel := context.WithTimeout(ctx, t.warmUp+t.duration+benchPatience)
	defer cancel()
	bench := exec.CommandContext(ctx, c.binary, "bench", t.Scenario,
		"--server="+strings.Join(c.urls, ","), "--connections="+strconv.Itoa(t.Connections),
		"--duration="+t.duration.String(), "--warm-up="+t.warmUp.String(),
		"--key-bytes="+strconv.Itoa(keyBytes), "--ttl-seconds="+strconv.Itoa(claimTTLSeconds), "--json")
	bench.Env = append(plainEnvironment(os.Environ()), "SYLLECTA_API_KEY="+c.apiKey)
	bench.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var said, wrong bytes.Buffer
	bench.Stdout, bench.Stderr = &said, &wrong
	if err := bench.Start(); err != nil {
		return measurement{}, err
	}
	ended := make(chan error, 1)
	go func() { ended <- bench.Wait() }() // ends with the process, which watch waits for
	readings, err := watch(newMeter(pids(c.servers), bench.Process.Pid), ended)
	if err != nil {
		return measurement{}, complaint("syllecta bench "+t.Scenario, err, wrong.Bytes())
	}
	var report benchReport
	if err := json.Unmarshal(said.Bytes(), &report); err != nil {
		return measurement{}, fmt.Errorf("syllecta bench %s: %w", t.Scenario, err)
	}
	used, err := lastUsage(readings, t.duration)
	if err != nil {
		return measurement{}, err
	}
	return report.measurement(t.Scenario, used)
}

// watch reads the meter again and again until the generator ends.
func watch(m *meter, ended <-chan error) ([]reading, error) {
	ticks := time.NewTicker(readInterval)
	defer ticks.Stop()
	var readings []reading
	for {
		select {
		case err := <-ended:
			return readings, err
		case <-ticks.C:
		}
		r, err := m.read()
		if errors.Is(err, errGone) {
			return readings, <-ended
		}
		if err != nil {
			return nil, errors.Join(err, <-ended)
		}
		readings = append(readings, r)
	}
}

// lastUsage is what was used over the last stretch of that length.
func lastUsage(readings []reading, length time.Duration) (usage, error) {
	if len(readings) < 2 {
		return usage{}, errors.New("the generator ended before it could be watched")
	}
	last := readings[len(readings)-1]
	first := readings[0]
	for _, r := range readings[:len(readings)-1] {
		if last.at.Sub(r.at) >= length {
			first = r
		}
	}
	return last.since(first), nil
}

// rightOutcomes are what claims and results may come to in each scenario: a new key is granted, a stored one replayed.
var rightOutcomes = map[string][]string{
	claimWork: {"locked"}, batchWork: {"locked"}, completeWork: {"locked", "stored"}, replayWork: {"cached"},
}

// measurement checks that every request was answered as it must be.
func (r benchReport) measurement(scenario string, used usage) (measurement, error) {
	for kind, count := range r.Errors {
		if count > 0 {
			return measurement{}, fmt.Errorf("%d requests failed, and %d did not: %s", count, r.Requests, kind)
		}
	}
	for outcome, count := range r.Outcomes {
		if count > 0 && !slices.Contains(rightOutcomes[scenario], outcome) {
			return measurement{}, fmt.Errorf("%d of %d claims: %s", count, r.Operations, outcome)
		}
	}
	m := measurement{
		Operations: r.Operations, OperationsPerSecond: r.OperationsPerSecond,
		P50Ms: r.LatencyMs.P50, P99Ms: r.LatencyMs.P99,
	}
	if m.Operations == 0 || m.OperationsPerSecond <= 0 {
		return measurement{}, errors.New("nothing was answered within the measured time")
	}
	m.charge(used)
	return m, nil
}
