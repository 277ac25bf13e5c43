package fsm

import (
	"bytes"
	"encoding/binary"
)

const (
	lockPageBytes = 8 << 10
	// lockUnitBytes is what the sizes of slots are rounded up to. A page holds slots of one size.
	lockUnitBytes = 32
	lockUnitBits  = 8 // of a lockRef: units in a page
	maxLockUnits  = (maxLockSlotBytes + lockUnitBytes - 1) / lockUnitBytes
)

// lockPage is where locks lie. It holds no pointers.
type lockPage [lockPageBytes]byte

// lockRef says where a lock lies: the number of the page in the upper bits, the unit in the page in the lower. Pages are
// numbered from 1, so 0 is no lock. The numbers are enough for 128 GiB of locks.
type lockRef uint32

func (r lockRef) page() uint32 { return uint32(r) >> lockUnitBits }

func (r lockRef) in(p *lockPage) lockSlot {
	return lockSlot(p[uint32(r)%(1<<lockUnitBits)*lockUnitBytes:])
}

// lockPages is the memory of the locks. A page that a snapshot shares is copied before it is changed for the first time,
// so a capture costs a list of the pages, and what it costs later is spread over the changes.
type lockPages struct {
	pages []lockPageState // by number; what is free is zero
	free  []uint32        // numbers to use again
	// open lists, by the size of their slots in units, the pages that have room.
	open [maxLockUnits + 1][]uint32
	// captures counts the snapshots; a page that is older than the last is shared with it.
	captures uint64
}

// lockPageState is a page and what is known about it.
type lockPageState struct {
	page     *lockPage
	captures uint64 // when the page was made
	units    uint16 // of a slot
	used     uint16 // slots
	fresh    uint16 // slots that were never used begin here
	freed    uint16 // the first slot of the list of those that were, +1; 0 for none
	openAt   int32  // where the page stands in the open list of its size; -1 if it is full
}

func (s *lockPageState) capacity() uint16 { return lockPageBytes / lockUnitBytes / s.units }

func (s *lockPageState) ref(number uint32, slot uint16) lockRef {
	return lockRef(number<<lockUnitBits | uint32(slot*s.units))
}

// read returns a slot to read.
func (x *lockPages) read(ref lockRef) lockSlot { return ref.in(x.pages[ref.page()].page) }

// write returns a slot to change.
func (x *lockPages) write(ref lockRef) lockSlot {
	s := &x.pages[ref.page()]
	if s.captures != x.captures {
		s.page, s.captures = (*lockPage)(bytes.Clone(s.page[:])), x.captures
	}
	return ref.in(s.page)
}

// share returns the pages by number. Their content does not change any more.
func (x *lockPages) share() []*lockPage {
	pages := make([]*lockPage, len(x.pages))
	for i := range x.pages {
		pages[i] = x.pages[i].page
	}
	x.captures++
	return pages
}

// allocate returns a slot of that size.
func (x *lockPages) allocate(size int) lockRef {
	units := (size + lockUnitBytes - 1) / lockUnitBytes
	if len(x.open[units]) == 0 {
		x.addPage(units)
	}
	number := x.open[units][len(x.open[units])-1]
	s := &x.pages[number]
	slot := s.fresh
	if s.freed != 0 {
		slot = s.freed - 1
		s.freed = binary.LittleEndian.Uint16(x.read(s.ref(number, slot)))
	} else {
		s.fresh++
	}
	if s.used++; s.used == s.capacity() {
		x.closePage(number)
	}
	return s.ref(number, slot)
}

// release takes a slot back. A page without a slot in use goes.
func (x *lockPages) release(ref lockRef) {
	number := ref.page()
	s := &x.pages[number]
	if s.openAt < 0 {
		x.openPage(number)
	}
	if s.used--; s.used == 0 {
		x.closePage(number)
		x.pages[number] = lockPageState{}
		x.free = append(x.free, number)
		return
	}
	binary.LittleEndian.PutUint16(x.write(ref), s.freed)
	s.freed = uint16(uint32(ref)%(1<<lockUnitBits))/s.units + 1
}

func (x *lockPages) addPage(units int) {
	var number uint32
	switch n := len(x.free); {
	case n > 0:
		number = x.free[n-1]
		x.free = x.free[:n-1]
	default:
		if len(x.pages) == 0 {
			x.pages = append(x.pages, lockPageState{}) // number 0 is no page
		}
		number = uint32(len(x.pages))
		x.pages = append(x.pages, lockPageState{})
	}
	x.pages[number] = lockPageState{page: new(lockPage), captures: x.captures, units: uint16(units)}
	x.openPage(number)
}

// openPage lists a page among those that have room.
func (x *lockPages) openPage(number uint32) {
	s := &x.pages[number]
	s.openAt = int32(len(x.open[s.units]))
	x.open[s.units] = append(x.open[s.units], number)
}

// closePage takes a page off that list, and moves the last one into its place.
func (x *lockPages) closePage(number uint32) {
	s := &x.pages[number]
	open := x.open[s.units]
	last := open[len(open)-1]
	open[s.openAt] = last
	x.pages[last].openAt = s.openAt
	x.open[s.units] = open[:len(open)-1]
	s.openAt = -1
}
