package fsm

import (
	"encoding/binary"
	"slices"

	"github.com/syllecta/syllecta/snapshot"
)

// The sections of a snapshot, in their order. Numbers are never reused; those from SectionForeign on belong to the
// machine's owner.
const (
	sectionState snapshot.SectionID = iota + 1
	sectionTenants
	sectionKeys
	sectionUsage
	sectionLocks
	sectionRecords
	sectionMembers
	sectionPlans
	sectionUsageDays
	sectionAudit
	sectionSources
	sectionEvents
	sectionStored

	// SectionForeign is the first section number that Restore passes over.
	SectionForeign snapshot.SectionID = 64
)

// maxInstantMs bounds the instants of locks and records in a snapshot, so that none overflows. It lies far beyond
// MaxStampMs and everything that leases, graces and lifetimes may add to it.
const maxInstantMs = 1 << 53

// form is the version of the state section, on which depends what else there is: form 2 adds feature level and members,
// form 3 plans, usage by day and the audit log, and version 2 of tenants and keys, form 4 sources and events, version 3
// of tenants and version 2 of plans.
type form uint16

const (
	form1 form = 1
	form2 form = 2
	form3 form = 3
	form4 form = 4
)

// form returns the oldest form that can hold the directory: until the cluster's feature level is raised, some of its
// nodes may be of a release that reads no other.
func (d *Directory) form() form {
	switch {
	case d.FeatureLevel >= LevelWebhooks || d.usesWebhooks():
		return form4
	case d.FeatureLevel >= LevelControl || d.usesControl():
		return form3
	case d.FeatureLevel < 2 && len(d.members)+len(d.retired) == 0:
		return form1
	default:
		return form2
	}
}

// usesControl reports whether a plan, tenant or key has something that no form before form 3 holds. Such commands are not
// for clusters below LevelControl, but what has one in its log must not lose it with a restart.
func (d *Directory) usesControl() bool {
	if len(d.plans) != 1 || *d.plans[0] != *starterPlan() {
		return true
	}
	for _, t := range d.tenants {
		if t.Plan != "" || t.Suspended {
			return true
		}
		for _, k := range d.byTen[t.ID] {
			if k.Scopes != 0 || k.ExpiresAtMs != 0 || k.LastUsedMs != 0 {
				return true
			}
		}
	}
	return false
}

// usesWebhooks is usesControl for what no form before form 4 holds.
func (d *Directory) usesWebhooks() bool {
	if d.lastSource > 0 || slices.ContainsFunc(d.plans, (*Plan).hasEvents) {
		return true
	}
	return slices.ContainsFunc(d.tenants, func(t *Tenant) bool { return t.PayloadPolicy != 0 || t.DataKey != "" })
}

func (f form) lastSection() snapshot.SectionID {
	switch f {
	case form1:
		return sectionRecords
	case form2:
		return sectionMembers
	case form3:
		return sectionAudit
	default:
		return sectionStored
	}
}

// of returns the version of a section in this form.
func (f form) of(id snapshot.SectionID) uint16 {
	switch id {
	case sectionState:
		return uint16(f)
	case sectionTenants:
		switch {
		case f >= form4:
			return 3
		case f >= form3:
			return 2
		}
	case sectionKeys:
		if f >= form3 {
			return 2
		}
	case sectionPlans:
		if f >= form4 {
			return 2
		}
	}
	return 1
}

// The records of the sections, each the reverse of a method of sectionReader.

func encodeState(p progress, d *Directory, f form) []byte {
	b := binary.AppendVarint(nil, p.clockMs)
	for _, v := range []uint64{p.index, p.term, p.epoch, p.grants, p.digest} {
		b = binary.AppendUvarint(b, v)
	}
	b = appendString(b, d.ClusterID)
	b = append(b, d.KeyHashSecret[:]...)
	if f == form1 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(d.FeatureLevel))
	b = appendString(b, d.FeatureVersion)
	if f >= form4 {
		b = binary.AppendUvarint(b, uint64(d.lastSource))
		b = binary.AppendUvarint(b, p.acceptedEvents)
	}
	return b
}

func encodeTenant(t *Tenant, version uint16) []byte {
	b := binary.AppendUvarint(nil, uint64(t.ID))
	b = appendString(b, t.PublicID)
	b = appendString(b, t.Slug)
	b = appendString(b, t.Name)
	b = binary.AppendVarint(b, t.MonthlyClaims)
	b = binary.AppendVarint(b, t.CreatedAtMs)
	if version >= 2 {
		b = appendString(b, t.Plan)
		b = appendBool(b, t.Suspended)
	}
	if version >= 3 {
		b = append(b, byte(t.PayloadPolicy))
		b = appendString(b, t.DataKey)
	}
	return b
}

func encodeKey(k *APIKey, version uint16) []byte {
	b := binary.AppendUvarint(nil, uint64(k.Tenant))
	b = appendString(b, k.PublicID)
	b = appendString(b, k.Name)
	b = append(b, k.Hash[:]...)
	b = appendString(b, k.Hint)
	b = binary.AppendVarint(b, k.CreatedAtMs)
	b = binary.AppendVarint(b, k.RevokedAtMs)
	if version >= 2 {
		b = binary.AppendUvarint(b, uint64(k.Scopes))
		b = binary.AppendVarint(b, k.ExpiresAtMs)
		b = binary.AppendVarint(b, k.LastUsedMs)
	}
	return b
}

// encodeDay writes the meters that were counted, each with its number.
func encodeDay(tenant TenantID, u *DayUsage) []byte {
	b := binary.AppendUvarint(nil, uint64(tenant))
	b = binary.AppendUvarint(b, uint64(u.Day))
	for _, x := range Meters() {
		if n := u.Count(x); n > 0 {
			b = append(b, byte(x))
			b = binary.AppendVarint(b, n)
		}
	}
	return b
}

func encodeUsage(tenant TenantID, u usage) []byte {
	b := binary.AppendUvarint(nil, uint64(tenant))
	b = binary.AppendVarint(b, int64(u.month))
	return binary.AppendVarint(b, u.claims)
}

func appendLock(b []byte, l *lock) []byte {
	b = appendString(b, l.key)
	b = append(b, l.token[:]...)
	b = binary.AppendUvarint(b, l.fence)
	b = appendString(b, l.owner)
	b = appendString(b, l.fingerprint)
	for _, v := range []int64{l.leaseMs, l.leaseEndMs, l.createdAtMs, l.ttlMs} {
		b = binary.AppendVarint(b, v)
	}
	return b
}

func encodeMember(x *Member) []byte {
	b := appendString(nil, x.NodeID)
	b = appendString(b, x.DiskID)
	b = appendBool(b, x.NonVoter)
	b = binary.AppendVarint(b, x.AdmittedAtMs)
	return binary.AppendVarint(b, x.RetiredAtMs)
}
