package fsm

import (
	"maps"
	"slices"
)

func newDirectory() *Directory {
	return &Directory{
		FeatureLevel: 1,
		byName:       make(map[string]*Tenant),
		keys:         make(map[[32]byte]*APIKey),
		byTen:        make(map[TenantID][]*APIKey),
		plans:        []*Plan{starterPlan()},

		sources:         make(map[SourceID]*Source),
		sourcesByTenant: make(map[TenantID][]*Source),
	}
}

// clone returns a copy that may be changed. Changes of the control plane are rare, so copying it whole is cheap enough
// and leaves the readers without a lock.
func (d *Directory) clone() *Directory {
	return &Directory{
		ClusterID:      d.ClusterID,
		KeyHashSecret:  d.KeyHashSecret,
		FeatureLevel:   d.FeatureLevel,
		FeatureVersion: d.FeatureVersion,
		tenants:        slices.Clone(d.tenants),
		byName:         maps.Clone(d.byName),
		keys:           maps.Clone(d.keys),
		byTen:          maps.Clone(d.byTen),
		plans:          slices.Clone(d.plans),
		members:        slices.Clone(d.members),
		retired:        slices.Clone(d.retired),

		lastSource:      d.lastSource,
		sources:         maps.Clone(d.sources),
		sourcesByTenant: maps.Clone(d.sourcesByTenant),
	}
}

// setTenant adds or replaces a tenant of a directory that nobody else sees yet.
func (d *Directory) setTenant(t *Tenant) {
	if int(t.ID) > len(d.tenants) {
		d.tenants = append(d.tenants, t)
	} else {
		d.tenants[t.ID-1] = t
	}
	d.byName[t.Slug], d.byName[t.PublicID] = t, t
}

// setKey adds or replaces a key of a directory that nobody else sees yet.
func (d *Directory) setKey(k *APIKey) {
	d.keys[k.Hash] = k
	keys := slices.Clone(d.byTen[k.Tenant])
	for i, old := range keys {
		if old.PublicID == k.PublicID {
			keys[i] = k
			d.byTen[k.Tenant] = keys
			return
		}
	}
	d.byTen[k.Tenant] = append(keys, k)
}

// removeKey forgets a key of a directory that nobody else sees yet.
func (d *Directory) removeKey(k *APIKey) {
	delete(d.keys, k.Hash)
	d.byTen[k.Tenant] = slices.DeleteFunc(slices.Clone(d.byTen[k.Tenant]), func(other *APIKey) bool { return other == k })
}

// oldestEnded returns the key that makes room for a new one, or nil: a revoked one, or else one that has expired.
func (d *Directory) oldestEnded(tenant TenantID, nowMs int64) *APIKey {
	for _, k := range d.byTen[tenant] {
		if k.RevokedAtMs != 0 {
			return k
		}
	}
	for _, k := range d.byTen[tenant] {
		if !k.Good(nowMs) {
			return k
		}
	}
	return nil
}

func (m *Machine) createTenant(c CreateTenant) Result {
	d := m.directory
	if d.byName[c.Slug] != nil || d.byName[c.PublicID] != nil {
		return Result{Outcome: Conflict}
	}
	if !d.hasPlan(c.Plan) {
		return Result{Outcome: NotFound}
	}
	if len(d.tenants) >= MaxTenants {
		return Result{Outcome: LimitReached, Limit: MaxTenants}
	}
	t := &Tenant{
		ID:            TenantID(len(d.tenants) + 1),
		PublicID:      c.PublicID,
		Slug:          c.Slug,
		Name:          c.Name,
		MonthlyClaims: c.MonthlyClaims,
		CreatedAtMs:   m.clockMs,
		Plan:          planReference(c.Plan),
	}
	d = d.clone()
	d.setTenant(t)
	m.directory = d
	return Result{Outcome: TenantCreated, Tenant: t}
}

func (m *Machine) updateTenant(c UpdateTenant) Result {
	old := m.directory.Tenant(c.Tenant)
	if old == nil || c.SetPlan && !m.directory.hasPlan(c.Plan) {
		return Result{Outcome: NotFound}
	}
	t := *old
	if c.SetName {
		t.Name = c.Name
	}
	if c.SetMonthlyClaims {
		t.MonthlyClaims = c.MonthlyClaims
	}
	if c.SetPlan {
		t.Plan = planReference(c.Plan)
	}
	if c.SetSuspended {
		t.Suspended = c.Suspended
		m.events.changes++ // what was held may be due
	}
	if c.SetPayloadPolicy {
		t.PayloadPolicy = c.PayloadPolicy
	}
	d := m.directory.clone()
	d.setTenant(&t)
	m.directory = d
	return Result{Outcome: OK, Tenant: &t}
}

func (m *Machine) createKey(c CreateKey) Result {
	d := m.directory
	if d.Tenant(c.Tenant) == nil {
		return Result{Outcome: NotFound}
	}
	if d.keys[c.Hash] != nil || d.key(c.Tenant, c.PublicID) != nil {
		return Result{Outcome: Conflict}
	}
	full := len(d.byTen[c.Tenant]) >= MaxKeysPerTenant
	if full && d.oldestEnded(c.Tenant, m.clockMs) == nil {
		return Result{Outcome: LimitReached, Limit: MaxKeysPerTenant}
	}
	k := &APIKey{
		Tenant:      c.Tenant,
		PublicID:    c.PublicID,
		Name:        c.Name,
		Hash:        c.Hash,
		Hint:        c.Hint,
		CreatedAtMs: m.clockMs,
		Scopes:      c.Scopes,
		ExpiresAtMs: c.ExpiresAtMs,
	}
	d = d.clone()
	if full {
		d.removeKey(d.oldestEnded(c.Tenant, m.clockMs))
	}
	d.setKey(k)
	m.directory = d
	return Result{Outcome: KeyCreated, Key: k}
}

// revokeKey ends a key. Revoking it again changes nothing.
func (m *Machine) revokeKey(c RevokeKey) Result {
	old := m.directory.key(c.Tenant, c.PublicID)
	if old == nil {
		return Result{Outcome: NotFound}
	}
	if old.RevokedAtMs != 0 {
		return Result{Outcome: OK, Key: old}
	}
	k := *old
	k.RevokedAtMs = m.clockMs
	d := m.directory.clone()
	d.setKey(&k)
	m.directory = d
	return Result{Outcome: OK, Key: &k, Existed: true}
}

func (d *Directory) key(tenant TenantID, publicID string) *APIKey {
	for _, k := range d.byTen[tenant] {
		if k.PublicID == publicID {
			return k
		}
	}
	return nil
}
