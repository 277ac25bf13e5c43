package fsm

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
)

// A command in the log is framed as
//
//	type u8 · version u8 · payload length u32 · payload · CRC-32C of all before u32
//
// so that damage to one command is found wherever it is read, without knowing what it means.
const (
	commandVersion     = 1
	commandHeaderBytes = 6
	commandCRCBytes    = 4
	// MaxCommandBytes bounds one framed command: the largest body, its headers and identity, with room to spare.
	MaxCommandBytes = MaxBodyBytes + 64<<10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode frames a command for the log.
func Encode(cmd Command) []byte {
	b := make([]byte, commandHeaderBytes, 256)
	b[0], b[1] = byte(cmd.commandType()), commandVersion
	b = cmd.appendPayload(b)
	binary.LittleEndian.PutUint32(b[2:], uint32(len(b)-commandHeaderBytes))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// Decode reads a command framed by Encode, which must be the whole of b. Byte slices of the command alias b.
func Decode(b []byte) (Command, error) {
	frame, rest, err := cutFrame(b)
	if err != nil {
		return nil, err
	}
	if len(rest) != 0 {
		return nil, fmt.Errorf("%w: bytes behind a command", ErrMalformed)
	}
	return decodeFrame(frame)
}

// cutFrame splits the first framed command off b and verifies its checksum.
func cutFrame(b []byte) (frame, rest []byte, err error) {
	if len(b) < commandHeaderBytes+commandCRCBytes {
		return nil, nil, fmt.Errorf("%w: command cut short", ErrMalformed)
	}
	size := binary.LittleEndian.Uint32(b[2:])
	if size > MaxCommandBytes || int(size) > len(b)-commandHeaderBytes-commandCRCBytes {
		return nil, nil, fmt.Errorf("%w: command of %d bytes", ErrMalformed, size)
	}
	end := commandHeaderBytes + int(size)
	if crc32.Checksum(b[:end], castagnoli) != binary.LittleEndian.Uint32(b[end:]) {
		return nil, nil, fmt.Errorf("%w: command checksum does not match", ErrMalformed)
	}
	return b[:end:end], b[end+commandCRCBytes:], nil
}

func decodeFrame(frame []byte) (Command, error) {
	kind, version := CommandType(frame[0]), frame[1]
	if version != commandVersion {
		return nil, fmt.Errorf("%w: version %d of command type %d", ErrUnsupported, version, kind)
	}
	d := decoder{b: frame[commandHeaderBytes:]}
	cmd := decodePayload(kind, &d)
	if cmd == nil {
		return nil, fmt.Errorf("%w: command type %d", ErrUnsupported, kind)
	}
	if err := d.finish(); err != nil {
		return nil, fmt.Errorf("command type %d: %w", kind, err)
	}
	return cmd, nil
}

func decodePayload(kind CommandType, d *decoder) Command {
	switch kind {
	case TypeClaim:
		return decodeClaim(d)
	case TypeComplete:
		return decodeComplete(d)
	case TypeRenew:
		return Renew{ID: d.recordID(), Token: d.token(), LeaseMs: d.lease(), KeepLease: d.bool("keep lease")}
	case TypeRelease:
		return Release{ID: d.recordID(), Token: d.token()}
	case TypeDelete:
		return Delete{ID: d.recordID()}
	case TypeInit:
		return Init{ClusterID: d.string(1, MaxNameBytes, "cluster id"), KeyHashSecret: d.hash()}
	case TypeEstablish:
		return Establish{GraceMs: d.integer(0, MaxLeaseMs, "grace"), ClockMs: d.integer(0, MaxStampMs, "clock")}
	case TypeRaiseFeatureLevel:
		return RaiseFeatureLevel{Level: d.featureLevel(), Version: d.string(1, MaxNameBytes, "feature version")}
	case TypeAdmitMember:
		return AdmitMember{NodeID: d.nodeID(), DiskID: d.diskID(), NonVoter: d.bool("non-voter")}
	case TypeRetireMember:
		return RetireMember{NodeID: d.nodeID()}
	case TypeCreateTenant:
		return decodeCreateTenant(d)
	case TypeUpdateTenant:
		return decodeUpdateTenant(d)
	case TypeCreateKey:
		return decodeCreateKey(d)
	case TypeRevokeKey:
		return RevokeKey{Tenant: d.tenant(), PublicID: d.string(1, MaxNameBytes, "key id")}
	}
	return nil
}

func (d *decoder) lease() int64 {
	v := d.integer(0, MaxLeaseMs, "lease")
	if v != NeverMs && v < MinLeaseMs {
		d.fail("lease")
	}
	return v
}

func (c Claim) appendPayload(b []byte) []byte {
	b = appendRecordID(b, c.ID)
	b = appendString(b, c.Owner)
	b = append(b, c.Token[:]...)
	b = binary.AppendVarint(b, c.LeaseMs)
	b = binary.AppendVarint(b, c.TTLMs)
	return appendString(b, c.Fingerprint)
}

func decodeClaim(d *decoder) Claim {
	return Claim{
		ID:          d.recordID(),
		Owner:       d.string(1, MaxOwnerBytes+OwnerPrefixBytes, "owner"),
		Token:       d.token(),
		LeaseMs:     d.lease(),
		TTLMs:       d.integer(1, MaxTTLMs, "ttl"),
		Fingerprint: d.string(0, MaxFingerprintBytes, "fingerprint"),
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

func decodeComplete(d *decoder) Complete {
	c := Complete{ID: d.recordID(), Token: d.token()}
	status := d.uvarint("status")
	if status < MinStatus || status > MaxStatus {
		d.fail("status")
	}
	c.Status = uint16(status)
	c.Headers = d.bytes(2, MaxHeadersBytes, "headers")
	c.Body = d.bytes(1, MaxBodyBytes, "body")
	c.TTLMs = d.integer(1, MaxTTLMs, "ttl")
	c.InheritTTL = d.bool("inherit ttl")
	return c
}

func (c Renew) appendPayload(b []byte) []byte {
	b = appendRecordID(b, c.ID)
	b = append(b, c.Token[:]...)
	b = binary.AppendVarint(b, c.LeaseMs)
	return appendBool(b, c.KeepLease)
}

func (c Release) appendPayload(b []byte) []byte {
	b = appendRecordID(b, c.ID)
	return append(b, c.Token[:]...)
}

func (c Delete) appendPayload(b []byte) []byte { return appendRecordID(b, c.ID) }

func (c Init) appendPayload(b []byte) []byte {
	b = appendString(b, c.ClusterID)
	return append(b, c.KeyHashSecret[:]...)
}

func (c Establish) appendPayload(b []byte) []byte {
	b = binary.AppendVarint(b, c.GraceMs)
	return binary.AppendVarint(b, c.ClockMs)
}

func (c RaiseFeatureLevel) appendPayload(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(c.Level))
	return appendString(b, c.Version)
}

func (c AdmitMember) appendPayload(b []byte) []byte {
	b = appendString(b, c.NodeID)
	b = appendString(b, c.DiskID)
	return appendBool(b, c.NonVoter)
}

func (c RetireMember) appendPayload(b []byte) []byte { return appendString(b, c.NodeID) }

func (c CreateTenant) appendPayload(b []byte) []byte {
	b = appendString(b, c.PublicID)
	b = appendString(b, c.Slug)
	b = appendString(b, c.Name)
	return binary.AppendVarint(b, c.MonthlyClaims)
}

func decodeCreateTenant(d *decoder) CreateTenant {
	return CreateTenant{
		PublicID:      d.string(1, MaxNameBytes, "tenant id"),
		Slug:          d.string(1, MaxSlugBytes, "slug"),
		Name:          d.string(0, MaxNameBytes, "name"),
		MonthlyClaims: d.integer(0, math.MaxInt64, "monthly claims"),
	}
}

func (c UpdateTenant) appendPayload(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(c.Tenant))
	b = appendBool(b, c.SetName)
	b = appendString(b, c.Name)
	b = appendBool(b, c.SetMonthlyClaims)
	return binary.AppendVarint(b, c.MonthlyClaims)
}

func decodeUpdateTenant(d *decoder) UpdateTenant {
	return UpdateTenant{
		Tenant:           d.tenant(),
		SetName:          d.bool("set name"),
		Name:             d.string(0, MaxNameBytes, "name"),
		SetMonthlyClaims: d.bool("set monthly claims"),
		MonthlyClaims:    d.integer(0, math.MaxInt64, "monthly claims"),
	}
}

func (c CreateKey) appendPayload(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(c.Tenant))
	b = appendString(b, c.PublicID)
	b = appendString(b, c.Name)
	b = append(b, c.Hash[:]...)
	return appendString(b, c.Hint)
}

func decodeCreateKey(d *decoder) CreateKey {
	return CreateKey{
		Tenant:   d.tenant(),
		PublicID: d.string(1, MaxNameBytes, "key id"),
		Name:     d.string(0, MaxNameBytes, "name"),
		Hash:     d.hash(),
		Hint:     d.string(0, MaxNameBytes, "hint"),
	}
}

func (c RevokeKey) appendPayload(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(c.Tenant))
	return appendString(b, c.PublicID)
}
