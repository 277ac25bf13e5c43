package test

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// bulkBodyBytes is the size of what fills the log until a snapshot is due, and bulkConnections how many send it.
	bulkBodyBytes   = 200 << 10
	bulkConnections = 4
	bulkTTLSeconds  = 1
)

// measureSnapshot fills the log until every node takes a snapshot, and looks at the claims made meanwhile.
func (c *cluster) measureSnapshot(t *testing.T, quiet benchReport) {
	t.Helper()
	began := make([]float64, len(c.nodes))
	for i, n := range c.nodes {
		began[i] = n.metric("syllecta_snapshot_persist_seconds_count")
	}
	c.fillLog(t)
	applied, written := c.buckets(t, "syllecta_fsm_apply_seconds"), c.buckets(t, "syllecta_raft_store_seconds")
	busy := mustBench(t, c.leader(), "claim", "--rate", fmt.Sprint(largeRate), "--duration=60s")
	for i, n := range c.nodes {
		if n.metric("syllecta_snapshot_persist_seconds_count") == began[i] {
			t.Logf("%s took no snapshot in the meantime", n.name)
			continue
		}
		t.Logf("%s: a snapshot kept the state machine for at most %s, and was written in %s at most", n.name,
			atMost(n.buckets(t, "syllecta_snapshot_capture_seconds"), nil),
			atMost(n.buckets(t, "syllecta_snapshot_persist_seconds"), nil))
	}
	t.Logf("while snapshots were taken: p99 %.2f ms, %.2f times that of %.2f ms before; max %.1f ms", busy.LatencyMs.P99,
		busy.LatencyMs.P99/quiet.LatencyMs.P99, quiet.LatencyMs.P99, busy.LatencyMs.Max)
	t.Logf("meanwhile an entry was applied in %s at most, and written to the log in %s at most, 99 %% of them in %s",
		atMost(c.buckets(t, "syllecta_fsm_apply_seconds"), applied),
		atMost(c.buckets(t, "syllecta_raft_store_seconds"), written),
		within(c.buckets(t, "syllecta_raft_store_seconds"), written, 0.99))
}

// fillLog stores large results, which are forgotten a second later, until snapshots are due on all nodes.
func (c *cluster) fillLog(t *testing.T) {
	t.Helper()
	leader := c.leader()
	key := c.newTenant("bulk", 0).key
	body := []byte(`"` + strings.Repeat("x", bulkBodyBytes) + `"`)
	var filling errgroup.Group
	// A quarter of the last snapshot makes the next one due: see cluster/compaction.go.
	puts := int(c.nodes[0].rss(t)/4/bulkBodyBytes) + 1
	for worker := range bulkConnections {
		filling.Go(func() error {
			client := newClient(leader.url(), key).following()
			for i := range puts / bulkConnections {
				put := putRequest{Scope: "bulk", Key: fmt.Sprint(worker, ".", i), Body: body, TTLSeconds: bulkTTLSeconds}
				if a := client.put(put); a.outcome != ok {
					return fmt.Errorf("filling the log: %v", a)
				}
			}
			return nil
		})
	}
	if err := filling.Wait(); err != nil {
		t.Fatal(err)
	}
}

// measureRestart kills a follower and has it come back.
func (c *cluster) measureRestart(t *testing.T, records int) {
	t.Helper()
	n := c.followers()[0]
	n.kill9()
	start := time.Now()
	n.start()
	for {
		if status, _, err := n.readyz(); err == nil && status == http.StatusOK {
			break
		}
		if n.process.hasExited() || time.Since(start) > largePatience {
			t.Fatalf("%s does not come back:\n%s", n.name, n.logTail())
		}
		time.Sleep(pollInterval)
	}
	took := time.Since(start)
	t.Logf("restart: ready %.1f s after the process began, %.2f million records/s, %.2f GB RSS", took.Seconds(),
		float64(records)/took.Seconds()/1e6, float64(n.rss(t))/1e9)
}

// bucket is one of a histogram: how many observations were at most its bound.
type bucket struct {
	bound float64
	count int64
}

// buckets returns a histogram without labels.
func (n *node) buckets(t *testing.T, name string) (all []bucket) {
	t.Helper()
	_, text, err := n.page("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		rest, found := strings.CutPrefix(line, name+`_bucket{le="`)
		bound, count, _ := strings.Cut(strings.TrimSpace(rest), `"} `)
		if !found {
			continue
		}
		b := bucket{bound: math.Inf(1)}
		if bound != "+Inf" {
			if b.bound, err = strconv.ParseFloat(bound, 64); err != nil {
				t.Fatal(err)
			}
		}
		if b.count, err = strconv.ParseInt(count, 10, 64); err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	if len(all) == 0 {
		t.Fatalf("%s has no histogram %s", n.name, name)
	}
	return all
}

// buckets returns a histogram of all nodes together.
func (c *cluster) buckets(t *testing.T, name string) (sum []bucket) {
	t.Helper()
	for _, n := range c.nodes {
		one := n.buckets(t, name)
		if sum == nil {
			sum = make([]bucket, len(one))
		}
		for i, b := range one {
			sum[i].bound, sum[i].count = b.bound, sum[i].count+b.count
		}
	}
	return sum
}

// atMost is the bound of the smallest bucket that holds everything that was observed since another look.
func atMost(all, before []bucket) time.Duration { return within(all, before, 1) }

// within is the bound of the smallest bucket below which that part of it lies.
func within(all, before []bucket, part float64) time.Duration {
	since := func(i int) float64 {
		if before == nil {
			return float64(all[i].count)
		}
		return float64(all[i].count - before[i].count)
	}
	last := len(all) - 1
	i := 0
	for i < last && since(i) < part*since(last) {
		i++
	}
	return time.Duration(all[i].bound * float64(time.Second)).Round(10 * time.Microsecond)
}
