package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/syllecta/syllecta/api"
	"github.com/syllecta/syllecta/cluster"
)

// tlsInit runs the verb in a new directory, or in one that there is, and returns what it made.
func tlsInit(t *testing.T, dir string, args ...string) madeTLS {
	t.Helper()
	out, errText, code := runVerb(t, nil, append([]string{"tls", "init", "--json", "--dir", dir}, args...)...)
	if code != exitOK {
		t.Fatalf("%v: exit code %d: %s", args, code, errText)
	}
	var made madeTLS
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	return made
}

// readCert reads the first certificate of a file.
func readCert(t *testing.T, dir, name string) *x509.Certificate {
	t.Helper()
	certs, err := cluster.ReadCertificates(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return certs[0]
}

func TestTLSInit(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "tls")
	made := tlsInit(t, dir, "n1=10.0.0.1", "n2=10.0.0.2,n2.example.net,fd00::2")
	if !made.NewCA || made.ClusterName != "syllecta" || len(made.Nodes) != 2 {
		t.Errorf("got %+v", made)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3+2*4 {
		t.Errorf("%d files, %v", len(entries), err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: mode %v, %v", e.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: mode %v, %v", info.Mode(), err)
	}
	roots := x509.NewCertPool()
	if err := addCertificates(roots, made.CAFile); err != nil {
		t.Fatal(err)
	}
	node, http := readCert(t, dir, "n2.pem"), readCert(t, dir, "n2-http.pem")
	clusterName, id, err := cluster.ParseNodeURI(node)
	if clusterName != "syllecta" || id != "n2" || err != nil || len(node.DNSNames)+len(node.IPAddresses) != 0 {
		t.Errorf("the node's certificate: cluster %q, node %q, %v, names %v %v",
			clusterName, id, err, node.DNSNames, node.IPAddresses)
	}
	if _, _, err := cluster.ParseNodeURI(http); err == nil {
		t.Error("the HTTP certificate is that of a node")
	}
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		if _, err := node.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"10.0.0.2", "n2.example.net", "fd00::2", "localhost", "127.0.0.1", "::1"} {
		if _, err := http.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(http.ExtKeyUsage) != 1 {
		t.Errorf("the HTTP certificate has uses %v", http.ExtKeyUsage)
	}
	// Two years and a quarter, whatever the days of February.
	if got := time.Until(node.NotAfter).Round(24*time.Hour).Hours() / 24; got != defaultCertDays {
		t.Errorf("valid for %v days", got)
	}
}

func TestTLSInitAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tlsInit(t, dir, "n1=10.0.0.1")
	before := readAll(t, dir)
	made := tlsInit(t, dir, "--no-localhost", "--days=1", "n2=10.0.0.2")
	if made.NewCA || len(made.Nodes) != 1 || made.Nodes[0].Node != "n2" {
		t.Errorf("got %+v", made)
	}
	after := readAll(t, dir)
	for name, content := range before {
		if after[name] != content {
			t.Errorf("%s has changed", name)
		}
	}
	http := readCert(t, dir, "n2-http.pem")
	if len(http.DNSNames) != 0 || len(http.IPAddresses) != 1 {
		t.Errorf("names %v %v", http.DNSNames, http.IPAddresses)
	}
	if err := http.CheckSignatureFrom(readCert(t, dir, caCertFile)); err != nil {
		t.Error(err)
	}
}

func readAll(t *testing.T, dir string) map[string]string {
	t.Helper()
	content := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		content[e.Name()] = string(raw)
	}
	return content
}

func TestTLSInitRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tlsInit(t, dir, "n1=10.0.0.1")
	partial := t.TempDir()
	tlsInit(t, partial, "n1=10.0.0.1")
	if err := os.Remove(filepath.Join(partial, caKeyFile)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dir  string
		args []string
		code int
		want string
	}{
		{dir, nil, exitUsage, "requires at least 1 arg"},
		{dir, []string{"n2=10.0.0.2", "n1=10.0.0.1"}, exitConflict, "n1.pem exists, and nothing is ever overwritten"},
		{dir, []string{"n2=10.0.0.2", "n2=10.0.0.3"}, exitUsage, `node "n2": its file n2.pem would be that of`},
		{dir, []string{"n2=h", "n2-http=h"}, exitUsage, `node "n2-http": its file n2-http.pem`},
		{dir, []string{"ca=h"}, exitUsage, `node "ca": its file ca.pem`},
		{dir, []string{"gossip=h"}, exitUsage, `node "gossip": its file gossip.key`},
		{dir, []string{"n2"}, exitUsage, `"n2" is not allowed`},
		{dir, []string{"n2="}, exitUsage, `"n2=" is not allowed`},
		{dir, []string{"n2=h,"}, exitUsage, "is not allowed"},
		{dir, []string{"n2=10.0.0.2:4100"}, exitUsage, "without ports"},
		{dir, []string{"n2=fe80::1%eth0"}, exitUsage, "is not allowed"},
		{dir, []string{"n2=*.example.net"}, exitUsage, "is not allowed"},
		{dir, []string{"../n2=h"}, exitUsage, "is not allowed"},
		{dir, []string{"n2=h" + strings.Repeat(",h", maxNodeAddresses)}, exitUsage, "is not allowed"},
		{dir, slices.Repeat([]string{"n2=h"}, maxTLSNodes+1), exitUsage, "more than 64"},
		{dir, []string{"--days=0", "n2=h"}, exitUsage, "--days: 0 is not allowed"},
		{dir, []string{"--days=3651", "n2=h"}, exitUsage, "--days: 3651 is not allowed"},
		{dir, []string{"--cluster-name=a b", "n2=h"}, exitUsage, `--cluster-name: "a b" is not allowed`},
		{dir, []string{"--cluster-name=shop", "n2=h"}, exitUsage, `is "syllecta CA", not the CA of cluster "shop"`},
		{partial, []string{"n2=h"}, exitFailure, "but not " + filepath.Join(partial, caKeyFile)},
		{t.TempDir(), []string{"--cluster-name=shop.", "n1=h"}, exitFailure,
			`the names of "n1" cannot stand in a certificate`},
	} {
		before := readAll(t, c.dir)
		_, errText, code := runVerb(t, nil, append([]string{"tls", "init", "--dir", c.dir}, c.args...)...)
		if code != c.code || !strings.Contains(errText, c.want) {
			t.Errorf("%v: got exit code %d, %q; want %d, %q", c.args, code, errText, c.code, c.want)
		}
		if len(readAll(t, c.dir)) != len(before) {
			t.Errorf("%v: something was written", c.args)
		}
	}
}

func TestTLSInitTellsWhatToDo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out, _, code := runVerb(t, nil, "tls", "init", "--dir", dir, "--cluster-name=shop", "n1=10.0.0.1", "n2=10.0.0.2")
	for _, want := range []string{
		"Made a CA, a gossip key and certificates, in " + dir,
		"n1          ca.pem gossip.key n1.pem n1.key n1-http.pem n1-http.key  ",
		"Settings of n2:\n  --node-id n2 --cluster-name shop --node-ca-file ca.pem --node-cert-file n2.pem " +
			"--node-key-file n2.key --http-cert-file n2-http.pem --http-key-file n2-http.key --gossip-key-file gossip.key\n",
		"--ca-file " + filepath.Join(dir, caCertFile),
	} {
		if code != exitOK || !strings.Contains(out, want) {
			t.Errorf("exit code %d, lacks %q:\n%s", code, want, out)
		}
	}
	if strings.Contains(out, "PRIVATE") {
		t.Error("a key is shown")
	}
	// A server takes the settings as they are told.
	_, rest, _ := strings.Cut(out, "Settings of n1:\n")
	line, _, _ := strings.Cut(rest, "\n")
	if _, err := load(t, append(strings.Fields(line), "--raft-addr=10.0.0.1:4100", "--gossip-addr=10.0.0.1:4200",
		"--http-addr=10.0.0.1:4000"), nil, ""); err != nil {
		t.Error(err)
	}
}

