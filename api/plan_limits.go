package api

import "github.com/syllecta/syllecta/fsm"

// limits are the bounds for the caller: the node's, and those of its tenant's plan where they are smaller.
func (x *exchange) limits() limits {
	t := x.caller.tenant
	if t.Plan == "" {
		return x.s.limits
	}
	return x.s.limits.under(x.node.Directory().PlanOf(t))
}

// under applies a plan. What a caller leaves out is clamped and never refused.
func (l limits) under(p *fsm.Plan) limits {
	if p.MaxTTLMs > 0 {
		l.maxTTLSeconds = min(l.maxTTLSeconds, max(p.MaxTTLMs/1_000, 1))
		l.defaultTTLMs = min(l.defaultTTLMs, l.maxTTLSeconds*1_000)
	}
	if p.MaxBodyBytes > 0 {
		l.maxBodyBytes = min(l.maxBodyBytes, int(p.MaxBodyBytes))
	}
	return l
}
