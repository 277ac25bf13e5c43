package fsm

// Limits of a record's identity and attributes. They are checked where a command is decoded, so that no entry in the
// log can exceed them, and at the HTTP edge, where the caller is told which field is at fault.
const (
	MaxScopeBytes       = 128
	MaxKeyBytes         = 512
	MaxOwnerBytes       = 128 // of the caller's own part
	OwnerPrefixBytes    = 2   // lets the edge keep callers' owners and request ids apart
	MaxFingerprintBytes = 256
	MaxHeadersBytes     = 8 << 10
	MaxBodyBytes        = 1 << 20 // hard cap of the configurable body limit
	MaxNameBytes        = 128
	MaxSlugBytes        = 64
	MaxNodeIDBytes      = 63
	MaxDiskIDBytes      = 64

	MinLeaseMs = 1_000
	MaxLeaseMs = 86_400_000
	MaxTTLMs   = 10 * 366 * 86_400_000 // hard cap of the configurable TTL maximum

	MinStatus = 100
	MaxStatus = 599
)

// CommandType names a command in the log. Values are part of the log format: they are appended to, never renumbered.
type CommandType uint8

const (
	TypeInit      CommandType = 1
	TypeEstablish CommandType = 2

	TypeRaiseFeatureLevel CommandType = 3
	TypeAdmitMember       CommandType = 4
	TypeRetireMember      CommandType = 5

	TypeClaim    CommandType = 10
	TypeComplete CommandType = 11
	TypeRenew    CommandType = 12
	TypeRelease  CommandType = 13
	TypeDelete   CommandType = 14

	TypeCreateTenant CommandType = 20
	TypeUpdateTenant CommandType = 21
	TypeCreateKey    CommandType = 22
	TypeRevokeKey    CommandType = 23
	TypePutPlan      CommandType = 24
	TypeDeletePlan   CommandType = 25

	TypePutDataKey   CommandType = 26
	TypePutSource    CommandType = 27
	TypeDeleteSource CommandType = 28

	TypeTally   CommandType = 30
	TypeAudited CommandType = 31

	TypeAcceptEvent   CommandType = 40
	TypeReportAttempt CommandType = 41
	TypeReplayEvents  CommandType = 42
	TypeIgnoreEvents  CommandType = 43
)

// Command is one state change asked of the machine. What it means is decided when it is applied, by the state and the
// stamp it meets there; a command carries no judgement of the node that proposed it.
type Command interface {
	commandType() CommandType
	appendPayload([]byte) []byte
}

// TenantID is the machine's own small number for a tenant, assigned in order of creation and never reused.
// Zero is no tenant.
type TenantID uint32

// RecordID identifies a record: scope and key as the caller sent them, compared as bytes, within one tenant.
type RecordID struct {
	Tenant TenantID
	Scope  string // 1…MaxScopeBytes
	Key    string // 1…MaxKeyBytes
}

// Token proves that its bearer holds a lock. It is drawn at random by the proposer.
type Token [16]byte

// IsZero reports whether t is absent.
func (t Token) IsZero() bool { return t == Token{} }

// Claim asks for the lock on a record (POST /v1/record).
type Claim struct {
	ID RecordID
	// Owner lets a caller that lost the answer re-enter its own lock. The edge fills it with the request's id when
	// the caller names none, so it is never empty.
	Owner string
	// Token becomes the holder's token if this claim is granted.
	Token Token
	// LeaseMs is how long the grant protects the holder: MinLeaseMs…MaxLeaseMs, or 0 for a lock that is never
	// taken over.
	LeaseMs int64
	// TTLMs is the life of the lock, and of the record if Complete names none: 1000…MaxTTLMs.
	TTLMs int64
	// Fingerprint identifies the caller's request, so that a key reused for another request is refused; "" checks nothing.
	Fingerprint string
}

// Complete stores a record's result (PUT /v1/record).
type Complete struct {
	ID RecordID
	// Token is the holder's token; the zero Token completes whoever holds the lock.
	Token   Token
	Status  uint16 // MinStatus…MaxStatus
	Headers []byte // JSON object, verbatim; at most MaxHeadersBytes
	Body    []byte // JSON value, verbatim; at most MaxBodyBytes
	// TTLMs is the record's life from completion. With InheritTTL it is used only if no lock says otherwise.
	TTLMs      int64
	InheritTTL bool
}

// Renew extends the lease of the lock that Token holds (POST /v1/record/renew).
type Renew struct {
	ID    RecordID
	Token Token
	// LeaseMs counts from the renewal. With KeepLease the length of the grant is used again.
	LeaseMs   int64
	KeepLease bool
}

// Release gives the lock that Token holds back, so that another caller may try (POST /v1/record/release).
type Release struct {
	ID    RecordID
	Token Token
}

// Delete forgets a record or lock, whoever holds it (DELETE /v1/record).
type Delete struct {
	ID RecordID
}

// Init gives a new cluster its identity. Only the first one in a log has an effect.
type Init struct {
	ClusterID string
	// KeyHashSecret is the HMAC-SHA-256 key under which API keys are stored.
	KeyHashSecret [32]byte
}

