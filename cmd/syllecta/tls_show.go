package main

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/syllecta/syllecta/cluster"
)

// printTLS tells where to put what was made, and how to use it.
func (t *terminal) printTLS(made madeTLS) error {
	what := "Made certificates, signed by the CA that was there"
	if made.NewCA {
		what = "Made a CA, a gossip key and certificates"
	}
	fmt.Fprintf(t.out, "%s, in %s.\nCopy to each machine its files, for the user of the node alone (mode 0600):\n\n",
		what, printable(made.Dir))
	w := t.newTable("MACHINE OF", "FILES", "EXPIRES")
	for _, n := range made.Nodes {
		w.AppendRow(row(n.Node, strings.Join(n.Files, " "), n.Expires.Format(time.DateOnly)))
	}
	if err := t.printTable(w); err != nil {
		return err
	}
	fmt.Fprintf(t.out, "\n%s stays here, better even on no machine of the cluster: who has it can make nodes.\n\n",
		caKeyFile)
	for _, n := range made.Nodes {
		fmt.Fprintf(t.out, "Settings of %s:\n  %s\n", n.Node, n.flags())
	}
	_, err := fmt.Fprintf(t.out, "\nClients trust the nodes by the CA: syllecta … --ca-file %s, curl --cacert %s\n",
		printable(made.CAFile), printable(made.CAFile))
	return err
}

// flags are the settings as a command line.
func (n madeTLSNode) flags() string {
	var flags []string
	for _, row := range settingsTable { // for its order
		if value, ok := n.Settings[row.name]; ok && value != row.def {
			flags = append(flags, "--"+row.name+" "+value)
		}
	}
	return strings.Join(flags, " ")
}

// shownCertificate is what people want to know of a certificate.
type shownCertificate struct {
	Role    string    `json:"role"` // ca, node, http or other
	Cluster string    `json:"cluster,omitempty"`
	Node    string    `json:"node,omitempty"`
	Subject string    `json:"subject"`
	Names   []string  `json:"names"` // addresses and URIs
	Issuer  string    `json:"issuer"`
	Begins  time.Time `json:"begins"`
	Expires time.Time `json:"expires"`
	Valid   bool      `json:"valid"` // at this time; who signed it is not looked at
}

func showCertificate(cert *x509.Certificate, now time.Time) shownCertificate {
	shown := shownCertificate{
		Role: "other", Subject: cert.Subject.String(), Issuer: cert.Issuer.String(), Names: slices.Clone(cert.DNSNames),
		Begins: cert.NotBefore.UTC(), Expires: cert.NotAfter.UTC(),
		Valid: !now.Before(cert.NotBefore) && !now.After(cert.NotAfter),
	}
	for _, ip := range cert.IPAddresses {
		shown.Names = append(shown.Names, ip.String())
	}
	for _, uri := range cert.URIs {
		shown.Names = append(shown.Names, uri.String())
	}
	clusterName, node, err := cluster.ParseNodeURI(cert)
	switch {
	case cert.IsCA:
		shown.Role = "ca"
	case err == nil:
		shown.Role, shown.Cluster, shown.Node = "node", clusterName, node
	case len(cert.URIs) == 0 && slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth):
		shown.Role = "http"
	}
	shown.Names = orEmpty(shown.Names)
	return shown
}

func (t *terminal) printCertificates(certs []*x509.Certificate, asJSON bool) error {
	now := time.Now()
	shown := make([]shownCertificate, len(certs))
	for i, cert := range certs {
		shown[i] = showCertificate(cert, now)
	}
	if asJSON {
		return t.printJSON(struct {
			Certificates []shownCertificate `json:"certificates"`
		}{shown})
	}
	w := t.newTable("ROLE", "SUBJECT", "NAMES", "ISSUER", "EXPIRES")
	for _, c := range shown {
		expires := c.Expires.Format(time.DateOnly)
		if !c.Valid {
			expires += " (not valid now)"
		}
		w.AppendRow(row(c.Role, c.Subject, strings.Join(c.Names, " "), c.Issuer, expires))
	}
	return t.printTable(w)
}
