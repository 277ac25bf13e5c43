package fsm

import (
	"encoding/binary"
	"errors"
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
	commandVersion1    = 1
	commandVersion2    = 2 // of the commands that versionOf names
	commandVersion3    = 3 // likewise
	commandHeaderBytes = 6
	commandCRCBytes    = 4
	// MaxCommandBytes bounds one framed command: the largest body, its headers and identity, with room to spare.
	MaxCommandBytes = MaxBodyBytes + 64<<10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode frames a command for the log.
func Encode(cmd Command) []byte { return AppendCommand(make([]byte, 0, 256), cmd) }

// AppendCommand appends to b what Encode returns.
func AppendCommand(b []byte, cmd Command) []byte {
	start := len(b)
	b = append(b, byte(cmd.commandType()), versionOf(cmd), 0, 0, 0, 0)
	b = cmd.appendPayload(b)
	frame := b[start:]
	binary.LittleEndian.PutUint32(frame[2:], uint32(len(frame)-commandHeaderBytes))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(frame, castagnoli))
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
	frame, rest = splitFrame(b)
	return frame, rest, nil
}

// splitFrame is cutFrame where that has been before.
func splitFrame(b []byte) (frame, rest []byte) {
	end := commandHeaderBytes + int(binary.LittleEndian.Uint32(b[2:]))
	return b[:end:end], b[end+commandCRCBytes:]
}

func decodeFrame(frame []byte) (Command, error) {
	kind := CommandType(frame[0])
	if err := checkCommandVersion(frame); err != nil {
		return nil, err
	}
	d := decoder{b: frame[commandHeaderBytes:], version: frame[1]}
	cmd := decodePayload(kind, &d)
	if errors.Is(d.err, ErrUnsupported) {
		return nil, fmt.Errorf("command type %d: %w", kind, d.err)
	}
	if cmd == nil {
		return nil, fmt.Errorf("%w: command type %d", ErrUnsupported, kind)
	}
	if err := d.finish(); err != nil {
		return nil, fmt.Errorf("command type %d: %w", kind, err)
	}
	return cmd, nil
}

// versionOf returns the oldest version of a command that holds all of it, so that a cluster in which some nodes know no
// newer one can be told what they understand.
func versionOf(cmd Command) byte {
	newer := false
	switch c := cmd.(type) {
	case CreateTenant:
		newer = c.Plan != ""
	case UpdateTenant:
		if c.SetPayloadPolicy || c.PayloadPolicy != 0 {
			return commandVersion3
		}
		newer = c.SetPlan || c.Plan != "" || c.SetSuspended || c.Suspended
	case PutPlan:
		newer = c.Plan.hasEvents()
	case CreateKey:
		newer = c.Scopes != 0 || c.ExpiresAtMs != 0
	}
	if newer {
		return commandVersion2
	}
	return commandVersion1
}

func checkCommandVersion(frame []byte) error {
	newest := byte(commandVersion1)
	switch CommandType(frame[0]) {
	case TypeCreateTenant, TypeCreateKey, TypePutPlan:
		newest = commandVersion2
	case TypeUpdateTenant:
		newest = commandVersion3
	}
	if frame[1] < commandVersion1 || frame[1] > newest {
		return fmt.Errorf("%w: version %d of command type %d", ErrUnsupported, frame[1], frame[0])
	}
	return nil
}

// checkFrame reports what decodeFrame would. Of a command about a record it makes nothing that it would only drop.
func checkFrame(frame []byte) error {
	if err := checkCommandVersion(frame); err != nil {
		return err
	}
	d := decoder{b: frame[commandHeaderBytes:]}
	switch CommandType(frame[0]) {
	case TypeClaim:
		d.claim()
	case TypeComplete:
		d.complete()
	case TypeRenew:
		d.renew()
	case TypeRelease:
		d.release()
	case TypeDelete:
		d.recordID()
	default:
		_, err := decodeFrame(frame)
		return err
	}
	if err := d.finish(); err != nil {
		return fmt.Errorf("command type %d: %w", frame[0], err)
	}
	return nil
}

