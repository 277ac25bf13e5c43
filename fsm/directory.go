package fsm

// Tenant owns records. Its members are immutable; an update replaces the Tenant in the Directory.
type Tenant struct {
	ID            TenantID
	PublicID      string
	Slug          string
	Name          string
	MonthlyClaims int64 // grants allowed per UTC month; 0 leaves it to the plan
	CreatedAtMs   int64
	// Plan names the plan; "" is UnlimitedPlan.
	Plan string
	// Suspended tenants are granted no locks. All else is answered as ever: what was begun can be ended.
	Suspended bool
	// PayloadPolicy is what is kept of the payloads of delivered events.
	PayloadPolicy PayloadPolicy
	// DataKey is the tenant's data key, encrypted under a key-encryption key; "" until it is needed.
	DataKey string
}

// PlanName returns the name of the tenant's plan.
func (t *Tenant) PlanName() string {
	if t.Plan == "" {
		return UnlimitedPlan
	}
	return t.Plan
}

// APIKey authenticates calls for a tenant. Only its hash is kept.
type APIKey struct {
	Tenant      TenantID
	PublicID    string
	Name        string
	Hash        [32]byte
	Hint        string
	CreatedAtMs int64
	RevokedAtMs int64 // 0 while the key is good
	// Scopes is what the key is good for; 0 is everything.
	Scopes Scopes
	// ExpiresAtMs is when it stops being good; 0 is never.
	ExpiresAtMs int64
	// LastUsedMs is the hour, by its beginning, in which a leader last met the key; 0 is never.
	LastUsedMs int64
}

// Good reports whether the key opens anything at an instant.
func (k *APIKey) Good(nowMs int64) bool {
	return k.RevokedAtMs == 0 && (k.ExpiresAtMs == 0 || nowMs < k.ExpiresAtMs)
}

// Scopes is a set of what an API key may be used for. Its bits are part of the log format.
type Scopes uint32

// The scopes of a key.
const (
	ScopeRecordsRead Scopes = 1 << iota
	ScopeRecordsWrite
	// ScopeUsageRead is for the tenant's own usage.
	ScopeUsageRead
	// ScopeEventsRead is for the tenant's events.
	ScopeEventsRead
	// ScopeWebhooksWrite is for receiving webhooks, changing sources, and replaying events.
	ScopeWebhooksWrite
	// ScopeAdminTenant is for the tenant's own settings, keys and usage.
	ScopeAdminTenant

	// AllScopes is every scope that this build knows.
	AllScopes = ScopeAdminTenant<<1 - 1
)

// Allows reports whether a key with these scopes is good for all of the wanted ones.
func (s Scopes) Allows(wanted Scopes) bool { return s == 0 || s&wanted == wanted }

// Directory is the control-plane part of the state: who may call, and which nodes belong together.
//
// A Directory never changes once it can be seen: a command that changes it makes a new one, so readers need no lock.
type Directory struct {
	ClusterID     string
	KeyHashSecret [32]byte
	// FeatureLevel is what the cluster may use, 1 when it is new; FeatureVersion is the oldest release that knows that
	// level, "" for level 1.
	FeatureLevel   uint32
	FeatureVersion string

	tenants []*Tenant          // in order of creation; tenants[i].ID == i+1
	byName  map[string]*Tenant // by slug and by public id
	keys    map[[32]byte]*APIKey
	byTen   map[TenantID][]*APIKey // in order of creation
	plans   []*Plan                // sorted by name, without UnlimitedPlan
	members []*Member              // not retired, in order of admission
	retired []*Member              // in order of retirement

	lastSource      SourceID // that was assigned
	sources         map[SourceID]*Source
	sourcesByTenant map[TenantID][]*Source // in order of creation
}

// Tenants returns all tenants in order of creation. The caller must not change the slice.
func (d *Directory) Tenants() []*Tenant { return d.tenants }

// Tenant returns the tenant with that id, or nil.
func (d *Directory) Tenant(id TenantID) *Tenant {
	if id == 0 || int(id) > len(d.tenants) {
		return nil
	}
	return d.tenants[id-1]
}

// TenantByName returns the tenant with that slug or public id, or nil.
func (d *Directory) TenantByName(name string) *Tenant { return d.byName[name] }

// KeyByHash returns the API key with that hash, revoked or not, or nil.
func (d *Directory) KeyByHash(hash [32]byte) *APIKey { return d.keys[hash] }

// Keys returns a tenant's keys in order of creation, the revoked ones included. The caller must not change the slice.
func (d *Directory) Keys(id TenantID) []*APIKey { return d.byTen[id] }
