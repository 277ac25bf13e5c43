package cluster

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// testCA signs certificates in tests.
type testCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newTestCA(t *testing.T, name string) *testCA {
	t.Helper()
	ca := &testCA{key: newTestKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(2 * time.Hour),
	}
	ca.cert = template
	ca.cert = ca.sign(t, template, &ca.key.PublicKey)
	return ca
}

func newTestKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (ca *testCA) sign(t *testing.T, template *x509.Certificate, key *ecdsa.PublicKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// nodeTemplate is a good certificate of a node of the cluster "syllecta", for a test to spoil.
func nodeTemplate(id string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: id},
		URIs:      []*url.URL{NodeURI(DefaultClusterName, id)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func (ca *testCA) issue(t *testing.T, template *x509.Certificate) tls.Certificate {
	t.Helper()
	key := newTestKey(t)
	leaf := ca.sign(t, template, &key.PublicKey)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// writeNode makes dir hold the files of a node, and returns a Config that names them.
func writeNode(t *testing.T, dir string, pair tls.Certificate, trusted ...*testCA) Config {
	t.Helper()
	cfg := Config{
		ClusterName: DefaultClusterName,
		NodeCAFile:  filepath.Join(dir, "ca.pem"), NodeCertFile: filepath.Join(dir, "node.pem"),
		NodeKeyFile: filepath.Join(dir, "node.key"),
	}
	writeCAs(t, cfg.NodeCAFile, trusted...)
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, cfg.NodeCertFile, pemOf("CERTIFICATE", pair.Certificate[0]))
	writeFile(t, cfg.NodeKeyFile, pemOf("PRIVATE KEY", key))
	return cfg
}

func writeCAs(t *testing.T, path string, trusted ...*testCA) {
	t.Helper()
	var bundle []byte
	for _, ca := range trusted {
		bundle = append(bundle, pemOf("CERTIFICATE", ca.cert.Raw)...)
	}
	writeFile(t, path, bundle)
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// writeFile gives the file content, and a time of change that it never had before.
func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	modified := time.Now()
	if info, err := os.Stat(path); err == nil {
		modified = info.ModTime().Add(time.Second)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, modified, modified); err != nil {
		t.Fatal(err)
	}
}

// newNodeCertificates are those of a node whose files are in a new directory, which the Config names.
func newNodeCertificates(t *testing.T, ca *testCA, id string) (*nodeCertificates, Config) {
	t.Helper()
	cfg := writeNode(t, t.TempDir(), ca.issue(t, nodeTemplate(id)), ca)
	c, err := loadNodeCertificates(cfg, raft.ServerID(id))
	if err != nil {
		t.Fatal(err)
	}
	return c, cfg
}

// handshake connects two sides, and has a byte travel each way. It returns the server's error and the client's; a
// client whose certificate is refused learns that on its first read only.
func handshake(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		defer conn.Close()
		done <- exchangeByte(tls.Server(conn, server), true)
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	clientErr = exchangeByte(tls.Client(conn, client), false)
	conn.Close()
	return <-done, clientErr
}

func exchangeByte(conn *tls.Conn, first bool) error {
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if err := conn.Handshake(); err != nil {
		return err
	}
	for range 2 {
		if first {
			if _, err := conn.Write([]byte{1}); err != nil {
				return err
			}
		} else if _, err := conn.Read(make([]byte, 1)); err != nil {
			return err
		}
		first = !first
	}
	return nil
}

func TestNodesConnect(t *testing.T) {
	t.Parallel()
	ca := newTestCA(t, "ca")
	n1, _ := newNodeCertificates(t, ca, "n1")
	n2, _ := newNodeCertificates(t, ca, "n2")
	for _, expect := range []raft.ServerID{"n1", ""} {
		var seen, met raft.ServerID
		server, client := n1.server(), n2.client(expect)
		server.VerifyConnection = also(t, server.VerifyConnection, n1, &seen)
		client.VerifyConnection = also(t, client.VerifyConnection, n2, &met)
		if serverErr, clientErr := handshake(t, server, client); serverErr != nil || clientErr != nil {
			t.Fatalf("expecting %q: %v, %v", expect, serverErr, clientErr)
		}
		if seen != "n2" || met != "n1" {
			t.Errorf("the server saw %q, the client met %q", seen, met)
		}
	}
	if n1.id() != "n1" || n1.expires() != n1.files.Current().own.Leaf.NotAfter {
		t.Errorf("id %q, expires %v", n1.id(), n1.expires())
	}
}

// also runs verify and then notes which peer a connection is found to have, as its user would.
func also(t *testing.T, verify func(tls.ConnectionState) error, c *nodeCertificates, peer *raft.ServerID) func(
	tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		err := verify(s)
		id, peerErr := c.peer(s)
		if (err == nil) != (peerErr == nil) || s.Version != tls.VersionTLS13 {
			t.Errorf("verify: %v, peer: %v, version %x", err, peerErr, s.Version)
		}
		*peer = id
		return err
	}
}

// TestRefusedRoles has strangers show their certificates to a node, as the client and as the server.
func TestRefusedRoles(t *testing.T) {
	t.Parallel()
	ca, other := newTestCA(t, "ca"), newTestCA(t, "ca")
	node, _ := newNodeCertificates(t, ca, "n1")
	uri := func(text string) func(*x509.Certificate) {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return func(c *x509.Certificate) { c.URIs = []*url.URL{u} }
	}
	for name, tc := range map[string]struct {
		signer *testCA
		spoil  func(*x509.Certificate)
		want   string
	}{
		"HTTP certificate": {ca, func(c *x509.Certificate) {
			c.URIs, c.DNSNames = nil, []string{"n2"}
		}, "is not that of a node: it names 0 URIs"},
		"client certificate": {ca, func(c *x509.Certificate) {
			c.URIs, c.EmailAddresses = nil, []string{"n2@example.test"}
		}, "is not that of a node"},
		"another cluster's node": {ca, uri("syllecta://staging/node/n2"),
			`is that of node "n2" of cluster "staging", not of cluster "syllecta"`},
		"two roles": {ca, func(c *x509.Certificate) {
			c.URIs = append(c.URIs, NodeURI("staging", "n2"))
		}, "it names 2 URIs"},
		"another kind of URI": {ca, uri("https://syllecta/node/n2"), "is not that of a node"},
		"another role":        {ca, uri("syllecta://syllecta/tenant/n2"), "is not that of a node"},
		"with a user":         {ca, uri("syllecta://root@syllecta/node/n2"), "is not that of a node"},
		"with a port":         {ca, uri("syllecta://syllecta:1/node/n2"), "is not that of a node"},
		"with a query":        {ca, uri("syllecta://syllecta/node/n2?x"), "is not that of a node"},
		"with a fragment":     {ca, uri("syllecta://syllecta/node/n2#x"), "is not that of a node"},
		"more path":           {ca, uri("syllecta://syllecta/node/n2/n3"), "is not that of a node"},
		"encoded":             {ca, uri("syllecta://syllecta/node/n%32"), "is not that of a node"},
		"no node":             {ca, uri("syllecta://syllecta/node/"), "is not that of a node"},
		"other capitals":      {ca, uri("syllecta://SYLLECTA/node/n2"), `not of cluster "syllecta"`},
		"another CA":          {other, func(*x509.Certificate) {}, "is not signed by this cluster's CA"},
		"expired": {ca, func(c *x509.Certificate) {
			c.NotAfter = time.Now().Add(-time.Minute)
		}, "is not valid at this time"},
		"not yet valid": {ca, func(c *x509.Certificate) {
			c.NotBefore = time.Now().Add(time.Minute)
		}, "is not valid at this time"},
		"for code signing": {ca, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
		}, "is not meant for this side"},
		"a very long subject": {ca, func(c *x509.Certificate) {
			c.Subject.CommonName, c.URIs = strings.Repeat("x\n", 99), nil
		}, "is not that of a node"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			template := nodeTemplate("n2")
			tc.spoil(template)
			pair := tc.signer.issue(t, template)
			err, _ := handshake(t, node.server(), strangerClient(pair))
			wantRefusal(t, "as a client", err, tc.want)
			_, err = handshake(t, &tls.Config{Certificates: []tls.Certificate{pair}}, node.client(""))
			wantRefusal(t, "as a server", err, tc.want)
		})
	}
}