func decodePayload(kind CommandType, d *decoder) Command {
	switch kind {
	case TypeClaim:
		return d.claim().command()
	case TypeComplete:
		return d.complete().command()
	case TypeRenew:
		return d.renew().command()
	case TypeRelease:
		return d.release().command()
	case TypeDelete:
		return Delete{d.recordID().id()}
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
	case TypePutPlan:
		return PutPlan{d.plan(d.version >= commandVersion2)}
	case TypeDeletePlan:
		return DeletePlan{d.string(1, MaxSlugBytes, "plan")}
	case TypePutDataKey:
		return decodePutDataKey(d)
	case TypePutSource:
		return decodePutSource(d)
	case TypeDeleteSource:
		return decodeDeleteSource(d)
	case TypeAcceptEvent:
		return decodeAcceptEvent(d)
	case TypeReportAttempt:
		return decodeReportAttempt(d)
	case TypeReplayEvents:
		return decodeReplayEvents(d)
	case TypeIgnoreEvents:
		return decodeIgnoreEvents(d)
	case TypeTally:
		return decodeTally(d)
	case TypeAudited:
		return decodeAudited(d)
	}
	return nil
}

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
	b = binary.AppendVarint(b, c.MonthlyClaims)
	if versionOf(c) >= commandVersion2 {
		b = appendString(b, c.Plan)
	}
	return b
}

func decodeCreateTenant(d *decoder) CreateTenant {
	c := CreateTenant{
		PublicID:      d.string(1, MaxNameBytes, "tenant id"),
		Slug:          d.string(1, MaxSlugBytes, "slug"),
		Name:          d.string(0, MaxNameBytes, "name"),
		MonthlyClaims: d.integer(0, math.MaxInt64, "monthly claims"),
	}
	if d.version >= commandVersion2 {
		c.Plan = d.string(0, MaxSlugBytes, "plan")
	}
	return c
}

func (c UpdateTenant) appendPayload(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(c.Tenant))
	b = appendBool(b, c.SetName)
	b = appendString(b, c.Name)
	b = appendBool(b, c.SetMonthlyClaims)
	b = binary.AppendVarint(b, c.MonthlyClaims)
	if versionOf(c) >= commandVersion2 {
		b = appendBool(b, c.SetPlan)
		b = appendString(b, c.Plan)
		b = appendBool(b, c.SetSuspended)
		b = appendBool(b, c.Suspended)
	}
	if versionOf(c) >= commandVersion3 {
		b = appendBool(b, c.SetPayloadPolicy)
		b = append(b, byte(c.PayloadPolicy))
	}
	return b
}

func decodeUpdateTenant(d *decoder) UpdateTenant {
	c := UpdateTenant{
		Tenant:           d.tenant(),
		SetName:          d.bool("set name"),
		Name:             d.string(0, MaxNameBytes, "name"),
		SetMonthlyClaims: d.bool("set monthly claims"),
		MonthlyClaims:    d.integer(0, math.MaxInt64, "monthly claims"),
	}
	if d.version >= commandVersion2 {
		c.SetPlan, c.Plan = d.bool("set plan"), d.string(0, MaxSlugBytes, "plan")
		c.SetSuspended, c.Suspended = d.bool("set suspended"), d.bool("suspended")
	}
	if d.version >= commandVersion3 {
		c.SetPayloadPolicy = d.bool("set payload policy")
		c.PayloadPolicy = PayloadPolicy(d.small(0, byte(payloadPolicyEnd), "payload policy"))
	}
	return c
}

func (c CreateKey) appendPayload(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(c.Tenant))
	b = appendString(b, c.PublicID)
	b = appendString(b, c.Name)
	b = append(b, c.Hash[:]...)
	b = appendString(b, c.Hint)
	if versionOf(c) >= commandVersion2 {
		b = binary.AppendUvarint(b, uint64(c.Scopes))
		b = binary.AppendVarint(b, c.ExpiresAtMs)
	}
	return b
}

func decodeCreateKey(d *decoder) CreateKey {
	c := CreateKey{
		Tenant:   d.tenant(),
		PublicID: d.string(1, MaxNameBytes, "key id"),
		Name:     d.string(0, MaxNameBytes, "name"),
		Hash:     d.hash(),
		Hint:     d.string(0, MaxNameBytes, "hint"),
	}
	if d.version >= commandVersion2 {
		c.Scopes, c.ExpiresAtMs = d.scopes(), d.integer(0, MaxStampMs, "expires")
	}
	return c
}

func (c RevokeKey) appendPayload(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(c.Tenant))
	return appendString(b, c.PublicID)
}
