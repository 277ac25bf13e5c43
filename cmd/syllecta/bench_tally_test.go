package main

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
)

func TestOutcomeOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		call   benchCall
		answer string
		want   benchOutcome
	}{
		{callClaim, `{"cached":false,"locked":true,"token":"x"}`, outcomeLocked},
		{callClaim, `{"cached":false,"locked":false,"retryAfterMs":1500}`, outcomeInProgress},
		{callClaim, `{"cached":true,"record":{"body":{"locked":true}}}`, outcomeCached},
		{callClaim, `{"ok":true}`, outcomeFailed},
		{callClaim, ``, outcomeFailed},
		{callPut, `{"ok":true,"expiresAt":""}`, outcomeStored},
		{callPut, `{"cached":true}`, outcomeFailed},
		{callRelease, `{"ok":true}`, outcomeReleased},
		{callBatch, `{"results":[]}`, outcomeBatch},
		{callBatch, `{"ok":true}`, outcomeFailed},
	} {
		if got := outcomeOf(c.call, []byte(c.answer)); got != c.want {
			t.Errorf("%s %s: got %d, want %d", c.call, c.answer, got, c.want)
		}
	}
}

func TestBatchesAreCountedByTheClaim(t *testing.T) {
	t.Parallel()
	var counts tally
	counts.countBatch([]byte(`{"results":[{"cached":false,"locked":true,"token":"x"},{"cached":true,"record":{}},` +
		`{"cached":false,"locked":false},{"cached":false,"locked":true},` +
		`{"status":429,"code":"usage_limit_exceeded"},{"code":"usage_limit_exceeded","status":429}]}`))
	o := counts.outcomes
	if counts.operations() != 4 || o[outcomeLocked] != 2 || o[outcomeCached] != 1 || o[outcomeInProgress] != 1 {
		t.Errorf("got %v", o)
	}
	if want := map[string]int64{"usage_limit_exceeded": 2}; !maps.Equal(counts.errors, want) {
		t.Errorf("got %v", counts.errors)
	}
}

func TestTalliesAddUp(t *testing.T) {
	t.Parallel()
	ts := &tallies{}
	for i := range 3 * tallyShards {
		ts.of(i).answer(callClaim, outcomeLocked, time.Duration(i)*time.Millisecond)
		ts.of(i).answer(callPut, outcomeStored, 2*maxLatency)
		ts.of(i).fail("busy")
	}
	answered, failed := ts.progress()
	all := ts.total()
	if answered != 6*tallyShards || failed != 3*tallyShards || all.answered != answered || all.failed != failed ||
		all.errors["busy"] != failed || all.outcomes[outcomeStored] != 3*tallyShards {
		t.Errorf("got %d and %d, %+v", answered, failed, all)
	}
	claims, puts := all.latencies[callClaim], all.latencies[callPut]
	if claims.TotalCount() != 3*tallyShards || claims.Min() != 1 || puts.Min() < maxLatency.Microseconds()*999/1000 ||
		all.latency().TotalCount() != answered {
		t.Errorf("claims %d from %d µs, puts from %d µs", claims.TotalCount(), claims.Min(), puts.Min())
	}
}

func TestErrorKindsAreBounded(t *testing.T) {
	t.Parallel()
	var counts tally
	for i := range 3 * maxErrorKinds {
		counts.fail(fmt.Sprint(i))
	}
	if len(counts.errors) != maxErrorKinds+1 || counts.errors[otherErrors] != 2*maxErrorKinds {
		t.Errorf("got %d kinds, %d of them others", len(counts.errors), counts.errors[otherErrors])
	}
}

func TestServerUsage(t *testing.T) {
	t.Parallel()
	const page = "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 12.5\n" +
		"go_gc_duration_seconds{quantile=\"1\"} 3\n" +
		"process_resident_memory_bytes 7.1e+07\nprocess_start_time_seconds 1.7e+09\n"
	u, err := parseUsage(strings.NewReader(page))
	if want := (processUsage{started: 1.7e9, cpuSeconds: 12.5, rssBytes: 7.1e7}); err != nil || u != want {
		t.Errorf("got %+v, %v", u, err)
	}
	for _, bad := range []string{
		"", strings.Replace(page, "12.5", "much", 1), strings.Replace(page, "process_start", "x", 1),
	} {
		if _, err := parseUsage(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	a, b, restarted, gone, late := new(endpoint), new(endpoint), new(endpoint), new(endpoint), new(endpoint)
	before := serverUsage{a: {1, 10, 100}, b: {2, 5, 50}, restarted: {3, 90, 900}, gone: {4, 1, 1}}
	after := serverUsage{a: {1, 11, 90}, b: {2, 5.5, 60}, restarted: {9, 1, 900}, late: {5, 70, 700}}
	want := serverCost{nodes: 2, cpu: 1500 * time.Millisecond, maxRSSBytes: 100}
	if got := before.until(after); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
