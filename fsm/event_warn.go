package fsm

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// warnPercent is at which part of a limit a tenant is warned for the first time; the second is the limit itself.
const warnPercent = 80

// warnOfEvents warns a tenant of the limit of its plan on events.
func (m *Machine) warnOfEvents(t *Tenant) {
	if limit := m.directory.PlanOf(t).MonthlyEvents; limit > 0 {
		m.warn(t, MeterEvents, m.monthlyEvents(t.ID), limit)
	}
}

// warn adds an event of the cluster's own when a count of the month has come to one of the marks. The count rises by one
// each time, so that each mark is met once a month. It is delivered if the tenant has a source for such events.
func (m *Machine) warn(t *Tenant, x Meter, count, limit int64) {
	percent := 0
	switch count {
	case limit:
		percent = 100
	case (limit*warnPercent + 99) / 100:
		percent = warnPercent
	}
	if percent == 0 || m.directory.FeatureLevel < LevelWebhooks {
		return
	}
	m.usage.at(m.clockMs)
	month := m.usage.month
	e := &Event{
		ID: EventID{Nonce: m.warningNonce(t.ID, x)}, Tenant: t.ID, Provider: OwnProvider, SourceName: DefaultSourceName,
		ProviderID:   fmt.Sprintf("usage/%s/%d/%d", x, month, percent),
		RawType:      fmt.Sprintf("usage.%s.%d_percent", x, percent),
		Type:         fmt.Sprintf("usage.%s.%d_percent", x, percent),
		OccurredAtMs: m.clockMs, ReceivedAtMs: m.clockMs, Status: EventQueued, NextAtMs: m.clockMs,
		Detail: fmt.Sprintf(`{"meter":%q,"month":"%04d-%02d","count":%d,"limit":%d,"percent":%d}`,
			x, month/100, month%100, count, limit, percent),
	}
	if s := m.directory.SourceNamed(t.ID, OwnProvider, DefaultSourceName); s != nil && s.CallbackURL != "" && !t.Suspended {
		e.Source = s.ID
	} else {
		m.settle(e, EventIgnored)
	}
	if m.makeRoom(e) {
		m.keepEvent(e)
	}
}

// warningNonce stands in for the nonce that a proposer draws: no state that the cluster comes to in another way, as after
// a restore from backup, has the same one.
func (m *Machine) warningNonce(tenant TenantID, x Meter) uint64 {
	var b []byte
	for _, v := range []uint64{m.digest, m.index, m.term, m.epoch, uint64(tenant), uint64(x)} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return max(1, xxhash.Sum64(b))
}