func TestTLSShow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tlsInit(t, dir, "n1=10.0.0.1,n1.example.net")
	for file, want := range map[string]shownCertificate{
		"ca.pem": {Role: "ca", Subject: "CN=syllecta CA", Names: []string{}},
		"n1.pem": {Role: "node", Cluster: "syllecta", Node: "n1", Subject: "CN=n1",
			Names: []string{"syllecta://syllecta/node/n1"}},
		"n1-http.pem": {Role: "http", Subject: "CN=n1 HTTP",
			Names: []string{"n1.example.net", "localhost", "10.0.0.1", "127.0.0.1", "::1"}},
	} {
		out, _, code := runVerb(t, nil, "tls", "show", filepath.Join(dir, file), "--json")
		var got struct{ Certificates []shownCertificate }
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitOK || len(got.Certificates) != 1 {
			t.Fatalf("%s: exit code %d, %q, %v", file, code, out, err)
		}
		c := got.Certificates[0]
		if c.Role != want.Role || c.Cluster != want.Cluster || c.Node != want.Node || c.Subject != want.Subject ||
			!slices.Equal(c.Names, want.Names) || c.Issuer != "CN=syllecta CA" || !c.Valid {
			t.Errorf("%s: got %+v, want %+v", file, c, want)
		}
	}
	out, _, code := runVerb(t, nil, "tls", "show", filepath.Join(dir, "n1.pem"))
	if line := "node  CN=n1    syllecta://syllecta/node/n1  CN=syllecta CA  "; code != exitOK ||
		!strings.Contains(out, line) || strings.Contains(out, "not valid") {
		t.Errorf("exit code %d, %s", code, out)
	}
	_, errText, code := runVerb(t, nil, "tls", "show", filepath.Join(dir, "n1.key"))
	if code != exitFailure || !strings.Contains(errText, `holds a "PRIVATE KEY" where certificates are expected`) {
		t.Errorf("exit code %d, %s", code, errText)
	}
	old := showCertificate(readCert(t, dir, "n1.pem"), time.Now().AddDate(9, 0, 0))
	if old.Valid || old.Role != "node" {
		t.Errorf("got %+v", old)
	}
}

