package fsm

// position says where a record or a lock lies: the number of a chunk or slot, which is never 0, in the upper half, the
// offset in the lower.
type position uint64

func at(number uint32, offset int) position { return position(number)<<32 | position(uint32(offset)) }

func (p position) number() uint32 { return uint32(p >> 32) }

func (p position) offset() int { return int(uint32(p)) }

const (
	// indexSegments cuts an index into parts that grow one at a time: with ten million entries, growing one takes some
	// ten microseconds. They are told apart by the upper bits of a hash; the lower half says where in one to look.
	indexSegments    = 1 << indexSegmentBits
	indexSegmentBits = 10
	minSegmentHomes  = 8
	minSpillSlots    = 8
)

// index finds positions by the hashes of their keys. It keeps no keys: whoever looks something up compares it with what
// lies at the position. Nor does it hold pointers that the garbage collector would follow, apart from its segments.
type index struct {
	segments []indexSegment // none before there is an entry
	count    int
}

// indexSegment is a hash table in which the entries stand in order of their hashes, with gaps between them.
//
// A hash has a home, the slot it would have if all hashes were spread evenly, and stands there or behind it with no gap
// between. So a search ends at the first gap or greater hash, and growing copies from front to back. Behind the last
// home there is room for what is pushed out, which grows when it is used up.
type indexSegment struct {
	slots []indexSlot
	homes int
	used  int
}

// indexSlot is an entry; number 0 is none.
type indexSlot struct{ hash, number, offset uint32 }

func (s indexSlot) position() position { return at(s.number, int(s.offset)) }

func (s *indexSegment) home(hash uint32) int { return int(uint64(hash) * uint64(s.homes) >> 32) }

func (x *index) segment(hash uint64) *indexSegment {
	if x.segments == nil {
		x.segments = make([]indexSegment, indexSegments)
	}
	return &x.segments[hash>>(64-indexSegmentBits)]
}

// find returns the first position with that hash that matches.
func (x *index) find(hash uint64, match func(position) bool) (position, bool) {
	if x.count == 0 {
		return 0, false
	}
	s, h := x.segment(hash), uint32(hash)
	if s.used == 0 {
		return 0, false
	}
	for _, slot := range s.slots[s.home(h):] {
		if slot.number == 0 || slot.hash > h {
			break
		}
		if slot.hash == h && match(slot.position()) {
			return slot.position(), true
		}
	}
	return 0, false
}

// touch reads where find would begin to look, and returns something that depends on it.
func (x *index) touch(hash uint64) uint32 {
	if x.count == 0 {
		return 0
	}
	s := x.segment(hash)
	if s.used == 0 {
		return 0
	}
	return s.slots[s.home(uint32(hash))].hash
}

// add enters a position beside those that have the same hash.
func (x *index) add(hash uint64, p position) {
	s := x.segment(hash)
	if 5*s.used >= 4*s.homes {
		s.resize(max(minSegmentHomes, s.homes+s.homes/4), minSpillSlots)
	}
	for !s.insert(indexSlot{uint32(hash), p.number(), uint32(p.offset())}) {
		s.resize(s.homes, 2*(len(s.slots)-s.homes))
	}
	x.count++
}

// replace puts a position in the place of another of the same hash.
func (x *index) replace(hash uint64, old, p position) {
	s := x.segment(hash)
	if i := s.place(uint32(hash), old); i >= 0 {
		s.slots[i].number, s.slots[i].offset = p.number(), uint32(p.offset())
	}
}

// remove takes a position out, and reports whether it was there.
func (x *index) remove(hash uint64, p position) bool {
	if x.count == 0 {
		return false
	}
	s := x.segment(hash)
	i := s.place(uint32(hash), p)
	if i < 0 {
		return false
	}
	s.close(i)
	x.count--
	if s.used < s.homes/4 && s.homes > minSegmentHomes {
		s.resize(max(minSegmentHomes, s.homes/2), minSpillSlots)
	}
	return true
}

// place returns where a position stands, or -1.
func (s *indexSegment) place(hash uint32, p position) int {
	if s.used == 0 {
		return -1
	}
	for i := s.home(hash); i < len(s.slots) && s.slots[i].number != 0 && s.slots[i].hash <= hash; i++ {
		if s.slots[i].hash == hash && s.slots[i].position() == p {
			return i
		}
	}
	return -1
}

// insert enters a slot behind those that do not follow it, and pushes on the others up to the next gap. It changes
// nothing and reports false if there is none.
func (s *indexSegment) insert(slot indexSlot) bool {
	i := s.home(slot.hash)
	for i < len(s.slots) && s.slots[i].number != 0 && s.slots[i].hash <= slot.hash {
		i++
	}
	gap := i
	for gap < len(s.slots) && s.slots[gap].number != 0 {
		gap++
	}
	if gap == len(s.slots) {
		return false
	}
	copy(s.slots[i+1:gap+1], s.slots[i:gap])
	s.slots[i] = slot
	s.used++
	return true
}

// close removes the entry at i, and draws nearer to their homes those that it kept away.
func (s *indexSegment) close(i int) {
	end := i + 1
	for end < len(s.slots) && s.slots[end].number != 0 && s.home(s.slots[end].hash) < end {
		end++
	}
	copy(s.slots[i:], s.slots[i+1:end])
	s.slots[end-1] = indexSlot{}
	s.used--
}

// resize gives the segment that many homes, and behind them room for that many entries or, if they do not fit, more.
func (s *indexSegment) resize(homes, spill int) {
	resized := indexSegment{slots: make([]indexSlot, homes+spill), homes: homes, used: s.used}
	next := 0
	for _, slot := range s.slots {
		if slot.number == 0 {
			continue
		}
		i := max(next, resized.home(slot.hash))
		if i == len(resized.slots) {
			s.resize(homes, 2*spill)
			return
		}
		resized.slots[i] = slot
		next = i + 1
	}
	*s = resized
}
