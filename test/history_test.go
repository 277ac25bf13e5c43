package test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// history is everything that clients did and were told. It may be added to by many goroutines.
type history struct {
	mu     sync.Mutex
	began  time.Time
	byKey  map[string][]*operation
	acks   []time.Duration // when writes were acknowledged, since began
	counts map[string]int
}

func newHistory() *history { return &history{began: time.Now()} }

// now is the current instant of the history, in nanoseconds of a monotonic clock.
func (h *history) now() int64 { return int64(time.Since(h.began)) }

// at is an instant of the history by the wall clock.
func (h *history) at(instant int64) time.Time { return h.began.Add(time.Duration(instant)) }

// add appends an operation. Reads that were not answered tell nothing and are left out.
func (h *history) add(o *operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byKey == nil {
		h.byKey, h.counts = make(map[string][]*operation), make(map[string]int)
	}
	h.counts[verbNames[o.verb]+" "+resultNames[o.result]]++
	if o.verb == verbGet && o.result == resultUnknown {
		return
	}
	h.byKey[o.key] = append(h.byKey[o.key], o)
	if o.verb != verbGet && o.result != resultUnknown && o.result != resultRefused {
		h.acks = append(h.acks, time.Duration(o.end))
	}
}

// acknowledge notes that a write was acknowledged that is checked elsewhere.
func (h *history) acknowledge() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acks = append(h.acks, time.Since(h.began))
}

// acknowledged is how many writes were answered so far.
func (h *history) acknowledged() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.acks)
}

func (h *history) keys() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.byKey))
}

// summary counts the operations by what they were told.
func (h *history) summary() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(h.counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", what, h.counts[what]))
	}
	return strings.Join(parts, ", ")
}

// checkTimeout bounds the search for an order of one key's operations.
const checkTimeout = 2 * time.Minute

// maxShownFaults bounds how many keys a failure tells of.
const maxShownFaults = 3

// check looks for an order of each key's operations that the model allows and that agrees with real time. What was
// refused is left out: had it been done after all, the rest would not make sense.
func (h *history) check() error {
	var faults []error
	for _, key := range h.keys() {
		ops := h.byKey[key]
		switch porcupine.CheckOperationsTimeout(recordModel, porcupineOperations(ops), checkTimeout) {
		case porcupine.Ok:
			continue
		case porcupine.Unknown:
			faults = append(faults, fmt.Errorf("no order of the %d operations on %q was found in time", len(ops), key))
		default:
			faults = append(faults, fmt.Errorf("no order of the operations on %q is linearizable:\n%s", key, listing(ops)))
		}
		if len(faults) == maxShownFaults {
			break
		}
	}
	return errors.Join(faults...)
}

func porcupineOperations(ops []*operation) []porcupine.Operation {
	var all []porcupine.Operation
	for _, o := range ops {
		if o.result != resultRefused {
			all = append(all, porcupine.Operation{ClientId: o.client, Input: o, Call: o.call, Return: o.end})
		}
	}
	return all
}

func listing(ops []*operation) string {
	ops = slices.Clone(ops)
	slices.SortFunc(ops, func(a, b *operation) int { return cmp.Compare(a.call, b.call) })
	var b strings.Builder
	for _, o := range ops {
		end := "…"
		if o.end != endOfTime {
			end = fmt.Sprintf("%.6f", time.Duration(o.end).Seconds())
		}
		fmt.Fprintf(&b, "  %.6f to %s, client %d: %v\n", time.Duration(o.call).Seconds(), end, o.client, o)
	}
	return b.String()
}

// grant is a lock that was acknowledged, once or again by re-entry: it was granted after called and before told.
type grant struct {
	fence        uint64
	key          string
	called, told int64
}

// grants returns the acknowledged locks by token. A lock may have been granted by an earlier claim of the same owner
// that got no answer, so called is when the owner first asked for the key.
func (h *history) grants() map[string]*grant {
	byToken := make(map[string]*grant)
	for key, ops := range h.byKey {
		firstAsked := make(map[string]int64)
		for _, o := range ops {
			if at, known := firstAsked[o.owner]; o.verb == verbClaim && (!known || o.call < at) {
				firstAsked[o.owner] = o.call
			}
		}
		for _, o := range ops {
			if o.result != resultGranted {
				continue
			}
			if g := byToken[o.gotToken]; g == nil {
				byToken[o.gotToken] = &grant{o.fence, key, firstAsked[o.owner], o.end}
			} else {
				g.told = min(g.told, o.end)
			}
		}
	}
	return byToken
}

// checkFences wants every lock to have a fence of its own, above those of all locks that were acknowledged before it
// was asked for, of whatever key.
func (h *history) checkFences() error {
	locks := slices.Collect(maps.Values(h.grants()))
	byTold := slices.SortedFunc(slices.Values(locks), func(a, b *grant) int { return cmp.Compare(a.told, b.told) })
	slices.SortFunc(locks, func(a, b *grant) int { return cmp.Compare(a.called, b.called) })
	holders := make(map[uint64]string)
	var highest uint64
	for _, g := range locks {
		for len(byTold) > 0 && byTold[0].told < g.called {
			highest = max(highest, byTold[0].fence)
			byTold = byTold[1:]
		}
		if g.fence <= highest {
			return fmt.Errorf("fence %d of %s is not above %d, which was acknowledged before", g.fence, g.key, highest)
		}
		if other, taken := holders[g.fence]; taken {
			return fmt.Errorf("fence %d was given to %s and to %s", g.fence, other, g.key)
		}
		holders[g.fence] = g.key
	}
	return nil
}

// longestGap is the longest time without an acknowledgement within a part of the history. It begins with the last one
// before that part.
func (h *history) longestGap(from, to int64) (longest time.Duration) {
	h.mu.Lock()
	acks := slices.Sorted(slices.Values(h.acks))
	h.mu.Unlock()
	first, _ := slices.BinarySearch(acks, time.Duration(from))
	last := time.Duration(from)
	if first > 0 {
		last = acks[first-1]
	}
	for _, at := range append(acks[first:], time.Duration(to)) {
		at = min(at, time.Duration(to))
		longest = max(longest, at-last)
		last = at
	}
	return longest
}
