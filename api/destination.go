package api

import "github.com/syllecta/syllecta/fsm"

// Destination is what the node that leads knows of where a source's events go, by its own attempts since it leads or
// the source was changed. Instants are on the cluster clock; 0 is none.
type Destination struct {
	// Breaker is "closed" while attempts are made, "open" while none are, and "half_open" when the next one decides.
	Breaker string
	// InFlight is how many attempts are under way.
	InFlight int
	// RestsUntilMs is when the next attempt may start, if the destination is left alone until then.
	RestsUntilMs int64
	// FailingSinceMs is when the first attempt began after which none has delivered anything. LastFailure is the last such
	// attempt.
	FailingSinceMs int64
	LastFailure    fsm.Attempt
}

// appendDelivery writes how a source's deliveries go: what this node, which leads, knows of the destination, and what
// waits for it.
func (x *exchange) appendDelivery(b []byte, s *fsm.Source) []byte {
	d := x.s.cfg.Destination(s)
	queued, dueMs := x.node.SourceQueue(s.ID)
	b = append(b, '{')
	b = appendStringMember(b, "breaker", d.Breaker)
	b = appendIntMember(b, "inFlight", int64(d.InFlight))
	b = appendIntMember(b, "queued", queued)
	if dueMs != 0 {
		b = appendTimeMember(b, "nextAttemptAt", max(dueMs, d.RestsUntilMs))
	}
	if d.FailingSinceMs != 0 {
		b = appendTimeMember(b, "failingSince", d.FailingSinceMs)
		b = append(appendName(b, "lastFailure"), '{')
		b = append(appendAttempt(b, &d.LastFailure), '}')
	}
	return append(b, '}')
}
