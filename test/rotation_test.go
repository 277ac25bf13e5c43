package test

import (
	"bytes"
	"path/filepath"
	"testing"
)

// rotate takes all nodes one step further, and waits until each has said in its log that it took it.
func (s *secureCluster) rotate(t *testing.T, words string, step func(n *node)) {
	t.Helper()
	for _, n := range s.nodes {
		since := len(n.logText())
		step(n)
		n.logged(t, since, words)
	}
}

const (
	gossipKeysTaken  = `of="the gossip keys"`
	certificateTaken = `of="the certificate of this node"`
)

// testGossipRotation replaces the key of gossip in the three steps of the manual, and restarts nobody.
func testGossipRotation(t *testing.T, s *secureCluster, b *book) {
	before := b.check(t)
	file := filepath.Join(s.tls, "gossip.key")
	old := readFile(t, file)
	for _, step := range []string{"--add", "--promote", "--prune"} {
		runBinary(t, "tls", "rotate-gossip", file, step)
		keys := readFile(t, file)
		s.rotate(t, gossipKeysTaken, func(n *node) { n.give(t, "gossip.key", keys) })
		b.write(t, 1)
	}
	if bytes.Contains(readFile(t, file), bytes.TrimSpace(old)) {
		t.Error("the old key is still there")
	}
	wantSameMembers(t, before, b.check(t))
	// Whoever comes back has to find the others with the new key.
	follower := s.followers()[0]
	follower.kill9()
	follower.restart()
	b.check(t)
}

// testCertificateRotation replaces the CA and all certificates while everything runs: first everybody trusts both CAs,
// then everybody shows the new certificates, then nobody trusts the old CA.
func testCertificateRotation(t *testing.T, s *secureCluster, b *book) {
	before := b.check(t)
	next := filepath.Join(t.TempDir(), "next")
	makeTLS(t, next, s.nodes)
	oldCA, newCA := readFile(t, filepath.Join(s.tls, "ca.pem")), readFile(t, filepath.Join(next, "ca.pem"))
	both := append(bytes.Clone(oldCA), newCA...)

	s.rotate(t, certificateTaken, func(n *node) {
		n.give(t, "ca.pem", both)
		n.trust(t, both)
	})
	b.write(t, 1)
	s.rotate(t, certificateTaken, func(n *node) {
		for own, made := range n.secretFiles() {
			if own != "ca.pem" && own != "gossip.key" {
				n.give(t, own, readFile(t, filepath.Join(next, made)))
			}
		}
	})
	b.write(t, 1)
	s.rotate(t, certificateTaken, func(n *node) {
		n.give(t, "ca.pem", newCA)
		n.trust(t, newCA)
	})
	callers.CloseIdleConnections()
	wantSameMembers(t, before, b.check(t))
	// Connections live on over a rotation. Now all are made anew, by the new certificates alone.
	for _, n := range s.nodes {
		n.kill9()
		n.restart()
	}
	b.write(t, 1)
	wantSameMembers(t, before, b.check(t))
}
