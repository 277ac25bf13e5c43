package fsm

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"strings"
	"testing"
)

// lockTrial drives a lock table beside a plain map, and keeps snapshots to look at later.
type lockTrial struct {
	t         *testing.T
	rng       *rand.Rand
	table     *lockTable
	want      map[string]lock
	nowMs     int64
	snapshots []lockTrialSnapshot
}

type lockTrialSnapshot struct {
	got  locksSnapshot
	want map[string]lock
}

func newLockTrial(t *testing.T, seed uint64, mask uint64) *lockTrial {
	h := newHasher(maphash.MakeSeed())
	h.mask = mask
	return &lockTrial{
		t: t, rng: rand.New(rand.NewPCG(seed, 31)), table: newLockTable(h), want: make(map[string]lock), nowMs: noon2026,
	}
}

// anyKey draws one of few keys, of very different lengths.
func (tr *lockTrial) anyKey() storeKey {
	n := tr.rng.IntN(400)
	id := recordID(fmt.Sprint(n, strings.Repeat("k", n%9*n%500)))
	return tr.table.key(appendStoreKey(nil, id))
}

func (tr *lockTrial) bytes(most int) []byte {
	return bytes.Repeat([]byte{byte(tr.rng.IntN(256))}, tr.rng.IntN(most+1))
}

func (tr *lockTrial) put() {
	key := tr.anyKey()
	l := lock{
		key: key.bytes, token: tok(byte(tr.rng.IntN(256))), fence: tr.rng.Uint64(), owner: tr.bytes(MaxOwnerBytes + 2),
		fingerprint: tr.bytes(tr.rng.IntN(MaxFingerprintBytes) + 1), leaseMs: tr.rng.Int64N(3) * 1_000, createdAtMs: tr.nowMs,
		ttlMs: 1 + tr.rng.Int64N(1<<tr.rng.IntN(18)),
	}
	l.leaseEndMs = leaseEnd(tr.nowMs, l.leaseMs)
	tr.table.put(key, &l, tr.table.find(key), tr.nowMs)
	tr.want[string(key.bytes)] = l
}

func (tr *lockTrial) setLease() {
	key := tr.anyKey()
	leaseMs := tr.rng.Int64N(4) * 1_000
	end := leaseEnd(tr.nowMs, leaseMs)
	if l, ok := tr.want[string(key.bytes)]; ok {
		tr.table.setLease(tr.table.find(key), leaseMs, end, tr.nowMs)
		l.leaseMs, l.leaseEndMs = leaseMs, end
		tr.want[string(key.bytes)] = l
	}
}

func (tr *lockTrial) remove() {
	key := tr.anyKey()
	if ref := tr.table.find(key); ref != 0 {
		tr.table.remove(key.hash, ref)
	}
	delete(tr.want, string(key.bytes))
}

// reap lets time pass. What is removed must have expired; what expired long ago must be removed.
func (tr *lockTrial) reap() {
	tr.nowMs += tr.rng.Int64N(5_000)
	for tr.table.reap(tr.nowMs, 7) == 7 {
	}
	for key, l := range tr.want {
		_, kept := tr.table.get(tr.table.key([]byte(key)))
		if kept && l.expired(tr.nowMs-ttlMs/16) || !kept && !l.expired(tr.nowMs) {
			tr.t.Fatalf("at %d, kept %v: a lock that expires at %d", tr.nowMs, kept, l.expiresAtMs())
		}
		if !kept {
			delete(tr.want, key)
		}
	}
}

func (tr *lockTrial) capture() {
	want := make(map[string]lock, len(tr.want))
	for key, l := range tr.want {
		want[key] = l
	}
	tr.snapshots = append(tr.snapshots, lockTrialSnapshot{tr.table.snapshot(), want})
}

func sameLock(a, b *lock) bool {
	return string(a.key) == string(b.key) && string(a.owner) == string(b.owner) && a.token == b.token &&
		string(a.fingerprint) == string(b.fingerprint) && a.fence == b.fence && a.leaseMs == b.leaseMs &&
		a.leaseEndMs == b.leaseEndMs && a.createdAtMs == b.createdAtMs && a.ttlMs == b.ttlMs
}

// check wants the table to hold what the map does, by key and by bucket.
func (tr *lockTrial) check() {
	tr.t.Helper()
	if tr.table.len() != len(tr.want) {
		tr.t.Fatalf("%d locks, want %d", tr.table.len(), len(tr.want))
	}
	listed := make(map[string]lock)
	for ref, s := range tr.table.slots {
		l := s.lock()
		if found := tr.table.find(tr.table.key(l.key)); found != ref {
			tr.t.Fatalf("lock %q is at %x and found at %x", l.key, ref, found)
		}
		listed[string(l.key)] = l
	}
	wantLocks(tr.t, listed, tr.want)
}

