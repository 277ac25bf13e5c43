package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/syllecta/syllecta/cluster"
)

const (
	caCertFile    = "ca.pem"
	caKeyFile     = "ca.key"
	gossipKeyFile = "gossip.key"

	maxTLSNodes      = 64
	maxNodeAddresses = 32
)

// tlsOptions are what `syllecta tls init` was asked for.
type tlsOptions struct {
	dir         string
	clusterName string
	days        int
	localhost   bool
	nodes       []tlsNode
}

// tlsNode is a node and the addresses of its HTTP API: IP addresses and DNS names.
type tlsNode struct {
	id        string
	addresses []string
}

// madeTLS is what `syllecta tls init` has made.
type madeTLS struct {
	Dir         string        `json:"dir"`
	ClusterName string        `json:"clusterName"`
	NewCA       bool          `json:"newCa"` // the CA and the gossip key were there before if not
	CAFile      string        `json:"caFile"`
	Nodes       []madeTLSNode `json:"nodes"`
}

// madeTLSNode are the files of a node's machine, beside the settings that name them. The files lie in Dir.
type madeTLSNode struct {
	Node     string            `json:"node"`
	Files    []string          `json:"files"`
	Settings map[string]string `json:"settings"`
	Expires  time.Time         `json:"expires"`
}

const (
	dnsLabel    = `[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?`
	maxDNSBytes = 253
)

var dnsPattern = regexp.MustCompile(`^` + dnsLabel + `(\.` + dnsLabel + `)*$`)

// parse reads the nodes and checks everything that was asked for.
func (o *tlsOptions) parse(args []string) error {
	if !namePattern.MatchString(o.clusterName) {
		return usageErrorf("--cluster-name: %q is not allowed; it must be 1 to 63 letters, digits, dots, dashes or "+
			"underscores, a letter or digit first", shorten(o.clusterName))
	}
	if o.days < 1 || o.days > maxCertDays {
		return usageErrorf("--days: %d is not allowed; it must be a whole number from 1 to %d", o.days, maxCertDays)
	}
	if len(args) > maxTLSNodes {
		return usageErrorf("%d nodes are more than %d", len(args), maxTLSNodes)
	}
	for _, arg := range args {
		id, list, _ := strings.Cut(arg, "=")
		n := tlsNode{id: id, addresses: strings.Split(list, ",")}
		if !namePattern.MatchString(id) || list == "" || len(n.addresses) > maxNodeAddresses ||
			slices.ContainsFunc(n.addresses, func(a string) bool { return !isHost(a) }) {
			return usageErrorf("%q is not allowed; it must be a node's id, = and 1 to %d IP addresses or DNS names without "+
				"ports, such as n1=10.0.0.1,n1.example.net", shorten(arg), maxNodeAddresses)
		}
		o.nodes = append(o.nodes, n)
	}
	return nil
}

func isHost(address string) bool {
	if _, err := netip.ParseAddr(address); err == nil {
		return !strings.Contains(address, "%") // a zone means something on one machine only
	}
	return dnsPattern.MatchString(address) && len(address) <= maxDNSBytes
}

// makeAll makes what is missing. It refuses before it writes anything if a file is in the way, and leaves nothing
// behind if it fails half-way.
func (o *tlsOptions) makeAll() (made madeTLS, err error) {
	if err := o.refuseExisting(); err != nil {
		return made, err
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return made, err
	}
	out := &newFiles{dir: o.dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, out.remove())
		}
	}()
	now := time.Now()
	made = madeTLS{Dir: o.dir, ClusterName: o.clusterName, CAFile: filepath.Join(o.dir, caCertFile)}
	var ca *issuer
	if ca, made.NewCA, err = o.authority(out, now); err != nil {
		return made, err
	}
	for _, n := range o.nodes {
		node, err := o.makeNode(out, ca, n, validity{now, o.days})
		if err != nil {
			return made, err
		}
		made.Nodes = append(made.Nodes, node)
	}
	return made, nil
}

