package api

import (
	"context"
	"slices"

	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

// Replays are limited per tenant, in tokens: a bucket holds five times as many as it gets in a second.
const (
	replayTokensPerSecond = 10
	replayCost            = 1  // of one event
	replaysCost           = 10 // of all that a filter finds

	replaysInWords = "a tenant's events are replayed at most 10 times per second one by one, and once per second by a filter"
)

// takeReplays takes tokens from the tenant's bucket at the node that decides. If it reports false, the answer is written.
func (x *exchange) takeReplays(t *fsm.Tenant, cost int) bool {
	return cost == 0 || x.takeOfTenant(x.s.perReplayer, t, replayTokensPerSecond, cost, limitedReplays,
		replaysInWords)
}

func newReplayNonce() string { return newPublicID("rpl_") }

// replayEvents answers POST /v1/replays and POST /v1/admin/tenants/:tenant/replays: of the events that a filter finds, those
// that can be are delivered again, or counted only.
func replayEvents(x *exchange) {
	f, p := decodeReplays(x.body)
	if p != nil {
		x.refuse(p)
		return
	}
	ctx, cancel := x.deadline(0)
	defer cancel()
	t := x.subjectTenant(ctx)
	if t == nil || !x.takeReplays(t, replaysCost) {
		return
	}
	f.query.Tenant = t.ID
	found, ok := x.findReplayable(ctx, f.query, f.limit)
	var replayed int64
	if ok && !f.dryRun {
		replayed, ok = x.replayAll(ctx, t.ID, found.ids)
	}
	if !ok {
		return
	}
	b := append(x.out.b[:0], `{"ok":true`...)
	b = appendIntMember(b, "matched", int64(len(found.ids)))
	b = appendIntMember(b, "replayed", replayed)
	b = appendBoolMember(b, "dryRun", f.dryRun)
	if found.more {
		b = appendBoolMember(b, "more", true)
	}
	if found.passedOver > 0 {
		b = appendIntMember(b, "passedOver", found.passedOver)
	}
	x.out.b = append(b, '}')
	x.ok("events_replayed")
}

// foundEvents are the newest events that a query finds.
type foundEvents struct {
	ids        []fsm.EventID // of those that can be replayed
	more       bool          // whether there are more than were asked for
	passedOver int64         // how many before that cannot be replayed, or are queued anyway
}

// findReplayable returns what a query finds, up to so many events that can be replayed. If ok is false, the answer is
// written.
func (x *exchange) findReplayable(ctx context.Context, q fsm.EventQuery, limit int) (found foundEvents, ok bool) {
	q.Limit = maxListedEvents
	for {
		var page fsm.EventPage
		if !x.onLeader(ctx, func() (err error) {
			page, err = x.node.ListEvents(ctx, q)
			return err
		}) {
			return found, false
		}
		dir := x.node.Directory()
		for _, e := range page.Events {
			switch {
			case !replayable(e, dir):
				found.passedOver++
			case len(found.ids) == limit:
				found.more = true
				return found, true
			default:
				found.ids = append(found.ids, e.ID)
			}
		}
		if page.Next == 0 {
			return found, true
		}
		q.Before = page.Next
	}
}

// replayable reports whether an event is not to be delivered already, and can be.
func replayable(e *fsm.Event, dir *fsm.Directory) bool {
	return e.Status != fsm.EventQueued && hasPayload(e) && dir.SourceByID(e.Source) != nil
}

// replayAll has events replayed, the oldest first, a bounded number in each entry of the log. If ok is false, the answer is
// written.
func (x *exchange) replayAll(ctx context.Context, t fsm.TenantID, newestFirst []fsm.EventID) (replayed int64, ok bool) {
	oldestFirst := slices.Clone(newestFirst)
	slices.Reverse(oldestFirst)
	nonce := newReplayNonce()
	for chunk := range slices.Chunk(oldestFirst, fsm.MaxEventsPerCommand) {
		cmd := fsm.ReplayEvents{Tenant: t, Events: chunk, Nonce: nonce}
		var r *fsm.Result
		if replayed == 0 {
			r = x.changeEvents(ctx, cmd)
		} else {
			r = x.replayMore(ctx, cmd, replayed, len(oldestFirst))
		}
		if r == nil {
			return replayed, false
		}
		replayed += r.Count
	}
	return replayed, true
}

// replayMore goes on where a part is done, so that whatever goes wrong may not be told as if nothing were. If the result is
// nil, the answer is written.
func (x *exchange) replayMore(ctx context.Context, cmd fsm.Command, replayed int64, of int) *fsm.Result {
	results, receipt, err := x.node.Propose(ctx, cluster.Call{Command: x.audited(cmd)})
	if err == nil && results[0].Outcome == fsm.EventsChanged {
		x.noteReceipt(receipt)
		return &results[0]
	}
	x.err = err
	x.refuse(outcomeUnknown.problem("%d of %d events are replayed, perhaps more; to replay the rest, repeat the request",
		replayed, of))
	return nil
}
