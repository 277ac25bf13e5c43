package test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// dial connects from a host, as a program there would.
func (h *host) dial(ctx context.Context, address string) (conn net.Conn, err error) {
	err = h.ns.do(func() error {
		conn, err = (&net.Dialer{Timeout: dialPatience}).DialContext(ctx, "tcp", address)
		return err
	})
	return conn, err
}

// identity is a certificate that somebody asks for, with the uses of a node's unless others are named.
type identity struct {
	name string
	uri  string
	uses []x509.ExtKeyUsage
}

// certify signs for an identity with the CA of a directory.
func certify(t *testing.T, dir string, id identity) *tls.Certificate {
	t.Helper()
	ca, err := tls.LoadX509KeyPair(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: id.name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: id.uses,
	}
	if id.uses == nil {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	}
	if id.uri != "" {
		uri, err := url.Parse(id.uri)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = []*url.URL{uri}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Leaf, &key.PublicKey, ca.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// testStrangers has somebody call at the port between nodes who is not one. Each is turned away before anything is
// said, for a reason that stands in the log.
func testStrangers(t *testing.T, s *secureCluster, b *book) {
	foreign := filepath.Join(t.TempDir(), "foreign")
	makeTLS(t, foreign, s.nodes)
	target := s.leader()
	good := certify(t, s.tls, identity{name: "node2", uri: "syllecta://syllecta/node/node2"})
	for _, caller := range []struct {
		what   string
		config *tls.Config // nil for no TLS at all
		reason string
	}{
		{"plain TCP", nil, "first record does not look like a TLS handshake"},
		{"no certificate", &tls.Config{}, "client didn't provide a certificate"},
		{"no node", showing(certify(t, s.tls, identity{name: "node2"})), "is not that of a node"},
		{"a user", showing(certify(t, s.tls, identity{name: "node2", uri: "syllecta://syllecta/user/node2"})),
			"is not that of a node"},
		{"another use", showing(certify(t, s.tls, identity{name: "node2", uri: "syllecta://syllecta/node/node2",
			uses: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})), "is not meant for this side"},
		{"another cluster", showing(certify(t, s.tls, identity{name: "node2", uri: "syllecta://other/node/node2"})),
			`not of cluster \"syllecta\"`},
		{"another CA", showing(certify(t, foreign, identity{name: "node2", uri: "syllecta://syllecta/node/node2"})),
			"is not signed by this cluster's CA"},
		{"TLS 1.2", &tls.Config{Certificates: []tls.Certificate{*good}, MaxVersion: tls.VersionTLS12},
			"client offered only unsupported versions"},
		{"the name of another node", showing(good), "the certificate is that of node2, not of node3"},
	} {
		since := len(target.logText())
		// Only who has a node's certificate is told anything, and then no more than that it may not come in.
		answer := s.call(t, target, caller.config)
		if strings.Contains(answer, "SYLW") && !strings.Contains(answer, `"refused"`) {
			t.Errorf("%s: the node answers %q", caller.what, answer)
		}
		t.Run(caller.what, func(t *testing.T) {
			target.logged(t, since, caller.reason)
			if !strings.Contains(target.logText()[since:], "a connection from another node is refused") {
				t.Errorf("the log does not say what happened:\n%s", target.logText()[since:])
			}
		})
	}
	b.write(t, 1)
	b.check(t)
}

func showing(cert *tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{*cert}}
}

// hello is what node3 would say to open a stream of raft; nobody knows the id of its cluster from outside.
const hello = `{"clusterName":"syllecta","nodeId":"node3","diskId":"0123456789abcdef","featureLevel":2}`

// call says hello at the port between nodes and returns what is answered.
func (s *secureCluster) call(t *testing.T, n *node, config *tls.Config) string {
	t.Helper()
	conn, err := s.stranger.dial(t.Context(), n.ports.raft)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if config != nil {
		config.InsecureSkipVerify = true // whoever answers: what is tested is whom that one lets in
		conn = tls.Client(conn, config)
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	// With TLS 1.3 a caller learns only from its first read that it was turned away.
	_, writeErr := conn.Write(append([]byte{'S', 'Y', 'L', 'W', 1, 'R', byte(len(hello)), 0}, hello...))
	answer, err := io.ReadAll(conn)
	if errors.Is(errors.Join(err, writeErr), os.ErrDeadlineExceeded) {
		t.Errorf("%s neither answers nor hangs up", n.name)
	}
	return string(answer)
}

// testGossipStrangers has somebody gossip who knows all but the key, or all but the cluster.
func testGossipStrangers(t *testing.T, s *secureCluster, b *book) {
	target := s.leader()
	label := "syllecta/syllecta/" + b.check(t).ClusterID
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(readFile(t, target.secret("gossip.key")))))
	if err != nil {
		t.Fatal(err)
	}
	for _, caller := range []struct {
		what   string
		label  string
		key    []byte
		reason string
	}{
		{"no key", label, nil, "remote state is not encrypted"},
		{"another key", label, bytes.Repeat([]byte{1}, len(key)), "no installed keys could decrypt the message"},
		// Nodes that look for a cluster gossip under other labels all the time, which is no news.
		{"no cluster", "syllecta/syllecta", key, ""},
		{"another cluster", label + "0", key, ""},
	} {
		t.Run(caller.what, func(t *testing.T) {
			since := len(target.logText())
			if err := s.gossip(t, caller.label, caller.key, target); err == nil {
				t.Error("the node gossips with a stranger")
			}
			target.logged(t, since, caller.reason)
		})
	}
	if err := s.gossip(t, label, key, target); err != nil {
		t.Errorf("with key and label: %v, so the others were refused for another reason than they should be", err)
	}
}

