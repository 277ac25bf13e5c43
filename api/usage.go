package api

import (
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// showUsage answers GET /v1/usage: what the caller's own tenant has used.
func showUsage(x *exchange) {
	days, p := decodeDays(x.r.URL.RawQuery, x.s.now())
	if p != nil {
		x.refuse(p)
		return
	}
	ctx, cancel := x.deadline(0)
	defer cancel()
	if x.catchUp(ctx) {
		x.answerUsage(x.caller.tenant.ID, days)
	}
}

// showTenantUsage answers GET /v1/admin/tenants/:tenant/usage.
func showTenantUsage(x *exchange) {
	days, p := decodeDays(x.r.URL.RawQuery, x.s.now())
	if p != nil {
		x.refuse(p)
		return
	}
	ctx, cancel := x.deadline(0)
	defer cancel()
	if t := x.namedTenant(ctx); t != nil {
		x.answerUsage(t.ID, days)
	}
}

// listUsage answers GET /v1/admin/usage, in order of the tenants' creation.
func listUsage(x *exchange) {
	days, p := decodeDays(x.r.URL.RawQuery, x.s.now())
	if p != nil {
		x.refuse(p)
		return
	}
	ctx, cancel := x.deadline(0)
	defer cancel()
	if !x.catchUp(ctx) {
		return
	}
	b := append(x.out.b[:0], `{"tenants":[`...)
	for _, t := range x.node.Directory().Tenants() {
		b = append(appendName(b, ""), '{')
		b = appendStringMember(b, "id", t.PublicID)
		b = appendStringMember(b, "slug", t.Slug)
		b = appendTotal(b, x.node.UsageDays(t.ID, days.from, days.to))
		b = append(b, '}')
	}
	x.out.b = append(b, `]}`...)
	x.ok("usages")
}

func (x *exchange) answerUsage(id fsm.TenantID, days dayRange) {
	used := x.node.UsageDays(id, days.from, days.to)
	b := append(x.out.b[:0], '{')
	b = x.appendMonth(appendName(b, "month"), id)
	b = append(appendName(b, "days"), '[')
	for i := range used {
		b = append(appendName(b, ""), '{')
		b = append(appendName(b, "day"), '"')
		b = time.UnixMilli(used[i].Day.StartMs()).UTC().AppendFormat(b, time.DateOnly)
		b = append(b, '"')
		for _, m := range fsm.Meters() {
			b = appendIntMember(b, m.String(), used[i].Count(m))
		}
		b = append(b, '}')
	}
	b = appendTotal(append(b, ']'), used)
	x.out.b = append(b, '}')
	x.ok("usage")
}

// appendMonth writes a tenant's grants and events in the month that is counted against its limits; a limit of 0 is none.
func (x *exchange) appendMonth(b []byte, id fsm.TenantID) []byte {
	dir, u := x.node.Directory(), x.node.Usage(id)
	t := dir.Tenant(id)
	_, events := x.node.EventUsage(id)
	b = append(b, '{')
	b = appendStringMember(b, "month", u.Month)
	b = appendIntMember(b, "claims", u.Claims)
	b = appendIntMember(b, "limit", dir.MonthlyClaims(t))
	if start, err := time.Parse("2006-01", u.Month); err == nil {
		b = appendTimeMember(b, "resetsAt", start.AddDate(0, 1, 0).UnixMilli())
	}
	b = appendIntMember(b, "events", events)
	b = appendIntMember(b, "eventLimit", dir.PlanOf(t).MonthlyEvents)
	b = appendIntMember(b, "storedBytes", x.node.StoredBytes(id))
	b = appendIntMember(b, "storedBytesLimit", dir.PlanOf(t).MaxStoredBytes)
	return append(b, '}')
}

// appendTotal writes the sums over the days.
func appendTotal(b []byte, days []fsm.DayUsage) []byte {
	b = append(appendName(b, "total"), '{')
	for _, m := range fsm.Meters() {
		var sum int64
		for i := range days {
			sum += days[i].Count(m)
		}
		b = appendIntMember(b, m.String(), sum)
	}
	return append(b, '}')
}
