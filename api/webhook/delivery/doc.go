// Package delivery brings accepted events to where their tenants want them. It works on the node that leads, and only
// there: what is to be delivered, and what became of each attempt, is in the replicated state, so that the next leader
// goes on where this one ended.
//
// # The promise
//
// An event is delivered at least once. It is delivered again if the answer to an attempt did not reach the log: because
// the leader was lost, or the answer was. Every attempt of an event has the same webhook-id and Idempotency-Key, so that
// the receiver can tell.
//
// # The parts
//
//	Guard       where callbacks may go at all, by the address that is dialled
//	order       an event, its source and its tenant: what a request is made of (request.go, request_headers.go, sign.go)
//	attempt     one request, and the report of what came of it (attempt.go, schedule.go, payload.go)
//	destination what is known of a source's receiver: its breaker, rate and pause; state.go is what people are told of it
//	reign       the loop that decides what starts, from taking over the leadership to its loss
//
// # Isolation
//
// A destination that fails or is slow costs the others nothing: it has a few attempts of its own (one while it fails,
// none while its breaker is open), and all strained ones together have half of those that the worker makes at once, and of
// the payloads that it holds. A tenant has at most twice as much of either as is left free, so that one whose destinations
// all hang, before that is known of them, leaves room to the others. An open breaker, a pause that the destination asked for and a rate that is used up delay attempts without using up the
// schedule of the events that wait.
package delivery