// gossip tries to gossip with a node from the stranger's host. It says nothing of itself that a node would believe.
func (s *secureCluster) gossip(t *testing.T, label string, key []byte, with *node) error {
	t.Helper()
	c := memberlist.DefaultLANConfig()
	c.Name, c.Label, c.SecretKey = "stranger", label, key
	c.BindAddr, c.BindPort, c.AdvertisePort = s.stranger.ip.String(), 4200, 4200
	c.TCPTimeout = dialPatience
	c.LogOutput = io.Discard
	var list *memberlist.Memberlist
	err := s.stranger.ns.do(func() (err error) {
		list, err = memberlist.Create(c)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer list.Shutdown() // fails only if it was shut down before
	return s.stranger.ns.do(func() error {
		_, err := list.Join([]string{with.ports.gossip})
		return err
	})
}

// testUnwantedNodes starts nodes that want to join and must not: with a certificate of another CA, and without any. They
// say why they are alone, and the cluster is as it was.
func testUnwantedNodes(t *testing.T, s *secureCluster, b *book) {
	before := b.check(t)
	for _, unwanted := range []struct {
		what string
		dir  string // of the CA; "" for a node without certificates
		args []string
		says string
	}{
		{"another CA", filepath.Join(t.TempDir(), "foreign"), nil, "is not signed by this cluster's CA"},
		{"no certificate", "", []string{"--allow-public-plaintext"}, "TLS"},
	} {
		t.Run(unwanted.what, func(t *testing.T) {
			n := newNode(t, "node4", t.TempDir(), s.stranger.ports())
			n.host, n.seeds = s.stranger, s.nodes[0].seeds
			n.args = append([]string{"--admin-token-file=" + writeAdminToken(t, t.TempDir())}, unwanted.args...)
			if unwanted.dir != "" {
				makeTLS(t, unwanted.dir, []*node{n})
				n.secureWith(t, unwanted.dir)
			}
			alone := &cluster{t: t, nodes: []*node{n}}
			defer alone.cleanUp()
			n.start()
			wantReason(t, n, unwanted.says)
		})
	}
	b.write(t, 1)
	wantSameMembers(t, before, b.check(t))
}
