package fsm

// maxSweptPerEntry bounds how many events, or payloads of events, one entry drops because their time is over, and how many
// previous signing secrets.
const maxSweptPerEntry = 64

// maxEvictedPerEvent bounds how many events one new event drops to make room for itself. The largest finds room in the
// place of as many of the smallest.
const maxEvictedPerEvent = 2 * MaxEventPayloadBytes / eventFixedBytes

// dateSweep notes when the next of a settled event is to be dropped: its payload, or else itself.
func (m *Machine) dateSweep(e *Event) {
	plan := m.directory.PlanOf(m.directory.Tenant(e.Tenant))
	keep := plan.EventRetentionMs
	if keep == 0 {
		keep = DefaultEventRetentionMs
	}
	if e.Form != PayloadNone {
		payload := plan.PayloadRetentionMs
		if payload == 0 {
			payload = DefaultPayloadRetentionMs
		}
		keep = min(keep, payload)
	}
	e.SweepAtMs = e.ReceivedAtMs + keep
}

// sweepEvents drops what was kept long enough, in the order in which it is due. What is not settled is never dropped.
func (m *Machine) sweepEvents(limit int) {
	for ; limit > 0; limit-- {
		e, ok := m.events.sweeps.Min()
		if !ok || e.SweepAtMs > m.clockMs {
			return
		}
		if e.Form == PayloadNone {
			m.events.remove(e)
			continue
		}
		bare := *e
		bare.Payload, bare.Form = nil, PayloadNone
		m.dateSweep(&bare)
		m.events.put(&bare, e)
	}
}

// makeRoom drops settled events of a tenant, the oldest first, until a new one has room; false if that is not enough.
func (m *Machine) makeRoom(e *Event) bool {
	for range maxEvictedPerEvent {
		t := m.events.tenants[e.Tenant]
		if t.count < MaxEventsPerTenant && t.bytes+e.size() <= MaxEventBytesPerTenant {
			return true
		}
		var oldest *Event
		m.events.settled.AscendGreaterOrEqual(&Event{Tenant: e.Tenant}, func(found *Event) bool {
			oldest = found
			return false
		})
		if oldest == nil || oldest.Tenant != e.Tenant {
			return false
		}
		m.events.remove(oldest)
	}
	return false
}
