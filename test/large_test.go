package test

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	state "github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
	"github.com/syllecta/syllecta/snapshot"
)

const (
	largeScope     = "orders"
	largeKeyBytes  = 40
	largeBodyBytes = 200
	largeEntry     = 500 // records that are applied at a time
	largeLife      = 24 * time.Hour
	// largeRate is the load, in claims per second, beside which snapshots, expiry and garbage collection are looked at.
	largeRate = 10_000
	// largePatience bounds what takes the longer the more records there are.
	largePatience = 30 * time.Minute
)

// TestLarge measures a cluster that holds many completed records against the same cluster when it held none: memory,
// garbage collection, throughput and latency, a snapshot under load, and a restart. It runs with -records=N only.
func TestLarge(t *testing.T) {
	if *recordsFlag <= 0 {
		t.Skip("a measurement, not a test: run it with -records=10000000 -timeout 60m")
	}
	c := newCluster(t, 3)
	bare := c.leader().rss(t)
	empty := c.measureClaims(t, "no records")
	c.restoreRecords(t, *recordsFlag, largeLife)
	for _, n := range c.nodes {
		n.reportMemory(t, *recordsFlag, bare)
	}
	c.measureRestart(t, *recordsFlag)
	full := c.measureClaims(t, fmt.Sprintf("%d records", *recordsFlag))
	t.Logf("growth: %.2f times the claims per second, %.2f times the p99 in a closed loop, %.2f times at %d/s",
		full.closed.RequestsPerSecond/empty.closed.RequestsPerSecond, full.closed.LatencyMs.P99/empty.closed.LatencyMs.P99,
		full.open.LatencyMs.P99/empty.open.LatencyMs.P99, largeRate)
	c.measureSnapshot(t, full.open)
	c.waitConverged()
}

// TestExpiry measures the moment at which all records of a cluster fall due, under half of the load that the machine can
// bear: on one that is near its limits the queue that any extra work leaves says nothing of that work. It runs with
// -records=N only.
func TestExpiry(t *testing.T) {
	if *recordsFlag <= 0 {
		t.Skip("a measurement, not a test: run it with -records=1000000")
	}
	c := newCluster(t, 3)
	rate := min(largeRate, mustBench(t, c.leader(), "claim", "--duration=5s").RequestsPerSecond/2)
	load := []string{"claim", "--rate", fmt.Sprintf("%.0f", rate), "--duration=15s"}
	quiet := mustBench(t, c.leader(), load...)
	// They are to fall due after the restore, and in the middle of the measurement.
	life := 30*time.Second + time.Duration(*recordsFlag)*20*time.Microsecond
	due := time.Now().Add(life)
	c.restoreRecords(t, *recordsFlag, life)
	before := c.leader().metric("syllecta_fsm_records")
	if left := time.Until(due); left < 5*time.Second {
		t.Fatalf("the restore took too long: %v left until the records fall due", left)
	}
	time.Sleep(time.Until(due) - 5*time.Second)
	expiring := mustBench(t, c.leader(), load...)
	eventually(t, "what fell due is gone", func() bool { return c.leader().metric("syllecta_fsm_records") == 0 })
	t.Logf("%.0f records fell due at once under %.0f claims/s: p99 %.2f ms, %.2f times that of %.2f ms before; max %.1f ms", before, rate,
		expiring.LatencyMs.P99, expiring.LatencyMs.P99/quiet.LatencyMs.P99, quiet.LatencyMs.P99, expiring.LatencyMs.Max)
	c.waitConverged()
}

// benchReport is what bench says of a run.
type benchReport struct {
	RequestsPerSecond         float64 `json:"requestsPerSecond"`
	LatencyMs                 struct{ P50, P99, Max float64 }
	ServerCPUMicrosPerRequest float64          `json:"serverCpuMicrosPerRequest"`
	Errors                    map[string]int64 `json:"errors"`
	Unsent                    int64            `json:"unsent"`
}

func mustBench(t *testing.T, n *node, args ...string) (r benchReport) {
	t.Helper()
	output, err := command(t.Context(), n, append([]string{"bench", "--json"}, args...)...)
	if err == nil {
		err = json.Unmarshal([]byte(output[strings.Index(output, "{"):]), &r)
	}
	if err != nil || len(r.Errors) > 0 {
		t.Fatalf("bench %v: %v\n%s", args, err, output)
	}
	if r.Unsent > 0 {
		t.Logf("bench %v: %d requests that were due were never sent: the machine is too slow, or too busy", args, r.Unsent)
	}
	return r
}

// claimFigures are claims as fast as 64 connections get answers, and at largeRate.
type claimFigures struct{ closed, open benchReport }

