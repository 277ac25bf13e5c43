package fsm

// Outcome says what a command did.
type Outcome uint8

const (
	// OK: done, with nothing more to tell (Init, Establish, Release, UpdateTenant, RevokeKey, Tally and the commands about
	// feature level, members and plans). Member or Plan is set by the last two; Existed tells whether there was one before.
	OK Outcome = iota + 1
	// Granted: the caller holds the lock. Token, Fence, LeaseMs, Fingerprint are set; Reentered tells a repeated answer.
	Granted
	// InProgress: another caller holds the lock. RetryAfterMs, LeaseRemainingMs, Fingerprint are set.
	InProgress
	// Cached: the record is completed. Record is set.
	Cached
	// Stored: Complete took effect, or had already with an equal value. ExpiresAtMs is set.
	Stored
	// Renewed: the lease now ends LeaseMs from the stamp.
	Renewed
	// Deleted: Existed tells whether there was anything.
	Deleted
	// LockLost: the token holds no lock here. Nothing was changed.
	LockLost
	// AlreadyCompleted: the record holds another value. Nothing was changed.
	AlreadyCompleted
	// FingerprintMismatch: the record belongs to another request. Nothing was changed.
	FingerprintMismatch
	// UsageLimitExceeded: a grant would exceed the tenant's month. Limit and ResetAtMs are set.
	UsageLimitExceeded
	// TenantCreated and KeyCreated: Tenant or Key is set.
	TenantCreated
	KeyCreated
	// NotFound: the tenant, key or plan that was named does not exist.
	NotFound
	// Conflict: the slug or identifier is taken; the plan is in use, or built in. AdmitMember sets Member to whom it
	// meets: retired, or on another disk.
	Conflict
	// LimitReached: a bounded collection (tenants, keys of a tenant, plans, members) is full. Of PutSource also: a source
	// keeps one previous signing secret, and has one; Source is set to what it is.
	LimitReached
	// TenantSuspended: a grant was asked for by a tenant that is granted none.
	TenantSuspended
	// EventAccepted: the event is new. Event is set; its status says what becomes of it.
	EventAccepted
	// EventDuplicate: the event was accepted before. Event is set, unless it was dropped since.
	EventDuplicate
	// StorageFull: the tenant has as many events that are not settled as are kept. Limit is set.
	StorageFull
	// EventsChanged: Count of the events that were named are changed.
	EventsChanged
	// AttemptNoted: Event is set to what it is now.
	AttemptNoted
	// StoredBytesExceeded: a grant or an event would be of a tenant that has as many bytes stored as its plan allows. Limit
	// is set.
	StoredBytesExceeded
)

// NeverMs stands for a lease that never ends where an instant or a length in milliseconds is meant.
const NeverMs int64 = 0

// RetryDelayMs is the suggested delay before asking again for a lock that is held, as the guide shows it.
const RetryDelayMs int64 = 1_500

// Result is a command's answer. Which members are set depends on Outcome.
type Result struct {
	Outcome   Outcome
	Reentered bool
	Existed   bool

	Token Token
	// Fence rises strictly with every grant of the cluster, and stays below 2^53 so that it is exact in JSON.
	Fence uint64
	// LeaseMs is what is left of the lease at the stamp; NeverMs for a lock that is never taken over.
	LeaseMs int64
	// LeaseEndMs is the committed-clock instant at which the lock may be taken over; NeverMs if never.
	LeaseEndMs       int64
	LeaseRemainingMs int64
	RetryAfterMs     int64
	Fingerprint      string

	Record      Record
	ExpiresAtMs int64

	Limit     int64
	ResetAtMs int64

	Tenant *Tenant
	Key    *APIKey
	Member *Member
	Plan   *Plan
	Source *Source
	Event  *Event
	Count  int64
}

// Record is a completed record. Its byte slices alias the machine's append-only storage: read them, never write them.
type Record struct {
	Status      uint16
	Headers     []byte // JSON object, verbatim
	Body        []byte // JSON value, verbatim
	Fingerprint string
	CreatedAtMs int64 // when it was completed, on the committed clock
	ExpiresAtMs int64
}

// State is where a record is in its life, at the committed clock.
type State uint8

const (
	StateAbsent State = iota
	StateLocked
	StateLapsed
	StateCompleted
)

func (s State) String() string {
	switch s {
	case StateLocked:
		return "locked"
	case StateLapsed:
		return "lapsed"
	case StateCompleted:
		return "completed"
	default:
		return "absent"
	}
}

// View is what a read sees of a record.
type View struct {
	State            State
	Record           Record // completed
	Fingerprint      string // locked, lapsed, completed
	LeaseRemainingMs int64  // locked; NeverMs if never taken over
	LeaseEndMs       int64  // locked, lapsed; NeverMs likewise
	// ExpiresAtMs is when the record, or the lock once its lease is over, is forgotten; NeverMs for a lock that is
	// never taken over.
	ExpiresAtMs int64
	// ChangesAtMs is the next instant at which the view changes by the clock alone; NeverMs if at none.
	ChangesAtMs int64
}
