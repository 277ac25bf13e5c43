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
	Commands []Command // left out by Machine.Apply, see Decode

	count  int
	frames []byte // of the commands, one after another
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

// DecodeEntry decodes an entry whole. Byte slices alias b.
func DecodeEntry(b []byte) (Entry, error) {
	e, err := readEntry(b, nil)
	if err == nil {
		err = e.Decode()
	}
	if err != nil {
		return Entry{}, err
	}
	return e, nil
}

// VerifyEntry checks an entry's checksums without decoding its commands.
func VerifyEntry(b []byte) error {
	_, err := readEntry(b, nil)
	return err
}

// Decode decodes the commands.
func (e *Entry) Decode() error {
	e.Commands = make([]Command, 0, e.count)
	return e.eachFrame(func(frame []byte) error {
		cmd, err := decodeFrame(frame)
		e.Commands = append(e.Commands, cmd)
		return err
	})
}

// readEntry reads an entry to its end, verifies its checksums and asks check, if there is one, about every command.
func readEntry(b []byte, check func(frame []byte) error) (Entry, error) {
	e, err := decodeEntryHeader(b)
	if err != nil {
		return Entry{}, err
	}
	rest := e.frames
	for i := range e.count {
		var frame []byte
		if frame, rest, err = cutFrame(rest); err == nil && check != nil {
			err = check(frame)
		}
		if err != nil {
			return Entry{}, e.errorAt(i, err)
		}
	}
	if len(rest) != 0 {
		return Entry{}, fmt.Errorf("%w: bytes behind an entry", ErrMalformed)
	}
	return e, nil
}

func (e *Entry) errorAt(i int, err error) error {
	return fmt.Errorf("command %d of %d: %w", i+1, e.count, err)
}

// eachFrame visits the commands of an entry that was read to its end: their checksums are known to match.
func (e *Entry) eachFrame(visit func(frame []byte) error) error {
	rest := e.frames
	for i := range e.count {
		var frame []byte
		frame, rest = splitFrame(rest)
		if err := visit(frame); err != nil {
			return e.errorAt(i, err)
		}
	}
	return nil
}

func decodeEntryHeader(b []byte) (e Entry, err error) {
	if len(b) < entryPrefixBytes {
		return e, fmt.Errorf("%w: entry cut short", ErrMalformed)
	}
	if crc32.Checksum(b[:entryHeaderBytes], castagnoli) != binary.LittleEndian.Uint32(b[entryHeaderBytes:]) {
		return e, fmt.Errorf("%w: entry checksum does not match", ErrMalformed)
	}
	if b[0] != entryVersion || b[1] != 0 {
		return e, fmt.Errorf("%w: version %d of a log entry", ErrUnsupported, b[0])
	}
	n := binary.LittleEndian.Uint32(b[2:])
	if n > MaxEntryCommands {
		return e, fmt.Errorf("%w: entry of %d commands", ErrMalformed, n)
	}
	e.StampMs = int64(binary.LittleEndian.Uint64(b[6:]))
	if e.StampMs > MaxStampMs {
		return e, fmt.Errorf("%w: stamp %d", ErrMalformed, e.StampMs)
	}
	e.BatchID = BatchID(b[14:30])
	e.count, e.frames = int(n), b[entryPrefixBytes:]
	return e, nil
}
