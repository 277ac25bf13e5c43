package fsm

import (
	"slices"
	"strconv"
	"strings"
)

// dedupeScope begins the scope of the records that remember a provider's event ids. Callers' scopes have no control
// characters, so no caller reads or deletes such a record.
const dedupeScope = "\x01webhook/"

// dedupeID names the record that remembers an event of a source.
func dedupeID(tenant TenantID, source SourceID, providerID string) RecordID {
	return RecordID{Tenant: tenant, Scope: dedupeScope + strconv.FormatUint(uint64(source), 10), Key: providerID}
}

// acceptEvent accepts an event unless it was before. To remember it is a completed record, which lives as long as the
// source's window and is expired, snapshotted and found as any other.
func (m *Machine) acceptEvent(c *AcceptEvent, r *Result) {
	d := m.directory
	t, source := d.Tenant(c.Tenant), d.SourceByID(c.Source)
	if t == nil || source == nil || source.Tenant != c.Tenant {
		r.Outcome = NotFound
		return
	}
	m.keyBuf = appendStoreKey(m.keyBuf[:0], dedupeID(c.Tenant, c.Source, c.ProviderID))
	key := m.hasher.key(m.keyBuf)
	if rec := m.records.get(key); rec != nil && rec.expiresAtMs() > m.clockMs {
		m.repeatEvent(c, rec, r)
		return
	}
	e := m.newEvent(c, source)
	if !m.admitEvent(t, e, r) {
		return
	}
	m.keepEvent(e)
	remembered := Record{
		Status: 200, Headers: []byte("{}"), Body: quoted(e.ID.String()), CreatedAtMs: m.clockMs,
		ExpiresAtMs: m.clockMs + source.DedupeWindowMs,
	}
	m.records.put(key, &remembered, m.clockMs)
	m.countStored(c.Tenant, &remembered, len(key.bytes)-storeKeyHeaderBytes, 1)
	m.count(c.Tenant, MeterEvents, 1)
	m.warnOfEvents(t)
	r.Outcome, r.Event = EventAccepted, e
}

// quoted is an id in JSON, as the body of a record is.
func quoted(id string) []byte { return []byte(`"` + id + `"`) }

// newEvent makes the event that a command describes, without a seq yet.
func (m *Machine) newEvent(c *AcceptEvent, source *Source) *Event {
	return &Event{
		ID: EventID{Nonce: c.Nonce}, Tenant: c.Tenant, Source: c.Source, Provider: source.Provider, SourceName: source.Name,
		ProviderID: c.ProviderID, RawType: c.RawType, Type: c.Type, OccurredAtMs: c.OccurredAtMs, ReceivedAtMs: m.clockMs,
		Synthetic: c.Synthetic, BodyHash: c.BodyHash, Status: EventQueued, Payload: c.Payload, Form: payloadForm(c.Payload),
		NextAtMs: m.clockMs,
	}
}

func payloadForm(payload []byte) PayloadForm {
	if len(payload) == 0 {
		return PayloadNone
	}
	return PayloadWhole
}

// admitEvent decides what becomes of an event that is new: it may not be delivered at once, or refused.
func (m *Machine) admitEvent(t *Tenant, e *Event, r *Result) bool {
	source := m.directory.SourceByID(e.Source)
	switch plan := m.directory.PlanOf(t); {
	case t.Suspended:
		e.Payload, e.Form = nil, PayloadNone
		m.settle(e, EventIgnored)
	case plan.MonthlyEvents > 0 && m.monthlyEvents(t.ID) >= plan.MonthlyEvents:
		if !plan.HoldEvents {
			m.count(t.ID, MeterRejected, 1)
			m.usage.at(m.clockMs)
			*r = Result{Outcome: UsageLimitExceeded, Limit: plan.MonthlyEvents, ResetAtMs: m.usage.endMs}
			return false
		}
		e.Status = EventHeld
	case source.CallbackURL == "":
		m.ignore(e)
	}
	if limit, full := m.full(t); full {
		m.count(t.ID, MeterRejected, 1)
		*r = Result{Outcome: StoredBytesExceeded, Limit: limit}
		return false
	}
	if !m.makeRoom(e) {
		m.count(t.ID, MeterRejected, 1)
		*r = Result{Outcome: StorageFull, Limit: MaxEventsPerTenant}
		return false
	}
	return true
}

// keepEvent gives a new event its seq and keeps it.
func (m *Machine) keepEvent(e *Event) {
	m.acceptedEvents++
	e.ID.Seq = m.acceptedEvents
	m.events.put(e, nil)
}

// repeatEvent counts that an event came again. What its proposer sends again, because it was not told what became of it,
// is no repetition: it is answered as it was.
func (m *Machine) repeatEvent(c *AcceptEvent, remembered slabRecord, r *Result) {
	var rec Record
	remembered.decode(&rec)
	id, _ := ParseEventID(strings.Trim(string(rec.Body), `"`)) // as acceptEvent has written it
	old := m.events.get(c.Tenant, id)
	switch {
	case old != nil && id.Nonce == c.Nonce:
		r.Outcome, r.Event = EventAccepted, old
		return
	case old != nil && slices.Contains(old.repeats, c.Nonce):
		r.Outcome, r.Event = EventDuplicate, old
		return
	}
	m.count(c.Tenant, MeterDuplicates, 1)
	r.Outcome = EventDuplicate
	if old == nil {
		return
	}
	e := *old
	e.Duplicates++
	e.Mismatch = e.Mismatch || e.BodyHash != c.BodyHash
	e.KeptDuplicates = appendNewest(old.KeptDuplicates, m.clockMs, MaxKeptDuplicates)
	e.repeats = appendNewest(old.repeats, c.Nonce, MaxKeptDuplicates)
	m.events.put(&e, old)
	r.Event = &e
}

// appendNewest returns a copy of the list with one more at its end, and without its first if it was full.
func appendNewest[T any](list []T, last T, most int) []T {
	if len(list) >= most {
		list = list[len(list)-most+1:]
	}
	return append(append(make([]T, 0, len(list)+1), list...), last)
}

// monthlyEvents returns how many events a tenant had in the month of the committed clock.
func (m *Machine) monthlyEvents(tenant TenantID) (n int64) {
	if int(tenant) > len(m.usage.days) {
		return 0
	}
	m.usage.at(m.clockMs)
	return m.usage.days[tenant-1].since(DayOf(m.usage.startMs), MeterEvents)
}

// EventUsage returns how many events a tenant had in the month of the committed clock. Several calls may run at once.
func (m *Machine) EventUsage(tenant TenantID) (month Month, events int64) {
	var u usageTable
	u.at(m.clockMs)
	if tenant == 0 || int(tenant) > len(m.usage.days) {
		return u.month, 0
	}
	return u.month, m.usage.days[tenant-1].since(DayOf(u.startMs), MeterEvents)
}
