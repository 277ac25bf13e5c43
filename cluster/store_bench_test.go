package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// storeKinds are the stores that there are to choose from.
var storeKinds = []string{LogStoreBolt, LogStoreWAL}

// benchLogs runs a benchmark on each of the stores, with what the node has around them.
func benchLogs(b *testing.B, run func(b *testing.B, logs *guardedLogs)) {
	for _, kind := range storeKinds {
		b.Run(kind, func(b *testing.B) {
			store, err := openStore(b.TempDir(), kind, discardLog)
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			b.ReportAllocs()
			fatal := func(err error) { b.Error(err) }
			run(b, &guardedLogs{&storeGuard{deadline: time.Minute, fatal: fatal, observe: func(time.Duration) {}}, store})
		})
	}
}

// benchEntries returns entries of that many bytes from an index on.
func benchEntries(first uint64, count, bytes int) (logs []*raft.Log) {
	for i := range count {
		logs = append(logs, &raft.Log{Index: first + uint64(i), Term: 1, Type: raft.LogNoop, Data: make([]byte, bytes)})
	}
	return logs
}

func BenchmarkStoreLogs(b *testing.B) {
	for _, count := range []int{1, 64} {
		b.Run(fmt.Sprintf("%dx8KiB", count), func(b *testing.B) {
			benchLogs(b, func(b *testing.B, logs *guardedLogs) {
				b.SetBytes(int64(count) << 13)
				entries, next := benchEntries(1, count, 8<<10), uint64(1)
				for b.Loop() {
					for _, e := range entries {
						e.Index = next
						next++
					}
					if err := logs.StoreLogs(entries); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

func BenchmarkGetLog(b *testing.B) {
	benchLogs(b, func(b *testing.B, logs *guardedLogs) {
		const entries = 1_024
		if err := logs.StoreLogs(benchEntries(1, entries, 8<<10)); err != nil {
			b.Fatal(err)
		}
		index := uint64(0)
		for b.Loop() {
			if err := logs.GetLog(index%entries+1, &raft.Log{}); err != nil {
				b.Fatal(err)
			}
			index++
		}
	})
}

// BenchmarkDeleteRange deletes the first sixteen thousand of twice as many entries. Filling the log takes much longer: use
// -benchtime=20x.
func BenchmarkDeleteRange(b *testing.B) {
	benchLogs(b, func(b *testing.B, logs *guardedLogs) {
		const half, bytes, batch = 16_384, 256, 1_024
		next := uint64(1)
		grow := func(entries int) {
			for range entries / batch {
				if err := logs.StoreLogs(benchEntries(next, batch, bytes)); err != nil {
					b.Fatal(err)
				}
				next += batch
			}
		}
		grow(half)
		for b.Loop() {
			b.StopTimer()
			grow(half)
			b.StartTimer()
			if err := logs.DeleteRange(next-2*half, next-half-1); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkStoreLogsWhileCompacting reports how long the slowest write took while the first of many entries were deleted.
func BenchmarkStoreLogsWhileCompacting(b *testing.B) {
	benchLogs(b, func(b *testing.B, logs *guardedLogs) {
		const compacted, bytes, batch = 115 * 1_024, 256, 1_024
		next, slowest := uint64(1), time.Duration(0)
		for b.Loop() {
			b.StopTimer()
			for range compacted / batch {
				if err := logs.StoreLogs(benchEntries(next, batch, bytes)); err != nil {
					b.Fatal(err)
				}
				next += batch
			}
			first, err := logs.FirstIndex()
			if err != nil {
				b.Fatal(err)
			}
			last := next - 1
			b.StartTimer()
			done := make(chan error, 1)
			go func() { done <- logs.DeleteRange(first, last) }()
			for deleting := true; deleting; {
				select {
				case err := <-done:
					if err != nil {
						b.Fatal(err)
					}
					deleting = false
				default:
				}
				start := time.Now()
				if err := logs.StoreLogs(benchEntries(next, 1, bytes)); err != nil {
					b.Fatal(err)
				}
				next++
				slowest = max(slowest, time.Since(start))
			}
		}
		b.ReportMetric(float64(slowest.Microseconds()), "µs-slowest-write")
	})
}
