package test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// node is one member of a cluster: a plan, and the process that carries it out at the moment.
type node struct {
	t     testing.TB
	name  string
	dir   string // data directory
	log   string // file with everything its processes printed
	ports ports
	host  *host    // nil for a node on this machine's own loopback
	seeds []string // addresses of the nodes to join, its own included or not
	args  []string // other settings

	secure      bool // its API speaks TLS
	anyLogStore bool // it keeps its log as its directory has it

	process *process
	frozen  bool // by stop
}

// newNode plans a node. It is started with start.
func newNode(t testing.TB, name, dir string, p ports, args ...string) *node {
	return &node{
		t: t, name: name, dir: filepath.Join(dir, name), log: filepath.Join(dir, name+".log"), ports: p, args: args,
	}
}

// command is the command line that the node's next process gets.
func (n *node) command() []string {
	line := []string{
		"server", "--exit-with-stdin", "--log-format=text",
		"--node-id=" + n.name,
		"--data-dir=" + n.dir,
		"--http-addr=" + n.ports.http, "--raft-addr=" + n.ports.raft, "--gossip-addr=" + n.ports.gossip,
	}
	if !n.anyLogStore {
		line = append(line, "--log-store="+*storeFlag)
	}
	if len(n.seeds) > 0 {
		line = append(line, "--join="+strings.Join(n.seeds, ","))
	}
	return append(line, n.args...)
}

func (n *node) url() string {
	if n.secure {
		return "https://" + n.ports.http
	}
	return "http://" + n.ports.http
}

// start runs the node's process. The one before must be gone.
func (n *node) start() {
	n.t.Helper()
	var in *namespace
	if n.host != nil {
		in = n.host.ns
	}
	p, err := startProcess(in, n.log, n.command()...)
	if err != nil {
		n.t.Fatal(err)
	}
	n.process = p
}

func (n *node) running() bool { return n.process != nil && !n.process.hasExited() }

func (n *node) kill9() {
	n.frozen = false
	n.process.kill9()
}

// stop freezes the process; cont lets it go on.
func (n *node) stop() {
	n.frozen = true
	n.process.signal(syscall.SIGSTOP)
}

func (n *node) cont() {
	n.frozen = false
	n.process.signal(syscall.SIGCONT)
}

// term asks the process to end in good order, and waits for that.
func (n *node) term() {
	n.t.Helper()
	n.process.signal(syscall.SIGTERM)
	if !n.process.awaitExit(patience) {
		n.t.Fatalf("%s did not end after SIGTERM", n.name)
	}
}

// restart starts a node whose process is gone, and waits until it is ready.
func (n *node) restart() {
	n.t.Helper()
	n.start()
	n.waitReady()
}

// waitReady waits until the node is ready to serve.
func (n *node) waitReady() {
	n.t.Helper()
	report := "no answer yet"
	eventually(n.t, n.name+" is ready", func() bool {
		if n.process.hasExited() {
			n.t.Fatalf("%s ended with code %d instead of getting ready:\n%s",
				n.name, n.process.exitCode(), n.logTail())
		}
		status, text, err := n.readyz()
		if err == nil {
			report = text
		}
		return err == nil && status == http.StatusOK
	}, func() string { return report })
}

// readyz returns the readiness report.
func (n *node) readyz() (status int, report string, err error) { return n.page("/readyz") }

// page gets a page that needs no key.
func (n *node) page(path string) (status int, text string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url()+path, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := probes.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// probeTimeout bounds one question for a node's health. Frozen nodes do not answer.
const probeTimeout = 2 * time.Second

var probes = &http.Client{Transport: &http.Transport{
	DialContext: dial, DialTLSContext: dialTLS, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Second,
}}

// status is what a node says of itself and the cluster.
type status struct {
	NodeID       string `json:"nodeId"`
	ClusterID    string `json:"clusterId"`
	Role         string `json:"role"`
	Term         uint64 `json:"term"`
	LeaderID     string `json:"leaderId"`
	AppliedIndex uint64 `json:"appliedIndex"`
	CommitIndex  uint64 `json:"commitIndex"`
	Digest       string `json:"digest"`
	Records      int    `json:"records"`
	Locks        int    `json:"locks"`
	Nodes        []struct {
		ID string `json:"id"`
	} `json:"nodes"`
}

// memberIDs are the nodes of raft's configuration, in order.
func (s status) memberIDs() (ids []string) {
	for _, n := range s.Nodes {
		ids = append(ids, n.ID)
	}
	slices.Sort(ids)
	return ids
}

// status asks the node itself.
func (n *node) status() (s status, err error) {
	c := newClient(n.url(), adminToken)
	c.timeout = probeTimeout
	a := c.call(http.MethodGet, "/v1/admin/status", nil)
	if a.outcome != ok {
		return s, fmt.Errorf("status of %s: %v", n.name, a)
	}
	err = json.Unmarshal(a.body, &s)
	return s, err
}

// metric returns a metric without labels.
func (n *node) metric(name string) float64 {
	n.t.Helper()
	_, text, err := n.page("/metrics")
	if err != nil {
		n.t.Fatalf("metrics of %s: %v", n.name, err)
	}
	for line := range strings.Lines(text) {
		var value float64
		if rest, found := strings.CutPrefix(line, name+" "); found {
			if _, err := fmt.Sscan(rest, &value); err != nil {
				n.t.Fatalf("metric %s of %s: %v", name, n.name, err)
			}
			return value
		}
	}
	n.t.Fatalf("%s has no metric %s", n.name, name)
	return 0
}

// logText is everything the node's processes printed.
func (n *node) logText() string {
	text, err := os.ReadFile(n.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

const logTailBytes = 6 << 10

func (n *node) logTail() string {
	text := n.logText()
	return text[max(0, len(text)-logTailBytes):]
}

// pollInterval is the pause between two looks at a condition.
const pollInterval = 25 * time.Millisecond

// eventually waits until the condition holds. It must be called by the goroutine that runs the test.
func eventually(t testing.TB, what string, condition func() bool, why ...func() string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			reason := ""
			for _, w := range why {
				reason += ": " + w()
			}
			t.Fatalf("waited %s in vain until %s%s", patience, what, reason)
		}
		time.Sleep(pollInterval)
	}
}
