package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// tour measures every peer in every round.
type tour struct {
	options
	base     string // temporary directory for everything
	progress io.Writer
	peers    []peer // those that the machine has
	results  results
}

// prepare finds out which peers can be measured.
func (t *tour) prepare(ctx context.Context, all []peer) error {
	programs := filepath.Join(t.base, "programs")
	// Servers that must not run as root are started from here, too.
	if err := os.Mkdir(programs, 0o755); err != nil {
		return err
	}
	for _, p := range all {
		fmt.Fprintf(t.progress, "preparing %s\n", p.name())
		result := peerResult{Name: p.name(), Settings: p.settings()}
		version, err := p.prepare(ctx, programs)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			result.Skipped = oneLine(err)
			fmt.Fprintf(t.progress, "skipping %s: %s\n", p.name(), result.Skipped)
		} else {
			result.Version = version
			t.peers = append(t.peers, p)
		}
		t.results.Peers = append(t.results.Peers, result)
	}
	if len(t.peers) == 0 {
		return errors.New("there is nothing to measure")
	}
	return nil
}

// run goes through all rounds. It returns early, with an error, only when ctx ends.
func (t *tour) run(ctx context.Context) error {
	for round := range t.rounds {
		for _, p := range rotated(t.peers, round) {
			if err := t.visit(ctx, round+1, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// rotated begins a list elsewhere: nobody is always the first, or always behind the same other.
func rotated[T any](all []T, by int) []T {
	at := by % len(all)
	return append(append([]T(nil), all[at:]...), all[:at]...)
}

// visit starts a peer, measures it, and removes every trace of it.
func (t *tour) visit(ctx context.Context, round int, p peer) error {
	dir := filepath.Join(t.base, fmt.Sprintf("round%d-%s", round, p.name()))
	// A server that must not run as root has to get through to its own directory.
	if err := os.Mkdir(dir, 0o711); err != nil {
		return err
	}
	// What one peer leaves to be written must not slow the next.
	defer syscall.Sync()
	defer os.RemoveAll(dir)
	running, err := p.start(ctx, dir)
	if ctx.Err() != nil {
		if err == nil {
			running.stop()
		}
		return context.Cause(ctx)
	}
	if err != nil {
		for _, task := range p.work(t.options) {
			t.note(round, p, task, time.Now(), measurement{}, fmt.Errorf("starting: %w", err))
		}
		return nil
	}
	defer running.stop()
	for _, task := range p.work(t.options) {
		began := time.Now()
		m, err := t.measure(ctx, running, task)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		t.note(round, p, task, began, m, err)
	}
	return nil
}

// maxAttempts bounds how often a run is made that others disturb.
const maxAttempts = 4

// measure makes a run, again if others disturbed it. It returns the least disturbed: never the best.
func (t *tour) measure(ctx context.Context, s system, job task) (measurement, error) {
	last, err := s.run(ctx, job)
	quietest := last
	for attempt := 1; err == nil && t.disturbed(last) && attempt < maxAttempts; attempt++ {
		fmt.Fprintf(t.progress, "others used %s %% of a core: once more\n", number(last.OthersPercent))
		last, err = s.run(ctx, job)
		if last.OthersPercent < quietest.OthersPercent {
			quietest = last
		}
	}
	return quietest, err
}

// disturbed tells whether others used more than they may.
func (t *tour) disturbed(m measurement) bool {
	return t.quiet > 0 && m.OthersPercent > float64(t.quiet)
}

// note records a run and shows it.
func (t *tour) note(round int, p peer, task task, began time.Time, m measurement, err error) {
	run := runResult{
		Round: round, Peer: p.name(), Scenario: task.Scenario, Connections: task.Connections,
		StartedAt: began.UTC(), Seconds: task.duration.Seconds(),
	}
	said := ""
	if err != nil {
		run.Error = oneLine(err)
		said = "failed: " + run.Error
	} else {
		run.measurement = m
		said = fmt.Sprintf("%s/s, p50 %s ms, p99 %s ms, CPU %s µs, others %s %%", number(m.OperationsPerSecond),
			number(m.P50Ms), number(m.P99Ms), number(m.ServerCPUMicros), number(m.OthersPercent))
	}
	t.results.Runs = append(t.results.Runs, run)
	fmt.Fprintf(t.progress, "round %d of %d, %s, %s, %s: %s\n", round, t.rounds, p.name(), task.Scenario,
		plural(task.Connections, "connection"), said)
}

// oneLine makes an error, which may hold the end of a log, fit into a table.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
