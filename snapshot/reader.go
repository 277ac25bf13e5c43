package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

var errRecordNoSection = errors.New("snapshot: Record before Next")

// Reader reads one snapshot. It is not safe for concurrent use.
//
// It holds one block at a time, so at most [MaxRecordBytes] and a few bytes more, and reads as far as the end of its
// input. The first error stays: every later call returns it.
type Reader struct {
	src    io.Reader
	err    error // the first failure, or io.EOF once all is verified
	offset int64 // bytes read so far

	version uint16
	sum     uint32
	blocks  uint64
	records uint64 // in the sections that ended

	begun          bool // a section was begun, ever
	open           bool // a section is begun and not ended
	section        Section
	seen           [1 << 8]bool // section ids
	sectionRecords uint64

	header [blockHeaderBytes]byte
	block  []byte // payload and checksum; reused
	unread []byte // what Record has not handed out of block
}

// NewReader reads and checks the file header. It reads a few bytes and then a block at a time, so that r needs a
// buffer only where small reads are dear.
func NewReader(r io.Reader) (*Reader, error) {
	sr := &Reader{src: r}
	if err := sr.readFileHeader(); err != nil {
		return nil, err
	}
	return sr, nil
}

// Next goes to the next section. What is unread of the current one is skipped, but verified. It returns io.EOF after
// a verified end marker with nothing behind it, and only then.
func (r *Reader) Next() (Section, error) {
	if r.err != nil {
		return Section{}, r.err
	}
	for r.open {
		if _, err := r.Record(); err != nil && err != io.EOF {
			return Section{}, err
		}
	}
	start := r.offset
	header, payload, err := r.readBlock()
	if err != nil {
		return Section{}, r.fail(err)
	}
	switch header.kind {
	case kindBegin:
		err = r.beginSection(header.section, start)
	case kindFinish:
		err = r.finish(header, payload, start)
	default:
		err = corrupt(start, "block %d of kind %d outside a section", header.sequence, header.kind)
	}
	if err != nil {
		return Section{}, r.fail(err)
	}
	return r.section, nil
}

// Record returns the next record of the section, valid until the next call of a method, and io.EOF at its end.
func (r *Reader) Record() ([]byte, error) {
	switch {
	case r.err != nil:
		return nil, r.err
	case !r.begun:
		return nil, errRecordNoSection
	case !r.open:
		return nil, io.EOF
	}
	if len(r.unread) == 0 {
		if err := r.readRecords(); err != nil {
			return nil, r.fail(err)
		}
		if !r.open {
			return nil, io.EOF
		}
	}
	record, err := r.cutRecord()
	if err != nil {
		return nil, r.fail(err)
	}
	return record, nil
}

func (r *Reader) beginSection(s Section, start int64) error {
	if r.seen[s.ID] {
		return corrupt(start, "section %d occurs twice", s.ID)
	}
	r.seen[s.ID] = true
	r.begun, r.open = true, true
	r.section = s
	r.sectionRecords = 0
	return nil
}

// readRecords reads the next block of the section: records into r.unread, or the end.
func (r *Reader) readRecords() error {
	start := r.offset
	header, payload, err := r.readBlock()
	if err != nil {
		return err
	}
	if header.section != r.section {
		return corrupt(start, "block %d is of section %d version %d, inside section %d version %d", header.sequence,
			header.section.ID, header.section.Version, r.section.ID, r.section.Version)
	}
	switch header.kind {
	case kindRecords:
		r.unread = payload
		return nil
	case kindEnd:
		return r.endSection(payload, start)
	default:
		return corrupt(start, "block %d of kind %d inside section %d", header.sequence, header.kind, r.section.ID)
	}
}

func (r *Reader) endSection(payload []byte, start int64) error {
	if want := binary.LittleEndian.Uint64(payload); want != r.sectionRecords {
		return corrupt(start, "section %d has %d records, its end says %d", r.section.ID, r.sectionRecords, want)
	}
	r.open = false
	r.records += r.sectionRecords
	return nil
}

// cutRecord takes the first record off r.unread, which is not empty.
func (r *Reader) cutRecord() ([]byte, error) {
	start := r.offset - checksumBytes - int64(len(r.unread))
	if len(r.unread) < recordPrefixBytes {
		return nil, corrupt(start, "%d bytes left in the block, too few for a record", len(r.unread))
	}
	length := uint64(binary.LittleEndian.Uint32(r.unread))
	rest := r.unread[recordPrefixBytes:]
	if length > uint64(len(rest)) {
		return nil, corrupt(start, "record of %d bytes with %d left in the block", length, len(rest))
	}
	r.unread = rest[length:]
	r.sectionRecords++
	return rest[:length:length], nil // capped, so that appending to it cannot reach the next record
}

