package api

import (
	"context"

	"github.com/syllecta/syllecta/api/webhook"
	"github.com/syllecta/syllecta/fsm"
)

// simulateChargeback answers POST /v1/simulate/chargeback.
func simulateChargeback(x *exchange) {
	f, p := decodeSimulation(x.body)
	if p != nil {
		x.refuse(p)
		return
	}
	ctx, cancel := x.deadline(0)
	defer cancel()
	var events []receivedEvents
	decided := x.onLeader(ctx, func() (err error) {
		events, p, err = x.simulate(ctx, &f)
		return err
	})
	switch {
	case !decided: // and answered
	case p != nil:
		x.refuse(p)
	default:
		x.out.b = appendSimulation(x.out.b[:0], f.provider, events)
		x.ok("simulated")
	}
}

// simulate sends the reports of a dispute on the way of every webhook, signed with the source's own secret.
func (x *exchange) simulate(ctx context.Context, f *simulationFields) (all []receivedEvents, p *problem, err error) {
	t := x.caller.tenant
	source, p := sourceFor(x.node.Directory(), t, f.provider, f.source)
	if p != nil {
		return nil, p, nil
	}
	adapter, _, p := x.openSource(t, source)
	if p != nil {
		return nil, p, nil
	}
	if err := adapter.Validate(); err != nil {
		return nil, x.problemOfWebhook(source, err), nil
	}
	f.dispute.Seed, f.dispute.At = x.id, x.s.now()
	requests, err := webhook.Simulate(f.provider, adapter.Secrets[0], f.dispute)
	if err != nil {
		x.err = err
		return nil, sourceNotReady.problem("the first secret of the source cannot sign"), nil
	}
	for i, request := range requests {
		got, p, err := x.receiveEvents(ctx, ingress{
			tenant: t, source: source, request: request, kept: keptFields(request.Header), synthetic: true,
			seed: x.id + string(rune('a'+i)),
		})
		if p != nil || err != nil {
			return nil, p, afterPart(err, i > 0)
		}
		all = append(all, got)
	}
	return all, nil, nil
}

func appendSimulation(b []byte, provider string, all []receivedEvents) []byte {
	b = append(b, `{"ok":true`...)
	b = appendStringMember(b, "provider", provider)
	b = append(appendName(b, "events"), '[')
	for i := range all {
		for j := range all[i].results {
			b = appendSimulatedEvent(appendName(b, ""), &all[i].receipt.Events[j], &all[i].results[j])
		}
	}
	return append(b, ']', '}')
}

func appendSimulatedEvent(b []byte, e *webhook.Event, r *fsm.Result) []byte {
	b = append(b, '{')
	if r.Event != nil {
		b = appendStringMember(b, "id", r.Event.ID.String())
	}
	b = appendStringMember(b, "type", e.Type)
	b = appendStringMember(b, "providerRawType", e.RawType)
	b = appendStringMember(b, "eventId", e.ID)
	b = appendBoolMember(b, "cached", r.Outcome == fsm.EventDuplicate)
	return append(b, '}')
}
