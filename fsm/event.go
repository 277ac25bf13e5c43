package fsm

import (
	"encoding/base32"
	"encoding/binary"
	"strings"
)

// Limits of events.
const (
	MaxEventTypeBytes    = 256
	MaxEventPayloadBytes = 1 << 20 // of a payload as it is kept, encrypted
	MaxEventDetailBytes  = 1 << 10
	MaxAttemptErrorBytes = 256
	// MaxKeptAttempts and MaxKeptDuplicates are how many of an event's attempts and repetitions are remembered, the newest;
	// all are counted.
	MaxKeptAttempts   = 20
	MaxKeptDuplicates = 16
	// MaxEventsPerTenant and MaxEventBytesPerTenant bound what is kept for a tenant. To make room the oldest that is
	// settled goes first; what is not settled is never dropped, a new event is refused instead.
	MaxEventsPerTenant     = 200_000
	MaxEventBytesPerTenant = 256 << 20
	// MaxEventsPerCommand bounds the events that one command replays or ignores.
	MaxEventsPerCommand = 500

	// DefaultEventRetentionMs and DefaultPayloadRetentionMs are for how long a settled event, and what is left of its
	// payload, are kept, counted from when it was received, unless the plan says otherwise.
	DefaultEventRetentionMs   = 180 * dayMs
	DefaultPayloadRetentionMs = 30 * dayMs
	MaxRetentionMs            = 3_660 * dayMs
)

// OwnProvider is the provider of the events that the cluster itself makes, such as warnings before a limit is reached.
const OwnProvider = "syllecta"

// EventID identifies an event. Seq rises with every event of the cluster; Nonce is drawn by the proposer, so that no id
// comes again after a restore from backup.
type EventID struct{ Seq, Nonce uint64 }

const eventIDPrefix = "evt_"

var eventIDEncoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// String returns the id as callers see it, "evt_" and 26 letters and digits. Ids sort as their events were accepted.
func (id EventID) String() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], id.Seq)
	binary.BigEndian.PutUint64(b[8:], id.Nonce)
	return eventIDPrefix + eventIDEncoding.EncodeToString(b[:])
}

// ParseEventID is the reverse of EventID.String; ok is false for what that never returns.
func ParseEventID(s string) (id EventID, ok bool) {
	text, ok := strings.CutPrefix(s, eventIDPrefix)
	if !ok {
		return EventID{}, false
	}
	b, err := eventIDEncoding.DecodeString(text)
	if err != nil || len(b) != 16 {
		return EventID{}, false
	}
	id = EventID{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
	return id, id.String() == s
}

// EventStatus is where an event is in its life. Values are part of the log and snapshot formats.
type EventStatus uint8

// The statuses of an event. Those from EventProcessed on are settled.
const (
	// EventQueued waits for its next attempt. While its source is disabled it is shown as held, see [Event.StatusIn].
	EventQueued EventStatus = iota + 1
	// EventHeld was accepted over the plan's limit, and waits to be replayed.
	EventHeld
	// EventFailed is a dead letter: no attempt of its schedule succeeded. It waits to be replayed, or ignored.
	EventFailed
	// EventProcessed was delivered.
	EventProcessed
	// EventIgnored is not to be delivered: it has no destination, its tenant is suspended, or somebody said so.
	EventIgnored

	eventStatusEnd
)

var eventStatusNames = [...]string{"", "queued", "held", "delivery_failed", "processed", "ignored"}

func (s EventStatus) String() string {
	if s == 0 || s >= eventStatusEnd {
		return "unknown"
	}
	return eventStatusNames[s]
}

// EventStatusNamed returns the status of that name; ok is false if there is none.
func EventStatusNamed(name string) (s EventStatus, ok bool) {
	for i, known := range eventStatusNames {
		if i > 0 && known == name {
			return EventStatus(i), true
		}
	}
	return 0, false
}

// Settled reports whether nothing more is to happen to an event, so that it may be dropped when its time is over.
func (s EventStatus) Settled() bool { return s >= EventProcessed }

// PayloadForm is what is left of an event's payload. Values are part of the log and snapshot formats.
type PayloadForm uint8

// The forms of a payload.
const (
	PayloadNone    PayloadForm = iota // dropped, or never there
	PayloadWhole                      // as it came
	PayloadPartial                    // redacted
	payloadFormsEnd
)

var payloadFormNames = [...]string{"none", "raw", "redacted"}

func (f PayloadForm) String() string {
	if f >= payloadFormsEnd {
		return "unknown"
	}
	return payloadFormNames[f]
}

// Event is a webhook's event. It never changes once it can be seen: a command that changes it makes a new one.
type Event struct {
	ID     EventID
	Tenant TenantID
	Source SourceID // 0 for one of OwnProvider that no source is there for
	// Provider and SourceName are the source's.
	Provider   string
	SourceName string
	// ProviderID is the provider's own id of the event, by which repetitions are recognised.
	ProviderID   string
	RawType      string
	Type         string
	OccurredAtMs int64 // by the provider's clock; 0 if it did not say
	ReceivedAtMs int64 // on the committed clock
	// Synthetic tells an event that was simulated.
	Synthetic bool
	// Detail is the payload, as JSON, of an event of OwnProvider; "" for all others.
	Detail string

	Status EventStatus
	// Payload is encrypted under the tenant's data key; Form says what it is.
	Payload []byte
	Form    PayloadForm
	// BodyHash is the beginning of the SHA-256 of what the provider sent. Mismatch tells that a repetition had another.
	BodyHash [16]byte
	Mismatch bool

	// NextAtMs is when the next attempt is due, on the committed clock; of a queued event.
	NextAtMs int64
	// Attempts counts all attempts, Tries those since the event was accepted or replayed last.
	Attempts, Tries uint32
	Kept            []Attempt // the newest
	// Replay is the nonce of the last replay, "" if there was none; Replays counts them.
	Replay  string
	Replays uint32
	// Duplicates counts the repetitions that were answered as cached.
	Duplicates     uint64
	KeptDuplicates []int64 // when the newest came, on the committed clock
	// repeats are the nonces of those, by which one that its proposer sends again is told from another.
	repeats     []uint64
	SettledAtMs int64
	// SweepAtMs is when the next of a settled event is dropped: its payload, then itself.
	SweepAtMs int64
}

// Attempt is one attempt to deliver an event.
type Attempt struct {
	StartedAtMs int64 // on the committed clock, as the leader carries it on
	LatencyMs   int64
	StatusCode  uint16 // 0 if there was no answer
	Error       string // why there was none, 0…MaxAttemptErrorBytes
	Replay      string // the nonce of the replay that it belongs to
}

// StatusIn returns the status as it is shown: a queued event is held while its source is disabled, or its tenant
// suspended.
func (e *Event) StatusIn(d *Directory) EventStatus {
	if e.Status == EventQueued && !d.delivers(e.Source) {
		return EventHeld
	}
	return e.Status
}

// delivers reports whether a source's events are delivered.
func (d *Directory) delivers(id SourceID) bool {
	s := d.sources[id]
	return s != nil && !s.Disabled && !d.Tenant(s.Tenant).Suspended
}

// whole reports whether there is all to deliver that there was. What is left of a redacted payload is for people to read:
// a destination would take it for the event.
func (e *Event) whole() bool { return e.Form == PayloadWhole || e.Detail != "" }
