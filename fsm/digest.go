package fsm

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// chainDigest folds a command and what became of it into the rolling digest. How commands were grouped into entries
// does not matter.
func chainDigest(previous uint64, clockMs int64, frame []byte, r *Result) uint64 {
	le := binary.LittleEndian
	b := make([]byte, 0, 160)
	b = le.AppendUint64(b, previous)
	b = le.AppendUint64(b, uint64(clockMs))
	b = le.AppendUint64(b, xxhash.Sum64(frame))
	b = append(b, byte(r.Outcome))
	b = appendBool(b, r.Reentered)
	b = appendBool(b, r.Existed)
	b = append(b, r.Token[:]...)
	b = le.AppendUint64(b, r.Fence)
	b = le.AppendUint64(b, uint64(r.LeaseEndMs))
	b = le.AppendUint64(b, uint64(r.ExpiresAtMs))
	b = le.AppendUint64(b, uint64(r.Record.CreatedAtMs))
	b = le.AppendUint64(b, uint64(r.Record.ExpiresAtMs))
	if r.Outcome == Cached {
		// What is replayed was stored long before: damage to it in memory shows here.
		b = le.AppendUint16(b, r.Record.Status)
		b = le.AppendUint64(b, xxhash.Sum64(r.Record.Headers))
		b = le.AppendUint64(b, xxhash.Sum64(r.Record.Body))
		b = le.AppendUint64(b, xxhash.Sum64String(r.Record.Fingerprint))
	}
	if r.Event != nil {
		b = appendEvent(b, r.Event)
	}
	if r.Count != 0 {
		b = le.AppendUint64(b, uint64(r.Count))
	}
	return xxhash.Sum64(b)
}
