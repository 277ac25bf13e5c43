package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// FormatVersion is the version that is written, and the newest that is read.
const FormatVersion = 1

// MaxRecordBytes bounds a record. A larger one is refused when writing, and when reading before memory is set aside.
const MaxRecordBytes = 8 << 20

// The sizes of the format, see the package comment.
const (
	magic              = "\x89SYL\r\n\x1a\n"
	fileHeaderBytes    = 16
	blockHeaderBytes   = 20
	checksumBytes      = 4
	recordPrefixBytes  = 4
	endPayloadBytes    = 8
	finishPayloadBytes = 16
	maxPayloadBytes    = recordPrefixBytes + MaxRecordBytes

	// blockTargetBytes is the payload size at which a writer closes a block: large enough that headers and calls cost
	// nothing, small enough to stay in a processor's cache between the copy, the checksum and the write.
	blockTargetBytes = 256 << 10
)

// What a snapshot can be refused for. The errors returned wrap one of these with what is wrong and the byte offset.
var (
	// ErrCorrupt: the bytes are not what a writer wrote, or not a snapshot at all.
	ErrCorrupt = errors.New("snapshot is corrupt")
	// ErrTruncated: the bytes end before the snapshot does.
	ErrTruncated = errors.New("snapshot is truncated")
	// ErrNewerFormat: an intact snapshot, written by a later release.
	ErrNewerFormat = errors.New("snapshot format is newer than this release reads")
)

// SectionID names a section. Every value is allowed; what it means is the caller's business.
type SectionID uint8

// Section is the head of a section. Version is the caller's own version of the records in it.
type Section struct {
	ID      SectionID
	Version uint16
}

type blockKind uint8

const (
	kindBegin blockKind = iota + 1
	kindRecords
	kindEnd
	kindFinish
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// blockHeader is the header of a block without its checksum.
type blockHeader struct {
	kind     blockKind
	section  Section
	length   uint32
	sequence uint64
}

// put encodes h and the running checksum into b[:blockHeaderBytes], and returns that checksum.
func (h blockHeader) put(b []byte, sum uint32) uint32 {
	b[0] = byte(h.kind)
	b[1] = byte(h.section.ID)
	binary.LittleEndian.PutUint16(b[2:], h.section.Version)
	binary.LittleEndian.PutUint32(b[4:], h.length)
	binary.LittleEndian.PutUint64(b[8:], h.sequence)
	return putChecksum(b[:blockHeaderBytes], sum)
}

func parseBlockHeader(b []byte) blockHeader {
	return blockHeader{
		kind:     blockKind(b[0]),
		section:  Section{ID: SectionID(b[1]), Version: binary.LittleEndian.Uint16(b[2:])},
		length:   binary.LittleEndian.Uint32(b[4:]),
		sequence: binary.LittleEndian.Uint64(b[8:]),
	}
}

// validLength reports whether a block of this kind may have a payload of this length. No unknown kind may.
func (h blockHeader) validLength() bool {
	switch h.kind {
	case kindBegin:
		return h.length == 0
	case kindRecords:
		return h.length >= recordPrefixBytes && h.length <= maxPayloadBytes
	case kindEnd:
		return h.length == endPayloadBytes
	case kindFinish:
		return h.length == finishPayloadBytes
	default:
		return false
	}
}

// putFileHeader encodes the file header into b[:fileHeaderBytes] and returns the running checksum after it.
func putFileHeader(b []byte, version uint16) uint32 {
	copy(b, magic)
	binary.LittleEndian.PutUint16(b[8:], version)
	binary.LittleEndian.PutUint16(b[10:], 0)
	return putChecksum(b[:fileHeaderBytes], 0)
}

// putChecksum continues sum over b but for its last four bytes, stores it there and returns it.
func putChecksum(b []byte, sum uint32) uint32 {
	covered := len(b) - checksumBytes
	sum = crc32.Update(sum, castagnoli, b[:covered])
	binary.LittleEndian.PutUint32(b[covered:], sum)
	return sum
}

// checkChecksum is the reverse of putChecksum: ok is false if the last four bytes are not the checksum.
func checkChecksum(b []byte, sum uint32) (next uint32, ok bool) {
	covered := len(b) - checksumBytes
	sum = crc32.Update(sum, castagnoli, b[:covered])
	return sum, sum == binary.LittleEndian.Uint32(b[covered:])
}

func corrupt(offset int64, format string, args ...any) error {
	return fmt.Errorf("%w at byte %d: %s", ErrCorrupt, offset, fmt.Sprintf(format, args...))
}
