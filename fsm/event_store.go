package fsm

import (
	"cmp"

	"github.com/google/btree"
)

// eventTreeDegree is that of the trees of events, which google/btree's own benchmarks recommend.
const eventTreeDegree = 32

type eventTree = btree.BTreeG[*Event]

// eventStore holds the events, which never change: a changed one takes the place of the old. So a copy of the first tree,
// which costs nothing until either is changed, is a listing's or a snapshot's own. The other trees follow from it.
type eventStore struct {
	all     *eventTree // by tenant and seq
	queued  *eventTree // those that are queued, by source and when they are due
	settled *eventTree // those that are settled, by tenant and seq
	sweeps  *eventTree // those that are settled, by when the next of them is to be dropped
	// sources counts those that are not settled.
	sources map[SourceID]sourceTotals
	tenants map[TenantID]eventTotals
	// byStatus counts the events of all tenants.
	byStatus [eventStatusEnd]int
	changes  uint64 // rises with each
}

// eventTotals is what is kept for a tenant.
type eventTotals struct {
	count int
	bytes int64
}

// sourceTotals is what of a source is queued, and what is neither queued nor settled.
type sourceTotals struct{ queued, held int64 }

func newEventStore() *eventStore {
	return &eventStore{
		all:     btree.NewG(eventTreeDegree, earlierEvent),
		queued:  btree.NewG(eventTreeDegree, dueEarlier),
		settled: btree.NewG(eventTreeDegree, earlierEvent),
		sweeps:  btree.NewG(eventTreeDegree, sweptEarlier),
		sources: make(map[SourceID]sourceTotals),
		tenants: make(map[TenantID]eventTotals),
	}
}

func earlierEvent(a, b *Event) bool {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.ID.Seq, b.ID.Seq)) < 0
}

func dueEarlier(a, b *Event) bool {
	return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.NextAtMs, b.NextAtMs), cmp.Compare(a.ID.Seq, b.ID.Seq)) < 0
}

func sweptEarlier(a, b *Event) bool {
	return cmp.Or(cmp.Compare(a.SweepAtMs, b.SweepAtMs), cmp.Compare(a.ID.Seq, b.ID.Seq)) < 0
}

// eventFixedBytes is what an event counts for besides its texts, by and large.
const eventFixedBytes = 512

// size is what an event counts for in bytes.
func (e *Event) size() int64 {
	n := eventFixedBytes + len(e.ProviderID) + len(e.RawType) + len(e.Type) + len(e.Detail) + len(e.Payload) + 16*len(e.KeptDuplicates)
	for i := range e.Kept {
		n += 64 + len(e.Kept[i].Error)
	}
	return int64(n)
}

// get returns a tenant's event, or nil.
func (s *eventStore) get(tenant TenantID, id EventID) *Event {
	e, ok := s.all.Get(&Event{Tenant: tenant, ID: id})
	if !ok || e.ID != id {
		return nil
	}
	return e
}

// put adds an event, or has it take the place of old.
func (s *eventStore) put(e, old *Event) {
	if old != nil {
		s.unindex(old)
	}
	s.changes++
	s.all.ReplaceOrInsert(e)
	s.index(e)
}

// remove drops an event.
func (s *eventStore) remove(e *Event) {
	s.all.Delete(e)
	s.unindex(e)
}

func (s *eventStore) index(e *Event) {
	switch {
	case e.Status.Settled():
		s.settled.ReplaceOrInsert(e)
		s.sweeps.ReplaceOrInsert(e)
	case e.Status == EventQueued:
		s.queued.ReplaceOrInsert(e)
		s.ofSource(e.Source, sourceTotals{queued: 1})
	default:
		s.ofSource(e.Source, sourceTotals{held: 1})
	}
	s.total(e, 1)
}

func (s *eventStore) unindex(e *Event) {
	switch {
	case e.Status.Settled():
		s.settled.Delete(e)
		s.sweeps.Delete(e)
	case e.Status == EventQueued:
		s.queued.Delete(e)
		s.ofSource(e.Source, sourceTotals{queued: -1})
	default:
		s.ofSource(e.Source, sourceTotals{held: -1})
	}
	s.total(e, -1)
}

func (s *eventStore) total(e *Event, sign int) {
	s.byStatus[e.Status] += sign
	t := s.tenants[e.Tenant]
	t.count += sign
	t.bytes += int64(sign) * e.size()
	if t == (eventTotals{}) {
		delete(s.tenants, e.Tenant)
		return
	}
	s.tenants[e.Tenant] = t
}

// ofSource adds to what is counted of a source.
func (s *eventStore) ofSource(id SourceID, more sourceTotals) {
	t := s.sources[id]
	t.queued += more.queued
	t.held += more.held
	if t == (sourceTotals{}) {
		delete(s.sources, id)
		return
	}
	s.sources[id] = t
}

// waiting returns how many events of a source are not settled.
func (s *eventStore) waiting(id SourceID) int64 {
	t := s.sources[id]
	return t.queued + t.held
}

// firstQueued returns the event of a source that is due first of those that are queued, or nil.
func (s *eventStore) firstQueued(id SourceID) (first *Event) {
	s.queued.AscendGreaterOrEqual(&Event{Source: id}, func(e *Event) bool {
		if e.Source == id {
			first = e
		}
		return false
	})
	return first
}

// due returns the first events of each source of the directory that are due, as many of them as most says.
func (s *eventStore) due(d *Directory, nowMs int64, most func(SourceID) int) (found []*Event) {
	s.eachQueuedSource(func(id SourceID) {
		if !d.delivers(id) {
			return
		}
		left := most(id)
		s.queued.AscendGreaterOrEqual(&Event{Source: id}, func(e *Event) bool {
			if e.Source != id || e.NextAtMs > nowMs || left <= 0 {
				return false
			}
			left--
			found = append(found, e)
			return true
		})
	})
	return found
}

// eachQueuedSource calls visit for each source that has queued events.
func (s *eventStore) eachQueuedSource(visit func(SourceID)) {
	for from := (&Event{}); ; {
		id := SourceID(0)
		s.queued.AscendGreaterOrEqual(from, func(e *Event) bool {
			id = e.Source
			return false
		})
		if id == 0 {
			return
		}
		visit(id)
		from = &Event{Source: id + 1}
	}
}

// nextDueMs returns when the first queued event of an enabled source is due.
func (s *eventStore) nextDueMs(d *Directory) (dueMs int64, ok bool) {
	s.eachQueuedSource(func(id SourceID) {
		if !d.delivers(id) {
			return
		}
		if e := s.firstQueued(id); !ok || e.NextAtMs < dueMs {
			dueMs, ok = e.NextAtMs, true
		}
	})
	return dueMs, ok
}
