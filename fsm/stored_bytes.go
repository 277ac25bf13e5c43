package fsm

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
)

// storedBytes counts what completed records take, by tenant and by the hour in which they expire. A record counts until
// that hour is over, whether it was removed by then or not: so the count follows from the commands alone, and costs a
// tenant as many numbers as there are hours in which something of it expires. What was completed before LevelWebhooks
// does not count.
type storedBytes struct {
	byTenant []tenantBytes // byTenant[i] is tenant i+1's
	captures uint64        // snapshots taken
}

// tenantBytes are one tenant's. Its hours are shared with the snapshot that was taken last if there was one since they
// were copied.
type tenantBytes struct {
	hours  []hourBytes // ascending
	copied uint64      // the number of snapshots taken before
}

type hourBytes struct {
	hour  int64 // that begins so many hours after 1970
	bytes int64 // 1 or more
}

// hourOf is the hour in which something expires.
func hourOf(ms int64) int64 { return ms / hourMs }

// add counts bytes, which may be negative, of what expires at an instant. What was never counted cannot be taken away.
func (s *storedBytes) add(tenant TenantID, expiresAtMs, bytes, nowMs int64) {
	for len(s.byTenant) < int(tenant) {
		s.byTenant = append(s.byTenant, tenantBytes{})
	}
	t := &s.byTenant[tenant-1]
	if t.copied != s.captures {
		t.hours, t.copied = slices.Clone(t.hours), s.captures
	}
	for len(t.hours) > 0 && t.hours[0].hour < hourOf(nowMs) {
		t.hours = t.hours[1:]
	}
	at, found := slices.BinarySearchFunc(t.hours, hourOf(expiresAtMs), func(h hourBytes, hour int64) int {
		return cmp.Compare(h.hour, hour)
	})
	if !found {
		if bytes > 0 {
			t.hours = slices.Insert(t.hours, at, hourBytes{hourOf(expiresAtMs), bytes})
		}
		return
	}
	if t.hours[at].bytes += bytes; t.hours[at].bytes <= 0 {
		t.hours = slices.Delete(t.hours, at, at+1)
	}
}

// of returns what a tenant's records take.
func (s *storedBytes) of(tenant TenantID, nowMs int64) (bytes int64) {
	if tenant == 0 || int(tenant) > len(s.byTenant) {
		return 0
	}
	for _, h := range s.byTenant[tenant-1].hours {
		if h.hour >= hourOf(nowMs) {
			bytes += h.bytes
		}
	}
	return bytes
}

// capture returns the counts as they are. They stay as they are: the next change of a tenant's copies them.
func (s *storedBytes) capture() []tenantBytes {
	s.captures++
	return slices.Clone(s.byTenant)
}

// countStored counts a record, or that one is gone.
func (m *Machine) countStored(tenant TenantID, rec *Record, nameBytes int, sign int64) {
	if m.directory.FeatureLevel < LevelWebhooks {
		return
	}
	bytes := nameBytes + len(rec.Fingerprint) + len(rec.Headers) + len(rec.Body)
	m.stored.add(tenant, rec.ExpiresAtMs, sign*int64(bytes), m.clockMs)
}

// StoredBytes returns what is kept for a tenant: its events, and its records until the hour in which they expire is over.
// Several calls may run at once.
func (m *Machine) StoredBytes(tenant TenantID) int64 {
	return m.stored.of(tenant, m.clockMs) + m.events.tenants[tenant].bytes
}

// full reports whether a tenant has as many bytes stored as its plan allows.
func (m *Machine) full(t *Tenant) (limit int64, full bool) {
	limit = m.directory.PlanOf(t).MaxStoredBytes
	return limit, limit > 0 && m.StoredBytes(t.ID) >= limit
}

// encodeStored writes a tenant's hours that are not over.
func encodeStored(tenant TenantID, t tenantBytes, nowMs int64) []byte {
	b := binary.AppendUvarint(nil, uint64(tenant))
	size := len(b)
	for _, h := range t.hours {
		if h.hour >= hourOf(nowMs) {
			b = binary.AppendVarint(b, h.hour)
			b = binary.AppendVarint(b, h.bytes)
		}
	}
	if len(b) == size {
		return nil
	}
	return b
}

// readStored reads a tenant's hours, which come behind those of the tenants before it.
func (s *sectionReader) readStored(d *decoder) error {
	tenant := d.tenant()
	var t tenantBytes
	last := hourOf(s.m.clockMs) - 1
	for d.err == nil && len(d.b) > 0 {
		h := hourBytes{d.integer(last+1, hourOf(maxInstantMs), "hour"), d.integer(1, maxCount, "bytes")}
		t.hours, last = append(t.hours, h), h.hour
	}
	if err := d.finish(); err != nil {
		return err
	}
	stored := &s.m.stored
	if len(t.hours) == 0 || int(tenant) <= len(stored.byTenant) || s.m.directory.Tenant(tenant) == nil {
		return fmt.Errorf("%w: stored bytes of no tenant, twice, or none", ErrMalformed)
	}
	for len(stored.byTenant) < int(tenant)-1 {
		stored.byTenant = append(stored.byTenant, tenantBytes{})
	}
	stored.byTenant = append(stored.byTenant, t)
	return nil
}
