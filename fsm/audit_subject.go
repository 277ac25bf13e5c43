package fsm

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"strings"
	"time"
)

// subject is what a command of the control plane has changed.
type subject struct {
	action, target string
	changes        []AuditChange
}

// subjectOf compares what a command is about before and after it. What has no part in it compares as equal.
func subjectOf(cmd Command, before, after *Directory, r *Result) subject {
	switch c := cmd.(type) {
	case CreateTenant:
		return subject{"tenant.create", c.PublicID, compare(nil, tenantMembers(after, r.Tenant))}
	case UpdateTenant:
		return subject{"tenant.update", r.Tenant.PublicID,
			compare(tenantMembers(after, before.Tenant(c.Tenant)), tenantMembers(after, r.Tenant))}
	case CreateKey:
		return subject{"key.create", c.PublicID,
			append(compare(nil, keyMembers(after, r.Key)), evictions(before, after, c.Tenant)...)}
	case RevokeKey:
		return subject{"key.revoke", c.PublicID,
			compare(keyMembers(before, before.key(c.Tenant, c.PublicID)), keyMembers(after, r.Key))}
	case PutPlan:
		return subject{"plan.put", c.Plan.Name,
			compare(planMembers(after, before.keptPlan(c.Plan.Name)), planMembers(after, after.keptPlan(c.Plan.Name)))}
	case DeletePlan:
		return subject{"plan.delete", c.Name, compare(planMembers(after, before.keptPlan(c.Name)), nil)}
	case PutSource:
		action := "source.update"
		if !r.Existed {
			action = "source.create"
		}
		return subject{action, c.Source.PublicID,
			compare(sourceMembers(before, before.Source(c.Source.Tenant, c.Source.PublicID)), sourceMembers(after, r.Source))}
	case DeleteSource:
		return subject{"source.delete", c.PublicID, compare(sourceMembers(before, before.Source(c.Tenant, c.PublicID)), nil)}
	case PutDataKey:
		return subject{"tenant.data-key", r.Tenant.PublicID,
			compare(dataKeyMembers(before.Tenant(c.Tenant)), dataKeyMembers(r.Tenant))}
	case ReplayEvents:
		return eventsSubject("event.replay", before.Tenant(c.Tenant), c.Events, r)
	case IgnoreEvents:
		return eventsSubject("event.ignore", before.Tenant(c.Tenant), c.Events, r)
	case AdmitMember:
		return subject{"member.admit", c.NodeID, compare(nodeMembers(before.Member(c.NodeID)), nodeMembers(r.Member))}
	case RetireMember:
		return subject{"member.retire", c.NodeID, compare(nodeMembers(before.Member(c.NodeID)), nodeMembers(r.Member))}
	case RaiseFeatureLevel:
		return subject{"cluster.raise-feature-level", after.ClusterID, compare(levelMembers(before), levelMembers(after))}
	default:
		return subject{}
	}
}

// member is one of a thing's members as text.
type member struct{ name, value string }

// compare returns the members that differ. Both lists are of one kind of thing; nil is none.
func compare(before, after []member) (changes []AuditChange) {
	if before == nil {
		before = make([]member, len(after))
	}
	if after == nil {
		after = make([]member, len(before))
	}
	for i, was := range before {
		if is := after[i]; was.value != is.value {
			changes = append(changes, AuditChange{max(was.name, is.name), was.value, is.value})
		}
	}
	return changes
}

// tenantMembers has what is understood at a directory's feature level, so that all releases keep the same audit log.
func tenantMembers(d *Directory, t *Tenant) []member {
	if t == nil {
		return nil
	}
	status := "active"
	if t.Suspended {
		status = "suspended"
	}
	list := []member{{"slug", t.Slug}, {"name", t.Name}, {"plan", t.PlanName()}, {"status", status},
		{"monthlyClaims", strconv.FormatInt(t.MonthlyClaims, 10)}}
	if d.FeatureLevel >= LevelWebhooks {
		list = append(list, member{"payloadPolicy", t.PayloadPolicy.String()})
	}
	return list
}

func keyMembers(d *Directory, k *APIKey) []member {
	if k == nil {
		return nil
	}
	return []member{{"tenant", d.Tenant(k.Tenant).PublicID}, {"name", k.Name}, {"hint", k.Hint},
		{"scopes", k.Scopes.String()}, {"expiresAt", instantText(k.ExpiresAtMs)}, {"revokedAt", instantText(k.RevokedAtMs)}}
}

// evictions names the key that went to make room for another. It does so from the level on at which releases began to,
// so that all keep the same audit log.
func evictions(before, after *Directory, tenant TenantID) (changes []AuditChange) {
	if after.FeatureLevel < LevelWebhooks {
		return nil
	}
	for _, k := range before.byTen[tenant] {
		if after.keys[k.Hash] == nil {
			changes = append(changes, AuditChange{Member: "evictedKey", Before: k.PublicID})
		}
	}
	return changes
}

