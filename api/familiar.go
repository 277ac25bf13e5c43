package api

import (
	"hash/maphash"
	"sync/atomic"
)

// familiarSlots is how many secrets are remembered at most, in 256 KiB. Of two that share a slot, the later one is.
const familiarSlots = 1 << 15

// familiar remembers the secrets that were lately found good, as hashes under a seed that never leaves the process. It
// opens nothing: it tells which secrets are worth the real hash. Asking it takes no lock.
type familiar struct {
	seed  maphash.Seed
	slots []atomic.Uint64
}

func newFamiliar() *familiar {
	return &familiar{seed: maphash.MakeSeed(), slots: make([]atomic.Uint64, familiarSlots)}
}

// print is never that of an empty slot.
func (f *familiar) print(secret string) (slot *atomic.Uint64, print uint64) {
	print = maphash.String(f.seed, secret) | 1<<63
	return &f.slots[print%familiarSlots], print
}

func (f *familiar) has(secret string) bool {
	slot, print := f.print(secret)
	return slot.Load() == print
}

func (f *familiar) add(secret string) {
	if slot, print := f.print(secret); slot.Load() != print {
		slot.Store(print)
	}
}
