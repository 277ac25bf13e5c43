package fsm

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"io"
	"testing"

	"github.com/syllecta/syllecta/snapshot"
)

const benchBatch = 64

var (
	benchBody    = bytes.Repeat([]byte("x"), 200)
	benchHeaders = []byte(`{"content-type":"application/json"}`)
)

func benchID(i int) RecordID {
	return RecordID{Tenant: 1, Scope: "orders", Key: fmt.Sprintf("order-%012d", i)}
}

func benchClaim(i int) Claim {
	return Claim{ID: benchID(i), Owner: "r:0123456789abcdef", Token: tok(byte(i)), LeaseMs: leaseMs, TTLMs: ttlMs}
}

func benchComplete(i int) Complete {
	return Complete{
		ID: benchID(i), Token: tok(byte(i)), Status: 200, Headers: benchHeaders, Body: benchBody,
		TTLMs: ttlMs, InheritTTL: true,
	}
}

// benchEntry encodes commands first…first+benchBatch-1.
func benchEntry[C Command](stampMs int64, first int, make func(i int) C) []byte {
	var cmds [benchBatch]Command
	for i := range cmds {
		cmds[i] = make(first + i)
	}
	return encodeEntry(stampMs, cmds[:]...)
}

func mustApply(b *testing.B, m *Machine, data []byte, want Outcome) {
	_, results, err := m.Apply(m.index+1, 1, data)
	if err != nil {
		b.Fatal(err)
	}
	for i := range results {
		if results[i].Outcome != want {
			b.Fatalf("outcome %d, want %d", results[i].Outcome, want)
		}
	}
}

// perCommand reports the time of one command beside that of its entry.
func perCommand(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchBatch, "ns/command")
}

func BenchmarkApplyClaims(b *testing.B) {
	b.ReportAllocs()
	j := newJournal(b)
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		data := benchEntry(noon2026+int64(i), i*benchBatch, benchClaim)
		b.StartTimer()
		mustApply(b, j.m, data, Granted)
	}
	perCommand(b)
}

// BenchmarkApplyClaimsAmongMany is BenchmarkApplyClaims with two million records there.
func BenchmarkApplyClaimsAmongMany(b *testing.B) {
	b.ReportAllocs()
	j := newJournal(b)
	rec := benchRecord()
	for i := range 8 * benchRecords {
		id := benchID(-1 - i)
		j.m.records.put(keyOf(j.m, id), &rec, noon2026)
	}
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		data := benchEntry(noon2026+int64(i), i*benchBatch, benchClaim)
		b.StartTimer()
		mustApply(b, j.m, data, Granted)
	}
	perCommand(b)
}

func BenchmarkApplyReplays(b *testing.B) {
	b.ReportAllocs()
	j := newJournal(b)
	mustApply(b, j.m, benchEntry(noon2026, 0, func(i int) Complete {
		c := benchComplete(i)
		c.Token = Token{}
		return c
	}), Stored)
	data := benchEntry(noon2026, 0, benchClaim)
	for b.Loop() {
		mustApply(b, j.m, data, Cached)
	}
	perCommand(b)
}

// BenchmarkApplyClaimsByDay and BenchmarkApplyReplaysByDay are at the feature level from which usage is counted by day,
// for a tenant with a plan.
func BenchmarkApplyClaimsByDay(b *testing.B) {
	b.ReportAllocs()
	j := countedJournal(b)
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		data := benchEntry(noon2026+int64(i), i*benchBatch, benchClaim)
		b.StartTimer()
		mustApply(b, j.m, data, Granted)
	}
	perCommand(b)
}

func BenchmarkApplyReplaysByDay(b *testing.B) {
	b.ReportAllocs()
	j := countedJournal(b)
	mustApply(b, j.m, benchEntry(noon2026, 0, func(i int) Complete {
		c := benchComplete(i)
		c.Token = Token{}
		return c
	}), Stored)
	data := benchEntry(noon2026, 0, benchClaim)
	for b.Loop() {
		mustApply(b, j.m, data, Cached)
	}
	perCommand(b)
}

func countedJournal(b *testing.B) *journal {
	j := newJournal(b)
	j.entry(noon2026, RaiseFeatureLevel{FeatureLevel, "v3"}, PutPlan{Plan{Name: "team", MonthlyClaims: MaxMonthlyClaims}},
		UpdateTenant{Tenant: 1, SetPlan: true, Plan: "team"})
	return j
}

