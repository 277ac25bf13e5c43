package fsm

import "encoding/binary"

func (PutDataKey) commandType() CommandType    { return TypePutDataKey }
func (PutSource) commandType() CommandType     { return TypePutSource }
func (DeleteSource) commandType() CommandType  { return TypeDeleteSource }
func (AcceptEvent) commandType() CommandType   { return TypeAcceptEvent }
func (ReportAttempt) commandType() CommandType { return TypeReportAttempt }
func (ReplayEvents) commandType() CommandType  { return TypeReplayEvents }
func (IgnoreEvents) commandType() CommandType  { return TypeIgnoreEvents }

func (c PutDataKey) appendPayload(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(c.Tenant))
	b = appendString(b, c.Wrapped)
	b = appendBool(b, c.Replace)
	return appendString(b, c.Old)
}

func decodePutDataKey(d *decoder) PutDataKey {
	return PutDataKey{
		Tenant:  d.tenant(),
		Wrapped: d.kept(1, MaxDataKeyBytes, "data key"),
		Replace: d.bool("replace"),
		Old:     d.kept(0, MaxDataKeyBytes, "old data key"),
	}
}

func (c PutSource) appendPayload(b []byte) []byte {
	b = appendGivenSource(b, &c.Source)
	b = binary.AppendUvarint(b, c.IfRevision)
	return binary.AppendVarint(b, c.OverlapMs)
}

func decodePutSource(d *decoder) PutSource {
	return PutSource{d.givenSource(), d.uvarint("revision"), d.integer(0, MaxSigningOverlapMs, "overlap")}
}

func (c DeleteSource) appendPayload(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(c.Tenant))
	return appendString(b, c.PublicID)
}

func decodeDeleteSource(d *decoder) DeleteSource {
	return DeleteSource{Tenant: d.tenant(), PublicID: d.string(1, MaxNameBytes, "source id")}
}

// appendSource is the form of a source in snapshots.
func appendSource(b []byte, s *Source) []byte {
	b = appendGivenSource(b, s)
	b = appendString(b, s.Previous.Sealed)
	return binary.AppendVarint(b, s.Previous.EndsAtMs)
}

func (d *decoder) source() Source {
	s := d.givenSource()
	s.Previous.Sealed = d.kept(0, MaxSealedSecretBytes, "previous signing secret")
	s.Previous.EndsAtMs = d.integer(0, maxInstantMs, "end of the previous signing secret")
	if (s.Previous.EndsAtMs > 0) != (len(s.Previous.Sealed) > 0) {
		d.fail("previous signing secret without an end, or an end without one")
	}
	return s
}

// appendGivenSource is the form of a source in the log, where a previous signing secret has no business: that one is told
// of by the entry that has brought it.
func appendGivenSource(b []byte, s *Source) []byte {
	b = binary.AppendUvarint(b, uint64(s.ID))
	b = binary.AppendUvarint(b, uint64(s.Tenant))
	for _, text := range []string{s.PublicID, s.Provider, s.Name, s.CallbackURL} {
		b = appendString(b, text)
	}
	b = appendBool(b, s.Disabled)
	b = appendString(b, s.DisabledReason)
	b = appendString(b, s.Options)
	b = binary.AppendUvarint(b, uint64(len(s.Secrets)))
	for _, secret := range s.Secrets {
		b = appendString(b, secret.PublicID)
		b = appendString(b, secret.Sealed)
		b = appendString(b, secret.Hint)
		b = binary.AppendVarint(b, secret.CreatedAtMs)
	}
	b = appendString(b, s.SigningSecret)
	b = appendBool(b, s.Raw)
	b = binary.AppendVarint(b, s.DedupeWindowMs)
	b = binary.AppendUvarint(b, uint64(len(s.RetryDelaysMs)))
	for _, ms := range s.RetryDelaysMs {
		b = binary.AppendVarint(b, ms)
	}
	for _, v := range []int64{s.MaxConcurrency, s.MaxPerSecond, s.CreatedAtMs, s.UpdatedAtMs} {
		b = binary.AppendVarint(b, v)
	}
	return binary.AppendUvarint(b, s.Revision)
}

func (d *decoder) givenSource() Source {
	s := Source{
		ID:             d.sourceID(),
		Tenant:         d.tenant(),
		PublicID:       d.string(1, MaxNameBytes, "source id"),
		Provider:       d.string(1, MaxSlugBytes, "provider"),
		Name:           d.string(1, MaxSlugBytes, "source name"),
		CallbackURL:    d.string(0, MaxURLBytes, "callback url"),
		Disabled:       d.bool("disabled"),
		DisabledReason: d.string(0, MaxNameBytes, "reason"),
		Options:        d.kept(0, MaxSourceOptionsBytes, "options"),
	}
	for range d.length(MaxSourceSecrets, "secrets") {
		s.Secrets = append(s.Secrets, SourceSecret{
			PublicID:    d.string(1, MaxNameBytes, "secret id"),
			Sealed:      d.kept(1, MaxSealedSecretBytes, "secret"),
			Hint:        d.string(0, MaxNameBytes, "hint"),
			CreatedAtMs: d.integer(0, maxInstantMs, "created"),
		})
	}
	s.SigningSecret = d.kept(0, MaxSealedSecretBytes, "signing secret")
	s.Raw = d.bool("raw")
	s.DedupeWindowMs = d.integer(MinDedupeWindowMs, MaxDedupeWindowMs, "dedupe window")
	for range d.length(MaxRetryDelays, "retry delays") {
		s.RetryDelaysMs = append(s.RetryDelaysMs, d.integer(0, MaxRetryDelayMs, "retry delay"))
	}
	s.MaxConcurrency = d.integer(0, MaxSourceConcurrency, "concurrency")
	s.MaxPerSecond = d.integer(0, MaxSourceRate, "rate")
	s.CreatedAtMs = d.integer(0, maxInstantMs, "created")
	s.UpdatedAtMs = d.integer(0, maxInstantMs, "updated")
	s.Revision = d.uvarint("revision")
	return s
}

