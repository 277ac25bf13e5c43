package fsm

// Limits of sources.
const (
	MaxSourcesPerTenant   = 100
	MaxSourceSecrets      = 8
	MaxURLBytes           = 2_048
	MaxSourceOptionsBytes = 4 << 10
	MaxSealedSecretBytes  = 4 << 10 // of a secret as it is kept, encrypted
	MaxDataKeyBytes       = 512     // of a tenant's data key as it is kept, encrypted
	MaxRetryDelays        = 20
	MaxRetryDelayMs       = 7 * dayMs
	MaxSourceConcurrency  = 100
	MaxSourceRate         = 10_000 // deliveries per second

	MinDedupeWindowMs     = 60_000
	MaxDedupeWindowMs     = 30 * dayMs
	DefaultDedupeWindowMs = 7 * dayMs
)

// DefaultSourceName is the name of the source that a webhook is for if it names none.
const DefaultSourceName = "default"

// SourceID is the machine's own small number for a source, assigned in order of creation and never reused. Zero is no
// source.
type SourceID uint32

// Source is where a provider's webhooks come in, and where their events go on to. Its members are immutable; an update
// replaces the Source in the Directory. The machine knows no provider: what concerns the adapters is in Options.
type Source struct {
	ID       SourceID // assigned when it is applied
	Tenant   TenantID
	PublicID string // drawn by the proposer, "src_…"
	Provider string // [a-z0-9-], 1…MaxSlugBytes; never changes
	Name     string // [a-z0-9-], 1…MaxSlugBytes, unique among the tenant's sources of the provider; never changes
	// CallbackURL is where events are delivered, 0…MaxURLBytes; with "" they are kept as EventIgnored.
	CallbackURL string
	// Disabled sources accept events and hold them. DisabledReason says why, 0…MaxNameBytes.
	Disabled       bool
	DisabledReason string
	// Options is the adapter's configuration without its secrets, as JSON, 0…MaxSourceOptionsBytes.
	Options []byte
	// Secrets are the provider's, of which any one verifies; at most MaxSourceSecrets.
	Secrets []SourceSecret
	// SigningSecret is the encrypted key under which deliveries are signed, 0…MaxSealedSecretBytes.
	SigningSecret []byte
	// Previous is the one before, under which they are signed besides until it ends; assigned when it is applied. It is
	// dropped by the entries that come then.
	Previous PreviousSecret
	// Raw has the provider's own bytes and headers delivered instead of the normalised JSON.
	Raw bool
	// DedupeWindowMs is for how long a provider's event id is remembered: MinDedupeWindowMs…MaxDedupeWindowMs.
	DedupeWindowMs int64
	// RetryDelaysMs are the waits before the second and each later attempt, 0…MaxRetryDelayMs each; none is the default
	// schedule. At most MaxRetryDelays.
	RetryDelaysMs []int64
	// MaxConcurrency and MaxPerSecond bound the deliveries to the destination; 0 is the default.
	MaxConcurrency int64 // 0…MaxSourceConcurrency
	MaxPerSecond   int64 // 0…MaxSourceRate

	CreatedAtMs int64
	UpdatedAtMs int64
	// Revision is the log index of the entry that changed it last.
	Revision uint64
}

// SourceSecret is one of a source's secrets, encrypted under the tenant's data key.
type SourceSecret struct {
	PublicID    string // drawn by the proposer, "sec_…"
	Sealed      []byte // 1…MaxSealedSecretBytes
	Hint        string // its last characters, for people to tell secrets apart; 0…MaxNameBytes
	CreatedAtMs int64  // assigned when it is applied, to those that are new
}

// PayloadPolicy says what is kept of an event's payload once it was delivered. Values are part of the log format.
type PayloadPolicy uint8

// The payload policies.
const (
	// PayloadMetadataOnly keeps nothing of it. It is the policy of a tenant that has chosen no other.
	PayloadMetadataOnly PayloadPolicy = iota
	// PayloadRedacted keeps it without what is sensitive.
	PayloadRedacted
	// PayloadRawDebugWindow keeps all of it for the retention of payloads.
	PayloadRawDebugWindow

	payloadPolicyEnd
)

var payloadPolicyNames = [...]string{"metadata_only", "redacted_payload", "raw_debug_window"}

func (p PayloadPolicy) String() string {
	if p >= payloadPolicyEnd {
		return "unknown"
	}
	return payloadPolicyNames[p]
}

// PayloadPolicyNamed returns the policy of that name; ok is false if there is none.
func PayloadPolicyNamed(name string) (p PayloadPolicy, ok bool) {
	for i, known := range payloadPolicyNames {
		if known == name {
			return PayloadPolicy(i), true
		}
	}
	return 0, false
}

// Sources returns a tenant's sources in order of creation. The caller must not change the slice.
func (d *Directory) Sources(id TenantID) []*Source { return d.sourcesByTenant[id] }

// Source returns a tenant's source by its public id, or nil.
func (d *Directory) Source(tenant TenantID, publicID string) *Source {
	for _, s := range d.sourcesByTenant[tenant] {
		if s.PublicID == publicID {
			return s
		}
	}
	return nil
}

// SourceNamed returns a tenant's source of a provider by its name, or nil.
func (d *Directory) SourceNamed(tenant TenantID, provider, name string) *Source {
	for _, s := range d.sourcesByTenant[tenant] {
		if s.Provider == provider && s.Name == name {
			return s
		}
	}
	return nil
}

// SourceByID returns the source with that number, or nil if there is none any more.
func (d *Directory) SourceByID(id SourceID) *Source { return d.sources[id] }