func BenchmarkApplyCompletes(b *testing.B) {
	b.ReportAllocs()
	j := newJournal(b)
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		mustApply(b, j.m, benchEntry(noon2026+int64(i), i*benchBatch, benchClaim), Granted)
		data := benchEntry(noon2026+int64(i), i*benchBatch, benchComplete)
		b.StartTimer()
		mustApply(b, j.m, data, Stored)
	}
	perCommand(b)
}

func BenchmarkEncode(b *testing.B) {
	claim, complete := benchClaim(1), benchComplete(1)
	b.Run("claim", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Encode(claim)
		}
	})
	b.Run("complete", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Encode(complete)
		}
	})
}

func BenchmarkDecodeEntry(b *testing.B) {
	for name, data := range map[string][]byte{
		"claims": benchEntry(noon2026, 0, benchClaim), "completes": benchEntry(noon2026, 0, benchComplete),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := DecodeEntry(data); err != nil {
					b.Fatal(err)
				}
			}
			perCommand(b)
		})
	}
}

const benchRecords = 1 << 18

func benchRecord() Record {
	return Record{
		Status: 200, Headers: benchHeaders, Body: benchBody, CreatedAtMs: noon2026, ExpiresAtMs: noon2026 + ttlMs,
	}
}

// benchStore returns a store of benchRecords records that expire at once, and their keys.
func benchStore(b *testing.B) (*recordStore, []storeKey) {
	rec, s := benchRecord(), newRecordStore(newHasher(maphash.MakeSeed()))
	keys := make([]storeKey, benchRecords)
	for i := range keys {
		keys[i] = s.key(appendStoreKey(nil, benchID(i)))
		s.put(keys[i], &rec, noon2026)
	}
	return s, keys
}

func BenchmarkStorePut(b *testing.B) {
	b.ReportAllocs()
	rec, s := benchRecord(), newRecordStore(newHasher(maphash.MakeSeed()))
	keys := make([]storeKey, benchRecords)
	for i := range keys {
		keys[i] = s.key(appendStoreKey(nil, benchID(i)))
	}
	for i := 0; b.Loop(); i++ {
		if i%benchRecords == 0 { // bounds the memory, growth included
			s = newRecordStore(s.hasher)
		}
		s.put(keys[i%benchRecords], &rec, noon2026)
	}
}

func BenchmarkStoreGet(b *testing.B) {
	s, keys := benchStore(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if s.get(keys[i*7919%benchRecords]) == nil {
			b.Fatal("not found")
		}
	}
}

// BenchmarkStoreReap reports the time of one record.
func BenchmarkStoreReap(b *testing.B) {
	b.ReportAllocs()
	var s *recordStore
	for b.Loop() {
		if s == nil || s.len() == 0 {
			b.StopTimer()
			s, _ = benchStore(b)
			b.StartTimer()
		}
		s.reap(noon2026+2*ttlMs, 1)
	}
}

// benchMachine holds benchRecords records and a hundredth as many locks.
func benchMachine(b *testing.B) *Machine {
	j := newJournal(b)
	j.m.records, _ = benchStore(b)
	j.m.hasher = j.m.records.hasher
	j.m.locks = newLockTable(j.m.hasher)
	for i := 0; i < benchRecords/100; i += benchBatch {
		mustApply(b, j.m, benchEntry(noon2026, benchRecords+i, benchClaim), Granted)
	}
	return j.m
}

func BenchmarkSnapshotCapture(b *testing.B) {
	m := benchMachine(b)
	b.ReportAllocs()
	for b.Loop() {
		m.Snapshot()
	}
}

func BenchmarkSnapshotWrite(b *testing.B) {
	s := benchMachine(b).Snapshot()
	b.ReportAllocs()
	b.SetBytes(int64(len(written(b, s))))
	for b.Loop() {
		w, err := snapshot.NewWriter(io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Write(w); err != nil {
			b.Fatal(err)
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRecords, "ns/record")
}

func BenchmarkSnapshotRestore(b *testing.B) {
	file := written(b, benchMachine(b).Snapshot())
	b.ReportAllocs()
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		mustRestore(b, file)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRecords, "ns/record")
}
