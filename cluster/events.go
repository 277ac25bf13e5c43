package cluster

import (
	"context"

	"github.com/syllecta/syllecta/fsm"
)

// ListEvents lists a tenant's events as they are on the leader. It fails with ErrNotLeader, or ErrUnavailable if no
// majority answers before ctx ends.
func (n *Node) ListEvents(ctx context.Context, q fsm.EventQuery) (page fsm.EventPage, err error) {
	events, err := n.eventLog(ctx)
	if err != nil {
		return fsm.EventPage{}, err
	}
	return events.List(q), nil
}

// CountEvents counts the events of a query by provider and status, whatever status and place it asks for. It fails as
// ListEvents does.
func (n *Node) CountEvents(ctx context.Context, q fsm.EventQuery) ([]fsm.EventCount, error) {
	events, err := n.eventLog(ctx)
	if err != nil {
		return nil, err
	}
	return events.Count(q), nil
}

// eventLog captures the events once a majority has confirmed that this node leads. To look through them takes as long as
// there are many, and nothing waits for it.
func (n *Node) eventLog(ctx context.Context) (events fsm.EventLog, err error) {
	err = n.readLeading(ctx, func() { n.applier.capture(func(m *fsm.Machine) { events = m.EventLog() }) })
	return events, err
}

// Event returns a tenant's event as it is on the leader, or nil. It fails as ListEvents does.
func (n *Node) Event(ctx context.Context, tenant fsm.TenantID, id fsm.EventID) (e *fsm.Event, err error) {
	err = n.readLeading(ctx, func() { n.applier.read(func(m *fsm.Machine) { e = m.Event(tenant, id) }) })
	return e, err
}

// readLeading calls read, of this node's state, at a time at which it is certain that it is the leader's.
func (n *Node) readLeading(ctx context.Context, read func()) error {
	if !n.IsLeader() {
		return ErrNotLeader
	}
	term := n.readyTerm.Load()
	if err := n.confirmer.confirm(ctx); err != nil {
		return err
	}
	read()
	if !n.servedBy(term) {
		return ErrUnavailable
	}
	return nil
}

// DueEvents returns queued events that are due by the leader's clock, by this node's state as it is: of each source that is
// delivered at most as many as most says, in the order of their time. Nothing is applied while most is being asked.
func (n *Node) DueEvents(nowMs int64, most func(fsm.SourceID) int) (due []*fsm.Event) {
	n.applier.read(func(m *fsm.Machine) { due = m.DueEvents(nowMs, most) })
	return due
}

// NextEventDueMs returns when the next queued event is due, by this node's state as it is; ok is false if none is queued.
func (n *Node) NextEventDueMs() (dueMs int64, ok bool) {
	n.applier.read(func(m *fsm.Machine) { dueMs, ok = m.NextEventDueMs() })
	return dueMs, ok
}

// SourceQueue returns how many events of a source are queued and when the first of them is due, by this node's state as
// it is, see [fsm.Machine.SourceQueue].
func (n *Node) SourceQueue(id fsm.SourceID) (queued, dueMs int64) {
	n.applier.read(func(m *fsm.Machine) { queued, dueMs = m.SourceQueue(id) })
	return queued, dueMs
}

// EventUsage returns how many events a tenant had this month, by this node's state as it is.
func (n *Node) EventUsage(tenant fsm.TenantID) (month fsm.Month, events int64) {
	n.applier.read(func(m *fsm.Machine) { month, events = m.EventUsage(tenant) })
	return month, events
}

// StoredBytes returns how many bytes are kept for a tenant, by this node's state as it is, see [fsm.Machine.StoredBytes].
func (n *Node) StoredBytes(tenant fsm.TenantID) (bytes int64) {
	n.applier.read(func(m *fsm.Machine) { bytes = m.StoredBytes(tenant) })
	return bytes
}

// ClusterNowMs is the committed clock as this node carries it on, in Unix milliseconds.
func (n *Node) ClusterNowMs() int64 { return n.clock.nowMs() }

// EventsChanged gets a value when events or sources have changed in this node's state since it was received from last.
func (n *Node) EventsChanged() <-chan struct{} { return n.applier.eventsChanged }
