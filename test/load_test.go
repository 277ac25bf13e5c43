package test

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"
)

const (
	loadConnections = 64
	loadWarmUp      = time.Second
	// clockTick is the unit of /proc/PID/stat on Linux, whatever the kernel's own.
	clockTick = 10 * time.Millisecond
)

// TestLoad measures the plainest load: keep-alive connections to the leader of three nodes, each with one claim at a
// time, every key new. Everything shares this machine. It runs with -load=DURATION only.
func TestLoad(t *testing.T) {
	if *loadFlag <= 0 {
		t.Skip("a measurement, not a test: run it with -load=10s")
	}
	c := newCluster(t, 3)
	l := &load{host: c.leader().ports.http, apiKey: c.newTenant("load", 0).key}
	if _, err := l.run(loadWarmUp, "warm-up"); err != nil {
		t.Fatal(err)
	}
	servers, own, term := c.cpu(), ownCPU(), c.term()
	began := time.Now()
	latency, err := l.run(*loadFlag, "load")
	elapsed := time.Since(began)
	if err != nil {
		t.Fatalf("after %s, in term %d after %d: %v", elapsed.Round(time.Millisecond), c.term(), term, err)
	}
	servers, own = c.cpu()-servers, ownCPU()-own
	n := latency.TotalCount()
	perClaim := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(n) }
	t.Logf("%d claims in %s on %d connections: %.0f claims/s", n, elapsed.Round(time.Millisecond), loadConnections,
		float64(n)/elapsed.Seconds())
	t.Logf("latency: p50 %s, p99 %s, max %s", micros(latency.ValueAtQuantile(50)), micros(latency.ValueAtQuantile(99)),
		micros(latency.Max()))
	t.Logf("CPU per claim: %.1f µs in the three servers together, %.1f µs in the generator", perClaim(servers),
		perClaim(own))
	t.Logf("machine: %d CPUs, load averages %s", runtime.NumCPU(), loadAverages(t))
	if now := c.term(); now != term {
		t.Errorf("term %d at the beginning, %d at the end: there were elections for no reason", term, now)
	} else {
		t.Logf("term %d from the beginning to the end", term)
	}
}

func micros(v int64) time.Duration { return time.Duration(v) * time.Microsecond }

// load is a generator that costs as little as it can.
type load struct{ host, apiKey string }

// run claims for a while and returns the latencies in microseconds.
func (l *load) run(d time.Duration, scope string) (*hdrhistogram.Histogram, error) {
	stopAt := time.Now().Add(d)
	latencies := make([]*hdrhistogram.Histogram, loadConnections)
	var all errgroup.Group
	for i := range loadConnections {
		latencies[i] = hdrhistogram.New(1, (10 * time.Second).Microseconds(), 3)
		all.Go(func() error { return l.connection(stopAt, latencies[i], fmt.Sprintf("%s-%d", scope, i)) })
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	for _, h := range latencies[1:] {
		latencies[0].Merge(h)
	}
	return latencies[0], nil
}

// connection sends one claim after the other. Every one must be granted.
func (l *load) connection(stopAt time.Time, latency *hdrhistogram.Histogram, prefix string) error {
	w, err := dialWire(l.host)
	if err != nil {
		return err
	}
	defer w.close()
	var body []byte
	granted := []byte(`"locked":true`)
	for i, now := int64(0), time.Now(); now.Before(stopAt); i++ {
		body = append(append(body[:0], `{"scope":"load","key":"`...), prefix...)
		body = append(strconv.AppendInt(append(body, '-'), i, 10), `"}`...)
		r, err := w.do("POST", "/v1/record", l.apiKey, body)
		if err != nil {
			return err
		}
		if !bytes.Contains(r.body, granted) {
			return fmt.Errorf("a claim of a new key: %d %s", r.status, r.body)
		}
		after := time.Now()
		if err := latency.RecordValue(max(1, after.Sub(now).Microseconds())); err != nil {
			return err
		}
		now = after
	}
	return nil
}

// cpu is the processor time that all nodes have used, in user and system mode.
func (c *cluster) cpu() (total time.Duration) {
	c.t.Helper()
	for _, n := range c.nodes {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.process.pid()))
		if err != nil {
			c.t.Fatal(err)
		}
		// The second field, the name in parentheses, may hold spaces; utime and stime are fields 14 and 15.
		_, rest, _ := strings.Cut(string(raw), ") ")
		fields := strings.Fields(rest)
		for _, field := range fields[11:13] {
			ticks, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				c.t.Fatal(err)
			}
			total += time.Duration(ticks) * clockTick
		}
	}
	return total
}

// ownCPU is the processor time that this process has used.
func ownCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func loadAverages(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(raw))[:3], " ")
}
