package fsm

import "time"

// Month is a UTC calendar month as year·100 + month, 202611 for November 2026.
type Month int32

// usage is a tenant's count of grants in one month. Only the current month is kept.
type usage struct {
	month  Month
	claims int64
}

// usageTable counts grants per tenant in the month of the committed clock.
type usageTable struct {
	byTenant []usage      // byTenant[i] is tenant i+1's
	days     []dayCounter // likewise
	// The month that holds startMs ≤ clock < endMs, remembered because calendar arithmetic is dearer than a comparison.
	month          Month
	startMs, endMs int64
}

// at makes the table's month the one that nowMs falls in.
func (u *usageTable) at(nowMs int64) {
	if nowMs >= u.startMs && nowMs < u.endMs {
		return
	}
	t := time.UnixMilli(nowMs).UTC()
	start := time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
	u.month = Month(t.Year()*100 + int(t.Month()))
	u.startMs, u.endMs = start.UnixMilli(), start.AddDate(0, 1, 0).UnixMilli()
}

// claims returns a tenant's count in the month that nowMs falls in.
func (u *usageTable) claims(tenant TenantID, month Month) int64 {
	if int(tenant) > len(u.byTenant) || u.byTenant[tenant-1].month != month {
		return 0
	}
	return u.byTenant[tenant-1].claims
}

func (u *usageTable) set(tenant TenantID, month Month, claims int64) {
	for len(u.byTenant) < int(tenant) {
		u.byTenant = append(u.byTenant, usage{})
	}
	u.byTenant[tenant-1] = usage{month: month, claims: claims}
}

// tenant returns a tenant's days, to be counted on.
func (u *usageTable) tenant(tenant TenantID) *dayCounter {
	for len(u.days) < int(tenant) {
		u.days = append(u.days, dayCounter{})
	}
	return &u.days[tenant-1]
}

// countGrant counts one grant, or refuses it if the tenant is suspended, its month full, or what is stored for it. An unknown tenant has no
// grants to make: the edge authenticates against the directory, and tenants are never removed.
func (m *Machine) countGrant(tenant TenantID) (Result, bool) {
	t := m.directory.Tenant(tenant)
	if t == nil {
		return Result{Outcome: NotFound}, false
	}
	if t.Suspended {
		m.count(tenant, MeterRejected, 1)
		return Result{Outcome: TenantSuspended}, false
	}
	m.usage.at(m.clockMs)
	claims := m.usage.claims(tenant, m.usage.month)
	if limit := m.directory.MonthlyClaims(t); limit > 0 && claims >= limit {
		m.count(tenant, MeterRejected, 1)
		return Result{Outcome: UsageLimitExceeded, Limit: limit, ResetAtMs: m.usage.endMs}, false
	}
	if limit, full := m.full(t); full {
		m.count(tenant, MeterRejected, 1)
		return Result{Outcome: StoredBytesExceeded, Limit: limit}, false
	}
	m.usage.set(tenant, m.usage.month, min(claims+1, maxCount))
	m.count(tenant, MeterClaims, 1)
	if limit := m.directory.MonthlyClaims(t); limit > 0 {
		m.warn(t, MeterClaims, claims+1, limit)
	}
	return Result{}, true
}

// Usage returns how many grants a tenant had in the month of the committed clock. Several calls may run at once.
func (m *Machine) Usage(tenant TenantID) (month Month, claims int64) {
	var u usageTable
	u.at(m.clockMs)
	return u.month, m.usage.claims(tenant, u.month)
}
