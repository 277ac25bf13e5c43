package fsm

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/snapshot"
)

var memoryRecords = flag.Int("records", 200_000, "how many records TestMemory stores")

// The records of TestMemory: keys of 40 bytes, bodies of 200.
const (
	memoryScope         = "orders"
	memoryKeyBytes      = 40
	memoryPayloadBytes  = int64(len(memoryScope) + memoryKeyBytes + 200)
	maxOverheadBytes    = 64 // of a record, beyond scope, key and body
	memoryRecordsAtOnce = 64 // in an entry
)

// TestMemory wants a completed record to cost little beyond its scope, key and body. With -v it also prints what else
// a state of -records records costs: the slowest entry, a capture, a snapshot, a restore, a collection.
//
// It does not run beside other tests: it looks at the memory of the whole process.
func TestMemory(t *testing.T) {
	n := *memoryRecords / memoryRecordsAtOnce * memoryRecordsAtOnce
	before, rssBefore := heapBytes(), rssBytes(t)
	j := newJournal(t)
	var encoding, slowest time.Duration
	start := time.Now()
	for i := 0; i < n; i += memoryRecordsAtOnce {
		at := time.Now()
		data := memoryEntry(i)
		encoding += time.Since(at)
		at = time.Now()
		j.index++
		if _, _, err := j.m.Apply(j.index, 1, data); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(at))
	}
	applying := time.Since(start) - encoding
	if j.m.Records() != n {
		t.Fatalf("%d records, want %d", j.m.Records(), n)
	}
	overhead := perRecord(heapBytes()-before, n) - memoryPayloadBytes
	if overhead > maxOverheadBytes {
		t.Errorf("a record takes %d bytes beyond its scope, key and body, want at most %d", overhead, maxOverheadBytes)
	}
	t.Logf("%d records: %d bytes each beyond scope, key and body; resident %d MB, %d beyond those",
		n, overhead, rssBytes(t)>>20, perRecord(rssBytes(t)-rssBefore, n)-memoryPayloadBytes)
	t.Logf("applied at %d ns a record, slowest entry of %d: %v", perRecord(int64(applying), n), memoryRecordsAtOnce, slowest)
	at := time.Now()
	runtime.GC()
	t.Logf("a collection takes %v", time.Since(at))
	wantRestored(t, j.m, n)
}

// wantRestored takes the machine through a file and back.
func wantRestored(t *testing.T, m *Machine, n int) {
	t.Helper()
	at := time.Now()
	s := m.Snapshot()
	t.Logf("captured in %v", time.Since(at))
	path := filepath.Join(t.TempDir(), "state")
	at = time.Now()
	writeFile(t, path, s)
	t.Logf("written at %d ns a record", perRecord(int64(time.Since(at)), n))
	*m = Machine{}
	s = nil
	debug.FreeOSMemory()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at = time.Now()
	r, err := snapshot.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	restored, err := Restore(testConfig(), r)
	if err != nil || restored.Records() != n {
		t.Fatalf("restored: %v", err)
	}
	t.Logf("restored at %d ns a record", perRecord(int64(time.Since(at)), n))
	wantExpired(t, restored, n)
}

// wantExpired lets all records fall due at once, and applies entries until they are gone.
func wantExpired(t *testing.T, m *Machine, n int) {
	t.Helper()
	data := encodeEntry(m.ClockMs() + 3*ttlMs)
	var slowest time.Duration
	start := time.Now()
	for entries := 0; m.Records() > 0; entries++ {
		at := time.Now()
		if _, _, err := m.Apply(m.Index()+1, 1, data); err != nil || entries > n {
			t.Fatalf("%d records are left after %d entries: %v", m.Records(), entries, err)
		}
		slowest = max(slowest, time.Since(at))
	}
	t.Logf("expired at %d ns a record, slowest entry of %d: %v", perRecord(int64(time.Since(start)), n), MaxReapPerEntry, slowest)
}

// TestLockMemory wants the same of a lock. It is smaller by a half of -records.
func TestLockMemory(t *testing.T) {
	const owner, maxOverhead = "r:0123456789abcdef0123456789abcdef", 160
	n := *memoryRecords / 2 / memoryRecordsAtOnce * memoryRecordsAtOnce
	before := heapBytes()
	j := newJournal(t)
	for i := 0; i < n; i += memoryRecordsAtOnce {
		cmds := make([]Command, memoryRecordsAtOnce)
		for k := range cmds {
			id := RecordID{Tenant: 1, Scope: memoryScope, Key: fmt.Sprintf("%0*d", memoryKeyBytes, i+k)}
			cmds[k] = Claim{ID: id, Owner: owner, Token: tok(byte(k)), LeaseMs: leaseMs, TTLMs: ttlMs}
		}
		j.entry(noon2026+int64(i)/10, cmds...)
	}
	overhead := perRecord(heapBytes()-before, n) - int64(len(memoryScope)+memoryKeyBytes+len(owner))
	if j.m.Locks() != n || overhead > maxOverhead {
		t.Errorf("%d locks of %d take %d bytes beyond scope, key and owner, want at most %d", j.m.Locks(), n, overhead, maxOverhead)
	}
	at := time.Now()
	s := j.m.Snapshot()
	t.Logf("%d locks: %d bytes each beyond scope, key and owner; captured in %v", n, overhead, time.Since(at))
	runtime.KeepAlive(s)
}

func writeFile(t *testing.T, path string, s *Snapshot) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buffered := bufio.NewWriter(f)
	w, err := snapshot.NewWriter(buffered)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []func() error{func() error { return s.Write(w) }, w.Close, buffered.Flush} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}

var memoryBody = bytes.Repeat([]byte("x"), 200)

// memoryEntry returns the entry that stores records first…first+memoryRecordsAtOnce-1.
func memoryEntry(first int) []byte {
	cmds := make([]Command, memoryRecordsAtOnce)
	for i := range cmds {
		key := fmt.Sprintf("%0*d", memoryKeyBytes, first+i)
		cmds[i] = Complete{
			ID: RecordID{Tenant: 1, Scope: memoryScope, Key: key}, Status: 200, Headers: emptyHeaders, Body: memoryBody,
			TTLMs: ttlMs,
		}
	}
	return encodeEntry(noon2026+int64(first)/10, cmds...)
}

func perRecord(total int64, n int) int64 { return (total + int64(n) - 1) / int64(n) }

// heapBytes is what is reachable on the heap.
func heapBytes() int64 {
	runtime.GC()
	debug.FreeOSMemory()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// rssBytes is what the process holds in memory; 0 where the system does not tell.
func rssBytes(t *testing.T) (n int64) {
	t.Helper()
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	status, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &n); err == nil {
			return n << 10
		}
	}
	return 0
}
