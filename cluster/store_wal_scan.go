package cluster

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// The format of raft-wal's segments: a header, and frames that begin with a type and a length, or the checksum of a batch.
const (
	segmentHeaderBytes = 32
	frameHeaderBytes   = 8

	frameEntry  = 1
	frameIndex  = 2
	frameCommit = 3
	frameBeyond = 0xff // not one of raft-wal's: a frame that does not end in the file
)

// sectorBytes is the least that a disk writes whole, or not at all.
const sectorBytes = 512

// segmentScan is what there is in a segment that is, or was, written to.
type segmentScan struct {
	begin   int64  // of the last batch of which, as of all before it, the checksum matches
	end     int64  // of that batch
	entries uint64 // in those batches
	index   int64  // where the index of a full segment is; 0 without
	written int64  // the end of what is not blank, rounded up to a frame's beginning
}

// frame is the frame at an offset.
type frame struct {
	kind byte
	next int64  // the offset of the next one
	crc  uint32 // of a frameCommit
}

// frameAt returns the frame at an offset, if there is one.
func frameAt(data []byte, at int64) (f frame, ok bool) {
	if at+frameHeaderBytes > int64(len(data)) || data[at+1]|data[at+2]|data[at+3] != 0 {
		return f, false
	}
	f.kind = data[at]
	word := binary.LittleEndian.Uint32(data[at+4:])
	f.next = at + frameHeaderBytes
	switch f.kind {
	case frameEntry, frameIndex:
		f.next += (int64(word) + frameHeaderBytes - 1) / frameHeaderBytes * frameHeaderBytes
	case frameCommit:
		f.crc = word
	default:
		return f, false
	}
	if f.next > int64(len(data)) {
		return frame{kind: frameBeyond, next: f.next}, false
	}
	return f, true
}

func scanSegment(data []byte) (s segmentScan) {
	written := int64(len(bytes.TrimRight(data, "\x00")))
	s.written = min((written+frameHeaderBytes-1)/frameHeaderBytes*frameHeaderBytes, int64(len(data)))
	entries, index := uint64(0), int64(0)
	for at := int64(segmentHeaderBytes); ; {
		f, ok := frameAt(data, at)
		if !ok {
			return s
		}
		switch f.kind {
		case frameEntry:
			entries++
		case frameIndex:
			index = at + frameHeaderBytes
		case frameCommit:
			if crc32.Checksum(data[s.end:at], castagnoli) != f.crc {
				return s
			}
			s.begin, s.end, s.entries, s.index = s.end, f.next, entries, index
		}
		at = f.next
	}
}

// refuseDamage tells damage from a write that was cut short by a loss of power. Of that, some sectors may be missing,
// and those are blank, as everything behind it is: a batch is written when the one before it is on disk, and nothing
// after it before it is on disk itself.
func (s *segmentScan) refuseDamage(data []byte) error {
	if s.written <= s.end {
		return nil
	}
	damaged := fmt.Errorf("the data is damaged behind byte %d", s.end)
	if s.laterBatch(data) || s.complete(data) {
		return damaged
	}
	return nil
}

// maxBatchSearch bounds how many frames are looked at to find a batch behind damage.
const maxBatchSearch = 1 << 26

// laterBatch reports whether there is a whole batch behind something that is none.
func (s *segmentScan) laterBatch(data []byte) bool {
	looked := 0
	for at := s.end + frameHeaderBytes; at < s.written; at += frameHeaderBytes {
		// A batch begins where another one ends.
		if before, ok := frameAt(data, at-frameHeaderBytes); !ok || before.kind != frameCommit {
			continue
		}
		for f, ok := frameAt(data, at); ok && looked < maxBatchSearch; f, ok = frameAt(data, f.next) {
			looked++
			if f.kind != frameCommit {
				continue
			}
			if end := f.next - frameHeaderBytes; end > at && crc32.Checksum(data[at:end], castagnoli) == f.crc {
				return true
			}
			break
		}
	}
	return false
}

// complete reports whether no sector is missing of what is written behind the last whole batch. Then all of it was
// written, and what is wrong with it came later.
func (s *segmentScan) complete(data []byte) bool {
	at := max(s.end, segmentHeaderBytes)
	for at < s.written {
		f, ok := frameAt(data, at)
		if !ok && f.kind != frameBeyond {
			// A frame begins as it was written, or its sector is missing.
			sector := at / sectorBytes * sectorBytes
			return !blank(data[max(sector, s.end):min(sector+sectorBytes, int64(len(data)))])
		}
		if content := at + frameHeaderBytes; f.kind != frameCommit && content%sectorBytes != 0 && data[content] == 0 {
			return true // no index begins with a zero, of an entry or of offsets, and this is its frame's sector
		}
		if at = f.next; f.kind == frameCommit {
			break
		}
	}
	if at < s.written {
		return true // nothing is written behind a batch that is not on disk
	}
	last, ok := frameAt(data, s.written-frameHeaderBytes)
	return ok && last.kind == frameCommit && !missesSector(data, s.end, s.written)
}

func missesSector(data []byte, from, to int64) bool {
	for from < to {
		next := min((from/sectorBytes+1)*sectorBytes, to)
		if blank(data[from:next]) {
			return true
		}
		from = next
	}
	return false
}

func blank(data []byte) bool { return len(bytes.TrimLeft(data, "\x00")) == 0 }
