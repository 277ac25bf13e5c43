package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sample is what three rounds of three peers may have come to.
func sample() *results {
	r := &results{
		Machine: machine{CPUs: 2, CPU: "Some CPU", Kernel: "6.1", SyncMs: 0.25},
		Peers: []peerResult{
			{Name: ourName, Version: "1", Settings: "defaults"},
			{Name: "etcd", Version: "3.7", Settings: "three nodes"},
			{Name: "postgres", Skipped: "postgres is not installed"},
		},
	}
	add := func(peer, scenario string, rate, p99, cpu float64, err string) {
		run := runResult{Peer: peer, Scenario: scenario, Connections: 64, Error: err}
		if err == "" {
			run.measurement = measurement{OperationsPerSecond: rate, P50Ms: 1, P99Ms: p99, ServerCPUMicros: cpu}
		}
		r.Runs = append(r.Runs, run)
	}
	for i := range 3 {
		extra := float64(i)
		add(ourName, claimWork, 20_000+extra, 5, 50, "")
		add("etcd", claimWork, 4_000+1_000*extra, 20, 200, "")
		add(ourName, replayWork, 40_002, 2, 25, "")
	}
	add("etcd", claimWork, 0, 0, 0, "the disk | is full")
	add(ourName, batchWork, 0, 0, 0, "busy")
	return r
}

// rows returns the cells of every row of a printed table that begins with a word.
func rows(text, word string) [][]string {
	var found [][]string
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if len(cells) > 1 && cells[0] == word {
			found = append(found, cells)
		}
	}
	return found
}

func TestTable(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	sample().print(&b)
	text := b.String()
	for word, want := range map[string][]string{
		ourName: {"20001 (20000–20002)", "1.00 (1.00–1.00)", "5.00 (5.00–5.00)", "50.0 (50.0–50.0)",
			"0.00 (0.00–0.00)", "0.00 (0.00–0.00)", "1.00", "1.00", "1.00", "1.00"},
		"etcd": {"5000 (4000–6000)", "1.00 (1.00–1.00)", "20.0 (20.0–20.0)", "200 (200–200)",
			"0.00 (0.00–0.00)", "0.00 (0.00–0.00)", "4.00", "1.00", "0.25", "0.25"},
		"postgres":             {"skipped: postgres is not installed", "", "", "", "", "", "", "", "", ""},
		"syllecta, replay, 64": {"40002 (40002–40002)", "2.00", "1.00 (1.00–1.00)"},
		"syllecta, batch, 64":  {"failed, see below", "", ""},
	} {
		found := rows(text, word)
		if len(found) != 1 || strings.Join(found[0][1:1+len(want)], ";") != strings.Join(want, ";") {
			t.Errorf("rows of %s: %q, want %q", word, found, want)
		}
	}
	for _, words := range []string{
		"2 cores of Some CPU, Linux 6.1, 0.25 ms", "### claim, 64 connections", "### other work",
		"- etcd, claim, 64 connections: the disk | is full", "- syllecta, batch, 64 connections: busy",
		"- etcd (3.7): three nodes", "- postgres: skipped: postgres is not installed",
	} {
		if !strings.Contains(text, words) {
			t.Errorf("%q is missing in\n%s", words, text)
		}
	}
}

func TestTableWithoutUs(t *testing.T) {
	t.Parallel()
	r := sample()
	r.Peers = r.Peers[1:2]
	r.Runs = r.Runs[1:2] // one round of etcd
	var b bytes.Buffer
	r.print(&b)
	found := rows(b.String(), "etcd")
	if len(found) != 1 || found[0][1] != "4000" || found[0][7] != "" {
		t.Errorf("%q", found)
	}
	for _, words := range []string{"other work", "failed", ourName} {
		if strings.Contains(b.String(), words) {
			t.Errorf("%q is in\n%s", words, b.String())
		}
	}
}

func TestOtherWorkStandsTogether(t *testing.T) {
	t.Parallel()
	var all []*cell
	for _, peer := range []string{ourName, baselineName} {
		for _, scenario := range []string{claimWork, replayWork, batchWork} {
			all = append(all, &cell{peer: peer, scenario: scenario, connections: 1})
		}
	}
	var order []string
	for _, c := range otherWork(all) {
		order = append(order, c.peer+" "+c.scenario)
	}
	const want = "syllecta replay, baseline replay, syllecta batch, baseline batch"
	if got := strings.Join(order, ", "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0.00", 0.123: "0.12", 9.876: "9.88", 12.34: "12.3", 99.4: "99.4", 123.4: "123", 24800.6: "24801"} {
		if got := number(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

func TestResultsAreSaved(t *testing.T) {
	t.Parallel()
	r := sample()
	path := filepath.Join(t.TempDir(), "results.json")
	if err := r.save(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var read results
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	if len(read.Runs) != len(r.Runs) || read.Runs[0].OperationsPerSecond != 20_000 || read.failures() != 2 {
		t.Errorf("%s", text)
	}
	if err := r.save(filepath.Join(path, "below")); err == nil || !strings.Contains(err.Error(), "-json") {
		t.Errorf("a file that cannot be: %v", err)
	}
}
