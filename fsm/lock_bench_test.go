package fsm

import (
	"hash/maphash"
	"testing"
)

const benchLocks = 1 << 20

// benchLockTable returns a table of n locks that expire at once, and their keys.
func benchLockTable(n int) (*lockTable, []storeKey) {
	t := newLockTable(newHasher(maphash.MakeSeed()))
	keys := make([]storeKey, n)
	for i := range keys {
		keys[i] = t.key(appendStoreKey(nil, benchID(i)))
		t.put(keys[i], benchLock(keys[i]), 0, noon2026)
	}
	return t, keys
}

func benchLock(key storeKey) *lock {
	return &lock{
		key: key.bytes, token: tok(1), fence: 1, owner: []byte("r:0123456789abcdef0123456789abcdef"), leaseMs: leaseMs,
		leaseEndMs: noon2026 + leaseMs, createdAtMs: noon2026, ttlMs: ttlMs,
	}
}

func BenchmarkLockPut(b *testing.B) {
	b.ReportAllocs()
	_, keys := benchLockTable(benchRecords)
	l, t := *benchLock(keys[0]), newLockTable(newHasher(maphash.MakeSeed()))
	for i := 0; b.Loop(); i++ {
		if i%benchRecords == 0 { // bounds the memory, growth included
			t = newLockTable(t.hasher)
		}
		key := t.key(keys[i%benchRecords].bytes)
		l.key = key.bytes
		t.put(key, &l, 0, noon2026)
	}
}

func BenchmarkLockGet(b *testing.B) {
	t, keys := benchLockTable(benchLocks)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, ok := t.get(keys[i*7919%benchLocks]); !ok {
			b.Fatal("not found")
		}
	}
}

// BenchmarkLockChange removes a lock and puts it back: what a claim and its completion do.
func BenchmarkLockChange(b *testing.B) {
	t, keys := benchLockTable(benchLocks)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		key := keys[i*7919%benchLocks]
		t.remove(key.hash, t.find(key))
		t.put(key, benchLock(key), 0, noon2026)
	}
}

// BenchmarkLockReap reports the time of one lock.
func BenchmarkLockReap(b *testing.B) {
	b.ReportAllocs()
	var t *lockTable
	for b.Loop() {
		if t == nil || t.len() == 0 {
			b.StopTimer()
			t, _ = benchLockTable(benchRecords)
			b.StartTimer()
		}
		t.reap(noon2026+2*ttlMs, 1)
	}
}

// BenchmarkLockCapture captures benchLocks locks. The first changes that follow copy the pages they meet.
func BenchmarkLockCapture(b *testing.B) {
	t, keys := benchLockTable(benchLocks)
	b.Run("capture", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			t.snapshot()
		}
	})
	b.Run("first change", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if i%1_000 == 0 {
				t.snapshot()
			}
			t.setLease(t.find(keys[i*7919%benchLocks]), leaseMs, noon2026+2*leaseMs, noon2026)
		}
	})
}

// BenchmarkEstablish extends benchLocks leases.
func BenchmarkEstablish(b *testing.B) {
	j := newJournal(b)
	j.m.locks, _ = benchLockTable(benchLocks)
	j.m.hasher = j.m.locks.hasher
	data := encodeEntry(noon2026, Establish{GraceMs: 1})
	b.ReportAllocs()
	for b.Loop() {
		mustApply(b, j.m, data, OK)
	}
}

func BenchmarkView(b *testing.B) {
	m := benchMachine(b)
	ids := make([]RecordID, benchRecords)
	for i := range ids {
		ids[i] = benchID(i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if v := m.ViewAt(ids[i*7919%benchRecords], noon2026); v.State != StateCompleted {
			b.Fatal("not completed")
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	var claim, complete Command = benchClaim(1), benchComplete(1)
	b.ReportAllocs()
	for b.Loop() {
		if Validate(claim) != nil || Validate(complete) != nil {
			b.Fatal("not valid")
		}
	}
}
