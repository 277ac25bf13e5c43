package main

import (
	"context"
	"net/http"
	"net/url"
)

// monthUsage is what counts against a tenant's limits in the current month (UTC).
type monthUsage struct {
	Month    string `json:"month"`
	Claims   int64  `json:"claims"`
	Limit    int64  `json:"limit,omitempty"` // 0 is none
	ResetsAt string `json:"resetsAt,omitempty"`

	Events     int64 `json:"events,omitempty"`     // accepted
	EventLimit int64 `json:"eventLimit,omitempty"` // 0 is none
}

// usageCounts are what is counted.
type usageCounts struct {
	Claims    int64 `json:"claims"`    // locks granted
	Replays   int64 `json:"replays"`   // claims answered with a stored result
	Conflicts int64 `json:"conflicts"` // claims of what another held, or that belonged to another request
	Rejected  int64 `json:"rejected"`  // claims and events refused because the month was full, or the tenant suspended

	Events           int64 `json:"events"`            // accepted from providers
	Duplicates       int64 `json:"duplicates"`        // of events that had come before
	Deliveries       int64 `json:"deliveries"`        // of events, that succeeded
	DeliveryFailures int64 `json:"delivery_failures"` // attempts that did not
}

// dayUsage is what was counted on a day (UTC).
type dayUsage struct {
	Day string `json:"day"`
	usageCounts
}

// tenantUsage is the usage of one tenant.
type tenantUsage struct {
	Month monthUsage  `json:"month"`
	Days  []dayUsage  `json:"days"`
	Total usageCounts `json:"total"`
}

// clusterUsage is the usage of all tenants.
type clusterUsage struct {
	Tenants []struct {
		ID    string      `json:"id"`
		Slug  string      `json:"slug"`
		Total usageCounts `json:"total"`
	} `json:"tenants"`
}

// days are a span of days (UTC), both included. "" leaves an end to the node.
type days struct{ from, to string }

// query is the days as the end of a path.
func (d days) query() string {
	query := url.Values{}
	if d.from != "" {
		query.Set("from", d.from)
	}
	if d.to != "" {
		query.Set("to", d.to)
	}
	if len(query) == 0 {
		return ""
	}
	return "?" + query.Encode()
}

// ownUsage is the usage of the tenant whose API key the client has.
func (c *client) ownUsage(ctx context.Context, d days) (used told[tenantUsage], err error) {
	err = c.call(ctx, http.MethodGet, "/v1/usage"+d.query(), nil, &used)
	return used, err
}

func (a admin) tenantUsage(ctx context.Context, slug string, d days) (used told[tenantUsage], err error) {
	err = a.call(ctx, http.MethodGet, tenantPath(slug)+"/usage"+d.query(), nil, &used)
	return used, err
}

func (a admin) usage(ctx context.Context, d days) (used told[clusterUsage], err error) {
	err = a.call(ctx, http.MethodGet, "/v1/admin/usage"+d.query(), nil, &used)
	return used, err
}