// refuseExisting makes sure that no node's file is there already, and that no two would have one name.
func (o *tlsOptions) refuseExisting() error {
	taken := map[string]bool{caCertFile: true, caKeyFile: true, gossipKeyFile: true}
	for _, n := range o.nodes {
		for _, name := range n.ownFiles() {
			if taken[name] {
				return usageErrorf("node %q: its file %s would be that of something else, too; give it another id", n.id, name)
			}
			taken[name] = true
			path := filepath.Join(o.dir, name)
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				if err != nil {
					return err
				}
				return &failure{code: exitConflict, err: fmt.Errorf("%s exists, and nothing is ever overwritten; "+
					"move it away to make new certificates for node %q", path, n.id)}
			}
		}
	}
	return nil
}

// ownFiles are the files that no other node has: the certificate and key for raft, then those for HTTP.
func (n tlsNode) ownFiles() []string {
	return []string{n.id + ".pem", n.id + ".key", n.id + "-http.pem", n.id + "-http.key"}
}

// authority reads the CA, and makes sure that there is a gossip key. In a directory without any of the two it makes
// both.
func (o *tlsOptions) authority(out *newFiles, now time.Time) (ca *issuer, made bool, err error) {
	certFile, keyFile := filepath.Join(o.dir, caCertFile), filepath.Join(o.dir, caKeyFile)
	keysFile := filepath.Join(o.dir, gossipKeyFile)
	missing := []string{}
	for _, path := range []string{certFile, keyFile, keysFile} {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, path)
		}
	}
	switch len(missing) {
	case 0:
		if _, err := cluster.ReadGossipKeys(keysFile); err != nil {
			return nil, false, err
		}
		ca, err = readIssuer(certFile, keyFile, o.clusterName)
		return ca, false, err
	case 3:
		ca, pair, err := newIssuer(o.clusterName, now)
		if err != nil {
			return nil, false, err
		}
		return ca, true, errors.Join(out.write(caCertFile, pair.cert), out.write(caKeyFile, pair.key),
			out.write(gossipKeyFile, []byte(newGossipKey()+"\n")))
	default:
		return nil, false, fmt.Errorf("%s: there is a part of a CA and gossip key, but not %s; put it back, or start in "+
			"another directory", o.dir, strings.Join(missing, " and "))
	}
}

func newGossipKey() string {
	key := make([]byte, cluster.GossipKeyBytes)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	return base64.StdEncoding.EncodeToString(key)
}

func (o *tlsOptions) makeNode(out *newFiles, ca *issuer, n tlsNode, v validity) (madeTLSNode, error) {
	raft, err := ca.node(o.clusterName, n.id, v)
	if err != nil {
		return madeTLSNode{}, err
	}
	addresses := n.addresses
	if o.localhost {
		addresses = withLocal(addresses)
	}
	http, err := ca.http(n.id, addresses, v)
	if err != nil {
		return madeTLSNode{}, err
	}
	own := n.ownFiles()
	for i, content := range [][]byte{raft.cert, raft.key, http.cert, http.key} {
		if err := out.write(own[i], content); err != nil {
			return madeTLSNode{}, err
		}
	}
	return madeTLSNode{
		Node:  n.id,
		Files: append([]string{caCertFile, gossipKeyFile}, own...),
		Settings: map[string]string{
			"cluster-name": o.clusterName, "node-id": n.id, "gossip-key-file": gossipKeyFile, "node-ca-file": caCertFile,
			"node-cert-file": own[0], "node-key-file": own[1], "http-cert-file": own[2], "http-key-file": own[3],
		},
		Expires: raft.expires.UTC(),
	}, nil
}

// newFiles are files that only their owner may read, in one directory.
type newFiles struct {
	dir   string
	names []string
}

func (f *newFiles) write(name string, content []byte) error {
	file, err := os.OpenFile(filepath.Join(f.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	f.names = append(f.names, name)
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close())
}

// remove takes back all that was written.
func (f *newFiles) remove() error {
	var errs []error
	for _, name := range f.names {
		errs = append(errs, os.Remove(filepath.Join(f.dir, name)))
	}
	return errors.Join(errs...)
}
