package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/syllecta/syllecta/cluster"
)

// tlsNodeProcess is a node of a cluster all of whose wires are protected, on files of its own.
type tlsNodeProcess struct {
	plan *devNode
	made madeTLSNode
	dir  string // its files, as on a machine of its own
	cmd  *exec.Cmd
}

func (n *tlsNodeProcess) url() string { return "https://" + loopbackAddress(n.plan.http) }

func (n *tlsNodeProcess) logged(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(n.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// take copies the node's files to it.
func (n *tlsNodeProcess) take(t *testing.T, made madeTLS) {
	t.Helper()
	all := readAll(t, made.Dir)
	for _, file := range n.made.Files {
		if err := os.WriteFile(filepath.Join(n.dir, file), []byte(all[file]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// start runs the node with the settings that `syllecta tls init` has told, in the directory of its files.
func (n *tlsNodeProcess) start(t *testing.T, tokenFile string, join []string) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	n.cmd = exec.Command(path, append(strings.Fields("server "+n.made.flags()), "--data-dir=data",
		"--http-addr="+loopbackAddress(n.plan.http), "--raft-addr="+loopbackAddress(n.plan.raft),
		"--gossip-addr="+loopbackAddress(n.plan.gossip), "--admin-token-file="+tokenFile,
		fmt.Sprintf("--bootstrap-expect=%d", len(join)), "--join="+strings.Join(join, ","),
		"--followers=forward", "--log-format=json", "--log-level=debug")...)
	n.cmd.Dir = n.dir
	log, err := os.Create(filepath.Join(n.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	n.cmd.Stderr = log
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = n.cmd.Process.Kill() // it may have ended
		_ = n.cmd.Wait()
	})
}

// startTLSCluster starts three nodes with what `syllecta tls init` makes, and waits until each carries out a change.
func startTLSCluster(t *testing.T) (nodes []*tlsNodeProcess, made madeTLS, verbs func(*tlsNodeProcess) map[string]string) {
	t.Helper()
	made = tlsInit(t, t.TempDir(), "n1=127.0.0.1", "n2=127.0.0.1", "n3=127.0.0.1")
	tokenFile := writeToken(t, testToken, 0o600)
	var join []string
	for i, plan := range planNodes(3, freePort(t, 3)) {
		n := &tlsNodeProcess{plan: plan, made: made.Nodes[i], dir: t.TempDir()}
		n.take(t, made)
		nodes = append(nodes, n)
		join = append(join, loopbackAddress(plan.raft))
	}
	for _, n := range nodes {
		n.start(t, tokenFile, join)
	}
	verbs = func(n *tlsNodeProcess) map[string]string {
		return map[string]string{
			"SYLLECTA_SERVER": n.url(), "SYLLECTA_ADMIN_TOKEN": testToken, "SYLLECTA_CA_FILE": made.CAFile,
		}
	}
	for _, n := range nodes {
		await(t, n.made.Node+" to carry out a change", func() bool {
			_, _, code := runVerb(t, verbs(n), "tenant", "create", "of-"+n.made.Node)
			return code == exitOK || code == exitConflict // an earlier attempt may have gone through
		})
	}
	return nodes, made, verbs
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(devTimeout); !done(); time.Sleep(pollInterval) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestTLSCluster runs a cluster as the help of `syllecta tls init` tells to, and renews a certificate meanwhile.
func TestTLSCluster(t *testing.T) {
	t.Parallel()
	nodes, made, verbs := startTLSCluster(t)
	for _, n := range nodes[:2] { // of which one follows, and forwards by TLS
		if _, errText, code := runVerb(t, verbs(n), "tenant", "create", "again-"+n.made.Node); code != exitOK {
			t.Errorf("%s: exit code %d, %s", n.made.Node, code, errText)
		}
	}
	renewed := nodes[0]
	for _, name := range (tlsNode{id: "n1"}).ownFiles() {
		if err := os.Remove(filepath.Join(made.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	renewed.take(t, tlsInit(t, made.Dir, "n1=127.0.0.1"))
	want := readCert(t, made.Dir, "n1-http.pem")
	await(t, "the new HTTP certificate", func() bool { return want.Equal(servedCertificate(t, renewed, made.CAFile)) })
	await(t, "the new node certificate", func() bool {
		return strings.Contains(renewed.logged(t), `"of":"the certificate of this node"`)
	})
	if _, errText, code := runVerb(t, verbs(renewed), "tenant", "create", "renewed"); code != exitOK {
		t.Errorf("after the renewal: exit code %d, %s", code, errText)
	}
	secrets := append([]string{testToken, "PRIVATE KEY"}, strings.TrimSpace(readAll(t, made.Dir)[gossipKeyFile]))
	for _, n := range nodes {
		if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range nodes {
		if err := n.cmd.Wait(); err != nil {
			t.Errorf("%s: %v", n.made.Node, err)
		}
		for _, secret := range secrets {
			if strings.Contains(n.logged(t), secret) {
				t.Errorf("%s has logged a secret", n.made.Node)
			}
		}
	}
}

// servedCertificate is what a node shows on its HTTP port.
func servedCertificate(t *testing.T, n *tlsNodeProcess, caFile string) *x509.Certificate {
	t.Helper()
	roots := x509.NewCertPool()
	if err := addCertificates(roots, caFile); err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", loopbackAddress(n.plan.http), &tls.Config{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0]
}

// TestServerRefusesTheWrongCertificate: the mistake that is easy to make is told in words.
func TestServerRefusesTheWrongCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tlsInit(t, dir, "n1=127.0.0.1", "n2=127.0.0.1")
	at := planNodes(1, freePort(t, 1))[0]
	for _, c := range []struct{ id, files, want string }{
		{"n1", "n1-http", "is not that of a node"},
		{"n1", "n2", `is the certificate of node "n2"`},
	} {
		_, errText, code := runVerb(t, nil, "server", "--data-dir="+t.TempDir(), "--node-id="+c.id, "--bootstrap",
			"--http-addr="+loopbackAddress(at.http), "--raft-addr="+loopbackAddress(at.raft), "--gossip-addr=",
			"--node-ca-file="+filepath.Join(dir, caCertFile), "--node-cert-file="+filepath.Join(dir, c.files+".pem"),
			"--node-key-file="+filepath.Join(dir, c.files+".key"))
		if code != exitFailure || !strings.Contains(errText, c.want) {
			t.Errorf("%s with %s: exit code %d, %q; want %q", c.id, c.files, code, errText, c.want)
		}
	}
	if cluster.NodeURI("syllecta", "n1").String() != readCert(t, dir, "n1.pem").URIs[0].String() {
		t.Error("the certificate maker and the rule for nodes disagree")
	}
}
