package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

const (
	nodeURIScheme = "syllecta"
	nodeURIPath   = "/node/"
	// maxCACertificates bounds a bundle of CA certificates. During a rotation it holds two.
	maxCACertificates = 16
)

// NodeURI is the name that the certificate of a node must carry, as its only URI, to be let in by the nodes of that
// cluster: syllecta://<cluster name>/node/<node id>.
func NodeURI(clusterName, nodeID string) *url.URL {
	return &url.URL{Scheme: nodeURIScheme, Host: clusterName, Path: nodeURIPath + nodeID}
}

// nodeCertificates is this node's certificate, and the rule for those of others, on the wire between nodes.
//
// Who may connect is decided by the role in the certificate: it must be signed by the CA *and* name a node of this
// very cluster. That a certificate comes from the CA alone says nothing: the CA may sign for HTTP, for clients, for
// other clusters. Host names are not verified on top: addresses change, the node id is the name that is dialled.
//
// Certificates, key and CA are looked at again on reload, and each handshake asks for what is current. Connections that
// exist live on: whoever must be shut out at once is removed from the cluster, not from the CA alone.
//
// To replace the CA without a moment in which two nodes refuse each other, take one step on all nodes before the next:
//
//  1. put the new CA's certificate into the CA file, beside the old one: now everybody trusts both;
//  2. give each node a certificate and key signed by the new CA;
//  3. remove the old CA's certificate from the CA file.
type nodeCertificates struct {
	clusterName string
	files       *Reloaded[nodeFiles]
	now         func() time.Time
}

// nodeFiles is what one reading of the files gave.
type nodeFiles struct {
	own     tls.Certificate
	id      raft.ServerID // the node that own names
	ca      *x509.CertPool
	expires time.Time
}

// loadNodeCertificates reads the files that cfg names, or returns nil if it names none. This node's own certificate
// must be one with which the other nodes would let it in, and name want; if want is "", it says which node this is.
func loadNodeCertificates(cfg Config, want raft.ServerID) (*nodeCertificates, error) {
	if cfg.NodeCAFile == "" && cfg.NodeCertFile == "" && cfg.NodeKeyFile == "" {
		return nil, nil
	}
	for _, file := range []struct{ path, what string }{
		{cfg.NodeCAFile, "CA file"}, {cfg.NodeCertFile, "certificate file"}, {cfg.NodeKeyFile, "key file"},
	} {
		if file.path == "" {
			return nil, fmt.Errorf("the node's %s is not set: CA, certificate and key are given together", file.what)
		}
	}
	c := &nodeCertificates{clusterName: cfg.ClusterName, now: time.Now}
	files, err := NewReloaded(func() (nodeFiles, error) {
		files, err := c.read(cfg)
		if err == nil && want != "" && files.id != want {
			err = fmt.Errorf("%s is the certificate of node %q, and this is %q", cfg.NodeCertFile, files.id, want)
		}
		if err == nil {
			want = files.id // a node never becomes another one by a reload
		}
		return files, err
	}, cfg.NodeCAFile, cfg.NodeCertFile, cfg.NodeKeyFile)
	if err != nil {
		return nil, fmt.Errorf("the node's certificate: %w", err)
	}
	c.files = files
	return c, nil
}

// read reads the three files and checks this node's own certificate.
func (c *nodeCertificates) read(cfg Config) (nodeFiles, error) {
	ca, err := readCA(cfg.NodeCAFile)
	if err != nil {
		return nodeFiles{}, err
	}
	own, err := ReadKeyPair(cfg.NodeCertFile, cfg.NodeKeyFile)
	if err != nil {
		return nodeFiles{}, err
	}
	files := nodeFiles{own: own, ca: ca}
	chain, err := parseChain(own.Certificate)
	if err != nil {
		return nodeFiles{}, fmt.Errorf("%s: %w", cfg.NodeCertFile, err)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if files.id, files.expires, err = c.admit(ca, chain, usage); err != nil {
			return nodeFiles{}, fmt.Errorf("%s: %w", cfg.NodeCertFile, err)
		}
	}
	return files, nil
}

// id is the node that the certificate names.
func (c *nodeCertificates) id() raft.ServerID { return c.files.Current().id }

// expires is when this node's certificate, or one of those above it, ends.
func (c *nodeCertificates) expires() time.Time { return c.files.Current().expires }

// reload looks at the files again, and reports whether they changed. If what they hold cannot be used, what was read
// before stays, and the reason is returned once.
func (c *nodeCertificates) reload() (changed bool, err error) {
	changed, err = c.files.Reload()
	if err != nil {
		return false, fmt.Errorf("the node's new certificate is not taken: %w", err)
	}
	return changed, nil
}

// server is the configuration for accepting connections of other nodes.
func (c *nodeCertificates) server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			own := c.files.Current().own
			return &own, nil
		},
		// VerifyConnection does all of the verifying, for its words and for the CA of this moment.
		ClientAuth: tls.RequireAnyClientCert,
		VerifyConnection: func(s tls.ConnectionState) error {
			_, err := c.verify(s, x509.ExtKeyUsageClientAuth)
			return err
		},
		// Without tickets nobody resumes a session from before the CA changed. Connections last: there is nothing to
		// save by resuming.
		SessionTicketsDisabled: true,
	}
}

// client is the configuration for connecting to the node of that id, or to any node of this cluster if it is "".
func (c *nodeCertificates) client(expect raft.ServerID) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			own := c.files.Current().own
			return &own, nil
		},
		// Host names are not what is verified: VerifyConnection runs in any case, and looks for the node.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			id, err := c.verify(s, x509.ExtKeyUsageServerAuth)
			if err == nil && expect != "" && id != expect {
				err = fmt.Errorf("the certificate is that of node %q, not of %q", id, expect)
			}
			return err
		},
		SessionTicketsDisabled: true,
	}
}

