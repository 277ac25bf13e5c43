package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"

	"github.com/syllecta/syllecta/cluster"
)

const (
	defaultCertDays = 825 // the most that Apple's systems take, also of a private CA
	maxCertDays     = 3650
	caYears         = 10
	// clockSlack is how far back certificates begin, for machines whose clocks are behind.
	clockSlack = time.Hour
)

// issuer signs certificates. All keys are ECDSA on P-256: fast, and known to every client since TLS 1.2, which Ed25519
// is not: browsers refuse it.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issued is a certificate and its key in PEM.
type issued struct {
	cert, key []byte
	expires   time.Time
}

// newIssuer makes a CA for the certificates of one cluster.
func newIssuer(clusterName string, now time.Time) (*issuer, issued, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, issued{}, err
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: caName(clusterName)},
		NotBefore: now.Add(-clockSlack), NotAfter: now.AddDate(caYears, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	ca := &issuer{cert: template, key: key}
	made, err := ca.sign(template, key)
	if err != nil {
		return nil, issued{}, err
	}
	block, _ := pem.Decode(made.cert)
	ca.cert, err = x509.ParseCertificate(block.Bytes)
	return ca, made, err
}

// caName is the subject of a cluster's CA, by which init knows it again.
func caName(clusterName string) string { return clusterName + " CA" }

// readIssuer reads the CA that signs for a cluster.
func readIssuer(certFile, keyFile, clusterName string) (*issuer, error) {
	pair, err := cluster.ReadKeyPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("%s is not a CA that syllecta tls init made", certFile)
	}
	if got := pair.Leaf.Subject.CommonName; got != caName(clusterName) {
		return nil, usageErrorf("%s is %q, not the CA of cluster %q: give its cluster's --cluster-name, or another --dir",
			certFile, printable(got), clusterName)
	}
	return &issuer{cert: pair.Leaf, key: key}, nil
}

// node issues the certificate with which a node speaks to the others.
func (ca *issuer) node(clusterName, id string, validity validity) (issued, error) {
	return ca.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: id},
		URIs:    []*url.URL{cluster.NodeURI(clusterName, id)},
		ExtKeyUsage: []x509.ExtKeyUsage{
			x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth, // nodes connect to each other both ways
		},
	}, validity)
}

// http issues the certificate of a node's HTTP API. It has no URI, so that it is not that of a node.
func (ca *issuer) http(id string, addresses []string, validity validity) (issued, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: id + " HTTP"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, address := range addresses {
		if ip := net.ParseIP(address); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, address)
		}
	}
	return ca.issue(template, validity)
}

// validity is the time for which certificates are issued.
type validity struct {
	now  time.Time
	days int
}

func (ca *issuer) issue(template *x509.Certificate, v validity) (issued, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return issued{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.BasicConstraintsValid = true
	template.NotBefore = v.now.Add(-clockSlack)
	template.NotAfter = v.now.AddDate(0, 0, v.days)
	if template.NotAfter.After(ca.cert.NotAfter) {
		template.NotAfter = ca.cert.NotAfter // beyond it nobody would believe the CA
	}
	return ca.sign(template, key)
}

// sign makes the certificate and reads it once more: names that cannot stand in one show then.
func (ca *issuer) sign(template *x509.Certificate, key *ecdsa.PrivateKey) (issued, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return issued{}, fmt.Errorf("signing the certificate of %q: %w", template.Subject.CommonName, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return issued{}, fmt.Errorf("the names of %q cannot stand in a certificate: %w", template.Subject.CommonName, err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return issued{}, err
	}
	made := issued{
		cert:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:     pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}),
		expires: cert.NotAfter,
	}
	_, err = tls.X509KeyPair(made.cert, made.key)
	return made, err
}

// localNames are the addresses of a machine for itself.
var localNames = []string{"localhost", "127.0.0.1", "::1"}

// withLocal adds localNames to addresses that lack them.
func withLocal(addresses []string) []string {
	all := slices.Clone(addresses)
	for _, name := range localNames {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}
