package api

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/syllecta/syllecta/fsm"
)

const dayMs = 86_400_000

// What the member onExceed of a plan can be: what becomes of an event beyond monthlyEvents.
const (
	exceedReject = "reject"
	exceedHold   = "hold"
)

func onExceed(p *fsm.Plan) string {
	if p.HoldEvents {
		return exceedHold
	}
	return exceedReject
}

// levelOfPlan is the feature level that a cluster must have to keep a plan.
func levelOfPlan(p *fsm.Plan) uint32 {
	if p.MonthlyEvents != 0 || p.HoldEvents || p.EventRetentionMs != 0 || p.PayloadRetentionMs != 0 ||
		p.MaxStoredBytes != 0 {
		return fsm.LevelWebhooks
	}
	return fsm.LevelControl
}

// decodePlan reads the body of PUT /v1/admin/plans/:plan. A limit that is absent is none. The name may be repeated in the
// body, as the answers have it there, but not contradicted.
func decodePlan(body []byte, name string) (fsm.Plan, *problem) {
	if fault := slugFault(name); fault != "" {
		return fsm.Plan{}, invalidField.problem("the plan's name in the path %s", fault)
	}
	var f planFields
	p := decodeObject(body, f.member)
	if p == nil && f.name != "" && f.name != name {
		p = invalidField.problem("name in the body differs from the path")
	}
	return fsm.Plan{
		Name:              name,
		MonthlyClaims:     f.monthlyClaims.value,
		RequestsPerSecond: f.requestsPerSecond.value,
		MaxTTLMs:          f.maxTTLSeconds.value * 1_000,
		MaxBodyBytes:      f.maxBodyBytes.value,

		MonthlyEvents:      f.monthlyEvents.value,
		HoldEvents:         f.onExceed == exceedHold,
		EventRetentionMs:   f.eventRetentionDays.value * dayMs,
		PayloadRetentionMs: f.payloadRetentionDays.value * dayMs,
		MaxStoredBytes:     f.maxStoredBytes.value,
	}, p
}

// planFields are the members of a plan as they were sent.
type planFields struct {
	name                                                          string
	monthlyClaims, requestsPerSecond, maxTTLSeconds, maxBodyBytes optionalInt

	monthlyEvents, eventRetentionDays, payloadRetentionDays, maxStoredBytes optionalInt
	onExceed                                                                string // "" if absent
}

func (f *planFields) member(d *decoder, name []byte) *problem {
	switch string(name) {
	case "name":
		return d.slug(&f.name, "name")
	case "monthlyClaims":
		return d.integer(&f.monthlyClaims, "monthlyClaims", 0, fsm.MaxMonthlyClaims)
	case "requestsPerSecond":
		return d.integer(&f.requestsPerSecond, "requestsPerSecond", 0, fsm.MaxRequestsPerSecond)
	case "maxTtlSeconds":
		return d.integer(&f.maxTTLSeconds, "maxTtlSeconds", 0, fsm.MaxTTLMs/1_000)
	case "maxBodyBytes":
		return d.integer(&f.maxBodyBytes, "maxBodyBytes", 0, fsm.MaxBodyBytes)
	case "maxStoredBytes":
		return d.integer(&f.maxStoredBytes, "maxStoredBytes", 0, fsm.MaxMonthlyClaims)
	case "monthlyEvents":
		return d.integer(&f.monthlyEvents, "monthlyEvents", 0, fsm.MaxMonthlyClaims)
	case "onExceed":
		return d.onExceed(&f.onExceed)
	case "eventRetentionDays":
		return d.integer(&f.eventRetentionDays, "eventRetentionDays", 0, fsm.MaxRetentionMs/dayMs)
	case "payloadRetentionDays":
		return d.integer(&f.payloadRetentionDays, "payloadRetentionDays", 0, fsm.MaxRetentionMs/dayMs)
	default:
		return d.skip()
	}
}

func (d *decoder) onExceed(dst *string) *problem {
	raw, p := d.value("onExceed", jsontext.KindString, "a string")
	if raw == nil || p != nil {
		return p
	}
	switch s := string(unquote(raw)); s {
	case exceedReject, exceedHold:
		*dst = s
		return nil
	default:
		return d.invalid("onExceed", "is neither reject nor hold")
	}
}
