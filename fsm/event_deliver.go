package fsm

// goneReason is why a source is disabled whose destination answered that it is not there any more.
const goneReason = "the destination answered 410 Gone"

// reportAttempt notes how an attempt went. The number makes sure that no report counts twice, and that one of a leader
// whose time was over changes nothing; the nonce, that one of an attempt before a replay does not count as the replay's.
func (m *Machine) reportAttempt(c *ReportAttempt) Result {
	old := m.events.get(c.Tenant, c.Event)
	switch {
	case old == nil:
		return Result{Outcome: NotFound}
	case old.Status != EventQueued || c.Number != old.Attempts+1 || c.Attempt.Replay != old.Replay:
		return Result{Outcome: Conflict, Event: old}
	}
	e := *old
	e.Attempts++
	e.Tries++
	e.Kept = appendNewest(old.Kept, c.Attempt, MaxKeptAttempts)
	switch c.Verdict {
	case VerdictDelivered:
		if c.SetPayload {
			e.Payload, e.Form = c.Payload, c.Form
		}
		m.settle(&e, EventProcessed)
	case VerdictFailed:
		e.Status, e.NextAtMs = EventFailed, 0
	case VerdictRetry:
		e.NextAtMs = max(c.NextAtMs, m.clockMs)
	case VerdictDisable:
		e.NextAtMs = m.clockMs
		m.disableSource(e.Source, goneReason)
	}
	m.events.put(&e, old)
	if c.Verdict == VerdictDelivered {
		m.count(c.Tenant, MeterDeliveries, 1)
	} else {
		m.count(c.Tenant, MeterDeliveryFailures, 1)
	}
	return Result{Outcome: AttemptNoted, Event: &e}
}

// disableSource is the cluster's own change of a source, and audited as such.
func (m *Machine) disableSource(id SourceID, reason string) {
	old := m.directory.SourceByID(id)
	if old == nil || old.Disabled {
		return
	}
	s := *old
	s.Disabled, s.DisabledReason = true, reason
	m.control(PutSource{Source: s, IfRevision: old.Revision})
}

// settle gives an event the status in which it stays until it is dropped.
func (m *Machine) settle(e *Event, status EventStatus) {
	e.Status, e.NextAtMs, e.SettledAtMs = status, 0, m.clockMs
	m.dateSweep(e)
}

// ignore settles an event that is not delivered. Its payload cannot be redacted here, where it is encrypted.
func (m *Machine) ignore(e *Event) {
	if m.directory.Tenant(e.Tenant).PayloadPolicy != PayloadRawDebugWindow {
		e.Payload, e.Form = nil, PayloadNone
	}
	m.settle(e, EventIgnored)
}

// replayEvents has events delivered again. Those that are queued anyway, or have nothing left to deliver, are passed over.
func (m *Machine) replayEvents(c ReplayEvents) Result {
	return m.changeEvents(c.Tenant, c.Events, func(e *Event) bool {
		if e.Status == EventQueued || !e.whole() || m.directory.SourceByID(e.Source) == nil {
			return false
		}
		e.Status, e.NextAtMs, e.SettledAtMs, e.SweepAtMs = EventQueued, m.clockMs, 0, 0
		e.Tries, e.Replay = 0, c.Nonce
		e.Replays++
		return true
	})
}

func (m *Machine) ignoreEvents(c IgnoreEvents) Result {
	return m.changeEvents(c.Tenant, c.Events, func(e *Event) bool {
		if e.Status.Settled() {
			return false
		}
		m.ignore(e)
		return true
	})
}

// changeEvents changes those of a tenant's events for which change returns true.
func (m *Machine) changeEvents(tenant TenantID, ids []EventID, change func(*Event) bool) Result {
	r := Result{Outcome: EventsChanged}
	for _, id := range ids {
		old := m.events.get(tenant, id)
		if old == nil {
			continue
		}
		e := *old
		if change(&e) {
			m.events.put(&e, old)
			r.Count++
		}
	}
	return r
}
