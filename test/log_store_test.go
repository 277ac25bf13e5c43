package test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// convertWithin is about how long a conversion takes that is killed.
const convertWithin = 60 * time.Millisecond

// logStore is how a stopped node keeps its log.
func (n *node) logStore() string {
	if _, err := os.Stat(filepath.Join(n.dir, "wal")); err == nil {
		return "wal"
	}
	return "boltdb"
}

// convert converts the log of a stopped node, or is killed after a while, 0 for never.
func (n *node) convert(to string, kill time.Duration) {
	n.t.Helper()
	cmd := exec.Command(binary, "log-store", "convert", "--data-dir", n.dir, "--to", to, "--json")
	cmd.Env = plainEnvironment()
	if kill > 0 {
		if err := cmd.Start(); err != nil {
			n.t.Fatal(err)
		}
		time.Sleep(kill) // a moment by chance
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return
	}
	out, err := cmd.CombinedOutput()
	var report struct{ Done bool }
	if err == nil {
		err = json.Unmarshal(out, &report)
	}
	if err != nil || !report.Done || n.logStore() != to {
		n.t.Fatalf("the log of %s is not converted to %s: %v\n%s", n.name, to, err, out)
	}
}

// TestConvertLogStore converts the log of one node after the other under load, with conversions that are killed, and back.
// Nothing that was acknowledged is lost, and members with logs of different kinds understand each other.
func TestConvertLogStore(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, "--snapshot-threshold=200")
	for _, n := range c.nodes {
		n.anyLogStore = true
	}
	f := newFaults(t, c)
	stop := f.work(killWorkers / 4)
	defer stop()
	for range 2 {
		for _, n := range c.nodes {
			f.awaitAcks(acksBetween)
			n.kill9()
			f.awaitAcks(acksBetween) // the others go on without it
			to := map[string]string{"wal": "boltdb", "boltdb": "wal"}[n.logStore()]
			for range (*killsFlag + 1) / 2 {
				n.convert(to, time.Duration(1+f.rng.Int64N(int64(convertWithin))))
				if f.rng.IntN(2) == 0 {
					n.restart() // with whichever log it has now
					n.kill9()
					f.awaitAcks(acksBetween)
				}
			}
			n.convert(to, 0)
			n.restart()
		}
	}
	f.awaitAcks(acksBetween)
	stop()
	f.verify()
}
