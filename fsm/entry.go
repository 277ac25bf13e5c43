package fsm

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// An entry is what one raft log entry carries: the commands of one group commit under one stamp.
//
//	version u8 · reserved u8 · command count u32 · stamp i64 (ms) · batch id [16] · CRC-32C of all before u32 · commands
//
// Every version keeps this header, so that an older build can tell a newer entry from a damaged one.
const (
	entryVersion     = 1
	entryHeaderBytes = 1 + 1 + 4 + 8 + 16
	entryPrefixBytes = entryHeaderBytes + 4

	// MaxEntryCommands bounds the commands of one entry.
	MaxEntryCommands = 4_096
	// MaxStampMs bounds the stamp, and so the clock: the end of the year 9999. No instant computed from it overflows.
	MaxStampMs = 253_402_300_799_999
)

// BatchID identifies an entry to the node that proposed it, so that it recognises its own entry when it is applied,
// even after it lost the leadership in between.
type BatchID [16]byte

// Entry is a decoded log entry.
type Entry struct {
	StampMs  int64
	BatchID  BatchID
	Commands []Command
	frames   [][]byte
}

// EncodeEntry joins framed commands into an entry.
func EncodeEntry(stampMs int64, id BatchID, frames ...[]byte) []byte {
	size := entryPrefixBytes
	for _, f := range frames {
		size += len(f)
	}
	b := make([]byte, 0, size)
	b = append(b, entryVersion, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(frames)))
	b = binary.LittleEndian.AppendUint64(b, uint64(stampMs))
	b = append(b, id[:]...)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	for _, f := range frames {
		b = append(b, f...)
	}
	return b
}

// DecodeEntry decodes an entry whole, so that nothing of a bad one is applied. Byte slices alias b.
func DecodeEntry(b []byte) (Entry, error) {
	e, count, body, err := decodeEntryHeader(b)
	if err != nil {
		return Entry{}, err
	}
	e.Commands = make([]Command, count)
	e.frames = make([][]byte, count)
	for i := range e.Commands {
		var frame []byte
		if frame, body, err = cutFrame(body); err != nil {
			return Entry{}, fmt.Errorf("command %d of %d: %w", i+1, count, err)
		}
		if e.Commands[i], err = decodeFrame(frame); err != nil {
			return Entry{}, fmt.Errorf("command %d of %d: %w", i+1, count, err)
		}
		e.frames[i] = frame
	}
	if len(body) != 0 {
		return Entry{}, fmt.Errorf("%w: bytes behind an entry", ErrMalformed)
	}
	return e, nil
}

// VerifyEntry checks an entry's checksums without decoding its commands.
func VerifyEntry(b []byte) error {
	_, count, body, err := decodeEntryHeader(b)
	if err != nil {
		return err
	}
	for i := range count {
		if _, body, err = cutFrame(body); err != nil {
			return fmt.Errorf("command %d of %d: %w", i+1, count, err)
		}
	}
	if len(body) != 0 {
		return fmt.Errorf("%w: bytes behind an entry", ErrMalformed)
	}
	return nil
}

func decodeEntryHeader(b []byte) (e Entry, count int, body []byte, err error) {
	if len(b) < entryPrefixBytes {
		return e, 0, nil, fmt.Errorf("%w: entry cut short", ErrMalformed)
	}
	if crc32.Checksum(b[:entryHeaderBytes], castagnoli) != binary.LittleEndian.Uint32(b[entryHeaderBytes:]) {
		return e, 0, nil, fmt.Errorf("%w: entry checksum does not match", ErrMalformed)
	}
	if b[0] != entryVersion || b[1] != 0 {
		return e, 0, nil, fmt.Errorf("%w: version %d of a log entry", ErrUnsupported, b[0])
	}
	n := binary.LittleEndian.Uint32(b[2:])
	if n > MaxEntryCommands {
		return e, 0, nil, fmt.Errorf("%w: entry of %d commands", ErrMalformed, n)
	}
	e.StampMs = int64(binary.LittleEndian.Uint64(b[6:]))
	if e.StampMs > MaxStampMs {
		return e, 0, nil, fmt.Errorf("%w: stamp %d", ErrMalformed, e.StampMs)
	}
	e.BatchID = BatchID(b[14:30])
	return e, int(n), b[entryPrefixBytes:], nil
}
