package api

import "github.com/syllecta/syllecta/fsm"

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
	}, p
}

// planFields are the members of a plan as they were sent.
type planFields struct {
	name                                                          string
	monthlyClaims, requestsPerSecond, maxTTLSeconds, maxBodyBytes optionalInt
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
	default:
		return d.skip()
	}
}
