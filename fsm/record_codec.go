package fsm

import "encoding/binary"

// The commands about records are decoded into views, whose byte slices alias the entry: they are most of the log, and
// applying them makes nothing that the garbage collector would have to collect.

type claimView struct {
	id             idView
	owner          []byte
	token          Token
	leaseMs, ttlMs int64
	fingerprint    []byte
}

type completeView struct {
	id            idView
	token         Token
	status        uint16
	headers, body []byte
	ttlMs         int64
	inheritTTL    bool
}

type renewView struct {
	id        idView
	token     Token
	leaseMs   int64
	keepLease bool
}

type releaseView struct {
	id    idView
	token Token
}

func (c Claim) appendPayload(b []byte) []byte {
	b = appendRecordID(b, c.ID)
	b = appendString(b, c.Owner)
	b = append(b, c.Token[:]...)
	b = binary.AppendVarint(b, c.LeaseMs)
	b = binary.AppendVarint(b, c.TTLMs)
	return appendString(b, c.Fingerprint)
}

func (d *decoder) claim() claimView {
	return claimView{
		id:          d.recordID(),
		owner:       d.bytes(1, MaxOwnerBytes+OwnerPrefixBytes, "owner"),
		token:       d.token(),
		leaseMs:     d.lease(),
		ttlMs:       d.integer(1, MaxTTLMs, "ttl"),
		fingerprint: d.bytes(0, MaxFingerprintBytes, "fingerprint"),
	}
}

func (v claimView) command() Claim {
	return Claim{
		ID: v.id.id(), Owner: string(v.owner), Token: v.token, LeaseMs: v.leaseMs, TTLMs: v.ttlMs,
		Fingerprint: string(v.fingerprint),
	}
}

func (c Complete) appendPayload(b []byte) []byte {
	b = appendRecordID(b, c.ID)
	b = append(b, c.Token[:]...)
	b = binary.AppendUvarint(b, uint64(c.Status))
	b = appendString(b, c.Headers)
	b = appendString(b, c.Body)
	b = binary.AppendVarint(b, c.TTLMs)
	return appendBool(b, c.InheritTTL)
}

func (d *decoder) complete() completeView {
	return completeView{
		id:         d.recordID(),
		token:      d.token(),
		status:     d.status(),
		headers:    d.bytes(2, MaxHeadersBytes, "headers"),
		body:       d.bytes(1, MaxBodyBytes, "body"),
		ttlMs:      d.integer(1, MaxTTLMs, "ttl"),
		inheritTTL: d.bool("inherit ttl"),
	}
}

func (v completeView) command() Complete {
	return Complete{
		ID: v.id.id(), Token: v.token, Status: v.status, Headers: v.headers, Body: v.body, TTLMs: v.ttlMs,
		InheritTTL: v.inheritTTL,
	}
}

func (c Renew) appendPayload(b []byte) []byte {
	b = appendRecordID(b, c.ID)
	b = append(b, c.Token[:]...)
	b = binary.AppendVarint(b, c.LeaseMs)
	return appendBool(b, c.KeepLease)
}

func (d *decoder) renew() renewView {
	return renewView{id: d.recordID(), token: d.token(), leaseMs: d.lease(), keepLease: d.bool("keep lease")}
}

func (v renewView) command() Renew {
	return Renew{ID: v.id.id(), Token: v.token, LeaseMs: v.leaseMs, KeepLease: v.keepLease}
}

func (c Release) appendPayload(b []byte) []byte {
	b = appendRecordID(b, c.ID)
	return append(b, c.Token[:]...)
}

func (d *decoder) release() releaseView { return releaseView{id: d.recordID(), token: d.token()} }

func (v releaseView) command() Release { return Release{ID: v.id.id(), Token: v.token} }

func (c Delete) appendPayload(b []byte) []byte { return appendRecordID(b, c.ID) }

func (d *decoder) lease() int64 {
	v := d.integer(0, MaxLeaseMs, "lease")
	if v != NeverMs && v < MinLeaseMs {
		d.fail("lease")
	}
	return v
}

func (d *decoder) status() uint16 {
	v := d.uvarint("status")
	if v < MinStatus || v > MaxStatus {
		d.fail("status")
	}
	return uint16(v)
}
