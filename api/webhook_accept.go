package api

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/syllecta/syllecta/api/envelope"
	"github.com/syllecta/syllecta/api/webhook"
	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

// maxIngressBytes bounds the payloads that are proposed in one entry. A single larger one has an entry of its own.
const maxIngressBytes = 1 << 20

// receivedEvents is a webhook that was decided.
type receivedEvents struct {
	receipt webhook.Receipt
	results []fsm.Result // of receipt.Events
}

// receiveEvents is the way of every webhook, simulated ones included: the source's secrets are opened, the signature is
// verified over the bytes that were sent, and only then anything is read, and has its id claimed by the entry that
// accepts it. The problem is a refusal; the error is of the node, which has not decided.
func (x *exchange) receiveEvents(ctx context.Context, in ingress) (got receivedEvents, p *problem, err error) {
	adapter, key, p := x.openSource(in.tenant, in.source)
	if p != nil {
		return got, p, nil
	}
	got.receipt, err = webhook.Accept(adapter, in.request)
	if err != nil {
		return got, x.problemOfWebhook(in.source, err), nil
	}
	calls, p := in.calls(key, got.receipt.Events)
	if p != nil {
		return got, p, nil
	}
	for len(calls) > 0 {
		n := entryOf(calls)
		results, receipt, err := x.node.Propose(ctx, calls[:n]...)
		if err != nil {
			return got, nil, afterPart(err, len(got.results) > 0)
		}
		x.noteReceipt(receipt)
		for i := range results {
			if p := x.problemOfEvent(in.source, &results[i]); p != nil {
				return got, p, nil
			}
		}
		got.results, calls = append(got.results, results...), calls[n:]
	}
	return got, nil, nil
}

// afterPart is an error of the node about what is decided in several entries. If some were there before it, nobody may be
// told that nothing was changed.
func afterPart(err error, part bool) error {
	if err == nil {
		return nil
	}
	if !part || errors.Is(err, cluster.ErrNotLeader) { // the leader decides all of it
		return err
	}
	return errors.Join(cluster.ErrOutcomeUnknown, err)
}

// openSource returns a source as its adapter needs it, and the key under which its events are kept.
func (x *exchange) openSource(t *fsm.Tenant, s *fsm.Source) (webhook.Source, *envelope.DataKey, *problem) {
	if len(t.DataKey) == 0 {
		return webhook.Source{}, nil, sourceNotReady.problem("the tenant has no data key: give the source a secret")
	}
	key, p := x.dataKey(t)
	if p != nil {
		return webhook.Source{}, nil, p
	}
	secrets, p := x.openSecrets(t, s)
	if p != nil {
		return webhook.Source{}, nil, p
	}
	options, err := webhook.ParseOptions(s.Options)
	if err != nil {
		return webhook.Source{}, nil, x.problemOfWebhook(s, err)
	}
	adapter := options.Source(s.Provider, secrets)
	adapter.Certificates = x.s.certificates.fetch
	return adapter, key, nil
}

// calls are the commands that accept the events of a request.
func (in *ingress) calls(key *envelope.DataKey, events []webhook.Event) ([]cluster.Call, *problem) {
	calls := make([]cluster.Call, len(events))
	for i := range events {
		e := &events[i]
		stored, err := webhook.EncodeStored(in.stored(e, len(events)))
		if err != nil {
			return nil, problemOfStored(err)
		}
		sum := sha256.Sum256(e.Payload)
		calls[i].Command = fsm.AcceptEvent{
			Tenant: in.tenant.ID, Source: in.source.ID, Nonce: in.nonce(i), ProviderID: e.ID,
			RawType: clipType(e.RawType), Type: clipType(e.Type), OccurredAtMs: occurredMs(e.OccurredAt),
			Synthetic: in.synthetic, BodyHash: [16]byte(sum[:]), Payload: key.Seal(eventPurpose(in.source.PublicID), stored),
		}
	}
	return calls, nil
}

// problemOfStored says why an event cannot be kept.
func problemOfStored(err error) *problem {
	if !errors.Is(err, webhook.ErrTooLarge) {
		return unreadableWebhook.problem("%s; nothing was accepted", adapterWords(err))
	}
	p := bodyTooLarge.problem("%s", adapterWords(err))
	p.limit = webhook.MaxStoredBytes
	return p
}

