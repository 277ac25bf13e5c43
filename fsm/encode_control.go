package fsm

import (
	"encoding/binary"
	"fmt"
)

// Bounds of a Tally.
const (
	MaxTallyCounts = 1_024
	MaxTallyUses   = 1_024
)

func (c PutPlan) appendPayload(b []byte) []byte {
	return appendPlan(b, &c.Plan, versionOf(c) >= commandVersion2)
}

func (c DeletePlan) appendPayload(b []byte) []byte { return appendString(b, c.Name) }

// appendPlan is the form of a plan in the log and in snapshots, of which older ones know nothing of events.
func appendPlan(b []byte, p *Plan, events bool) []byte {
	b = appendString(b, p.Name)
	for _, v := range []int64{p.MonthlyClaims, p.RequestsPerSecond, p.MaxTTLMs, p.MaxBodyBytes} {
		b = binary.AppendVarint(b, v)
	}
	if !events {
		return b
	}
	for _, v := range []int64{p.MonthlyEvents, p.EventRetentionMs, p.PayloadRetentionMs, p.MaxStoredBytes} {
		b = binary.AppendVarint(b, v)
	}
	return appendBool(b, p.HoldEvents)
}

func (d *decoder) plan(events bool) Plan {
	p := Plan{
		Name:              d.string(1, MaxSlugBytes, "plan"),
		MonthlyClaims:     d.integer(0, MaxMonthlyClaims, "monthly claims"),
		RequestsPerSecond: d.integer(0, MaxRequestsPerSecond, "requests per second"),
		MaxTTLMs:          d.integer(0, MaxTTLMs, "longest ttl"),
		MaxBodyBytes:      d.integer(0, MaxBodyBytes, "largest body"),
	}
	if events {
		p.MonthlyEvents = d.integer(0, MaxMonthlyClaims, "monthly events")
		p.EventRetentionMs = d.integer(0, MaxRetentionMs, "retention of events")
		p.PayloadRetentionMs = d.integer(0, MaxRetentionMs, "retention of payloads")
		p.MaxStoredBytes = d.integer(0, MaxMonthlyClaims, "stored bytes")
		p.HoldEvents = d.bool("hold events")
	}
	return p
}

func (c Tally) appendPayload(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(c.Counts)))
	for _, n := range c.Counts {
		b = binary.AppendUvarint(b, uint64(n.Tenant))
		b = append(b, byte(n.Meter))
		b = binary.AppendVarint(b, n.Count)
	}
	b = binary.AppendUvarint(b, uint64(len(c.Uses)))
	for _, u := range c.Uses {
		b = binary.AppendUvarint(b, uint64(u.Tenant))
		b = appendString(b, u.PublicID)
		b = binary.AppendVarint(b, u.AtMs)
	}
	return b
}

func decodeTally(d *decoder) (c Tally) {
	for range d.length(MaxTallyCounts, "counts") {
		c.Counts = append(c.Counts, TenantCount{d.tenant(), d.meter(), d.integer(1, maxTallyCount, "count")})
	}
	for range d.length(MaxTallyUses, "uses") {
		c.Uses = append(c.Uses, KeyUse{d.tenant(), d.string(1, MaxNameBytes, "key id"), d.integer(0, MaxStampMs, "used")})
	}
	return c
}

// maxTallyCount is what a count may be at most.
const maxTallyCount = 1 << 32

// length reads a number of things of at most most.
func (d *decoder) length(most uint64, what string) int {
	n := d.uvarint(what)
	if n > most {
		d.fail(what)
		return 0
	}
	return int(n)
}

func (d *decoder) meter() Meter {
	b := d.take(1, "meter")
	if len(b) != 1 || b[0] == 0 || Meter(b[0]) >= meterEnd {
		d.fail("meter")
		return MeterClaims
	}
	return Meter(b[0])
}

func (c Audited) appendPayload(b []byte) []byte {
	b = appendActor(b, c.By)
	if c.Command == nil {
		return b // which nobody reads as an Audited
	}
	b = append(b, byte(c.Command.commandType()), versionOf(c.Command))
	return c.Command.appendPayload(b)
}

// decodeAudited decodes the inner command from the rest of the payload: its frame and checksum are those of the outer.
func decodeAudited(d *decoder) Command {
	c := Audited{By: d.actor()}
	head := d.take(2, "audited command")
	if len(head) != 2 {
		return c
	}
	kind := CommandType(head[0])
	if !auditable(kind) {
		d.err = fmt.Errorf("%w: audited command type %d", ErrUnsupported, kind)
		return c
	}
	if err := checkCommandVersion(head); err != nil {
		d.err = err
		return c
	}
	d.version = head[1]
	c.Command = decodePayload(kind, d)
	return c
}

// auditable reports whether a command may be that of an Audited.
func auditable(kind CommandType) bool {
	switch kind {
	case TypePutPlan, TypeDeletePlan, TypeCreateTenant, TypeUpdateTenant, TypeCreateKey, TypeRevokeKey, TypeRetireMember,
		TypePutDataKey, TypePutSource, TypeDeleteSource, TypeReplayEvents, TypeIgnoreEvents:
		return true
	}
	return false
}