// peer is the node at the other end of a connection. It fails if the certificate there is not that of a node of this
// cluster, which a finished handshake has shown already.
func (c *nodeCertificates) peer(s tls.ConnectionState) (raft.ServerID, error) {
	return c.verify(s, x509.ExtKeyUsageAny)
}

func (c *nodeCertificates) verify(s tls.ConnectionState, usage x509.ExtKeyUsage) (raft.ServerID, error) {
	if len(s.PeerCertificates) == 0 {
		return "", errors.New("the other side shows no certificate")
	}
	id, _, err := c.admit(c.files.Current().ca, s.PeerCertificates, usage)
	return id, err
}

// admit is the rule: the chain leads to the CA, is valid now and for this use, and names one node of this cluster. It
// returns that node, and when the chain expires.
func (c *nodeCertificates) admit(ca *x509.CertPool, chain []*x509.Certificate, usage x509.ExtKeyUsage) (
	id raft.ServerID, expires time.Time, err error) {
	leaf := chain[0]
	intermediates := x509.NewCertPool()
	for _, cert := range chain[1:] {
		intermediates.AddCert(cert)
	}
	verified, err := leaf.Verify(x509.VerifyOptions{
		Roots: ca, Intermediates: intermediates, CurrentTime: c.now(), KeyUsages: []x509.ExtKeyUsage{usage},
	})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("%s %s: %w", describe(leaf), chainFault(err), err)
	}
	for _, path := range verified {
		if end := pathEnd(path); end.After(expires) {
			expires = end
		}
	}
	id, err = c.role(leaf)
	return id, expires, err
}

// chainFault says in the words of this wire what is wrong with a chain.
func chainFault(err error) string {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		return "is not signed by this cluster's CA"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "is not valid at this time"
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return "is not meant for this side of a connection"
	default:
		return "cannot be used"
	}
}

func pathEnd(path []*x509.Certificate) time.Time {
	end := path[0].NotAfter
	for _, cert := range path[1:] {
		if cert.NotAfter.Before(end) {
			end = cert.NotAfter
		}
	}
	return end
}

// role returns the node that a certificate names, if it names one of this cluster and nothing else.
func (c *nodeCertificates) role(leaf *x509.Certificate) (raft.ServerID, error) {
	clusterName, id, err := ParseNodeURI(leaf)
	if err != nil {
		return "", fmt.Errorf("%s is not that of a node: %w", describe(leaf), err)
	}
	if clusterName != c.clusterName {
		return "", fmt.Errorf("%s is that of node %q of cluster %q, not of cluster %q",
			describe(leaf), id, clusterName, c.clusterName)
	}
	return raft.ServerID(id), nil
}

// ParseNodeURI returns the cluster and the node that a certificate names; see NodeURI. A certificate with another
// number of URIs than one, or another kind of URI, is not that of a node.
func ParseNodeURI(cert *x509.Certificate) (clusterName, nodeID string, err error) {
	if len(cert.URIs) != 1 {
		return "", "", fmt.Errorf("it names %d URIs, not one such as %s", len(cert.URIs), NodeURI("cluster", "node"))
	}
	u := cert.URIs[0]
	clusterName, nodeID = u.Host, strings.TrimPrefix(u.Path, nodeURIPath)
	if !namePattern.MatchString(clusterName) || !namePattern.MatchString(nodeID) ||
		u.String() != NodeURI(clusterName, nodeID).String() {
		return "", "", fmt.Errorf("its URI %q is not one such as %s", u, NodeURI("cluster", "node"))
	}
	return clusterName, nodeID, nil
}

// describe names a certificate in an error. Its subject was chosen by a stranger.
func describe(cert *x509.Certificate) string {
	return fmt.Sprintf("the certificate %.80q", cert.Subject.String())
}

// ReadKeyPair reads a certificate, with those above it, and its key from PEM files. The key file must be readable by
// its owner alone.
func ReadKeyPair(certFile, keyFile string) (tls.Certificate, error) {
	cert, err := ReadPublicFile(certFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := ReadSecretFile(keyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%s with %s: %w", certFile, keyFile, err)
	}
	return pair, nil
}

func parseChain(raw [][]byte) ([]*x509.Certificate, error) {
	chain := make([]*x509.Certificate, len(raw))
	for i, der := range raw {
		var err error
		if chain[i], err = x509.ParseCertificate(der); err != nil {
			return nil, err
		}
	}
	return chain, nil
}

// readCA reads the certificates of one or several CAs: of two while one takes over from the other.
func readCA(path string) (*x509.CertPool, error) {
	certs, err := ReadCertificates(path)
	if err != nil {
		return nil, err
	}
	if len(certs) > maxCACertificates {
		return nil, fmt.Errorf("%s holds %d certificates, more than %d", path, len(certs), maxCACertificates)
	}
	pool := x509.NewCertPool()
	for _, cert := range certs {
		if !cert.IsCA {
			// As a root it would be trusted as it is, with no CA having a say.
			return nil, fmt.Errorf("%s: %s is not that of a CA", path, describe(cert))
		}
		pool.AddCert(cert)
	}
	return pool, nil
}

// ReadCertificates reads a PEM file that holds one certificate or several, and nothing else.
func ReadCertificates(path string) ([]*x509.Certificate, error) {
	rest, err := ReadPublicFile(path)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s holds a %.40q where certificates are expected", path, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("%s holds no certificate in PEM", path)
	}
	return certs, nil
}
