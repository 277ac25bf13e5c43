package fsm

import (
	"math"
	"math/rand/v2"
	"testing"
)

// indexTrial drives an index beside a plain map of what must be found.
type indexTrial struct {
	t    *testing.T
	x    index
	want map[position]uint64 // the hash of each position
	all  []position
	next uint32
}

func newIndexTrial(t *testing.T) *indexTrial {
	return &indexTrial{t: t, want: make(map[position]uint64)}
}

func (tr *indexTrial) add(hash uint64) {
	tr.next++
	p := at(tr.next, int(tr.next)*3)
	tr.x.add(hash, p)
	tr.want[p] = hash
	tr.all = append(tr.all, p)
}

// remove takes out the position at place i of all.
func (tr *indexTrial) remove(i int) {
	p := tr.all[i]
	if !tr.x.remove(tr.want[p], p) || tr.x.remove(tr.want[p], p) {
		tr.t.Fatalf("position %x is not removed once", p)
	}
	delete(tr.want, p)
	tr.all[i] = tr.all[len(tr.all)-1]
	tr.all = tr.all[:len(tr.all)-1]
}

func (tr *indexTrial) replace(i int) {
	old := tr.all[i]
	hash := tr.want[old]
	tr.next++
	p := at(tr.next, 7)
	tr.x.replace(hash, old, p)
	delete(tr.want, old)
	tr.want[p], tr.all[i] = hash, p
}

// check wants every position to be found under its hash and nothing else to be there.
func (tr *indexTrial) check() {
	tr.t.Helper()
	if tr.x.count != len(tr.want) {
		tr.t.Fatalf("%d entries, want %d", tr.x.count, len(tr.want))
	}
	for p, hash := range tr.want {
		if got, ok := tr.x.find(hash, func(q position) bool { return q == p }); !ok || got != p {
			tr.t.Fatalf("position %x is not found under %x", p, hash)
		}
	}
	entries := 0
	for i := range tr.x.segments {
		entries += checkSegment(tr.t, &tr.x.segments[i])
	}
	if entries != len(tr.want) {
		tr.t.Fatalf("%d slots in use, want %d", entries, len(tr.want))
	}
}

// checkSegment wants the order on which searches rely: ascending hashes, none before its home, no gap between.
func checkSegment(t *testing.T, s *indexSegment) (entries int) {
	t.Helper()
	gap, last := -1, uint32(0)
	for i, slot := range s.slots {
		if slot.number == 0 {
			gap = i
			continue
		}
		if home := s.home(slot.hash); home > i || home <= gap || slot.hash < last {
			t.Fatalf("hash %x at %d: home %d, last gap %d, last hash %x", slot.hash, i, home, gap, last)
		}
		last = slot.hash
		entries++
	}
	if entries != s.used {
		t.Fatalf("%d slots in use, the segment says %d", entries, s.used)
	}
	return entries
}

// Any mixture of changes finds what a plain map would, whether hashes are spread, clash, or crowd at either end.
func TestIndexAgainstMap(t *testing.T) {
	t.Parallel()
	hashes := map[string]func(rng *rand.Rand) uint64{
		"spread":           (*rand.Rand).Uint64,
		"one segment":      func(rng *rand.Rand) uint64 { return uint64(rng.Uint32()) },
		"few":              func(rng *rand.Rand) uint64 { return rng.Uint64N(5) << 29 },
		"one":              func(*rand.Rand) uint64 { return 0 },
		"the last":         func(*rand.Rand) uint64 { return math.MaxUint64 },
		"near the last":    func(rng *rand.Rand) uint64 { return math.MaxUint64 - rng.Uint64N(3) },
		"spread and clash": func(rng *rand.Rand) uint64 { return rng.Uint64() & 0xF00000000000000F },
	}
	for name, hash := range hashes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(21, 22))
			tr := newIndexTrial(t)
			tr.check()
			for round := range 40 {
				size := rng.IntN(1 + 50*round)
				for len(tr.all) < size {
					tr.add(hash(rng))
				}
				for len(tr.all) > size {
					tr.remove(rng.IntN(len(tr.all)))
				}
				for i := 0; len(tr.all) > 0 && i < 20; i++ {
					tr.replace(rng.IntN(len(tr.all)))
				}
				tr.check()
			}
			for len(tr.all) > 0 {
				tr.remove(rng.IntN(len(tr.all)))
			}
			tr.check()
		})
	}
}

func TestIndexFindsNothingThatIsNotThere(t *testing.T) {
	t.Parallel()
	var x index
	any := func(position) bool { return true }
	if _, ok := x.find(1, any); ok || x.remove(1, at(1, 0)) {
		t.Error("something in an empty index")
	}
	x.add(5, at(1, 0))
	for _, hash := range []uint64{4, 6, 5 | 1<<63, 5 | 1<<31} {
		if _, ok := x.find(hash, any); ok || x.remove(hash, at(1, 0)) {
			t.Errorf("something under %x", hash)
		}
	}
	if x.remove(5, at(1, 1)) || x.remove(5, at(2, 0)) || !x.remove(5, at(1, 0)) {
		t.Error("another position was removed")
	}
}

// However many entries there are, their memory stays within a bound that TestMemory relies on.
func TestIndexMemory(t *testing.T) {
	t.Parallel()
	const entries = 300_000
	rng := rand.New(rand.NewPCG(23, 24))
	tr := newIndexTrial(t)
	slots := func() (n int) {
		for i := range tr.x.segments {
			n += len(tr.x.segments[i].slots)
		}
		return n
	}
	for range entries {
		tr.add(rng.Uint64())
	}
	if n := slots(); n > entries*17/10 {
		t.Errorf("%d slots for %d entries", n, entries)
	}
	for len(tr.all) > 0 {
		tr.remove(len(tr.all) - 1)
	}
	if n := slots(); n > indexSegments*(minSegmentHomes+2*minSpillSlots) {
		t.Errorf("%d slots are kept for nothing", n)
	}
}
