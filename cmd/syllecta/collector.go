package main

import (
	"context"
	"log/slog"
	"os"
	"regexp"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/collectors"
)

// How often the garbage collector runs. Its work is in proportion to the part of the heap that may hold pointers, and
// records, by far the most of a full node's heap, hold none. A percentage of the whole heap, as GOGC is, would let a node
// with 3 GB of records grow to 15 GB before it collects 100 MB of garbage. So the percentage is set anew as the heap
// changes, such that what may be allocated between two collections is collectorFactor times what they look through.
const (
	collectorFactor = 4 // as GOGC=400 is for a heap full of pointers
	// minCollectorRoom keeps a small heap from being collected many times a second.
	minCollectorRoom = 64 << 20
	// minLiveBytes stands in for a heap that was not collected yet: Go's own least heap.
	minLiveBytes = 4 << 20
	// collectorLook is how often the heap is looked at; collectorStep is the change, in percent, from which on it matters.
	collectorLook = time.Second
	collectorStep = 10
)

// collectorShare are Go's metrics of the processor time that goes into garbage collection, and of all of it.
var collectorShare = collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile("^/cpu/classes/(gc/)?total:cpu-seconds$")}

// startCollector sets the process's memory limit, if there is one, and paces the garbage collector until stop is called,
// unless GOGC in the environment does that already. It tells what it set.
func startCollector(memoryLimit int64, log *slog.Logger) (stop func()) {
	if memoryLimit > 0 {
		debug.SetMemoryLimit(memoryLimit)
	}
	limit := debug.SetMemoryLimit(-1) // only asks
	if gogc := os.Getenv("GOGC"); gogc != "" {
		log.Info("garbage collection", "memoryLimitBytes", limit, "gogc", gogc)
		return func() {}
	}
	log.Info("garbage collection", "memoryLimitBytes", limit, "factor", collectorFactor, "leastRoomBytes", minCollectorRoom)
	ctx, cancel := context.WithCancel(context.Background())
	var pacing sync.WaitGroup
	pacing.Go(func() { paceCollector(ctx) })
	return func() {
		cancel()
		pacing.Wait()
	}
}

func paceCollector(ctx context.Context) {
	ticker := time.NewTicker(collectorLook)
	defer ticker.Stop()
	current := 0
	for {
		if percent := collectorPercent(heapSizes()); changed(current, percent) {
			debug.SetGCPercent(percent)
			current = percent
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// changed reports whether a new percentage is worth the moment for which setting it stops the process.
func changed(current, percent int) bool {
	return max(current, percent)-min(current, percent) > current*collectorStep/100
}

// collectorPercent is the GOGC for a heap of which live bytes were in use after the last collection, and scannable of
// them looked through.
func collectorPercent(live, scannable uint64) int {
	live = max(live, minLiveBytes)
	room := max(minCollectorRoom, collectorFactor*min(live, scannable))
	return int(max(1, room*100/live))
}

// heapSizes returns the live heap and the part of it that may hold pointers, as of the last collection.
func heapSizes() (live, scannable uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64()
}
