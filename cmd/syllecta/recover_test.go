package main

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/cluster"
)

// stoppedNode returns the data directory of a node that was a cluster of one, and its raft address.
func stoppedNode(t *testing.T) (dir, address string) {
	t.Helper()
	dir = t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	l.Close()
	n, err := cluster.Open(t.Context(), cluster.Config{
		NodeID: "node1", DataDir: dir, RaftAddr: address, HTTPURL: "http://127.0.0.1:1", BootstrapExpect: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for !n.IsLeader() {
		if time.Now().After(deadline) {
			t.Fatal("the node does not lead")
		}
		time.Sleep(5 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := n.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	return dir, address
}

func TestRecoverVerb(t *testing.T) {
	t.Parallel()
	dir, address := stoppedNode(t)
	plan := filepath.Join(dir, "peers.json")

	out, errText, code := runVerb(t, nil, "recover", "--data-dir", dir)
	if code != exitOK || errText != "" {
		t.Fatalf("%d %s", code, errText)
	}
	for _, words := range []string{
		"last term", "last index", "node1 at " + address, "epoch 1, then 2", "may be lost",
		"must not be started again as they are", "Nothing was changed",
	} {
		if !strings.Contains(out, words) {
			t.Errorf("%q is not in\n%s", words, out)
		}
	}
	if _, err := os.Stat(plan); err == nil {
		t.Fatal("looking left a plan behind")
	}

	out, _, code = runVerb(t, nil, "recover", "--data-dir", dir, "--yes")
	if _, err := os.Stat(plan); err != nil || code != exitOK || !strings.Contains(out, "\nPrepared.") {
		t.Fatalf("%d %v\n%s", code, err, out)
	}
	if out, _, _ = runVerb(t, nil, "recover", "--data-dir", dir); !strings.Contains(out, "was prepared before") {
		t.Errorf("it does not tell of the plan:\n%s", out)
	}

	out, _, code = runVerb(t, nil, "recover", "--data-dir", dir, "--json",
		"--peer", "node1="+address, "--peer", "node2=10.0.0.2:4100")
	var report recoveryReport
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitOK {
		t.Fatalf("%d %v\n%s", code, err, out)
	}
	if report.NodeID != "node1" || report.ClusterID == "" || report.LastIndex == 0 || report.LastTerm == 0 ||
		report.NewEpoch != 2 || !report.Prepared || len(report.Members) != 1 || !report.Members[0].Voter ||
		report.Members[0].Address != address || len(report.Peers) != 2 || report.Peers[1].Address != "10.0.0.2:4100" {
		t.Errorf("%s", out)
	}
}

func TestRecoverVerbRefuses(t *testing.T) {
	t.Parallel()
	dir, _ := stoppedNode(t)
	missing := filepath.Join(dir, "x")
	for name, c := range map[string]struct {
		args  []string
		code  int
		words string
	}{
		"no directory":        {nil, exitUsage, "--data-dir is required"},
		"no node":             {[]string{"--data-dir", t.TempDir()}, exitFailure, "not the data directory"},
		"no such directory":   {[]string{"--data-dir", missing, "--yes"}, exitFailure, "not the data directory"},
		"no address":          {[]string{"--data-dir", dir, "--peer", "node1"}, exitUsage, "want ID=HOST:PORT"},
		"no port":             {[]string{"--data-dir", dir, "--peer", "node1=10.0.0.1"}, exitUsage, "want ID=HOST:PORT"},
		"without this node":   {[]string{"--data-dir", dir, "--peer", "n=h:1", "--yes"}, exitFailure, "one of the peers"},
		"an unwanted operand": {[]string{"--data-dir", dir, "now"}, exitUsage, "unknown command"},
	} {
		_, errText, code := runVerb(t, nil, append([]string{"recover"}, c.args...)...)
		if code != c.code || !strings.Contains(errText, c.words) {
			t.Errorf("%s: %d %q", name, code, errText)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "peers.json")); err == nil {
		t.Error("a plan was left behind")
	}
}