func (c *cluster) measureClaims(t *testing.T, what string) (f claimFigures) {
	t.Helper()
	f.closed = mustBench(t, c.leader(), "claim", "--duration=15s")
	collected := c.collectorSeconds()
	cpu := c.cpu()
	f.open = mustBench(t, c.leader(), "claim", "--rate", fmt.Sprint(largeRate), "--duration=15s")
	t.Logf("%s: %.0f claims/s, p99 %.2f ms, %.1f µs CPU each; at %d/s p99 %.2f ms, garbage collection %.1f %% of the CPU", what,
		f.closed.RequestsPerSecond, f.closed.LatencyMs.P99, f.closed.ServerCPUMicrosPerRequest, largeRate, f.open.LatencyMs.P99,
		100*(c.collectorSeconds()-collected)/(c.cpu()-cpu).Seconds())
	return f
}

// collectorSeconds is the processor time that all nodes have spent on garbage collection, as the runtime estimates it.
func (c *cluster) collectorSeconds() (total float64) {
	for _, n := range c.nodes {
		total += n.metric("go_cpu_classes_gc_total_cpu_seconds_total")
	}
	return total
}

func (n *node) rss(t *testing.T) int64 { return memory(t, n, "VmRSS") }

func (n *node) reportMemory(t *testing.T, records int, bare int64) {
	t.Helper()
	own := largeKeyBytes + len(largeScope) + largeBodyBytes
	rss := n.rss(t)
	t.Logf("%s: %.2f GB RSS with %d records, %.0f bytes a record beyond the %d of its name and body", n.name,
		float64(rss)/1e9, records, float64(rss-bare)/float64(records)-float64(own), own)
}

// restoreRecords has the cluster restore a backup of that many records, which expire all at once.
func (c *cluster) restoreRecords(t *testing.T, records int, life time.Duration) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "records.snapshot")
	writeRecords(t, path, records, life)
	start := time.Now()
	mustCommand(t, c.leader(), "snapshot", "restore", path, "--yes", "--other-cluster")
	deadline := start.Add(largePatience)
	for _, n := range c.nodes {
		for n.metric("syllecta_fsm_records") != float64(records) {
			if time.Now().After(deadline) {
				t.Fatalf("%s has %.0f of %d records after %v", n.name, n.metric("syllecta_fsm_records"), records, largePatience)
			}
			time.Sleep(pollInterval)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	t.Logf("restore: %d records on all nodes after %v", records, time.Since(start).Round(time.Millisecond))
}

// writeRecords makes a backup of a cluster that stored the records just now.
func writeRecords(t *testing.T, path string, records int, life time.Duration) {
	t.Helper()
	m := fsm.New(fsm.Config{HashSeed: maphash.MakeSeed()})
	index, stamp := uint64(0), time.Now().UnixMilli()
	apply := func(cmds ...fsm.Command) {
		frames := make([][]byte, len(cmds))
		for i, cmd := range cmds {
			frames[i] = fsm.Encode(cmd)
		}
		index++
		if _, _, err := m.Apply(index, 1, fsm.EncodeEntry(stamp, fsm.BatchID{}, frames...)); err != nil {
			t.Fatal(err)
		}
	}
	apply(fsm.Init{ClusterID: "large"}, fsm.CreateTenant{PublicID: "ten_large", Slug: "large"})
	body := []byte(`"` + rand.Text() + strings.Repeat("x", largeBodyBytes-2-len(rand.Text())) + `"`)
	cmds := make([]fsm.Command, 0, largeEntry)
	for i := range records {
		cmds = append(cmds, fsm.Complete{
			ID:     fsm.RecordID{Tenant: 1, Scope: largeScope, Key: fmt.Sprintf("order-%0*d", largeKeyBytes-len("order-"), i)},
			Status: 200, Headers: []byte("{}"), Body: body, TTLMs: life.Milliseconds(),
		})
		if len(cmds) == cap(cmds) || i == records-1 {
			apply(cmds...)
			cmds = cmds[:0]
		}
	}
	info := state.BackupInfo{ClusterID: m.Directory().ClusterID, Index: index, Term: 1, Epoch: m.Epoch(), ClockMs: stamp,
		FeatureLevel: m.Directory().FeatureLevel, TakenAt: time.UnixMilli(stamp).UTC()}
	if err := writeBackup(path, info, m.Snapshot()); err != nil {
		t.Fatal(err)
	}
	m = nil
	debug.FreeOSMemory() // the nodes need it
}

// backupSection is where a backup says what it is of: see cluster/backup.go.
const backupSection = fsm.SectionForeign + 1

func writeBackup(path string, info state.BackupInfo, s *fsm.Snapshot) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	buffered := bufio.NewWriter(f)
	w, err := snapshot.NewWriter(buffered)
	if err != nil {
		return err
	}
	if err := w.Begin(backupSection, 1); err != nil {
		return err
	}
	if err := w.Append(encode(info)); err != nil {
		return err
	}
	if err := s.Write(w); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	return f.Close()
}
