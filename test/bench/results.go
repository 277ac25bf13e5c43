package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// results are everything that was found out.
type results struct {
	Machine machine      `json:"machine"`
	Peers   []peerResult `json:"peers"`
	Runs    []runResult  `json:"runs"`
}

// peerResult says what was measured, or why it was not.
type peerResult struct {
	Name     string `json:"name"`
	Version  string `json:"version,omitempty"`
	Settings string `json:"settings"`
	Skipped  string `json:"skipped,omitempty"` // what the machine lacks
}

// runResult is one run. Its measurement is empty if there is an error.
type runResult struct {
	Round       int       `json:"round"`
	Peer        string    `json:"peer"`
	Scenario    string    `json:"scenario"`
	Connections int       `json:"connections"`
	StartedAt   time.Time `json:"startedAt"`
	Seconds     float64   `json:"seconds"` // of the measured time
	Error       string    `json:"error,omitempty"`
	measurement
}

// save writes the results to a file, as JSON.
func (r *results) save(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("-json: %w", err)
	}
	return nil
}

// failures counts the runs with an error.
func (r *results) failures() (count int) {
	for _, run := range r.Runs {
		if run.Error != "" {
			count++
		}
	}
	return count
}

// cell is the runs of one task of one peer, over all rounds.
type cell struct {
	peer        string
	scenario    string
	connections int
	good        []measurement
	errors      []string
}

// cells gathers the runs, in the order in which each cell came up first.
func (r *results) cells() []*cell {
	type key struct {
		peer, scenario string
		connections    int
	}
	known := make(map[key]*cell)
	var all []*cell
	for _, run := range r.Runs {
		k := key{run.Peer, run.Scenario, run.Connections}
		c := known[k]
		if c == nil {
			c = &cell{peer: k.peer, scenario: k.scenario, connections: k.connections}
			known[k] = c
			all = append(all, c)
		}
		if run.Error != "" {
			c.errors = append(c.errors, run.Error)
		} else {
			c.good = append(c.good, run.measurement)
		}
	}
	return all
}

// figure selects one of a measurement's.
type figure func(measurement) float64

func rate(m measurement) float64         { return m.OperationsPerSecond }
func p50(m measurement) float64          { return m.P50Ms }
func p99(m measurement) float64          { return m.P99Ms }
func serverCPU(m measurement) float64    { return m.ServerCPUMicros }
func generatorCPU(m measurement) float64 { return m.GeneratorCPUMicros }
func others(m measurement) float64       { return m.OthersPercent }

// over returns a figure over the rounds; false if no round was good.
func (c *cell) over(f figure) (spread, bool) {
	if c == nil || len(c.good) == 0 {
		return spread{}, false
	}
	values := make([]float64, len(c.good))
	for i, m := range c.good {
		values[i] = f(m)
	}
	return newSpread(values), true
}
