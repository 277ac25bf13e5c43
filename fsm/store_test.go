package fsm

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"math"
	"math/rand/v2"
	"testing"
)

// hashMasks make all keys clash, some, and none.
var hashMasks = []uint64{0, 0x7, math.MaxUint64}

// shelf drives a recordStore beside a plain map that knows what must be found.
type shelf struct {
	t     *testing.T
	s     *recordStore
	want  map[string]Record
	nowMs int64
}

func newShelf(t *testing.T, mask uint64) *shelf {
	s := newRecordStore(newHasher(maphash.MakeSeed()))
	s.mask = mask
	return &shelf{t: t, s: s, want: make(map[string]Record), nowMs: noon2026}
}

func (h *shelf) key(key string) storeKey { return h.s.key(appendStoreKey(nil, recordID(key))) }

func (h *shelf) put(key, body string, ttl int64) {
	rec := Record{
		Status: 200, Headers: []byte(`{"k":"` + key + `"}`), Body: []byte(body), Fingerprint: "f" + key,
		CreatedAtMs: h.nowMs, ExpiresAtMs: h.nowMs + ttl,
	}
	h.s.put(h.key(key), &rec, h.nowMs)
	h.want[key] = rec
}

func (h *shelf) remove(key string) {
	h.s.remove(h.key(key))
	delete(h.want, key)
}

// advance moves the clock and reaps all that is due, a few records at a time.
func (h *shelf) advance(ms int64) {
	h.nowMs += ms
	for h.s.reap(h.nowMs, 3) == 3 {
	}
	for key, rec := range h.want {
		if rec.ExpiresAtMs <= h.nowMs {
			delete(h.want, key)
		}
	}
}

// check wants exactly the unexpired records of h.want to be found among the keys.
func (h *shelf) check(keys ...string) {
	h.t.Helper()
	for _, key := range keys {
		want, present := h.want[key]
		r := h.s.get(h.key(key))
		found := r != nil && r.expiresAtMs() > h.nowMs
		if found != present {
			h.t.Fatalf("record %q found: %v, want %v", key, found, present)
		}
		if got := (Record{}); found {
			if got = r.decoded(); !sameRecord(&got, &want) {
				h.t.Fatalf("record %q is %+v, want %+v", key, got, want)
			}
		}
	}
}

func eachMask(t *testing.T, f func(t *testing.T, h *shelf)) {
	for _, mask := range hashMasks {
		t.Run(fmt.Sprintf("mask %#x", mask), func(t *testing.T) {
			t.Parallel()
			f(t, newShelf(t, mask))
		})
	}
}

func TestStoreClashes(t *testing.T) {
	t.Parallel()
	eachMask(t, func(t *testing.T, h *shelf) {
		keys := []string{"a", "b", "c", "d"}
		for i, key := range keys {
			h.put(key, key+" one", int64(10_000*(1+i%2)))
			h.check(keys...)
		}
		h.remove("a") // the first of those that clash
		h.check(keys...)
		h.remove("c") // one between them
		h.check(keys...)
		h.remove("c")
		h.put("c", "c two", 50_000)
		h.put("a", "a two", 5_000)
		h.check(keys...)
		h.advance(7_000) // a two
		h.check(keys...)
		h.put("a", "a three", 60_000)
		h.advance(14_000) // b and d one
		h.check(keys...)
		h.put("b", "b two", 1_000)
		h.check(keys...)
		h.advance(100_000)
		h.check(keys...)
		if n := h.s.len(); n != 0 || h.s.chunkCount() != 0 {
			t.Errorf("%d records in %d chunks are left, want none", n, h.s.chunkCount())
		}
	})
}

// Any mixture of puts, removals, expiries and clashes finds what a plain map would.
func TestStoreAgainstMap(t *testing.T) {
	t.Parallel()
	eachMask(t, func(t *testing.T, h *shelf) {
		rng := rand.New(rand.NewPCG(7, h.s.mask))
		keys := []string{"a", "b", "c", "d", "e", "f"}
		for i := range 60_000 {
			key := keys[rng.IntN(len(keys))]
			switch _, present := h.want[key]; {
			case rng.IntN(8) == 0:
				h.nowMs += rng.Int64N(4_000) // expired but not reaped
				for key, rec := range h.want {
					if rec.ExpiresAtMs <= h.nowMs {
						delete(h.want, key)
					}
				}
			case rng.IntN(8) == 0:
				h.advance(rng.Int64N(4_000))
			case present && rng.IntN(3) == 0:
				h.remove(key)
			case !present:
				h.put(key, fmt.Sprint(i), 1+rng.Int64N(1<<rng.IntN(16)))
			}
			h.check(keys...)
		}
		h.advance(1 << 20)
		if n := h.s.len(); n != 0 || h.s.chunkCount() != 0 || len(h.s.slabs.ends) != 0 {
			t.Errorf("%d records, %d chunks, %d slabs left, want none", n, h.s.chunkCount(), len(h.s.slabs.ends))
		}
	})
}

