package snapshot

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"
)

// cut takes a file apart into its header and its blocks, without judging them.
func cut(file []byte) (header []byte, blocks [][]byte) {
	header, file = file[:fileHeaderBytes], file[fileHeaderBytes:]
	for len(file) > 0 {
		n := blockHeaderBytes + int(parseBlockHeader(file).length) + checksumBytes
		blocks = append(blocks, bytes.Clone(file[:n]))
		file = file[n:]
	}
	return bytes.Clone(header), blocks
}

func join(header []byte, blocks [][]byte) []byte {
	return append(bytes.Clone(header), bytes.Join(blocks, nil)...)
}

// block makes a block whose sequence number and checksums are still to be set.
func block(kind blockKind, s Section, payload []byte) []byte {
	b := make([]byte, blockHeaderBytes, blockHeaderBytes+len(payload)+checksumBytes)
	blockHeader{kind: kind, section: s, length: uint32(len(payload))}.put(b, 0)
	return append(append(b, payload...), make([]byte, checksumBytes)...)
}

// number sets the sequence numbers.
func number(blocks [][]byte) {
	for i, b := range blocks {
		binary.LittleEndian.PutUint64(b[8:], uint64(i))
	}
}

// reseal returns a copy of file with all checksums made right, as a forger would, as far as its lengths make sense. It
// lets tests reach the checks behind the checksums.
func reseal(file []byte) []byte {
	file = bytes.Clone(file)
	if len(file) < fileHeaderBytes {
		return file
	}
	sum := putChecksum(file[:fileHeaderBytes], 0)
	for rest := file[fileHeaderBytes:]; len(rest) >= blockHeaderBytes; {
		sum = putChecksum(rest[:blockHeaderBytes], sum)
		length := uint64(parseBlockHeader(rest).length)
		rest = rest[blockHeaderBytes:]
		if length+checksumBytes > uint64(len(rest)) {
			break
		}
		sum = putChecksum(rest[:length+checksumBytes], sum)
		rest = rest[length+checksumBytes:]
	}
	return file
}

// TestLayout spells a file out by hand, from the package comment and not from the code.
func TestLayout(t *testing.T) {
	t.Parallel()
	var want, covered []byte
	put := func(b ...byte) { want, covered = append(want, b...), append(covered, b...) }
	seal := func() {
		want = binary.LittleEndian.AppendUint32(want, crc32.Checksum(covered, crc32.MakeTable(crc32.Castagnoli)))
	}
	put(0x89, 0x53, 0x59, 0x4c, 0x0d, 0x0a, 0x1a, 0x0a, 1, 0, 0, 0)
	seal()
	put(1, 7, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) // begin section 7, version 0x0102
	seal()
	seal()
	put(2, 7, 2, 1, 10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0) // records: "hi" and ""
	seal()
	put(2, 0, 0, 0, 'h', 'i', 0, 0, 0, 0)
	seal()
	put(3, 7, 2, 1, 8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0) // end: 2 records
	seal()
	put(2, 0, 0, 0, 0, 0, 0, 0)
	seal()
	put(4, 0, 0, 0, 16, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0) // finish: 3 blocks, 2 records
	seal()
	put(3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0)
	seal()
	got := encode(t, blockTargetBytes, section{Section{7, 0x0102}, [][]byte{[]byte("hi"), {}}})
	if !bytes.Equal(got, want) {
		t.Errorf("got  % x\nwant % x", got, want)
	}
}

func TestResealLeavesGoodFiles(t *testing.T) {
	t.Parallel()
	file := smallFile(t)
	if !bytes.Equal(reseal(file), file) {
		t.Error("changed")
	}
	header, blocks := cut(file)
	if !bytes.Equal(join(header, blocks), file) {
		t.Error("cut and join lose something")
	}
}