// Establish is the first entry of every leader's term.
type Establish struct {
	// GraceMs is added to every live lease, so that a holder can reach the new leader before it loses its lock.
	GraceMs int64
	// ClockMs is where the committed clock goes on if no node carried it and wall clocks had to say what time it is; 0
	// otherwise. The entry's own stamp is then the last one before. The clock stood still for an unknown time, so leases
	// that were live when it did are moved along: what a wall clock says ends no lease.
	ClockMs int64
}

// RaiseFeatureLevel allows the cluster to use what the level stands for, see FeatureLevel. It is proposed when every
// node knows the level; a node that does not know it stops there. A level that is not above the cluster's changes
// nothing.
type RaiseFeatureLevel struct {
	Level   uint32 // 1…MaxFeatureLevel
	Version string // the oldest release that knows the level; 1…MaxNameBytes
}

// AdmitMember adds a node to the cluster's members, or updates the one with that id.
type AdmitMember struct {
	NodeID string // 1…MaxNodeIDBytes
	// DiskID tells the node's data directory from any other that may bear the same id, 0…MaxDiskIDBytes. Once known it
	// stays; "" says nothing about it.
	DiskID string
	// NonVoter tells that the node is never to vote.
	NonVoter bool
}

// RetireMember takes a node out of the members. Its id is not admitted again.
type RetireMember struct {
	NodeID string // 1…MaxNodeIDBytes; it need not be a member's
}

// CreateTenant adds a tenant.
type CreateTenant struct {
	PublicID string // drawn by the proposer, "ten_…"
	Slug     string // [a-z0-9-], 1…MaxSlugBytes, unique for ever
	Name     string // 0…MaxNameBytes
	// MonthlyClaims is the number of grants allowed per UTC month; 0 leaves it to the plan.
	MonthlyClaims int64
	// Plan names the tenant's plan; "" is UnlimitedPlan. Anything else is version 2 of the command.
	Plan string
}

// UpdateTenant changes what is set. Plan and status are version 2 of the command, the payload policy is version 3.
type UpdateTenant struct {
	Tenant           TenantID
	SetName          bool
	Name             string
	SetMonthlyClaims bool
	MonthlyClaims    int64
	SetPlan          bool
	Plan             string // "" is UnlimitedPlan
	SetSuspended     bool
	Suspended        bool
	SetPayloadPolicy bool
	PayloadPolicy    PayloadPolicy
}

// CreateKey adds an API key to a tenant. The secret itself is never in the log.
type CreateKey struct {
	Tenant   TenantID
	PublicID string // drawn by the proposer, "key_…"
	Name     string
	Hash     [32]byte // HMAC-SHA-256 of the key under Init.KeyHashSecret
	Hint     string   // the key's last characters, for people to tell keys apart
	// Scopes and ExpiresAtMs are version 2 of the command.
	Scopes      Scopes // what the key is good for; 0 is everything
	ExpiresAtMs int64  // when it stops being good, in Unix milliseconds; 0 is never
}

// RevokeKey ends an API key. The tenant's records stay.
type RevokeKey struct {
	Tenant   TenantID
	PublicID string
}

// PutPlan adds a plan, or changes the one of that name. UnlimitedPlan cannot be changed.
type PutPlan struct {
	Plan Plan
}

// DeletePlan removes a plan that no tenant has. The built-in ones stay.
type DeletePlan struct {
	Name string
}

// Tally tells what a leader counted of what it answered without the log.
type Tally struct {
	Counts []TenantCount // at most MaxTallyCounts
	Uses   []KeyUse      // at most MaxTallyUses
}

// TenantCount is how often something happened to a tenant.
type TenantCount struct {
	Tenant TenantID
	Meter  Meter
	Count  int64 // 1 or more
}

// KeyUse is when an API key was last used.
type KeyUse struct {
	Tenant   TenantID
	PublicID string
	AtMs     int64
}

// Audited is a command of the control plane with who asked for it, for the audit log. Its result is the command's.
type Audited struct {
	By      Actor
	Command Command // PutPlan, DeletePlan, CreateTenant, UpdateTenant, CreateKey, RevokeKey or RetireMember
}

func (Init) commandType() CommandType              { return TypeInit }
func (Establish) commandType() CommandType         { return TypeEstablish }
func (RaiseFeatureLevel) commandType() CommandType { return TypeRaiseFeatureLevel }
func (AdmitMember) commandType() CommandType       { return TypeAdmitMember }
func (RetireMember) commandType() CommandType      { return TypeRetireMember }
func (Claim) commandType() CommandType             { return TypeClaim }
func (Complete) commandType() CommandType          { return TypeComplete }
func (Renew) commandType() CommandType             { return TypeRenew }
func (Release) commandType() CommandType           { return TypeRelease }
func (Delete) commandType() CommandType            { return TypeDelete }
func (CreateTenant) commandType() CommandType      { return TypeCreateTenant }
func (UpdateTenant) commandType() CommandType      { return TypeUpdateTenant }
func (CreateKey) commandType() CommandType         { return TypeCreateKey }
func (RevokeKey) commandType() CommandType         { return TypeRevokeKey }
func (PutPlan) commandType() CommandType           { return TypePutPlan }
func (DeletePlan) commandType() CommandType        { return TypeDeletePlan }
func (Tally) commandType() CommandType             { return TypeTally }
func (Audited) commandType() CommandType           { return TypeAudited }