func wantLocks(t *testing.T, got, want map[string]lock) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d locks listed, want %d", len(got), len(want))
	}
	for key, w := range want {
		if l := got[key]; !sameLock(&l, &w) {
			t.Fatalf("lock %q is\n%q, want\n%q", key, fmt.Sprint(l), fmt.Sprint(w))
		}
	}
}

// checkSnapshots wants every snapshot to be as it was.
func (tr *lockTrial) checkSnapshots() {
	tr.t.Helper()
	for _, s := range tr.snapshots {
		got := make(map[string]lock)
		for l := range s.got.all {
			if _, twice := got[string(l.key)]; twice {
				tr.t.Fatalf("lock %q twice in a snapshot", l.key)
			}
			got[string(l.key)] = l
		}
		if s.got.count != len(got) {
			tr.t.Fatalf("a snapshot of %d locks says it has %d", len(got), s.got.count)
		}
		wantLocks(tr.t, got, s.want)
	}
}

// Any mixture of changes finds what a plain map would, and changes nothing of the snapshots taken before.
func TestLockTableAgainstMap(t *testing.T) {
	t.Parallel()
	for _, mask := range hashMasks {
		for seed := range uint64(4) {
			t.Run(fmt.Sprintf("mask %#x seed %d", mask, seed), func(t *testing.T) {
				t.Parallel()
				tr := newLockTrial(t, seed, mask)
				for range 4_000 {
					switch tr.rng.IntN(32) {
					case 0:
						tr.capture()
					case 1:
						tr.reap()
					case 2, 3, 4, 5, 6, 7:
						tr.remove()
					case 8, 9, 10, 11, 12:
						tr.setLease()
					default:
						tr.put()
					}
				}
				tr.check()
				tr.checkSnapshots()
				for key := range tr.want {
					key := tr.table.key([]byte(key))
					tr.table.remove(key.hash, tr.table.find(key))
				}
				clear(tr.want)
				tr.check()
				if n := tr.table.pageCount(); n != 0 {
					t.Errorf("%d pages without a lock are kept", n)
				}
				tr.checkSnapshots()
			})
		}
	}
}

// Pages go when they are empty, and slots are used again: the memory of locks is that of the locks there are.
func TestLockPagesAreReused(t *testing.T) {
	t.Parallel()
	tr := newLockTrial(t, 1, hashMasks[2])
	most := 0
	for range 200 {
		for len(tr.want) < 300 {
			tr.put()
		}
		most = max(most, tr.table.pageCount())
		for len(tr.want) > 20 {
			tr.remove()
		}
	}
	if n := len(tr.table.pages.pages); n > most+1 {
		t.Errorf("%d pages were numbered, though at most %d held locks at a time", n, most)
	}
	// Slots of 36 sizes, of which each may have a page that is not full.
	if most > maxLockUnits+300*maxLockSlotBytes/lockPageBytes+10 {
		t.Errorf("%d pages for 300 locks", most)
	}
}

func TestLockSlotRoundTrip(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]lock{
		"least": {key: appendStoreKey(nil, RecordID{1, "s", "k"}), owner: []byte("o")},
		"most": {
			key:   appendStoreKey(nil, RecordID{MaxTenants, strings.Repeat("s", MaxScopeBytes), strings.Repeat("k", MaxKeyBytes)}),
			token: Token{1, 15: 2}, fence: 1<<64 - 1, owner: bytes.Repeat([]byte("o"), MaxOwnerBytes+OwnerPrefixBytes),
			fingerprint: bytes.Repeat([]byte("f"), MaxFingerprintBytes), leaseMs: MaxLeaseMs, leaseEndMs: maxInstantMs,
			createdAtMs: maxInstantMs, ttlMs: MaxTTLMs,
		},
	} {
		var page lockPage
		size := lockSlotBytes(&l)
		slot := lockSlot(page[:size])
		slot.set(&l)
		slot.setLinks(1<<32-1, 1<<31, 1<<62)
		if got := slot.lock(); !sameLock(&got, &l) {
			t.Errorf("%s: %+v, want %+v", name, got, l)
		}
		if prev, next, end := slot.links(); prev != 1<<32-1 || next != 1<<31 || end != 1<<62 {
			t.Errorf("%s: links %x, %x, %d", name, prev, next, end)
		}
		if size > maxLockSlotBytes {
			t.Errorf("%s: a slot of %d bytes", name, size)
		}
	}
}
