package fsm

import (
	"encoding/binary"
	"fmt"
)

// appendEvent is the form of an event in snapshots.
func appendEvent(b []byte, e *Event) []byte {
	b = binary.AppendUvarint(b, uint64(e.Tenant))
	b = appendEventID(b, e.ID)
	b = binary.AppendUvarint(b, uint64(e.Source))
	for _, text := range []string{e.Provider, e.SourceName, e.ProviderID, e.RawType, e.Type} {
		b = appendString(b, text)
	}
	b = binary.AppendVarint(b, e.OccurredAtMs)
	b = binary.AppendVarint(b, e.ReceivedAtMs)
	b = appendBool(b, e.Synthetic)
	b = appendString(b, e.Detail)
	b = append(b, byte(e.Status), byte(e.Form))
	b = appendString(b, e.Payload)
	b = append(b, e.BodyHash[:]...)
	b = appendBool(b, e.Mismatch)
	b = binary.AppendVarint(b, e.NextAtMs)
	b = binary.AppendUvarint(b, uint64(e.Attempts))
	b = binary.AppendUvarint(b, uint64(e.Tries))
	b = binary.AppendUvarint(b, uint64(len(e.Kept)))
	for i := range e.Kept {
		b = appendAttempt(b, &e.Kept[i])
	}
	b = appendString(b, e.Replay)
	b = binary.AppendUvarint(b, uint64(e.Replays))
	b = binary.AppendUvarint(b, e.Duplicates)
	b = binary.AppendUvarint(b, uint64(len(e.KeptDuplicates)))
	for i, ms := range e.KeptDuplicates {
		b = binary.AppendVarint(b, ms)
		b = binary.AppendUvarint(b, e.repeats[i])
	}
	b = binary.AppendVarint(b, e.SettledAtMs)
	return binary.AppendVarint(b, e.SweepAtMs)
}

func (d *decoder) event() *Event {
	e := &Event{
		Tenant:       d.tenant(),
		ID:           d.eventID(),
		Source:       d.sourceID(),
		Provider:     d.string(1, MaxSlugBytes, "provider"),
		SourceName:   d.string(1, MaxSlugBytes, "source name"),
		ProviderID:   d.string(1, MaxKeyBytes, "event id"),
		RawType:      d.string(0, MaxEventTypeBytes, "raw type"),
		Type:         d.string(0, MaxEventTypeBytes, "type"),
		OccurredAtMs: d.integer(-maxInstantMs, maxInstantMs, "occurred"),
		ReceivedAtMs: d.integer(0, maxInstantMs, "received"),
		Synthetic:    d.bool("synthetic"),
		Detail:       d.string(0, MaxEventDetailBytes, "detail"),
		Status:       EventStatus(d.small(byte(EventQueued), byte(eventStatusEnd), "status")),
		Form:         PayloadForm(d.small(0, byte(payloadFormsEnd), "form")),
		Payload:      d.kept(0, MaxEventPayloadBytes, "payload"),
		BodyHash:     d.bodyHash(),
		Mismatch:     d.bool("mismatch"),
		NextAtMs:     d.integer(0, maxInstantMs, "next attempt"),
		Attempts:     uint32(d.uvarint("attempts")),
		Tries:        uint32(d.uvarint("tries")),
	}
	for range d.length(MaxKeptAttempts, "attempts") {
		e.Kept = append(e.Kept, d.attempt())
	}
	e.Replay = d.string(0, MaxNameBytes, "replay")
	e.Replays = uint32(d.uvarint("replays"))
	e.Duplicates = d.uvarint("duplicates")
	for range d.length(MaxKeptDuplicates, "duplicates") {
		e.KeptDuplicates = append(e.KeptDuplicates, d.integer(0, maxInstantMs, "duplicate"))
		e.repeats = append(e.repeats, d.uvarint("duplicate"))
	}
	e.SettledAtMs = d.integer(0, maxInstantMs, "settled")
	e.SweepAtMs = d.integer(0, maxInstantMs, "sweep")
	return e
}

func (s *sectionReader) readSource(d *decoder) error {
	x := d.source()
	if err := d.finish(); err != nil {
		return err
	}
	dir := s.m.directory
	switch {
	case dir.Tenant(x.Tenant) == nil:
		return fmt.Errorf("%w: source of no tenant", ErrMalformed)
	case x.ID == 0 || x.ID > dir.lastSource || dir.SourceByID(x.ID) != nil:
		return fmt.Errorf("%w: source number %d", ErrMalformed, x.ID)
	case dir.Source(x.Tenant, x.PublicID) != nil || dir.SourceNamed(x.Tenant, x.Provider, x.Name) != nil:
		return fmt.Errorf("%w: source twice", ErrMalformed)
	case len(dir.Sources(x.Tenant)) >= MaxSourcesPerTenant:
		return fmt.Errorf("%w: too many sources of a tenant", ErrMalformed)
	}
	dir.setSource(&x)
	s.m.noteOverlap(&x, nil)
	return nil
}

// readEvent reads an event, which comes behind those before it.
func (s *sectionReader) readEvent(d *decoder) error {
	e := d.event()
	if err := d.finish(); err != nil {
		return err
	}
	switch last := s.lastEvent; {
	case s.m.directory.Tenant(e.Tenant) == nil:
		return fmt.Errorf("%w: event of no tenant", ErrMalformed)
	case e.ID.Seq == 0 || e.ID.Seq > s.m.acceptedEvents:
		return fmt.Errorf("%w: event that was never accepted", ErrMalformed)
	case last != nil && !earlierEvent(last, e):
		return fmt.Errorf("%w: event out of order", ErrMalformed)
	case e.Status == EventQueued && e.Source == 0:
		return fmt.Errorf("%w: queued event of no source", ErrMalformed)
	}
	s.lastEvent = e
	if !s.verifyOnly {
		s.m.events.put(e, nil)
	}
	return nil
}
