package api

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/syllecta/syllecta/fsm"
)

// listingsPerSecond bounds how often a tenant's events are listed: each looks through as many as are kept, if few match.
const listingsPerSecond = 20

// takeListing takes a token from the tenant's bucket at the node that decides. If it reports false, the answer is written.
func (x *exchange) takeListing(t *fsm.Tenant) bool {
	return x.takeOfTenant(x.s.perLister, t, listingsPerSecond, 1, limitedListings,
		fmt.Sprintf("a tenant's events are listed at most %d times per second", listingsPerSecond))
}

// listEvents answers GET /v1/events and GET /v1/admin/tenants/:tenant/events, the newest first.
func listEvents(x *exchange) {
	l, p := decodeEventListing(x.r.URL.RawQuery)
	if p != nil {
		x.refuse(p)
		return
	}
	ctx, cancel := x.deadline(0)
	defer cancel()
	t := x.subjectTenant(ctx)
	if t == nil || !x.takeListing(t) {
		return
	}
	l.Tenant = t.ID
	var page fsm.EventPage
	var counts []fsm.EventCount
	if x.onLeader(ctx, func() (err error) {
		if page, err = x.node.ListEvents(ctx, l.EventQuery); err == nil && l.counts {
			counts, err = x.node.CountEvents(ctx, l.EventQuery)
		}
		return err
	}) {
		x.out.b = x.appendEvents(x.out.b[:0], &l, page, counts)
		x.ok("events")
	}
}

func (x *exchange) appendEvents(b []byte, l *eventListing, page fsm.EventPage, counts []fsm.EventCount) []byte {
	dir := x.node.Directory()
	b = append(b, `{"events":[`...)
	for _, e := range page.Events {
		b = append(appendName(b, ""), '{')
		if l.Repeated {
			b = appendDuplicates(appendEventMembers(b, e, dir, statusCached), e)
		} else {
			b = appendEventMembers(b, e, dir, e.StatusIn(dir).String())
		}
		b = append(b, '}')
	}
	b = append(b, ']')
	if l.counts {
		b = appendEventCounts(b, counts)
	}
	if page.Next != 0 {
		b = appendStringMember(b, "nextCursor", eventCursor(page.Next))
	}
	return append(b, '}')
}

// countedStatuses are the statuses in the order in which they are counted.
var countedStatuses = []fsm.EventStatus{
	fsm.EventQueued, fsm.EventProcessed, fsm.EventFailed, fsm.EventHeld, fsm.EventIgnored,
}

// appendEventCounts writes how many events each provider has in each status, and how often they were repeated.
func appendEventCounts(b []byte, counts []fsm.EventCount) []byte {
	counts = slices.Clone(counts)
	slices.SortStableFunc(counts, func(c, d fsm.EventCount) int { return cmp.Compare(c.Provider, d.Provider) })
	b = append(appendName(b, "counts"), '{')
	for len(counts) > 0 {
		end := slices.IndexFunc(counts, func(c fsm.EventCount) bool { return c.Provider != counts[0].Provider })
		if end < 0 {
			end = len(counts)
		}
		b = append(appendQuoted(appendName(b, ""), counts[0].Provider), ':')
		b = appendProviderCounts(b, counts[:end])
		counts = counts[end:]
	}
	return append(b, '}')
}

func appendProviderCounts(b []byte, counts []fsm.EventCount) []byte {
	var cached int64
	events := make(map[fsm.EventStatus]int64, len(countedStatuses))
	for _, c := range counts {
		events[c.Status] += c.Events
		cached += c.Duplicates
	}
	b = append(b, '{')
	for _, s := range countedStatuses {
		b = appendIntMember(b, s.String(), events[s])
	}
	return append(appendIntMember(b, statusCached, cached), '}')
}
