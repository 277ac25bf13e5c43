package cluster

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"

	"github.com/hashicorp/raft"
)

// A seal is the CRC-32C of everything that decides what a log entry means: the store keeps no checksum, and the one
// inside a command says nothing of the index, the term and the type around it. Damage to the type alone would turn a
// command into an entry that is passed over. The seal travels in the store only, at the end of Extensions, which raft
// leaves to layers like this one.
const sealBytes = 4

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errSeal    = errors.New("its checksum does not match: the entry is damaged")
)

// sealed returns a copy of an entry with its seal. The original may be in use elsewhere.
func sealed(log *raft.Log) *raft.Log { return sealAll([]*raft.Log{log})[0] }

// sealAll returns copies of entries with their seals.
func sealAll(logs []*raft.Log) []*raft.Log {
	copies, pointers := make([]raft.Log, len(logs)), make([]*raft.Log, len(logs))
	room := 0
	for _, log := range logs {
		room += len(log.Extensions) + sealBytes
	}
	extensions := make([]byte, 0, room)
	for i, log := range logs {
		from := len(extensions)
		extensions = append(extensions, log.Extensions...)
		extensions = binary.LittleEndian.AppendUint32(extensions, checksum(log))
		copies[i] = *log
		copies[i].Extensions = slices.Clip(extensions[from:])
		pointers[i] = &copies[i]
	}
	return pointers
}

// unseal takes the seal off an entry that was read at index, and verifies it.
func unseal(index uint64, log *raft.Log) error {
	cut := len(log.Extensions) - sealBytes
	if cut < 0 || log.Index != index {
		return errSeal
	}
	seal := binary.LittleEndian.Uint32(log.Extensions[cut:])
	if log.Extensions = log.Extensions[:cut:cut]; cut == 0 {
		log.Extensions = nil
	}
	if seal != checksum(log) {
		return errSeal
	}
	return nil
}

func checksum(log *raft.Log) uint32 {
	b := make([]byte, 0, 24)
	b = binary.LittleEndian.AppendUint64(b, log.Index)
	b = binary.LittleEndian.AppendUint64(b, log.Term)
	b = append(b, byte(log.Type))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(log.Data)))
	sum := crc32.Checksum(b, castagnoli)
	sum = crc32.Update(sum, castagnoli, log.Data)
	return crc32.Update(sum, castagnoli, log.Extensions)
}
