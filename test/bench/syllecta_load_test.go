package main

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// report is what `syllecta bench claim --json` prints, shortened.
const report = `{"scenario":"claim","connections":64,"durationSeconds":8.001,"requests":80000,"operations":80000,
 "errors":{},"outcomes":{"locked":80000,"cached":0,"inProgress":0,"stored":0,"released":0},
 "requestsPerSecond":10000,"operationsPerSecond":10000,"latencyMs":{"mean":2,"p50":1.5,"p90":3,"p99":4.5,"p999":9,"max":12}}`

func TestReport(t *testing.T) {
	t.Parallel()
	var r benchReport
	if err := json.Unmarshal([]byte(report), &r); err != nil {
		t.Fatal(err)
	}
	got, err := r.measurement(claimWork, usage{servers: 0.5, generator: 0.1, kernel: 0.2, others: 0.3})
	want := measurement{
		Operations: 80_000, OperationsPerSecond: 10_000, P50Ms: 1.5, P99Ms: 4.5,
		ServerCPUMicros: 50, GeneratorCPUMicros: 10, KernelPercent: 20, OthersPercent: 30,
	}
	if err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

func TestReportOfWhatWentWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ scenario, text, words string }{
		"an error":           {claimWork, `{"operations":9,"operationsPerSecond":1,"errors":{"busy":2}}`, "busy"},
		"a lock held":        {claimWork, `{"operations":9,"operationsPerSecond":1,"outcomes":{"locked":8,"inProgress":1}}`, "inProgress"},
		"a claim replayed":   {batchWork, `{"operations":9,"operationsPerSecond":1,"outcomes":{"cached":1}}`, "cached"},
		"a replay that lost": {replayWork, `{"operations":9,"operationsPerSecond":1,"outcomes":{"cached":8,"locked":1}}`, "locked"},
		"nothing":            {claimWork, `{}`, "nothing"},
	} {
		var r benchReport
		if err := json.Unmarshal([]byte(c.text), &r); err != nil {
			t.Fatal(err)
		}
		if m, err := r.measurement(c.scenario, usage{}); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %+v, %v; want an error with %q", name, m, err, c.words)
		}
	}
	for _, scenario := range scenarios {
		if len(rightOutcomes[scenario]) == 0 {
			t.Errorf("%s has no right outcome", scenario)
		}
	}
}

// TestLastUsage has a server that is busy only in the last seconds: those are what counts.
func TestLastUsage(t *testing.T) {
	t.Parallel()
	began := time.Now()
	var readings []reading
	for i := range 13 { // a reading each half second, up to 6 s
		r := reading{at: began.Add(time.Duration(i) * time.Second / 2)}
		r.servers = max(0, r.at.Sub(began)-4*time.Second)
		readings = append(readings, r)
	}
	for length, want := range map[time.Duration]float64{
		2 * time.Second: 1, 1900 * time.Millisecond: 1, 4 * time.Second: 0.5, time.Minute: 2.0 / 6,
	} {
		if used, err := lastUsage(readings, length); err != nil || used.servers != want {
			t.Errorf("the last %s: %+v, %v; want %v", length, used, err, want)
		}
	}
	if used, err := lastUsage(readings[:1], time.Second); err == nil {
		t.Errorf("one reading came to %+v", used)
	}
}

func TestWatchEndsWithTheGenerator(t *testing.T) {
	t.Parallel()
	failed := errors.New("exit status 1")
	ended := make(chan error, 1)
	ended <- failed
	if _, err := watch(newMeter(nil), ended); !errors.Is(err, failed) {
		t.Errorf("%v", err)
	}
	const noProcess = 1 << 30
	ended <- failed
	if _, err := watch(newMeter([]int{os.Getpid()}, noProcess), ended); !errors.Is(err, failed) {
		t.Errorf("it is gone: %v", err)
	}
}

func TestGivenBinaryIsNotBuilt(t *testing.T) {
	t.Parallel()
	ours := &syllecta{label: ourName, given: true, binary: "ours"}
	before := &syllecta{label: baselineName, given: true, binary: "before", generator: ours}
	if err := errors.Join(ours.build(t.Context(), t.TempDir()), before.build(t.Context(), t.TempDir())); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(ours.binary, "/ours") || !strings.HasSuffix(before.binary, "/before") {
		t.Errorf("%s and %s", ours.binary, before.binary)
	}
	if ours.generatorBinary() != ours.binary || before.generatorBinary() != ours.binary {
		t.Errorf("load by %s and %s", ours.generatorBinary(), before.generatorBinary())
	}
}