// strangerClient shows its certificate to whomever it meets.
func strangerClient(pairs ...tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: pairs, InsecureSkipVerify: true}
}

func wantRefusal(t *testing.T, what string, err error, want string) {
	t.Helper()
	const maxWords = 500
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") ||
		len(err.Error()) > maxWords {
		t.Errorf("%s: got %v, want %q", what, err, want)
	}
}

func TestRefusedSides(t *testing.T) {
	t.Parallel()
	ca := newTestCA(t, "ca")
	n1, _ := newNodeCertificates(t, ca, "n1")
	n2, _ := newNodeCertificates(t, ca, "n2")
	onlyServer, onlyClient := nodeTemplate("n3"), nodeTemplate("n3")
	onlyServer.ExtKeyUsage, onlyClient.ExtKeyUsage = onlyServer.ExtKeyUsage[:1], onlyClient.ExtKeyUsage[1:]

	serverErr, clientErr := handshake(t, n1.server(), strangerClient(ca.issue(t, onlyServer)))
	wantRefusal(t, "a server's certificate of a client", serverErr, "is not meant for this side")
	if clientErr == nil {
		t.Error("the client does not notice")
	}
	_, err := handshake(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, onlyClient)}}, n1.client(""))
	wantRefusal(t, "a client's certificate of a server", err, "is not meant for this side")
	_, err = handshake(t, n1.server(), n2.client("n3"))
	wantRefusal(t, "another node than expected", err, `is that of node "n1", not of "n3"`)
	err, _ = handshake(t, n1.server(), strangerClient())
	wantRefusal(t, "no certificate", err, "didn't provide a certificate")

	old := strangerClient(n2.files.Current().own)
	old.MaxVersion = tls.VersionTLS12
	err, _ = handshake(t, n1.server(), old)
	wantRefusal(t, "TLS 1.2 of a client", err, "version")
	_, err = handshake(t, &tls.Config{
		Certificates: []tls.Certificate{n2.files.Current().own}, MaxVersion: tls.VersionTLS12,
	}, n1.client("n2"))
	wantRefusal(t, "TLS 1.2 of a server", err, "version")
	if _, err := n1.peer(tls.ConnectionState{}); err == nil {
		t.Error("a connection without a certificate has a peer")
	}
}

