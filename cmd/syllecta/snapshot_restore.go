package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

// restored is the answer to a restore.
type restored struct {
	Index   uint64 `json:"index"`
	Epoch   uint64 `json:"epoch"`
	Records int    `json:"records"`
}

// replaced is the part of a node's status that a restore does away with.
type replaced struct {
	ClusterID   string `json:"clusterId"`
	ClusterName string `json:"clusterName"`
	Records     int    `json:"records"`
	Locks       int    `json:"locks"`
}

// restoreFlags are the flags of snapshot restore.
type restoreFlags struct {
	adminFlags
	otherCluster, yes bool
}

func newSnapshotRestore(t *terminal) *cobra.Command {
	f := &restoreFlags{adminFlags: adminFlags{t: t}}
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Replace the state of a running cluster by that of a backup",
		Long: "Replace everything in a running cluster by what a backup holds: tenants, API keys, usage, locks and\n" +
			"records. The cluster's own identity and members stay. What was acknowledged after the backup was taken is gone. Fences\n" +
			"go on above all that were ever given, so that no holder of an old lock is taken for a new one.\n\n" +
			"The file is verified here and again by the leader before anything is changed. While it is being replaced, which\n" +
			"takes as long as writing the state to every node's disk, the cluster answers 503.",
		Example: `  syllecta snapshot restore backup.snapshot --admin-token-file token
  syllecta snapshot restore backup.snapshot --yes --json`,
		Args: cobra.ExactArgs(1),
	}
	f.addTo(cmd)
	cmd.Flags().BoolVar(&f.otherCluster, "other-cluster", false,
		"restore a backup of another cluster, though this one has tenants of its own")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask")
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		return f.restore(cmd.Context(), args[0])
	})
	return cmd
}

func (f *restoreFlags) restore(ctx context.Context, path string) error {
	a, err := f.admin()
	if err != nil {
		return err
	}
	file, err := f.t.inspectFile(ctx, path)
	if err != nil {
		return err
	}
	if !f.yes {
		if err := f.confirm(ctx, a, &file); err != nil {
			return err
		}
	}
	done, err := f.upload(ctx, a, path)
	if err != nil {
		return err
	}
	if f.json {
		return f.t.printJSON(done)
	}
	_, err = fmt.Fprintf(f.t.out, "restored %d records at index %d; fences go on in epoch %d\n",
		done.Records, done.Index, done.Epoch)
	return err
}

// confirm shows what is to be replaced by what, and asks for the cluster's name.
func (f *restoreFlags) confirm(ctx context.Context, a admin, file *inspectedFile) error {
	if !isTerminal(f.t.in) {
		return usageErrorf("a restore replaces everything in the cluster: without a terminal to ask at, say --yes")
	}
	var now replaced
	if err := a.call(ctx, http.MethodGet, "/v1/admin/status", nil, &now); err != nil {
		return err
	}
	if err := file.describe(f.t.err); err != nil {
		return err
	}
	fmt.Fprintf(f.t.err, "%-14s cluster %s (%s): %d records, %d locks\n\nEverything in it is replaced. "+
		"Type the cluster's name to go on: ", "Replaces",
		printable(now.ClusterName), printable(now.ClusterID), now.Records, now.Locks)
	answer, err := bufio.NewReader(f.t.in).ReadString('\n')
	if err != nil || strings.TrimSpace(answer) != now.ClusterName {
		return &failure{code: exitFailure, err: fmt.Errorf("that is not the name of the cluster: nothing was changed")}
	}
	return nil
}

func (f *restoreFlags) upload(ctx context.Context, a admin, path string) (done restored, err error) {
	file, size, err := openSnapshotFile(path)
	if err != nil {
		return done, err
	}
	defer file.Close()
	m := f.t.startMeter("sent", size, "the cluster verifies and applies it")
	defer m.finish()
	query := ""
	if f.otherCluster {
		query = url.Values{"otherCluster": {"true"}}.Encode()
	}
	resp, err := a.stream(ctx, http.MethodPost, query, &upload{file, size, m})
	if err != nil {
		return done, err
	}
	answer, err := readAnswer(resp)
	if err == nil {
		err = json.Unmarshal(answer, &done)
	}
	if err != nil {
		return done, unreachable("the backup was restored, but the answer of %s was lost: %w", resp.Request.URL.Host, err)
	}
	return done, nil
}