func (d *decoder) sourceID() SourceID {
	v := d.uvarint("source")
	if v > 1<<32-1 {
		d.fail("source")
	}
	return SourceID(v)
}

// kept reads bytes that are to outlive the input; nil for none.
func (d *decoder) kept(lo, hi int, what string) []byte {
	return append([]byte(nil), d.bytes(lo, hi, what)...)
}

func (c AcceptEvent) appendPayload(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(c.Tenant))
	b = binary.AppendUvarint(b, uint64(c.Source))
	b = binary.AppendUvarint(b, c.Nonce)
	for _, text := range []string{c.ProviderID, c.RawType, c.Type} {
		b = appendString(b, text)
	}
	b = binary.AppendVarint(b, c.OccurredAtMs)
	b = appendBool(b, c.Synthetic)
	b = append(b, c.BodyHash[:]...)
	return appendString(b, c.Payload)
}

func decodeAcceptEvent(d *decoder) AcceptEvent {
	c := AcceptEvent{
		Tenant:       d.tenant(),
		Source:       d.sourceID(),
		Nonce:        d.uvarint("nonce"),
		ProviderID:   d.string(1, MaxKeyBytes, "event id"),
		RawType:      d.string(0, MaxEventTypeBytes, "raw type"),
		Type:         d.string(0, MaxEventTypeBytes, "type"),
		OccurredAtMs: d.integer(-maxInstantMs, maxInstantMs, "occurred"),
		Synthetic:    d.bool("synthetic"),
		BodyHash:     d.bodyHash(),
		Payload:      d.kept(0, MaxEventPayloadBytes, "payload"),
	}
	if c.Nonce == 0 || c.Source == 0 {
		d.fail("nonce or source")
	}
	return c
}

func (d *decoder) bodyHash() (h [16]byte) {
	copy(h[:], d.take(len(h), "body hash"))
	return h
}

func (d *decoder) eventID() EventID { return EventID{d.uvarint("event"), d.uvarint("event")} }

func appendEventID(b []byte, id EventID) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, id.Seq), id.Nonce)
}

func appendAttempt(b []byte, a *Attempt) []byte {
	b = binary.AppendVarint(b, a.StartedAtMs)
	b = binary.AppendVarint(b, a.LatencyMs)
	b = binary.AppendUvarint(b, uint64(a.StatusCode))
	b = appendString(b, a.Error)
	return appendString(b, a.Replay)
}

func (d *decoder) attempt() Attempt {
	return Attempt{
		StartedAtMs: d.integer(0, maxInstantMs, "started"),
		LatencyMs:   d.integer(0, maxInstantMs, "latency"),
		StatusCode:  uint16(min(d.uvarint("status code"), 1<<16-1)),
		Error:       d.string(0, MaxAttemptErrorBytes, "error"),
		Replay:      d.string(0, MaxNameBytes, "replay"),
	}
}

func (c ReportAttempt) appendPayload(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(c.Tenant))
	b = appendEventID(b, c.Event)
	b = binary.AppendUvarint(b, uint64(c.Number))
	b = appendAttempt(b, &c.Attempt)
	b = append(b, byte(c.Verdict))
	b = binary.AppendVarint(b, c.NextAtMs)
	b = appendBool(b, c.SetPayload)
	b = append(b, byte(c.Form))
	return appendString(b, c.Payload)
}

func decodeReportAttempt(d *decoder) ReportAttempt {
	return ReportAttempt{
		Tenant:     d.tenant(),
		Event:      d.eventID(),
		Number:     uint32(min(d.uvarint("attempt"), 1<<32-1)),
		Attempt:    d.attempt(),
		Verdict:    Verdict(d.small(byte(VerdictDelivered), byte(verdictEnd), "verdict")),
		NextAtMs:   d.integer(0, maxInstantMs, "next attempt"),
		SetPayload: d.bool("set payload"),
		Form:       PayloadForm(d.small(0, byte(payloadFormsEnd), "form")),
		Payload:    d.kept(0, MaxEventPayloadBytes, "payload"),
	}
}

// small reads a byte in [lo, end).
func (d *decoder) small(lo, end byte, what string) byte {
	b := d.take(1, what)
	if len(b) != 1 || b[0] < lo || b[0] >= end {
		d.fail(what)
		return lo
	}
	return b[0]
}

func appendEventIDs(b []byte, ids []EventID) []byte {
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for _, id := range ids {
		b = appendEventID(b, id)
	}
	return b
}

func (d *decoder) eventIDs() (ids []EventID) {
	n := d.length(MaxEventsPerCommand, "events")
	if n == 0 {
		d.fail("events")
	}
	for range n {
		ids = append(ids, d.eventID())
	}
	return ids
}

func (c ReplayEvents) appendPayload(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(c.Tenant))
	b = appendEventIDs(b, c.Events)
	return appendString(b, c.Nonce)
}

func decodeReplayEvents(d *decoder) ReplayEvents {
	return ReplayEvents{Tenant: d.tenant(), Events: d.eventIDs(), Nonce: d.string(1, MaxNameBytes, "nonce")}
}

func (c IgnoreEvents) appendPayload(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(c.Tenant))
	return appendEventIDs(b, c.Events)
}

func decodeIgnoreEvents(d *decoder) IgnoreEvents {
	return IgnoreEvents{Tenant: d.tenant(), Events: d.eventIDs()}
}
