package fsm

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// EventQuery says which events to list.
type EventQuery struct {
	Tenant   TenantID
	Provider string      // "" is all providers
	Source   string      // by name; "" is all sources
	Type     string      // "" is all types; "payment.*" is all that begin with "payment."
	Status   EventStatus // as StatusIn returns it; 0 is all
	// Repeated lists those alone that have duplicates.
	Repeated bool
	// FromMs ≤ ReceivedAtMs < ToMs; 0 is no bound.
	FromMs, ToMs int64
	// Before lists events whose Seq is smaller; 0 begins with the newest.
	Before uint64
	Limit  int
}

// EventPage is a part of a listing, the newest first.
type EventPage struct {
	Events []*Event
	// Next is the Before of the next page; 0 if there is none.
	Next uint64
}

// EventCount is how many events of a provider have a status, and how often they were repeated.
type EventCount struct {
	Provider   string
	Status     EventStatus
	Events     int64
	Duplicates int64
}

// EventLog is the events at one log index, to be listed beside Apply.
type EventLog struct {
	events    *eventTree
	directory *Directory
}

// EventLog captures the events. It is to be called as Snapshot is.
func (m *Machine) EventLog() EventLog { return EventLog{m.events.all.Clone(), m.directory} }

// EventVersion differs from what it was if events or sources have changed. It is of this machine alone.
func (m *Machine) EventVersion() uint64 { return m.events.changes }

// Events is the number of events kept that have a status; that of a queued one whose source is disabled counts as queued.
func (m *Machine) Events(status EventStatus) int { return m.events.byStatus[status] }

// Event returns a tenant's event, or nil. Several calls may run at once.
func (m *Machine) Event(tenant TenantID, id EventID) *Event { return m.events.get(tenant, id) }

// DueEvents returns queued events that are due at nowMs, of each source that is delivered at most as many as most says, in
// the order of their time. Several calls may run at once.
func (m *Machine) DueEvents(nowMs int64, most func(SourceID) int) []*Event {
	return m.events.due(m.directory, nowMs, most)
}

// NextEventDueMs returns the committed-clock instant at which the next queued event is due, which may have passed; ok is
// false if none is queued. Several calls may run at once.
func (m *Machine) NextEventDueMs() (dueMs int64, ok bool) { return m.events.nextDueMs(m.directory) }

// SourceQueue returns how many events of a source are queued, and when the first of them is due on the committed clock,
// 0 if there is none or the source, or its tenant, has them wait. Several calls may run at once.
func (m *Machine) SourceQueue(id SourceID) (queued, dueMs int64) {
	first := m.events.firstQueued(id)
	if first == nil || !m.directory.delivers(id) {
		return m.events.sources[id].queued, 0
	}
	return m.events.sources[id].queued, first.NextAtMs
}

// List returns the events that were asked for, the newest first.
func (l EventLog) List(q EventQuery) (page EventPage) {
	l.each(q, func(e *Event) bool {
		if q.Status != 0 && e.StatusIn(l.directory) != q.Status || q.Repeated && e.Duplicates == 0 {
			return true
		}
		if len(page.Events) == q.Limit {
			page.Next = page.Events[len(page.Events)-1].ID.Seq
			return false
		}
		page.Events = append(page.Events, e)
		return true
	})
	return page
}

// Count counts the events of a query by provider and status, whatever status, place and number it asks for. The counts are
// in the order of providers and statuses.
func (l EventLog) Count(q EventQuery) (counts []EventCount) {
	q.Before = 0
	l.each(q, func(e *Event) bool {
		status := e.StatusIn(l.directory)
		at, found := slices.BinarySearchFunc(counts, EventCount{Provider: e.Provider, Status: status}, compareCounts)
		if !found {
			counts = slices.Insert(counts, at, EventCount{Provider: e.Provider, Status: status})
		}
		counts[at].Events++
		counts[at].Duplicates += int64(e.Duplicates)
		return true
	})
	return counts
}

func compareCounts(a, b EventCount) int {
	return cmp.Or(strings.Compare(a.Provider, b.Provider), cmp.Compare(a.Status, b.Status))
}

// each calls visit for the events that match provider, source, type and time, the newest first, until it returns false.
func (l EventLog) each(q EventQuery, visit func(*Event) bool) {
	newest := uint64(math.MaxUint64)
	if q.Before > 0 {
		newest = q.Before - 1
	}
	l.events.DescendLessOrEqual(&Event{Tenant: q.Tenant, ID: EventID{Seq: newest}}, func(e *Event) bool {
		if e.Tenant != q.Tenant || e.ReceivedAtMs < q.FromMs {
			return false
		}
		return !q.matches(e) || visit(e)
	})
}

func (q *EventQuery) matches(e *Event) bool {
	return (q.Provider == "" || q.Provider == e.Provider) && (q.Source == "" || q.Source == e.SourceName) &&
		(q.ToMs == 0 || e.ReceivedAtMs < q.ToMs) && q.matchesType(e.Type)
}

func (q *EventQuery) matchesType(t string) bool {
	prefix, isPrefix := strings.CutSuffix(q.Type, "*")
	if isPrefix {
		return strings.HasPrefix(t, prefix)
	}
	return q.Type == "" || q.Type == t
}