// finish checks the end marker and that nothing is behind it. It never returns nil: io.EOF means that all is well.
func (r *Reader) finish(header blockHeader, payload []byte, start int64) error {
	blocks, records := binary.LittleEndian.Uint64(payload), binary.LittleEndian.Uint64(payload[8:])
	switch {
	case header.section != Section{}:
		return corrupt(start, "the end marker names a section")
	case blocks != header.sequence:
		return corrupt(start, "%d blocks, the end marker says %d", header.sequence, blocks)
	case records != r.records:
		return corrupt(start, "%d records, the end marker says %d", r.records, records)
	}
	switch _, err := io.ReadFull(r.src, r.header[:1]); err {
	case io.EOF:
		return io.EOF
	case nil:
		return corrupt(r.offset, "data behind the end marker")
	default:
		return r.readError("behind the end marker", err)
	}
}

func (r *Reader) readFileHeader() error {
	header := r.header[:fileHeaderBytes]
	err := r.fill(header, "in the file header")
	if err != nil && !errors.Is(err, ErrTruncated) {
		return err
	}
	if got := header[:min(r.offset, int64(len(magic)))]; !bytes.HasPrefix([]byte(magic), got) {
		return corrupt(0, "not a snapshot: it begins with % x", got)
	}
	if err != nil {
		return err
	}
	sum, ok := checkChecksum(header, 0)
	if !ok {
		return corrupt(0, "checksum mismatch in the file header")
	}
	r.sum = sum
	r.version = binary.LittleEndian.Uint16(header[8:])
	switch reserved := binary.LittleEndian.Uint16(header[10:]); {
	case r.version > FormatVersion:
		return fmt.Errorf("%w: version %d at byte 8, up to version %d is read", ErrNewerFormat, r.version, FormatVersion)
	case r.version == 0:
		return corrupt(8, "format version 0")
	case reserved != 0:
		return corrupt(10, "reserved bytes are %#04x", reserved)
	}
	return nil
}

// readBlock reads and verifies the next block. The payload has the length that its kind asks for.
func (r *Reader) readBlock() (blockHeader, []byte, error) {
	start := r.offset
	if err := r.fill(r.header[:], "in a block header"); err != nil {
		return blockHeader{}, nil, err
	}
	header := parseBlockHeader(r.header[:])
	sum, ok := checkChecksum(r.header[:], r.sum)
	switch {
	case !ok:
		return header, nil, corrupt(start, "checksum mismatch in the header of block %d, which says it is block %d",
			r.blocks, header.sequence)
	case header.sequence != r.blocks:
		return header, nil, corrupt(start, "block %d where block %d belongs", header.sequence, r.blocks)
	case !header.validLength():
		return header, nil, corrupt(start, "block %d: kind %d with %d bytes", r.blocks, header.kind, header.length)
	}
	block := r.room(int(header.length) + checksumBytes)
	if err := r.fill(block, "in a block"); err != nil {
		return header, nil, err
	}
	if sum, ok = checkChecksum(block, sum); !ok {
		return header, nil, corrupt(start, "checksum mismatch in block %d", r.blocks)
	}
	r.sum = sum
	r.blocks++
	return header, block[:header.length], nil
}

// room returns n bytes of the reused buffer. It doubles, but never beyond the largest block.
func (r *Reader) room(n int) []byte {
	if n > cap(r.block) {
		r.block = make([]byte, max(n, min(2*cap(r.block), maxPayloadBytes+checksumBytes)))
	}
	return r.block[:n]
}

// fill reads all of p.
func (r *Reader) fill(p []byte, where string) error {
	n, err := io.ReadFull(r.src, p)
	r.offset += int64(n)
	if err != nil {
		return r.readError(where, err)
	}
	return nil
}

// readError makes an early end ErrTruncated and leaves other errors as they are. It must not wrap io.EOF, which to
// our callers is the verified end.
func (r *Reader) readError(where string, err error) error {
	switch {
	case err == io.EOF, err == io.ErrUnexpectedEOF:
		return fmt.Errorf("%w at byte %d, %s", ErrTruncated, r.offset, where)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w at byte %d, %s: %v", ErrTruncated, r.offset, where, err)
	default:
		return fmt.Errorf("snapshot: read at byte %d, %s: %w", r.offset, where, err)
	}
}

func (r *Reader) fail(err error) error {
	r.err = err
	r.open = false
	return err
}