// planMembers likewise.
func planMembers(d *Directory, p *Plan) []member {
	if p == nil {
		return nil
	}
	list := []member{{"name", p.Name}, {"monthlyClaims", strconv.FormatInt(p.MonthlyClaims, 10)},
		{"requestsPerSecond", strconv.FormatInt(p.RequestsPerSecond, 10)},
		{"maxTtlSeconds", strconv.FormatInt(p.MaxTTLMs/1000, 10)}, {"maxBodyBytes", strconv.FormatInt(p.MaxBodyBytes, 10)}}
	if d.FeatureLevel < LevelWebhooks {
		return list
	}
	return append(list, member{"monthlyEvents", strconv.FormatInt(p.MonthlyEvents, 10)},
		member{"holdEvents", strconv.FormatBool(p.HoldEvents)},
		member{"eventRetentionMs", strconv.FormatInt(p.EventRetentionMs, 10)},
		member{"payloadRetentionMs", strconv.FormatInt(p.PayloadRetentionMs, 10)},
		member{"maxStoredBytes", strconv.FormatInt(p.MaxStoredBytes, 10)})
}

// sourceMembers has no secrets, but which ones there are.
func sourceMembers(d *Directory, s *Source) []member {
	if s == nil {
		return nil
	}
	var secrets, delays []string
	for _, secret := range s.Secrets {
		secrets = append(secrets, secret.PublicID)
	}
	for _, ms := range s.RetryDelaysMs {
		delays = append(delays, strconv.FormatInt(ms, 10))
	}
	return []member{{"tenant", d.Tenant(s.Tenant).PublicID}, {"provider", s.Provider}, {"name", s.Name},
		{"callbackUrl", urlText(s.CallbackURL)}, {"disabled", strconv.FormatBool(s.Disabled)}, {"disabledReason", s.DisabledReason},
		{"options", shortText(string(s.Options))}, {"secrets", shortText(strings.Join(secrets, " "))}, {"signingSecret", sealedText(s.SigningSecret)},
		{"previousSigningSecretEndsAt", instantText(s.Previous.EndsAtMs)},
		{"raw", strconv.FormatBool(s.Raw)}, {"dedupeWindowMs", strconv.FormatInt(s.DedupeWindowMs, 10)},
		{"retryDelaysMs", strings.Join(delays, " ")}, {"maxConcurrency", strconv.FormatInt(s.MaxConcurrency, 10)},
		{"maxPerSecond", strconv.FormatInt(s.MaxPerSecond, 10)}}
}

func dataKeyMembers(t *Tenant) []member { return []member{{"dataKey", sealedText(t.DataKey)}} }

// sealedText tells one ciphertext from another, by a part of its hash.
func sealedText[T string | []byte](sealed T) string {
	if len(sealed) == 0 {
		return ""
	}
	sum := sha256.Sum256([]byte(sealed))
	return "sha256:" + strconv.FormatUint(binary.BigEndian.Uint64(sum[:8]), 16)
}

// urlText is a URL without its query, which may hold a secret: a part of its hash tells it from another.
func urlText(url string) string {
	path, query, found := strings.Cut(url, "?")
	if found {
		path += "?" + sealedText(query)
	}
	return shortText(path)
}

// shortText is a value that fits into an entry: what is too long is told by a part of its hash.
func shortText(s string) string {
	if len(s) <= maxAuditValueBytes {
		return s
	}
	return sealedText(s)
}

// eventsSubject is that of a command about several events of a tenant, of which the first is named.
func eventsSubject(action string, t *Tenant, ids []EventID, r *Result) subject {
	return subject{action, ids[0].String(), []AuditChange{
		{Member: "tenant", After: t.PublicID}, {Member: "events", After: strconv.FormatInt(r.Count, 10)}}}
}

func nodeMembers(x *Member) []member {
	if x == nil {
		return nil
	}
	return []member{{"nonVoter", strconv.FormatBool(x.NonVoter)}, {"diskId", x.DiskID},
		{"admittedAt", instantText(x.AdmittedAtMs)}, {"retiredAt", instantText(x.RetiredAtMs)}}
}

func levelMembers(d *Directory) []member {
	return []member{{"featureLevel", strconv.FormatUint(uint64(d.FeatureLevel), 10)}, {"version", d.FeatureVersion}}
}

func instantText(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}

// scopeNames are the names of the scopes, by their bits.
var scopeNames = [...]string{"records:read", "records:write", "usage:read", "events:read", "webhooks:write", "admin:tenant"}

// String returns the names of the scopes, separated by spaces; "all" for the set that is good for everything.
func (s Scopes) String() string {
	if s == 0 {
		return "all"
	}
	return strings.Join(s.Names(), " ")
}

// Names returns the names of the scopes in their order, of which 0 has none.
func (s Scopes) Names() (names []string) {
	for i, name := range scopeNames {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// ScopeNamed returns the scope of that name; ok is false if there is none.
func ScopeNamed(name string) (s Scopes, ok bool) {
	for i, known := range scopeNames {
		if known == name {
			return 1 << i, true
		}
	}
	return 0, false
}