// A slab grows by chunks, and what was handed out of it stays where and what it was.
func TestSlabGrowth(t *testing.T) {
	t.Parallel()
	h := newShelf(t, math.MaxUint64)
	rng := rand.New(rand.NewPCG(9, 9))
	sizes := []int{
		1, minChunkBytes - 200, minChunkBytes, maxSharedBytes - 200, maxSharedBytes, maxChunkBytes - 200, MaxBodyBytes, 1, 300,
	}
	var keys []string
	handedOut := make(map[string][]byte)
	for i := range 2_000 {
		size := 1 + rng.IntN(3_000)
		if i < len(sizes) {
			size = sizes[i]
		}
		key := fmt.Sprint(i)
		keys = append(keys, key)
		h.put(key, string(bytes.Repeat([]byte{byte('a' + i%26)}, size)), ttlMs)
		handedOut[key] = h.s.get(h.key(key)).decoded().Body
	}
	h.check(keys...)
	for key, body := range handedOut {
		again := h.s.get(h.key(key)).decoded().Body
		if &again[0] != &body[0] || !bytes.Equal(body, h.want[key].Body) {
			t.Fatalf("the body of record %q moved or changed", key)
		}
		if cap(body) != len(body) {
			t.Fatalf("the body of record %q can be appended to within its slab", key)
		}
	}
	var used, reserved int
	for _, c := range h.s.chunks {
		used, reserved = used+len(c.data), reserved+cap(c.data)
		if cap(c.data) > maxChunkBytes+maxSlabRecordBytes {
			t.Errorf("a chunk of %d bytes", cap(c.data))
		}
	}
	if reserved > 2*used+2*maxChunkBytes {
		t.Errorf("%d bytes reserved for %d used", reserved, used)
	}
}

// A record's bytes may be kept after its slab is gone.
func TestRecordOutlivesItsSlab(t *testing.T) {
	t.Parallel()
	h := newShelf(t, math.MaxUint64)
	h.put("a", "first", 1_000)
	body := h.s.get(h.key("a")).decoded().Body
	h.advance(10_000)
	for i := range 1_000 {
		h.put(fmt.Sprint(i), "second", 1_000)
	}
	if string(body) != "first" {
		t.Errorf("a body that was handed out became %q", body)
	}
}

func TestSlabRecordRoundTrip(t *testing.T) {
	t.Parallel()
	full := func(n int, c string) string { return string(bytes.Repeat([]byte(c), n)) }
	tests := []struct {
		name string
		id   RecordID
		rec  Record
	}{
		{"least", RecordID{1, "s", "k"}, Record{Status: MinStatus, Headers: []byte(`{}`), Body: []byte(`1`)}},
		{"most", RecordID{MaxTenants, full(MaxScopeBytes, "s"), full(MaxKeyBytes, "k")}, Record{
			Status: MaxStatus, Headers: []byte(full(MaxHeadersBytes, "h")), Body: []byte(full(MaxBodyBytes, "b")),
			Fingerprint: full(MaxFingerprintBytes, "f"), CreatedAtMs: noon2026, ExpiresAtMs: noon2026 + MaxTTLMs,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			key := appendStoreKey(nil, tt.id)
			r := slabRecord(appendSlabRecord(nil, key, &tt.rec))
			if got := r.decoded(); !sameRecord(&got, &tt.rec) {
				t.Errorf("record changed on its way through a slab")
			}
			if !r.valid() || !r.hasStoreKey(key) || !bytes.Equal(r.appendStoreKey(nil), key) {
				t.Error("the encoded record is not valid or not the record of its key")
			}
			if id, ok := splitStoreKey(string(key)); !ok || id != tt.id {
				t.Errorf("store key splits into %+v, %v", id, ok)
			}
			for n := range min(len(r), 2_000) {
				if r[:n].valid() {
					t.Fatalf("valid when cut to %d bytes", n)
				}
			}
			if slabRecord(append(bytes.Clone(r), 0)).valid() {
				t.Error("valid with a byte behind it")
			}
		})
	}
}

func TestStoreKeysDiffer(t *testing.T) {
	t.Parallel()
	a, b := appendStoreKey(nil, RecordID{1, "ab", "c"}), appendStoreKey(nil, RecordID{1, "a", "bc"})
	if bytes.Equal(a, b) {
		t.Errorf("two ids share the store key %q", a)
	}
	for _, bad := range []string{"", "\x01\x00\x00\x00", "\x01\x00\x00\x00\x01", "\x01\x00\x00\x00\x02ab",
		"\x01\x00\x00\x00\x00ab", "\x00\x00\x00\x00\x01ab", "\xff\xff\xff\xff\x01ab", "\x01\x00\x00\x00\xffab"} {
		if id, ok := splitStoreKey(bad); ok {
			t.Errorf("%q splits into %+v", bad, id)
		}
	}
}
