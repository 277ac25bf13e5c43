package api

import (
	"context"

	"github.com/syllecta/syllecta/fsm"
)

// replayEvent answers POST /v1/events/:event/replay and the admin's: the event is delivered again, by a new schedule.
func replayEvent(x *exchange) {
	x.changeEvent(replayCost, "event_replayed", notReplayed, func(t fsm.TenantID, e fsm.EventID) fsm.Command {
		return fsm.ReplayEvents{Tenant: t, Events: []fsm.EventID{e}, Nonce: newReplayNonce()}
	})
}

// ignoreEvent answers POST /v1/events/:event/ignore and the admin's: the event is not delivered.
func ignoreEvent(x *exchange) {
	x.changeEvent(0, "event_ignored", notIgnored, func(t fsm.TenantID, e fsm.EventID) fsm.Command {
		return fsm.IgnoreEvents{Tenant: t, Events: []fsm.EventID{e}}
	})
}

// changeEvent has the event in the path changed. Where nothing changes, why says why, of the event as it was before.
func (x *exchange) changeEvent(cost int, outcome string, why func(*fsm.Event, *fsm.Directory) string,
	command func(fsm.TenantID, fsm.EventID) fsm.Command,
) {
	ctx, cancel := x.deadline(0)
	defer cancel()
	t, e := x.namedEvent(ctx)
	if e == nil || !x.takeReplays(t, cost) {
		return
	}
	r := x.changeEvents(ctx, command(t.ID, e.ID))
	switch {
	case r == nil:
	case r.Count == 0:
		x.refuse(conflict.problem("%s; nothing was changed", why(e, x.node.Directory())))
	default:
		x.out.b = append(x.out.b[:0], `{"ok":true,"changed":1}`...)
		x.ok(outcome)
	}
}

// changeEvents has events changed, which is audited. If the result is nil, the answer is written.
func (x *exchange) changeEvents(ctx context.Context, cmd fsm.Command) *fsm.Result {
	return x.change(ctx, cmd, fsm.EventsChanged, problemOfEvents)
}

// problemOfEvents says why events were not changed.
func problemOfEvents(r *fsm.Result) *problem {
	if r.Outcome == fsm.NotFound {
		return noSuchEvent()
	}
	return internalError.problem("the command had an outcome that does not belong to it")
}

// changedMeanwhile is what is wrong with an event with which nothing was a moment ago.
const changedMeanwhile = "the event has changed meanwhile: look at it again"

func notReplayed(e *fsm.Event, dir *fsm.Directory) string {
	switch {
	case dir.SourceByID(e.Source) == nil:
		return "the event's source was deleted, so there is no destination"
	case e.StatusIn(dir) == fsm.EventQueued:
		return "the event is queued already"
	case e.Status == fsm.EventQueued:
		return "the event waits until its source is enabled"
	case !hasPayload(e):
		return "the event's payload is not there any more, so it cannot be delivered again" + policyInWords(e, dir)
	default:
		return changedMeanwhile
	}
}

// policyInWords says why a payload that was delivered is gone, if that is how the tenant wants it.
func policyInWords(e *fsm.Event, dir *fsm.Directory) string {
	t := dir.Tenant(e.Tenant)
	if t == nil || e.Status != fsm.EventProcessed || t.PayloadPolicy == fsm.PayloadRawDebugWindow {
		return ""
	}
	return "; the tenant's payload policy is " + t.PayloadPolicy.String()
}

// hasPayload reports whether there is all to deliver that there was.
func hasPayload(e *fsm.Event) bool { return e.Form == fsm.PayloadWhole || e.Detail != "" }

func notIgnored(e *fsm.Event, _ *fsm.Directory) string {
	if e.Status.Settled() {
		return "the event is " + e.Status.String() + " already"
	}
	return changedMeanwhile
}
