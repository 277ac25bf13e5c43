package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/syllecta/syllecta/cluster"
)

func newTLS(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tls",
		Short: "Make and show certificates and gossip keys",
		Example: `  syllecta tls init n1=10.0.0.1 n2=10.0.0.2 n3=10.0.0.3,n3.example.net
  syllecta tls show tls/n1.pem`,
		Args: knownCommand,
		RunE: showHelp,
	}
	cmd.AddCommand(newTLSInit(t), newTLSShow(t), newTLSRotateGossip(t))
	return cmd
}

func newTLSInit(t *terminal) *cobra.Command {
	o := tlsOptions{}
	var asJSON, noLocalhost bool
	cmd := &cobra.Command{
		Use:   "init NODE=ADDRESS[,ADDRESS…] …",
		Short: "Make a CA, certificates for nodes, and a gossip key",
		Long: "Make all that the wires of a first cluster need: a CA, two certificates for each node, and a gossip key.\n\n" +
			"One certificate says which node of which cluster its owner is: with it nodes speak raft among themselves. The\n" +
			"other names the addresses at which clients reach the node's HTTP API. Neither stands in for the other.\n\n" +
			"Nothing is ever overwritten. Run again with other nodes, it signs for them by the same CA. To renew a node's\n" +
			"certificates, move its four files away first; a running node takes the new ones without a restart.",
		Example: `  syllecta tls init n1=10.0.0.1 n2=10.0.0.2 n3=10.0.0.3,api.example.net
  syllecta tls init --dir tls n4=10.0.0.4          # one more, later`,
		Args: cobra.MinimumNArgs(1),
	}
	flags := cmd.Flags()
	flags.StringVar(&o.dir, "dir", "tls", "`directory` for the files; it is made if it does not exist")
	flags.StringVar(&o.clusterName, "cluster-name", cluster.DefaultClusterName,
		"`name` of the cluster that the nodes belong to")
	flags.IntVar(&o.days, "days", defaultCertDays, fmt.Sprintf(
		"`days` for which the nodes' certificates are valid, 1 to %d; the CA is valid for ten years", maxCertDays))
	flags.BoolVar(&noLocalhost, "no-localhost", false,
		"do not let the HTTP certificates stand for localhost and 127.0.0.1, too")
	flags.BoolVar(&asJSON, "json", false, "print a JSON object")
	cmd.RunE = verb(func(_ *cobra.Command, args []string) error {
		o.localhost = !noLocalhost
		if err := o.parse(args); err != nil {
			return err
		}
		made, err := o.makeAll()
		if err != nil {
			return err
		}
		if asJSON {
			return t.printJSON(made)
		}
		return t.printTLS(made)
	})
	return cmd
}

func newTLSShow(t *terminal) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show FILE",
		Short: "Show what certificates are for, and until when",
		Example: `  syllecta tls show tls/n1.pem
  syllecta tls show /etc/syllecta/ca.pem --json`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	cmd.RunE = verb(func(_ *cobra.Command, args []string) error {
		certs, err := cluster.ReadCertificates(args[0])
		if err != nil {
			return err
		}
		return t.printCertificates(certs, asJSON)
	})
	return cmd
}

func newTLSRotateGossip(t *terminal) *cobra.Command {
	var add, promote, prune bool
	cmd := &cobra.Command{
		Use:   "rotate-gossip FILE",
		Short: "Take a file of gossip keys one step towards a new key",
		Long: "Take a file of gossip keys one step towards a new key. After each step copy the file to every node and\n" +
			"wait until all of them have logged that they took it; they need no restart.\n\n" +
			"  --add      a new key that decrypts: now every node can read it\n" +
			"  --promote  the second key encrypts: now every node writes it\n" +
			"  --prune    the first key alone stays: now the old one is of no use to anybody",
		Example: `  syllecta tls rotate-gossip tls/gossip.key --add`,
		Args:    cobra.ExactArgs(1),
	}
	flags := cmd.Flags()
	flags.BoolVar(&add, "add", false, "add a new key as the second")
	flags.BoolVar(&promote, "promote", false, "swap the first and the second key")
	flags.BoolVar(&prune, "prune", false, "remove all keys but the first")
	cmd.MarkFlagsOneRequired("add", "promote", "prune")
	cmd.MarkFlagsMutuallyExclusive("add", "promote", "prune")
	cmd.RunE = verb(func(_ *cobra.Command, args []string) error {
		step := pruneGossipKeys
		if add {
			step = addGossipKey
		} else if promote {
			step = promoteGossipKey
		}
		return t.rotateGossip(args[0], step)
	})
	return cmd
}
