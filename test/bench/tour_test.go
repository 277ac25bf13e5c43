package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fake is a peer without processes.
type fake struct {
	label   string
	lacks   error // of prepare
	broken  error // of start
	fails   error // of run
	diary   *[]string
	onRun   func()
	dataDir string
	results []measurement // of the next runs
}

func (f *fake) name() string { return f.label }

func (f *fake) settings() string { return "none" }

func (f *fake) work(o options) []task { return tasks(o, claimWork) }

func (f *fake) prepare(context.Context, string) (string, error) { return "1.0", f.lacks }

func (f *fake) start(_ context.Context, dir string) (system, error) {
	f.note("start")
	f.dataDir = dir
	if f.broken != nil {
		return nil, f.broken
	}
	return f, os.WriteFile(filepath.Join(dir, "data"), nil, 0o600)
}

func (f *fake) run(_ context.Context, t task) (measurement, error) {
	f.note(fmt.Sprintf("run %d", t.Connections))
	if f.onRun != nil {
		f.onRun()
	}
	if len(f.results) > 0 {
		m := f.results[0]
		f.results = f.results[1:]
		return m, f.fails
	}
	return measurement{OperationsPerSecond: 1}, f.fails
}

func (f *fake) stop() {
	f.note("stop")
	if _, err := os.Stat(filepath.Join(f.dataDir, "data")); err != nil {
		f.note("its data went before it")
	}
}

func (f *fake) note(what string) { *f.diary = append(*f.diary, f.label+" "+what) }

func newTour(t *testing.T, rounds int, connections ...int) *tour {
	return &tour{options: options{rounds: rounds, connections: connections}, base: t.TempDir(), progress: &bytes.Buffer{}}
}

func TestTourGoesInTurn(t *testing.T) {
	t.Parallel()
	var diary []string
	tour := newTour(t, 2, 64, 1)
	peers := []peer{
		&fake{label: "a", diary: &diary},
		&fake{label: "missing", diary: &diary, lacks: errors.New("not\ninstalled")},
		&fake{label: "b", diary: &diary, broken: errors.New("port taken")},
		&fake{label: "c", diary: &diary, fails: errors.New("refused")},
	}
	if err := errors.Join(tour.prepare(t.Context(), peers), tour.run(t.Context())); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"a start", "a run 64", "a run 1", "a stop", "b start", "c start", "c run 64", "c run 1", "c stop",
		"b start", "c start", "c run 64", "c run 1", "c stop", "a start", "a run 64", "a run 1", "a stop",
	}
	if !slices.Equal(diary, want) {
		t.Errorf("%q, want %q", diary, want)
	}
	r := tour.results
	if len(r.Peers) != len(peers) || r.Peers[1].Skipped != "not installed" || r.Peers[0].Version != "1.0" {
		t.Errorf("peers: %+v", r.Peers)
	}
	if len(r.Runs) != 12 || r.failures() != 8 {
		t.Errorf("%d runs, %d of them failed: %+v", len(r.Runs), r.failures(), r.Runs)
	}
	for _, run := range r.Runs {
		if bad := run.Error != ""; bad != (run.Peer != "a") || bad && run.OperationsPerSecond != 0 {
			t.Errorf("%+v", run)
		}
	}
	left, err := os.ReadDir(tour.base)
	if err != nil || len(left) != 1 || left[0].Name() != "programs" {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestTourIsInterrupted(t *testing.T) {
	t.Parallel()
	var diary []string
	ctx, stop := context.WithCancel(t.Context())
	tour := newTour(t, 3, 64, 1)
	a := &fake{label: "a", diary: &diary, onRun: stop}
	if err := tour.prepare(t.Context(), []peer{a, &fake{label: "b", diary: &diary}}); err != nil {
		t.Fatal(err)
	}
	if err := tour.run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if want := []string{"a start", "a run 64", "a stop"}; !slices.Equal(diary, want) {
		t.Errorf("%q, want %q", diary, want)
	}
	if len(tour.results.Runs) != 0 {
		t.Errorf("a run that was cut short counts: %+v", tour.results.Runs)
	}
}

func TestDisturbedRunsAreRepeated(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		quiet  int
		others []float64 // that each attempt meets
		rate   float64   // of the attempt that counts: they are numbered from 1
		left   int       // attempts that are not made
	}{
		"as it is":           {0, []float64{90, 10}, 1, 1},
		"quiet at once":      {25, []float64{25, 10}, 1, 1},
		"quiet later":        {25, []float64{90, 80, 5, 4}, 3, 1},
		"never quiet":        {25, []float64{90, 70, 80, 85, 1}, 2, 1},
		"the first was best": {25, []float64{60, 70, 80, 85}, 1, 0},
	} {
		var diary []string
		f := &fake{label: "a", diary: &diary}
		for i, others := range c.others {
			f.results = append(f.results, measurement{OperationsPerSecond: float64(i + 1), OthersPercent: others})
		}
		tour := newTour(t, 1, 64)
		tour.quiet = c.quiet
		m, err := tour.measure(t.Context(), f, task{})
		if err != nil || m.OperationsPerSecond != c.rate || len(f.results) != c.left {
			t.Errorf("%s: %+v, %v, %d attempts left", name, m, err, len(f.results))
		}
	}
}

func TestFailedRunsAreNotRepeated(t *testing.T) {
	t.Parallel()
	var diary []string
	f := &fake{label: "a", diary: &diary, fails: errNotGranted, results: []measurement{{OthersPercent: 90}}}
	tour := newTour(t, 1, 64)
	tour.quiet = 25
	if _, err := tour.measure(t.Context(), f, task{}); !errors.Is(err, errNotGranted) || len(diary) != 1 {
		t.Errorf("%v after %q", err, diary)
	}
}

func TestTourNeedsSomebody(t *testing.T) {
	t.Parallel()
	tour := newTour(t, 1, 64)
	if err := tour.prepare(t.Context(), []peer{&fake{lacks: errors.New("gone")}}); err == nil {
		t.Error("there is somebody to measure")
	}
}

func TestRotated(t *testing.T) {
	t.Parallel()
	all := []string{"a", "b", "c"}
	for by, want := range []string{"abc", "bca", "cab", "abc"} {
		if got := strings.Join(rotated(all, by), ""); got != want {
			t.Errorf("by %d: %s, want %s", by, got, want)
		}
	}
}
