package test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// adminToken opens the admin API of every node in these tests.
const adminToken = "test-admin-token-0123456789"

// maxStarts is how often a cluster is tried on other ports when another program takes one in between.
const maxStarts = 5

// cluster is some nodes that know of each other.
type cluster struct {
	t     testing.TB
	nodes []*node
	keys  []string // API keys of its tenants
}

// newCluster forms a cluster of that many nodes, with extra arguments for each, and waits until all are ready. It ends
// with the test, and shows the ends of the logs if the test has failed.
func newCluster(t testing.TB, count int, args ...string) *cluster {
	t.Helper()
	for range maxStarts {
		c := planCluster(t, count, args...)
		if c.startAll() {
			for _, n := range c.nodes {
				n.waitReady()
			}
			return c
		}
	}
	t.Fatalf("a port was taken in between, %d times", maxStarts)
	return nil
}

// planCluster decides names, ports and arguments, and starts nothing.
func planCluster(t testing.TB, count int, args ...string) *cluster {
	t.Helper()
	all := make([]ports, count)
	for i := range all {
		all[i] = freePorts(t)
	}
	return planAt(t, all, args...)
}

// planAt plans a cluster of nodes with these addresses.
func planAt(t testing.TB, all []ports, args ...string) *cluster {
	t.Helper()
	dir := t.TempDir()
	common := append([]string{
		"--bootstrap-expect=" + strconv.Itoa(len(all)),
		"--admin-token-file=" + writeAdminToken(t, dir),
	}, args...)
	c := &cluster{t: t}
	for i, p := range all {
		c.nodes = append(c.nodes, newNode(t, "node"+strconv.Itoa(i+1), dir, p, common...))
	}
	c.seed()
	t.Cleanup(c.cleanUp)
	return c
}

// seed tells the nodes' next processes where the others are now.
func (c *cluster) seed() {
	if len(c.nodes) == 1 {
		return
	}
	var seeds []string
	for _, n := range c.nodes {
		seeds = append(seeds, n.ports.seed())
	}
	for _, n := range c.nodes {
		n.seeds = seeds
	}
}

// planOn plans a cluster of nodes on hosts of their own.
func planOn(t *testing.T, w *network, count int, args ...string) *cluster {
	t.Helper()
	all := make([]ports, count)
	for i := range all {
		if _, err := w.newHost(); err != nil {
			t.Fatal(err)
		}
		all[i] = w.hosts[i].ports()
	}
	c := planAt(t, all, args...)
	for i, n := range c.nodes {
		n.host = w.hosts[i]
	}
	return c
}

// newClusterOn is newCluster with every node on a host of its own.
func newClusterOn(t *testing.T, w *network, count int, args ...string) *cluster {
	t.Helper()
	c := planOn(t, w, count, append([]string{"--allow-public-plaintext"}, args...)...)
	c.restartAll()
	return c
}

func writeAdminToken(t testing.TB, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "admin-token")
	if err := os.WriteFile(path, []byte(adminToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// startAll starts every node. It reports false, with all of them ended, if a port was not free any more.
func (c *cluster) startAll() bool {
	c.t.Helper()
	for _, n := range c.nodes {
		n.start()
	}
	clash := false
	eventually(c.t, "every node answers", func() bool {
		answering := 0
		for _, n := range c.nodes {
			if n.process.hasExited() && strings.Contains(n.logText(), "in use") {
				clash = true
			}
			if _, _, err := n.page("/livez"); err == nil {
				answering++
			}
		}
		return clash || answering == len(c.nodes)
	}, c.logTails)
	if clash {
		c.killAll()
	}
	return !clash
}

// killAll ends every process at once, as a power loss would.
func (c *cluster) killAll() {
	var gone sync.WaitGroup
	for _, n := range c.nodes {
		if n.process != nil {
			gone.Go(n.process.kill9)
		}
	}
	gone.Wait()
}

// restartAll starts the nodes whose process is gone, and waits until all are ready.
func (c *cluster) restartAll() {
	c.t.Helper()
	for _, n := range c.nodes {
		if !n.running() {
			n.start()
		}
	}
	for _, n := range c.nodes {
		n.waitReady()
	}
}

func (c *cluster) cleanUp() {
	c.killAll()
	for _, n := range c.nodes {
		for _, secret := range append([]string{adminToken}, c.keys...) {
			if strings.Contains(n.logText(), secret) {
				c.t.Errorf("the log of %s holds a secret: %s", n.name, secret)
			}
		}
	}
	if c.t.Failed() {
		c.t.Log(c.logTails())
	}
}

func (c *cluster) logTails() string {
	var b strings.Builder
	for _, n := range c.nodes {
		b.WriteString("--- end of the log of " + n.name + "\n" + n.logTail() + "\n")
	}
	return b.String()
}

// logsBetween is what the nodes printed in a span of time, at most a day ago.
func (c *cluster) logsBetween(from, to time.Time) string {
	const stamp = "15:04:05.000" // how a line begins, in UTC
	first, last := from.UTC().Format(stamp), to.UTC().Format(stamp)
	var b strings.Builder
	for _, n := range c.nodes {
		for line := range strings.Lines(n.logText()) {
			if at := line[:min(len(stamp), len(line))]; at >= first && at <= last {
				b.WriteString(n.name + " " + line)
			}
		}
	}
	return b.String()
}

// currentLeader returns the node that leads and is ready to, by its own word; of two, the one elected later. It is nil
// if none does.
func (c *cluster) currentLeader() *node {
	leads := make([]status, len(c.nodes))
	var asking sync.WaitGroup
	for i, n := range c.nodes {
		if !n.running() || n.frozen {
			continue
		}
		asking.Go(func() {
			if s, err := n.status(); err == nil && s.Role == "leader" && s.LeaderID == s.NodeID {
				leads[i] = s
			}
		})
	}
	asking.Wait()
	var leader *node
	var term uint64
	for i, s := range leads {
		if s.Term > term {
			leader, term = c.nodes[i], s.Term
		}
	}
	return leader
}

// leader waits until there is one.
func (c *cluster) leader() *node {
	c.t.Helper()
	var leader *node
	eventually(c.t, "a node leads", func() bool {
		leader = c.currentLeader()
		return leader != nil
	}, c.logTails)
	return leader
}

// followers waits until there is a leader and returns the others.
func (c *cluster) followers() []*node {
	c.t.Helper()
	leader := c.leader()
	var others []*node
	for _, n := range c.nodes {
		if n != leader {
			others = append(others, n)
		}
	}
	return others
}

// waitConverged waits until all nodes have applied the same entries, and fails if their states differ then. There must
// be no load.
func (c *cluster) waitConverged() status {
	c.t.Helper()
	var all []status
	eventually(c.t, "all nodes have applied the same index", func() bool {
		all = all[:0]
		for _, n := range c.nodes {
			s, err := n.status()
			if err != nil {
				return false
			}
			all = append(all, s)
		}
		for _, s := range all {
			if s.AppliedIndex != all[0].AppliedIndex {
				return false
			}
		}
		return true
	}, c.logTails)
	for _, s := range all {
		if s.Digest != all[0].Digest || s.Records != all[0].Records || s.Locks != all[0].Locks {
			c.t.Fatalf("states differ at index %d:\n%+v\n%+v", s.AppliedIndex, s, all[0])
		}
	}
	return all[0]
}
