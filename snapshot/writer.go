package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

var (
	errClosed          = errors.New("snapshot: the writer is closed")
	errAppendNoSection = errors.New("snapshot: Append before Begin")
)

// Writer writes one snapshot. It is not safe for concurrent use.
//
// The first error stays: every later call returns it, and what was written so far is refused by every reader, as it
// has no end marker. A Writer that is not closed leaves the same behind.
type Writer struct {
	dst io.Writer
	err error // the first failure

	closed  bool
	open    bool // a section is open
	section Section
	used    [1 << 8]bool // section ids

	sum            uint32
	blocks         uint64
	records        uint64 // in all sections
	sectionRecords uint64

	targetBytes int
	// block is the block being filled: room for its header, then the payload. It is written by a single call.
	block []byte
}

// NewWriter writes the file header to w and returns a Writer for the rest. It writes about 256 KiB at a time, so w
// needs no buffer. Flushing and syncing w is the caller's, after [Writer.Close].
func NewWriter(w io.Writer) (*Writer, error) {
	sw := &Writer{
		dst:         w,
		targetBytes: blockTargetBytes,
		block:       make([]byte, blockHeaderBytes, blockHeaderBytes+blockTargetBytes+checksumBytes),
	}
	var header [fileHeaderBytes]byte
	sw.sum = putFileHeader(header[:], FormatVersion)
	if err := sw.write(header[:]); err != nil {
		return nil, err
	}
	return sw, nil
}

// Begin starts a section and ends the one before it. An id may occur once. A section without records is kept.
func (w *Writer) Begin(id SectionID, version uint16) error {
	if err := w.usable(); err != nil {
		return err
	}
	if w.used[id] {
		return w.fail(fmt.Errorf("snapshot: section %d begun twice", id))
	}
	if err := w.endSection(); err != nil {
		return err
	}
	w.used[id] = true
	w.open = true
	w.section = Section{ID: id, Version: version}
	return w.flush(kindBegin, w.section)
}

// Append adds a record to the current section: 0 to [MaxRecordBytes] bytes, which the caller may reuse afterwards.
func (w *Writer) Append(record []byte) error {
	if err := w.usable(); err != nil {
		return err
	}
	if !w.open {
		return w.fail(errAppendNoSection)
	}
	if len(record) > MaxRecordBytes {
		return w.fail(fmt.Errorf("snapshot: record %d of section %d has %d bytes, more than the %d allowed",
			w.sectionRecords, w.section.ID, len(record), MaxRecordBytes))
	}
	need := recordPrefixBytes + len(record)
	if w.payloadBytes() > 0 && w.payloadBytes()+need > w.targetBytes {
		if err := w.flush(kindRecords, w.section); err != nil {
			return err
		}
	}
	w.block = slices.Grow(w.block, need+checksumBytes)
	w.block = binary.LittleEndian.AppendUint32(w.block, uint32(len(record)))
	w.block = append(w.block, record...)
	w.sectionRecords++
	return nil
}

// Close ends the last section and writes the end marker; the snapshot is complete only when it returned nil. It does
// not close the underlying writer. Closing again returns the same.
func (w *Writer) Close() error {
	if w.closed || w.err != nil {
		return w.err
	}
	if err := w.endSection(); err != nil {
		return err
	}
	w.closed = true
	w.block = binary.LittleEndian.AppendUint64(w.block, w.blocks)
	w.block = binary.LittleEndian.AppendUint64(w.block, w.records)
	return w.flush(kindFinish, Section{})
}

func (w *Writer) usable() error {
	if w.err == nil && w.closed {
		return errClosed
	}
	return w.err
}

// endSection writes what is batched and the section's end; without an open section it does nothing.
func (w *Writer) endSection() error {
	if !w.open {
		return nil
	}
	if w.payloadBytes() > 0 {
		if err := w.flush(kindRecords, w.section); err != nil {
			return err
		}
	}
	w.open = false
	w.block = binary.LittleEndian.AppendUint64(w.block, w.sectionRecords)
	w.records += w.sectionRecords
	w.sectionRecords = 0
	return w.flush(kindEnd, w.section)
}

func (w *Writer) payloadBytes() int { return len(w.block) - blockHeaderBytes }

// flush writes the block being filled as one of the given kind and starts an empty one.
func (w *Writer) flush(kind blockKind, section Section) error {
	header := blockHeader{kind: kind, section: section, length: uint32(w.payloadBytes()), sequence: w.blocks}
	w.sum = header.put(w.block, w.sum)
	block := append(w.block, make([]byte, checksumBytes)...)
	w.sum = putChecksum(block[blockHeaderBytes:], w.sum)
	w.blocks++
	w.block = block[:blockHeaderBytes]
	return w.write(block)
}

func (w *Writer) write(p []byte) error {
	n, err := w.dst.Write(p)
	if err == nil && n != len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return w.fail(fmt.Errorf("snapshot: write: %w", err))
	}
	return nil
}

func (w *Writer) fail(err error) error {
	w.err = err
	return err
}
