package fsm

// PutDataKey gives a tenant the key, encrypted under a key-encryption key, under which its secrets and payloads are
// encrypted. It is set once; Replace sets it to the same key under another key-encryption key, if Old is what it was.
type PutDataKey struct {
	Tenant  TenantID
	Wrapped []byte // 1…MaxDataKeyBytes
	Replace bool
	Old     []byte
}

// PutSource adds a source, or changes the one with that public id.
type PutSource struct {
	// Source is the whole of it. ID, Previous, CreatedAtMs, UpdatedAtMs and Revision are assigned when it is applied.
	Source Source
	// IfRevision is the revision of the source that is changed; 0 adds one.
	IfRevision uint64
	// OverlapMs is for how long the signing secret stays good that another takes the place of: 0…MaxSigningOverlapMs. With 0
	// it ends at once, and so does one before it; otherwise the change is refused with LimitReached while there is one.
	OverlapMs int64
}

// DeleteSource removes a source for which no event waits. Its events stay.
type DeleteSource struct {
	Tenant   TenantID
	PublicID string
}

// AcceptEvent accepts an event that its provider has signed, unless it was before.
type AcceptEvent struct {
	Tenant       TenantID
	Source       SourceID
	Nonce        uint64 // drawn by the proposer, not 0; becomes a part of the event's id, and the same if it is sent again
	ProviderID   string // 1…MaxKeyBytes
	RawType      string // 0…MaxEventTypeBytes
	Type         string // 0…MaxEventTypeBytes
	OccurredAtMs int64
	Synthetic    bool
	BodyHash     [16]byte
	Payload      []byte // encrypted; 0…MaxEventPayloadBytes
}

// Verdict is what comes of an attempt to deliver an event. Values are part of the log format.
type Verdict uint8

// The verdicts.
const (
	VerdictDelivered Verdict = iota + 1
	// VerdictRetry has another attempt made at NextAtMs.
	VerdictRetry
	// VerdictFailed gives up: the event is a dead letter.
	VerdictFailed
	// VerdictDisable disables the source, as its destination asked for; the event waits.
	VerdictDisable

	verdictEnd
)

// ReportAttempt tells how an attempt went. It is about the attempt number Number of the event, counted from 1 over all
// of them; if that one was reported before, or the event is not queued any more, or was replayed since the attempt began,
// nothing changes.
type ReportAttempt struct {
	Tenant  TenantID
	Event   EventID
	Number  uint32
	Attempt Attempt
	Verdict Verdict
	// NextAtMs is when the next attempt is due; of VerdictRetry.
	NextAtMs int64
	// SetPayload has the payload replaced, as the tenant's payload policy wants it once it was delivered.
	SetPayload bool
	Form       PayloadForm
	Payload    []byte
}

// ReplayEvents has events delivered again whose status is any but queued and that still have their payload.
type ReplayEvents struct {
	Tenant TenantID
	Events []EventID // 1…MaxEventsPerCommand
	Nonce  string    // drawn by the proposer, 1…MaxNameBytes
}

// IgnoreEvents settles events that wait, are held or failed: they are not delivered.
type IgnoreEvents struct {
	Tenant TenantID
	Events []EventID // 1…MaxEventsPerCommand
}
