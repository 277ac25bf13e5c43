package test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestSecure runs a cluster as it should be run: certificates between the nodes, a key for gossip and HTTPS for the
// clients, on addresses that others can reach, and without a word that this is dangerous.
func TestSecure(t *testing.T) {
	t.Parallel()
	s := newSecureCluster(t)
	b := &book{c: s.cluster, key: s.newTenant("secure", 0).key}
	b.write(t, 3)
	b.check(t)
	leader := s.leader()
	leader.kill9()
	b.write(t, 1)
	leader.restart()
	b.check(t)

	t.Run("strangers", func(t *testing.T) { testStrangers(t, s, b) })
	t.Run("gossiping strangers", func(t *testing.T) { testGossipStrangers(t, s, b) })
	t.Run("nodes that do not belong", func(t *testing.T) { testUnwantedNodes(t, s, b) })
	t.Run("flood", func(t *testing.T) { testFlood(t, s, b) })
	t.Run("gossip key rotation", func(t *testing.T) { testGossipRotation(t, s, b) })
	t.Run("certificate rotation", func(t *testing.T) { testCertificateRotation(t, s, b) })
}

// secureCluster is a cluster whose wires are protected, on a network with one more host, which is not part of it.
type secureCluster struct {
	*cluster
	net      *network
	stranger *host
	tls      string // directory with what `syllecta tls init` made for it
}

func newSecureCluster(t *testing.T) *secureCluster {
	t.Helper()
	w := newNetwork(t)
	s := &secureCluster{cluster: planOn(t, w, 3), net: w, tls: filepath.Join(t.TempDir(), "tls")}
	var err error
	if s.stranger, err = w.newHost(); err != nil {
		t.Fatal(err)
	}
	makeTLS(t, s.tls, s.nodes)
	for _, n := range s.nodes {
		n.secureWith(t, s.tls)
	}
	s.restartAll()
	return s
}

// makeTLS has the binary make a CA, and certificates for nodes.
func makeTLS(t *testing.T, dir string, nodes []*node) {
	t.Helper()
	args := []string{"tls", "init", "--dir=" + dir}
	for _, n := range nodes {
		args = append(args, n.name+"="+n.host.ip.String())
	}
	runBinary(t, args...)
}

// runBinary runs a verb that must succeed.
func runBinary(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = plainEnvironment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("syllecta %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// secret is where a node keeps a file of its own.
func (n *node) secret(name string) string { return filepath.Join(n.dir+"-secrets", name) }

// secretFiles are the names that a node has for its files, and those that `tls init` gives them.
func (n *node) secretFiles() map[string]string {
	return map[string]string{
		"ca.pem": "ca.pem", "gossip.key": "gossip.key", "node.pem": n.name + ".pem", "node.key": n.name + ".key",
		"http.pem": n.name + "-http.pem", "http.key": n.name + "-http.key",
	}
}

// secureWith gives a node its files and the settings that name them, and has this process trust its CA.
func (n *node) secureWith(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(n.secret(""), 0o700); err != nil {
		t.Fatal(err)
	}
	for own, made := range n.secretFiles() {
		n.give(t, own, readFile(t, filepath.Join(dir, made)))
	}
	n.secure = true
	n.trust(t, readFile(t, filepath.Join(dir, "ca.pem")))
	n.args = append(n.args,
		"--node-ca-file="+n.secret("ca.pem"),
		"--node-cert-file="+n.secret("node.pem"), "--node-key-file="+n.secret("node.key"),
		"--http-cert-file="+n.secret("http.pem"), "--http-key-file="+n.secret("http.key"),
		"--gossip-key-file="+n.secret("gossip.key"))
}

// give replaces one of the node's files, as a whole.
func (n *node) give(t *testing.T, name string, content []byte) {
	t.Helper()
	next := n.secret(name) + ".next"
	if err := os.WriteFile(next, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, n.secret(name)); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// trusted holds, by HTTP address, the CAs by which this process knows nodes.
var trusted sync.Map

// trust has this process believe these CAs, and no others, when it calls the node.
func (n *node) trust(t *testing.T, cas []byte) {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(cas) {
		t.Fatal("there is no certificate of a CA")
	}
	trusted.Store(n.ports.http, pool)
}

// dialTLS connects to a node's HTTPS port.
func dialTLS(ctx context.Context, kind, address string) (net.Conn, error) {
	conn, err := dial(ctx, kind, address)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	pool, _ := trusted.Load(address)
	roots, _ := pool.(*x509.CertPool)
	if roots == nil {
		return nil, fmt.Errorf("no CA is known for %s", address)
	}
	secured := tls.Client(conn, &tls.Config{ServerName: host, RootCAs: roots})
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secured, nil
}

// logged waits until a node has said something since that much of its log.
func (n *node) logged(t *testing.T, since int, words string) {
	t.Helper()
	eventually(t, n.name+" says: "+words, func() bool {
		text := n.logText()
		return strings.Contains(text[min(since, len(text)):], words)
	}, n.logTail)
}

// floodConnections are kept open to each port of each node, and floodFor is how long.
const (
	floodConnections = 100
	floodFor         = 2 * time.Second
	// floodAgain is the pause before a connection that was refused is tried again.
	floodAgain = 500 * time.Millisecond
)

// testFlood opens a great many connections from one host that say nothing, and others whenever one is closed. Clients
// and nodes go on, and a node that is restarted meanwhile comes back.
func testFlood(t *testing.T, s *secureCluster, b *book) {
	ctx, stop := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	defer flood.Wait()
	defer stop()
	for _, n := range s.nodes {
		for _, address := range []string{n.ports.http, n.ports.raft, n.ports.gossip} {
			for range floodConnections {
				flood.Go(func() { occupy(ctx, s.stranger, address) })
			}
		}
	}
	var took stopwatch
	for end := time.Now().Add(floodFor); time.Now().Before(end); {
		start := time.Now()
		n := s.nodes[took.times%len(s.nodes)]
		a := newClient(n.url(), b.key).following().claim(claimRequest{Scope: "flood", Key: fmt.Sprint(took.times)})
		if took.add(time.Since(start)); !a.Locked {
			t.Errorf("a claim through %s: %v", n.name, a.answer)
		}
	}
	t.Logf("%d idle connections to each of 9 ports: claims were granted %s", floodConnections, &took)
	follower := s.followers()[0]
	follower.kill9()
	start := time.Now()
	follower.restart()
	t.Logf("%s was ready %s after its start", follower.name, time.Since(start).Round(time.Millisecond))
	b.check(t)
}

// occupy holds a connection to an address and says nothing, again and again until ctx ends.
func occupy(ctx context.Context, from *host, address string) {
	for ctx.Err() == nil {
		conn, err := from.dial(ctx, address)
		if err == nil {
			ended := context.AfterFunc(ctx, func() { conn.Close() })
			_, _ = conn.Read(make([]byte, 1)) // until the other side has had enough
			ended()
			conn.Close()
		}
		select {
		case <-ctx.Done():
		case <-time.After(floodAgain):
		}
	}
}
