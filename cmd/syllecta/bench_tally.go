package main

import (
	"bytes"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// benchOutcome is what the protocol said to a request.
type benchOutcome int

const (
	outcomeFailed     benchOutcome = iota // no answer of the protocol: an error
	outcomeLocked                         // the claim was granted
	outcomeCached                         // the claim was answered with the stored result
	outcomeInProgress                     // the claim met a lock of somebody else
	outcomeStored                         // by a PUT
	outcomeReleased
	outcomeBatch // many, see countBatch
	benchOutcomes
)

// The beginnings of answers: members come in this order.
var (
	lockedAnswer     = []byte(`{"cached":false,"locked":true`)
	inProgressAnswer = []byte(`{"cached":false,"locked":false`)
	cachedAnswer     = []byte(`{"cached":true`)
	batchAnswer      = []byte(`{"results":[`)
	okAnswer         = []byte(`{"ok":true`)
)

// outcomeOf reads a good answer.
func outcomeOf(call benchCall, answer []byte) benchOutcome {
	switch {
	case call == callPut && bytes.HasPrefix(answer, okAnswer):
		return outcomeStored
	case call == callRelease && bytes.HasPrefix(answer, okAnswer):
		return outcomeReleased
	case call == callBatch && bytes.HasPrefix(answer, batchAnswer):
		return outcomeBatch
	case call != callClaim:
		return outcomeFailed
	case bytes.HasPrefix(answer, lockedAnswer):
		return outcomeLocked
	case bytes.HasPrefix(answer, cachedAnswer):
		return outcomeCached
	case bytes.HasPrefix(answer, inProgressAnswer):
		return outcomeInProgress
	default:
		return outcomeFailed
	}
}

const (
	// maxLatency is the largest latency that is told apart; latencyDigits, how exactly.
	maxLatency    = time.Hour
	latencyDigits = 3
	// maxErrorKinds bounds what is counted apart: the kinds are words of the servers.
	maxErrorKinds = 64
	otherErrors   = "other"
)

// tally is what was counted. Several connections share one.
type tally struct {
	mu        sync.Mutex
	latencies [benchCalls]*hdrhistogram.Histogram // in microseconds, nil for calls that were not made
	outcomes  [benchOutcomes]int64
	answered  int64
	failed    int64 // requests; those of batches are counted by the claim in errors
	errors    map[string]int64
}

// answer counts a request that was answered.
func (t *tally) answer(call benchCall, o benchOutcome, latency time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.answered++
	t.outcomes[o]++
	h := t.latencies[call]
	if h == nil {
		h = newLatencies()
		t.latencies[call] = h
	}
	_ = h.RecordValue(max(1, min(latency, maxLatency).Microseconds())) // it is within the bounds
}

func newLatencies() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, maxLatency.Microseconds(), latencyDigits)
}

// fail counts a request that was not answered, or with a refusal.
func (t *tally) fail(kind string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed++
	t.countError(kind, 1)
}

func (t *tally) countError(kind string, n int64) {
	if t.errors == nil {
		t.errors = map[string]int64{}
	}
	if _, known := t.errors[kind]; !known && len(t.errors) >= maxErrorKinds {
		kind = otherErrors
	}
	t.errors[kind] += n
}

var (
	lockedResult     = []byte(`"locked":true`)
	inProgressResult = []byte(`"locked":false`)
	cachedResult     = []byte(`"cached":true`)
	codeMember       = []byte(`"code":"`)
)

// countBatch counts what became of each claim of a batch. The keys are new, so that no result of a caller is among the
// answers, which could look like one.
func (t *tally) countBatch(answer []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.outcomes[outcomeLocked] += int64(bytes.Count(answer, lockedResult))
	t.outcomes[outcomeInProgress] += int64(bytes.Count(answer, inProgressResult))
	t.outcomes[outcomeCached] += int64(bytes.Count(answer, cachedResult))
	for {
		_, rest, found := bytes.Cut(answer, codeMember)
		if !found {
			return
		}
		kind, _, _ := bytes.Cut(rest, []byte(`"`))
		t.countError(string(kind), 1)
		answer = rest
	}
}

// progress is how many requests were answered so far, and how many failed.
func (t *tally) progress() (answered, failed int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.answered, t.failed
}

// tallyShards are how many tallies the connections of a run share: few histograms, and seldom a wait for one.
const tallyShards = 8

type tallies [tallyShards]tally

func (ts *tallies) of(connection int) *tally { return &ts[connection%tallyShards] }

func (ts *tallies) progress() (answered, failed int64) {
	for i := range ts {
		a, f := ts[i].progress()
		answered, failed = answered+a, failed+f
	}
	return answered, failed
}

// total adds up the tallies, which nobody writes to any more.
func (ts *tallies) total() *tally {
	all := &tally{errors: map[string]int64{}}
	for i := range ts {
		t := &ts[i]
		all.answered, all.failed = all.answered+t.answered, all.failed+t.failed
		for o, n := range t.outcomes {
			all.outcomes[o] += n
		}
		for call, h := range t.latencies {
			if h == nil {
				continue
			}
			if all.latencies[call] == nil {
				all.latencies[call] = newLatencies()
			}
			all.latencies[call].Merge(h)
		}
		for _, kind := range slices.Sorted(maps.Keys(t.errors)) {
			all.countError(kind, t.errors[kind])
		}
	}
	return all
}

// operations are the claims that were answered.
func (t *tally) operations() int64 {
	return t.outcomes[outcomeLocked] + t.outcomes[outcomeCached] + t.outcomes[outcomeInProgress]
}

// latency is that of all calls together.
func (t *tally) latency() *hdrhistogram.Histogram {
	all := newLatencies()
	for _, h := range t.latencies {
		if h != nil {
			all.Merge(h)
		}
	}
	return all
}