// stored is what is kept of one of so many events. A body with several events is no single one's: each has its part.
func (in *ingress) stored(e *webhook.Event, events int) webhook.Stored {
	s := webhook.Stored{Headers: in.kept, Payload: e.Payload}
	switch {
	case !in.source.Raw:
	case events > 1:
		s.Raw, s.ContentType = e.Payload, jsonType[0]
	default:
		s.Raw = in.request.Body
		if types := in.request.Header["Content-Type"]; len(types) > 0 {
			s.ContentType = types[0]
		}
	}
	return s
}

// eventPurpose is what the payloads of a source's events are bound to.
func eventPurpose(sourceID string) string { return "event/" + sourceID }

// nonce is drawn with the id of the request, which stays the same when another node sends the request once more because
// the answer was lost. So what was accepted then is not taken for a repetition by the provider.
func (in *ingress) nonce(event int) uint64 {
	sum := sha256.Sum256([]byte("event\n" + in.seed + "\n" + strconv.Itoa(event)))
	return max(binary.BigEndian.Uint64(sum[:]), 1)
}

// entryOf returns how many of the calls go into the next entry.
func entryOf(calls []cluster.Call) (n int) {
	bytes := 0
	for n < len(calls) && n < cluster.MaxCallsPerProposal {
		bytes += len(calls[n].Command.(fsm.AcceptEvent).Payload)
		if n > 0 && bytes > maxIngressBytes {
			break
		}
		n++
	}
	return n
}

// clipType shortens a provider's type to what is kept of it. It is told, and nothing is decided by it.
func clipType(text string) string {
	if len(text) <= fsm.MaxEventTypeBytes {
		return text
	}
	n := fsm.MaxEventTypeBytes
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// lastInstant is the end of what RFC 3339 can write.
var lastInstant = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)

// occurredMs is when an event occurred; 0 if the provider did not say, or says what cannot be.
func occurredMs(at time.Time) int64 {
	if at.Before(time.UnixMilli(0)) || !at.Before(lastInstant) {
		return 0
	}
	return at.UnixMilli()
}

// problemOfWebhook says why an adapter did not accept a request. Which part of a signature is wrong, it is told itself
// by nobody.
func (x *exchange) problemOfWebhook(s *fsm.Source, err error) *problem {
	switch {
	case errors.Is(err, webhook.ErrInvalidSignature):
		x.s.metrics.unsigned.WithLabelValues(providerLabel(s.Provider)).Inc()
		return invalidSignature.problem("no secret of the source has signed this request, or not now; nothing was accepted")
	case errors.Is(err, webhook.ErrUnreadable):
		return unreadableWebhook.problem("%s; nothing was accepted", adapterWords(err))
	case errors.Is(err, webhook.ErrMissingID):
		return missingEventID.problem("%s; nothing was accepted", adapterWords(err))
	}
	x.err = err
	switch {
	case errors.Is(err, webhook.ErrUnavailable):
		return verifierUnavailable.problem("what it is verified with could not be fetched; nothing was accepted")
	case errors.Is(err, webhook.ErrNotConfigured):
		return sourceNotReady.problem("%s; nothing was accepted", adapterWords(err))
	default:
		return internalError.problem("the request failed inside the node; its log tells more")
	}
}

// problemOfEvent says why an event was not accepted; nil if it was, now or before.
func (x *exchange) problemOfEvent(s *fsm.Source, r *fsm.Result) *problem {
	switch r.Outcome {
	case fsm.EventAccepted, fsm.EventDuplicate:
		return nil
	case fsm.UsageLimitExceeded:
		p := problemOfResult(r, x.s.now())
		p.meter = "events"
		p.detail = "the tenant's limit of " + strconv.FormatInt(r.Limit, 10) + " events per month is used up"
		return p
	case fsm.StorageFull:
		p := eventsFull.problem("the tenant has %d events that wait to be delivered, replayed or ignored", r.Limit)
		p.limit = r.Limit
		return p
	case fsm.NotFound:
		return notFound.problem("the source %q of %q is gone", s.Name, s.Provider)
	default:
		return problemOfResult(r, x.s.now())
	}
}
