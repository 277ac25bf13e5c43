package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// steady claims take always as long, of an invented clock, and remember their keys.
type steady struct {
	takes time.Duration
	mu    sync.Mutex
	keys  map[string]int
}

func (s *steady) claim(_ context.Context, key string) error {
	time.Sleep(s.takes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[key]++
	return nil
}

func TestClosedLoopCountsTheMeasuredTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		peer := &steady{takes: 30 * time.Millisecond, keys: make(map[string]int)}
		job := task{Connections: 3, warmUp: time.Second, duration: 3 * time.Second}
		m, err := closedLoop(t.Context(), []claim{peer.claim, peer.claim, peer.claim}, job, newMeter(nil))
		if err != nil {
			t.Fatal(err)
		}
		// Those that ended from 1020 to 3990 ms.
		if m.Operations != 3*100 || m.OperationsPerSecond != 100 || m.P50Ms != 30 || m.P99Ms != 30 {
			t.Errorf("%+v", m)
		}
		if want := 3 * 134; len(peer.keys) != want {
			t.Errorf("%d keys, want %d: those of the warm-up, too", len(peer.keys), want)
		}
		for key, times := range peer.keys {
			if times != 1 || len(key) != keyBytes {
				t.Errorf("key %q of %d bytes, %d times", key, len(key), times)
			}
		}
	})
}

func TestClosedLoopEndsWithTheFirstFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		peer := &steady{takes: 10 * time.Millisecond, keys: make(map[string]int)}
		refused := 0
		refuse := func(context.Context, string) error {
			time.Sleep(100 * time.Millisecond)
			if refused++; refused == 5 {
				return errNotGranted
			}
			return nil
		}
		job := task{Connections: 2, warmUp: time.Minute, duration: time.Minute}
		// A worker that only looks at ctx must end as well.
		patient := func(ctx context.Context, _ string) error {
			<-ctx.Done()
			return ctx.Err()
		}
		m, err := closedLoop(t.Context(), []claim{peer.claim, refuse, patient}, job, newMeter(nil))
		if !errors.Is(err, errNotGranted) {
			t.Errorf("%+v, %v; want the refusal", m, err)
		}
		// peer.claim does not look at ctx, and goes on to the end of the run.
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("it took %s", took)
		}
	})
}

func TestClosedLoopIsCutShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stopped := errors.New("stopped")
		ctx, stop := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { stop(stopped) })
		patient := func(ctx context.Context, _ string) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		_, err := closedLoop(ctx, []claim{patient}, task{duration: time.Minute}, newMeter(nil))
		if !errors.Is(err, stopped) {
			t.Errorf("%v; want %v", err, stopped)
		}
	})
}

func TestClosedLoopDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		lost := func(ctx context.Context, _ string) error { // the answer never comes
			<-ctx.Done()
			return ctx.Err()
		}
		if _, err := closedLoop(t.Context(), []claim{lost}, task{duration: time.Second}, newMeter(nil)); err == nil {
			t.Error("a lost answer counted for something")
		}
		if took, want := time.Since(began), time.Second+requestPatience; took != want {
			t.Errorf("it took %s, want %s", took, want)
		}
	})
}

func TestClaimedKnowsOnlyClaims(t *testing.T) {
	t.Parallel()
	c := &claimed{dial: func(context.Context, int) ([]claim, func(), error) { return nil, nil, errors.New("down") }}
	if _, err := c.run(t.Context(), task{Scenario: replayWork}); err == nil {
		t.Error("it ran what it does not know")
	}
	if _, err := c.run(t.Context(), task{Scenario: claimWork}); err == nil || !strings.Contains(err.Error(), "down") {
		t.Errorf("%v; want why it could not connect", err)
	}
}

func TestKeysOfWorkersDiffer(t *testing.T) {
	t.Parallel()
	run := newRunName()
	seen := make(map[string]bool)
	for worker := range 4 {
		keys := newKeys(run, worker, 4)
		for range 1000 {
			key := keys.take()
			if seen[key] || len(key) != keyBytes || !strings.HasPrefix(key, run) {
				t.Fatalf("key %q, seen %t", key, seen[key])
			}
			seen[key] = true
		}
	}
	if newRunName() == run {
		t.Error("two runs have one name")
	}
}