// TestExpiresWhileRunning: a certificate that was good when it was read is refused once its time is over.
func TestExpiresWhileRunning(t *testing.T) {
	t.Parallel()
	ca := newTestCA(t, "ca")
	n1, _ := newNodeCertificates(t, ca, "n1")
	n2, _ := newNodeCertificates(t, ca, "n2")
	n1.now = func() time.Time { return time.Now().Add(61 * time.Minute) }
	err, _ := handshake(t, n1.server(), n2.client("n1"))
	wantRefusal(t, "expired", err, "is not valid at this time")
}

func TestNoSessionIsResumed(t *testing.T) {
	t.Parallel()
	ca := newTestCA(t, "ca")
	n1, cfg := newNodeCertificates(t, ca, "n1")
	client := strangerClient(ca.issue(t, nodeTemplate("n2")))
	client.ServerName = "n1" // what sessions are kept under
	client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	client.VerifyConnection = func(s tls.ConnectionState) error {
		if s.DidResume {
			t.Error("a session was resumed")
		}
		return nil
	}
	for range 2 {
		if serverErr, clientErr := handshake(t, n1.server(), client); serverErr != nil || clientErr != nil {
			t.Fatal(serverErr, clientErr)
		}
	}
	next := newTestCA(t, "next")
	writeNode(t, filepath.Dir(cfg.NodeCAFile), next.issue(t, nodeTemplate("n1")), next)
	if changed, err := n1.reload(); !changed || err != nil {
		t.Fatal(changed, err)
	}
	err, _ := handshake(t, n1.server(), client)
	wantRefusal(t, "a client of the removed CA", err, "is not signed by this cluster's CA")
}

func TestIntermediateCA(t *testing.T) {
	t.Parallel()
	root := newTestCA(t, "root")
	middle := &testCA{key: newTestKey(t)}
	middle.cert = root.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "middle"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Minute),
	}, &middle.key.PublicKey)
	pair := middle.issue(t, nodeTemplate("n1"))
	cfg := writeNode(t, t.TempDir(), pair, root)
	writeFile(t, cfg.NodeCertFile, bytes.Join([][]byte{
		pemOf("CERTIFICATE", pair.Certificate[0]), pemOf("CERTIFICATE", middle.cert.Raw)}, nil))
	n1, err := loadNodeCertificates(cfg, "n1")
	if err != nil {
		t.Fatal(err)
	}
	if n1.expires() != middle.cert.NotAfter {
		t.Errorf("expires %v, want when the intermediate CA does", n1.expires())
	}
	n2, _ := newNodeCertificates(t, root, "n2")
	if serverErr, clientErr := handshake(t, n2.server(), n1.client("n2")); serverErr != nil || clientErr != nil {
		t.Error(serverErr, clientErr)
	}
}

