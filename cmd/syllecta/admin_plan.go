package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// unlimitedPlan is the built-in plan that never changes, and that of a tenant which has no other.
const unlimitedPlan = "unlimited"

// plan is what tenants may be entitled to, as the admin API shows it. 0 is no limit of the plan's own.
type plan struct {
	Name              string `json:"name"`
	MonthlyClaims     int64  `json:"monthlyClaims"`
	RequestsPerSecond int64  `json:"requestsPerSecond"`
	MaxTTLSeconds     int64  `json:"maxTtlSeconds"`
	MaxBodyBytes      int64  `json:"maxBodyBytes"`

	MonthlyEvents        int64  `json:"monthlyEvents"`
	OnExceed             string `json:"onExceed"` // what becomes of an event beyond MonthlyEvents; "" before level 4
	EventRetentionDays   int64  `json:"eventRetentionDays"`
	PayloadRetentionDays int64  `json:"payloadRetentionDays"`
	MaxStoredBytes       int64  `json:"maxStoredBytes"`
}

// onExceedWords are what a plan can do with events beyond its limit.
var onExceedWords = []string{"reject", "hold"}

// planLimits are a plan without its name, which its path has.
type planLimits struct {
	MonthlyClaims     int64 `json:"monthlyClaims,omitempty"`
	RequestsPerSecond int64 `json:"requestsPerSecond,omitempty"`
	MaxTTLSeconds     int64 `json:"maxTtlSeconds,omitempty"`
	MaxBodyBytes      int64 `json:"maxBodyBytes,omitempty"`

	MonthlyEvents        int64  `json:"monthlyEvents,omitempty"`
	OnExceed             string `json:"onExceed,omitempty"`
	EventRetentionDays   int64  `json:"eventRetentionDays,omitempty"`
	PayloadRetentionDays int64  `json:"payloadRetentionDays,omitempty"`
	MaxStoredBytes       int64  `json:"maxStoredBytes,omitempty"`
}

func (p plan) limits() planLimits {
	return planLimits{
		p.MonthlyClaims, p.RequestsPerSecond, p.MaxTTLSeconds, p.MaxBodyBytes,
		p.MonthlyEvents, p.OnExceed, p.EventRetentionDays, p.PayloadRetentionDays, p.MaxStoredBytes,
	}
}

// hasEvents reports whether there is what releases before 0.4.0 do not know of.
func (l planLimits) hasEvents() bool {
	return l.MonthlyEvents != 0 || l.OnExceed != "" || l.EventRetentionDays != 0 || l.PayloadRetentionDays != 0 || l.MaxStoredBytes != 0
}

// planList is the answer to asking for all plans.
type planList struct {
	Plans []plan `json:"plans"`
}

const plansPath = "/v1/admin/plans"

func planPath(name string) string { return plansPath + "/" + url.PathEscape(name) }

func (a admin) plans(ctx context.Context) (all told[planList], err error) {
	err = a.call(ctx, http.MethodGet, plansPath, nil, &all)
	return all, err
}

func (a admin) plan(ctx context.Context, name string) (found told[plan], err error) {
	err = a.call(ctx, http.MethodGet, planPath(name), nil, &found)
	return found, err
}

// putPlan makes a plan, or replaces all limits of one.
func (a admin) putPlan(ctx context.Context, name string, limits planLimits) (kept told[plan], err error) {
	err = a.call(ctx, http.MethodPut, planPath(name), limits, &kept)
	if err == nil && kept.value.OnExceed == "" && limits.hasEvents() {
		err = fmt.Errorf("%w limits of events: the plan was kept without them", errOlderLeader)
	}
	return kept, err
}

func (a admin) deletePlan(ctx context.Context, name string) (done told[struct{}], err error) {
	err = a.call(ctx, http.MethodDelete, planPath(name), nil, &done)
	return done, err
}