func TestRotateGossip(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tlsInit(t, dir, "n1=10.0.0.1")
	path := filepath.Join(dir, gossipKeyFile)
	fingerprints := func() (all []string) {
		keys, err := cluster.ReadGossipKeys(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			all = append(all, cluster.GossipKeyFingerprint(key))
		}
		return all
	}
	step := func(flag string, want int) (string, []string) {
		out, errText, code := runVerb(t, nil, "tls", "rotate-gossip", path, flag)
		if code != want {
			t.Fatalf("%s: exit code %d, %s", flag, code, errText)
		}
		return out, fingerprints()
	}
	old := fingerprints()[0]
	if _, keys := step("--promote", exitUsage); len(keys) != 1 {
		t.Errorf("promoted nothing: %v", keys)
	}
	step("--prune", exitUsage)
	out, keys := step("--add", exitOK)
	if len(keys) != 2 || keys[0] != old || !strings.Contains(out, old+"  encrypts and decrypts\n"+keys[1]+"  decrypts\n") {
		t.Errorf("added: %v, %s", keys, out)
	}
	next := keys[1]
	if _, keys = step("--promote", exitOK); !slices.Equal(keys, []string{next, old}) {
		t.Errorf("promoted: %v", keys)
	}
	if _, keys = step("--prune", exitOK); !slices.Equal(keys, []string{next}) {
		t.Errorf("pruned: %v", keys)
	}
	for range cluster.MaxGossipKeys - 1 {
		step("--add", exitOK)
	}
	step("--add", exitUsage)
	for _, args := range [][]string{{}, {"--add", "--prune"}} {
		_, errText, code := runVerb(t, nil, append([]string{"tls", "rotate-gossip", path}, args...)...)
		if code != exitUsage {
			t.Errorf("%v: exit code %d, %s", args, code, errText)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3+4 {
		t.Errorf("%d files, %v", len(entries), err)
	}
}

// TestCAFile: a verb trusts the servers of that CA, and without it none of them.
func TestCAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	made, other := tlsInit(t, dir, "n1=127.0.0.1"), tlsInit(t, t.TempDir(), "n1=127.0.0.1")
	pair, err := cluster.ReadKeyPair(filepath.Join(dir, "n1-http.pem"), filepath.Join(dir, "n1-http.key"))
	if err != nil {
		t.Fatal(err)
	}
	node := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"tenants":[]}`)
	}))
	node.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	node.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	node.StartTLS()
	t.Cleanup(node.Close)
	env := map[string]string{"SYLLECTA_SERVER": node.URL, "SYLLECTA_ADMIN_TOKEN": testToken}
	withCA := map[string]string{"SYLLECTA_CA_FILE": made.CAFile}
	for k, v := range env {
		withCA[k] = v
	}
	for _, c := range []struct {
		name string
		env  map[string]string
		args []string
		code int
		want string
	}{
		{"by flag", env, []string{"--ca-file", made.CAFile}, exitOK, ""},
		{"by environment", withCA, nil, exitOK, ""},
		{"the flag wins", withCA, []string{"--ca-file", other.CAFile}, exitUnreachable,
			"name the CA that signed it with --ca-file"},
		{"without", env, nil, exitUnreachable, "name the CA that signed it with --ca-file"},
		{"no file", env, []string{"--ca-file", "none"}, exitUsage, "CA file: open none"},
		{"plain", env, []string{"--server", strings.Replace(node.URL, "https", "http", 1)}, exitUsage,
			"speaks TLS: name it with https://"},
	} {
		_, errText, code := runVerb(t, c.env, append([]string{"tenant", "list"}, c.args...)...)
		if code != c.code || !strings.Contains(errText, c.want) {
			t.Errorf("%s: exit code %d, %q; want %d, %q", c.name, code, errText, c.code, c.want)
		}
	}
}

// httpsSettings are those of a node with certificates made in dir.
func httpsSettings(dir string) settings {
	return settings{
		HTTPCertFile: filepath.Join(dir, "n1-http.pem"), HTTPKeyFile: filepath.Join(dir, "n1-http.key"),
		NodeCAFile: filepath.Join(dir, caCertFile),
	}
}

func TestHTTPCertificateReloads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tlsInit(t, dir, "n1=127.0.0.1")
	certificate, err := cluster.NewReloaded(func() (tls.Certificate, error) {
		return cluster.ReadKeyPair(filepath.Join(dir, "n1-http.pem"), filepath.Join(dir, "n1-http.key"))
	}, filepath.Join(dir, "n1-http.pem"), filepath.Join(dir, "n1-http.key"))
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	kept := &onDemand[tls.Certificate]{files: certificate, log: slog.New(slog.NewTextHandler(&log, nil))}
	first := kept.current().Leaf
	later := func() { kept.checked.Add(-int64(filesCheckedEvery)) } // as if the time had passed

	other := t.TempDir()
	tlsInit(t, other, "n1=127.0.0.2")
	for _, name := range []string{"n1-http.key", "n1-http.pem"} {
		raw := readAll(t, other)[name]
		if err := os.WriteFile(filepath.Join(dir, name), []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
		changed := time.Now().Add(time.Second)
		if err := os.Chtimes(filepath.Join(dir, name), changed, changed); err != nil {
			t.Fatal(err)
		}
		if name == "n1-http.key" { // half of it
			later()
			if got := kept.current().Leaf; !got.Equal(first) || !strings.Contains(log.String(), "is not taken") {
				t.Errorf("a key without its certificate was taken: %s", log.String())
			}
		}
	}
	kept.checked.Store(time.Now().Add(time.Hour).UnixNano()) // as if the clock had been set back
	if got := kept.current().Leaf; got.Equal(first) || !strings.Contains(log.String(), "was reloaded") {
		t.Errorf("the new certificate was not taken: %s", log.String())
	}
}

func TestSecureHTTP(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tlsInit(t, dir, "n1=127.0.0.1")
	var log strings.Builder
	config := api.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}
	registry := prometheus.NewRegistry()
	if err := secureHTTP(&config, httpsSettings(dir), registry); err != nil {
		t.Fatal(err)
	}
	if pair, err := config.TLS.GetCertificate(nil); err != nil || pair.Leaf.Subject.CommonName != "n1 HTTP" {
		t.Errorf("got %v", err)
	}
	if _, err := readCert(t, dir, "n1-http.pem").Verify(x509.VerifyOptions{Roots: config.ForwardRoots()}); err != nil {
		t.Errorf("a leader's certificate is not trusted: %v", err)
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 1 ||
		families[0].GetMetric()[0].GetGauge().GetValue() != float64(readCert(t, dir, "n1-http.pem").NotAfter.Unix()) {
		t.Errorf("got %v, %v", families, err)
	}
	if log.Len() > 0 {
		t.Errorf("logged %s", log.String())
	}
	plain := api.Config{}
	if err := secureHTTP(&plain, settings{}, registry); err != nil || plain.TLS != nil || plain.ForwardRoots != nil {
		t.Errorf("without files: %+v, %v", plain, err)
	}
	for _, name := range []string{"n1-http.key", caCertFile} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		s := httpsSettings(dir)
		if name == caCertFile {
			s.HTTPCertFile = ""
		}
		if err := secureHTTP(&plain, s, registry); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