func TestLoadNodeCertificates(t *testing.T) {
	t.Parallel()
	ca := newTestCA(t, "ca")
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, cfg *Config)
		want  string // "" for none
	}{
		"good": {func(*testing.T, *Config) {}, ""},
		"only a CA": {func(_ *testing.T, cfg *Config) {
			cfg.NodeCertFile, cfg.NodeKeyFile = "", ""
		}, "certificate file is not set"},
		"no CA":   {func(_ *testing.T, cfg *Config) { cfg.NodeCAFile = "" }, "CA file is not set"},
		"no key":  {func(_ *testing.T, cfg *Config) { cfg.NodeKeyFile = "" }, "key file is not set"},
		"no file": {func(_ *testing.T, cfg *Config) { cfg.NodeCertFile += "x" }, "node.pemx: no such file"},
		"cluster": {func(_ *testing.T, cfg *Config) { cfg.ClusterName = "staging" },
			`of cluster "syllecta", not of cluster "staging"`},
		"other node": {template("n2", func(*x509.Certificate) {}, ca), `is the certificate of node "n2", and this is "n1"`},
		"expired": {template("n1", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }, ca),
			"is not valid at this time"},
		"one use": {template("n1", func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }, ca),
			"is not meant for this side"},
		"HTTP certificate": {template("n1", func(c *x509.Certificate) { c.URIs = nil }, ca), "is not that of a node"},
		"another CA": {func(t *testing.T, cfg *Config) {
			writeCAs(t, cfg.NodeCAFile, newTestCA(t, "x"))
		}, "is not signed by this cluster's CA"},
		"empty CA file":    {func(t *testing.T, cfg *Config) { writeFile(t, cfg.NodeCAFile, nil) }, "holds no certificate"},
		"CA file of a key": {func(_ *testing.T, cfg *Config) { cfg.NodeCAFile = cfg.NodeKeyFile }, `holds a "PRIVATE KEY"`},
		"a leaf for a CA":  {func(_ *testing.T, cfg *Config) { cfg.NodeCAFile = cfg.NodeCertFile }, "is not that of a CA"},
		"too many CAs": {func(t *testing.T, cfg *Config) {
			all := make([]*testCA, maxCACertificates+1)
			for i := range all {
				all[i] = ca
			}
			writeCAs(t, cfg.NodeCAFile, all...)
		}, "more than 16"},
		"another key": {func(t *testing.T, cfg *Config) {
			cfg.NodeKeyFile = writeNode(t, t.TempDir(), ca.issue(t, nodeTemplate("n1")), ca).NodeKeyFile
		}, "private key does not match"},
		"key that others read": {func(t *testing.T, cfg *Config) {
			if err := os.Chmod(cfg.NodeKeyFile, 0o640); err != nil {
				t.Fatal(err)
			}
		}, "can be read by others (mode 0640)"},
		"too large": {func(t *testing.T, cfg *Config) {
			writeFile(t, cfg.NodeCertFile, make([]byte, maxSecretFileBytes+1))
		}, "is larger than"},
		"directory": {func(t *testing.T, cfg *Config) { cfg.NodeCertFile = t.TempDir() }, "is not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := writeNode(t, t.TempDir(), ca.issue(t, nodeTemplate("n1")), ca)
			tc.spoil(t, &cfg)
			c, err := loadNodeCertificates(cfg, "n1")
			if tc.want == "" && (err != nil || c == nil) {
				t.Errorf("got %v", err)
			}
			if tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if c, err := loadNodeCertificates(Config{}, "n1"); c != nil || err != nil {
		t.Errorf("without files: got %v, %v", c, err)
	}
}

// template spoils a node's files by a certificate made in another way.
func template(id string, spoil func(*x509.Certificate), ca *testCA) func(*testing.T, *Config) {
	return func(t *testing.T, cfg *Config) {
		template := nodeTemplate(id)
		spoil(template)
		writeNode(t, filepath.Dir(cfg.NodeCAFile), ca.issue(t, template), ca)
	}
}

func TestNodeURI(t *testing.T) {
	t.Parallel()
	if got := NodeURI("shop", "n-1.eu").String(); got != "syllecta://shop/node/n-1.eu" {
		t.Errorf("got %s", got)
	}
}
