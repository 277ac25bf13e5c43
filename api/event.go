package api

import (
	"context"
	"slices"

	"github.com/syllecta/syllecta/fsm"
)

// namedEvent returns the event in the path and its tenant. If they are nil, the answer is written: the same whether the
// event is not there, or another tenant's, or the id none.
func (x *exchange) namedEvent(ctx context.Context) (*fsm.Tenant, *fsm.Event) {
	t := x.subjectTenant(ctx)
	if t == nil {
		return nil, nil
	}
	var e *fsm.Event
	if id, ok := fsm.ParseEventID(x.params.ByName("event")); ok {
		if !x.onLeader(ctx, func() (err error) {
			e, err = x.node.Event(ctx, t.ID, id)
			return err
		}) {
			return nil, nil
		}
	}
	if e == nil {
		x.refuse(noSuchEvent())
		return nil, nil
	}
	return t, e
}

func noSuchEvent() *problem { return notFound.problem("the tenant has no event of that id") }

// showEvent answers GET /v1/events/:event and GET /v1/admin/tenants/:tenant/events/:event.
func showEvent(x *exchange) {
	raw, p := decodeRaw(x.r.URL.RawQuery)
	if p != nil {
		x.refuse(p)
		return
	}
	ctx, cancel := x.deadline(0)
	defer cancel()
	t, e := x.namedEvent(ctx)
	if e == nil {
		return
	}
	dir := x.node.Directory()
	b := appendEventMembers(append(x.out.b[:0], '{'), e, dir, e.StatusIn(dir).String())
	b = appendAttempts(b, e)
	b = appendDuplicates(b, e)
	b = x.appendPayload(b, dir.Tenant(t.ID), e, raw)
	x.out.b = append(b, '}')
	x.ok("event")
}

// decodeRaw reads the parameter raw. Parameters it does not know are ignored.
func decodeRaw(query string) (raw bool, p *problem) {
	var text string
	p = eachParameter(query, func(name, value string) *problem {
		if name == "raw" {
			return once(&text, name, value, len("false"))
		}
		return nil
	})
	if p == nil {
		p = truth(&raw, "raw", text)
	}
	return raw, p
}

// appendEventMembers writes what is told of an event wherever it is listed.
func appendEventMembers(b []byte, e *fsm.Event, dir *fsm.Directory, status string) []byte {
	b = appendStringMember(b, "eventId", e.ID.String())
	b = appendStringMember(b, "id", e.ProviderID)
	b = appendStringMember(b, "provider", e.Provider)
	b = appendStringMember(b, "source", e.SourceName)
	b = appendStringMember(b, "providerRawType", e.RawType)
	b = appendStringMember(b, "type", e.Type)
	b = appendStringMember(b, "status", status)
	if e.OccurredAtMs != 0 {
		b = appendTimeMember(b, "occurredAt", e.OccurredAtMs)
	}
	b = appendTimeMember(b, "receivedAt", e.ReceivedAtMs)
	b = appendIntMember(b, "attempts", int64(e.Attempts))
	b = appendIntMember(b, "replayCount", int64(e.Duplicates))
	if e.StatusIn(dir) == fsm.EventQueued {
		b = appendTimeMember(b, "nextAttemptAt", e.NextAtMs)
	}
	if e.Synthetic {
		b = appendBoolMember(b, "synthetic", true)
	}
	b = appendStringMember(b, "payloadForm", e.Form.String())
	if e.Mismatch {
		b = appendBoolMember(b, "payloadMismatch", true)
	}
	return b
}

// appendAttempts writes the attempts that are remembered, the oldest first, by their numbers among all.
func appendAttempts(b []byte, e *fsm.Event) []byte {
	b = append(appendName(b, "attemptLog"), '[')
	first := int64(e.Attempts) - int64(len(e.Kept)) + 1
	for i := range e.Kept {
		a := &e.Kept[i]
		b = append(appendName(b, ""), '{')
		b = appendIntMember(b, "number", first+int64(i))
		b = appendAttempt(b, a)
		if a.Replay != "" {
			b = appendStringMember(b, "replay", a.Replay)
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendAttempt writes how an attempt went.
func appendAttempt(b []byte, a *fsm.Attempt) []byte {
	b = appendTimeMember(b, "at", a.StartedAtMs)
	b = appendIntMember(b, "latencyMs", a.LatencyMs)
	if a.StatusCode != 0 {
		b = appendIntMember(b, "statusCode", int64(a.StatusCode))
	}
	if a.Error != "" {
		b = appendStringMember(b, "error", a.Error)
	}
	return b
}

// appendDuplicates writes the repetitions that are remembered, the newest first. One that a source has recognised came to
// that source.
func appendDuplicates(b []byte, e *fsm.Event) []byte {
	b = append(appendName(b, "duplicates"), '[')
	for _, atMs := range slices.Backward(e.KeptDuplicates) {
		b = append(appendName(b, ""), '{')
		b = appendTimeMember(b, "at", atMs)
		b = appendStringMember(b, "source", e.SourceName)
		b = append(b, '}')
	}
	return append(b, ']')
}
