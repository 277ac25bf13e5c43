package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

const (
	devTenant      = "demo"
	devKeyName     = "syllecta dev"
	devClusterName = "syllecta-dev"

	// devStartLimit bounds the time until all nodes are ready, self-check included.
	devStartLimit = 60 * time.Second
)

// devOptions are the flags of dev.
type devOptions struct {
	dataDir        string // "" for a temporary one
	nodes          int    // 1, 3 or 5
	port           int    // of the first node's HTTP
	json           bool
	raftMultiplier int
}

func newDev(t *terminal) *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a throw-away cluster on this machine",
		Long: "Run a throw-away cluster on this machine: real processes of this binary on loopback, a tenant, an API key,\n" +
			"and a self-check that kills the leader. Kill any of the processes to watch the others go on.",
		Example: `  syllecta dev
  syllecta dev --data-dir ./data --port 5000
  syllecta dev --nodes 1 --json`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&o.dataDir, "data-dir", "",
		"`directory` for the data, kept between runs (default a temporary one, removed on exit)")
	flags.IntVar(&o.nodes, "nodes", 3, "`number` of nodes: 1, 3 or 5")
	flags.IntVar(&o.port, "port", 4000,
		"first HTTP `port`, 1024 to 65000; the nodes use this one and the following, raft those 100 above, gossip 200 above")
	flags.IntVar(&o.raftMultiplier, "raft-multiplier", 1, "`factor` from 1 to 10 that scales all raft timeouts")
	flags.BoolVar(&o.json, "json", false, "print one JSON object when ready, then one for each event")
	cmd.RunE = verb(func(cmd *cobra.Command, _ []string) error {
		if err := o.check(); err != nil {
			return err
		}
		return runDev(cmd.Context(), t, o)
	})
	return cmd
}

func (o devOptions) check() error {
	if o.nodes != 1 && o.nodes != 3 && o.nodes != 5 {
		return usageErrorf("--nodes: %d is not allowed; it must be 1, 3 or 5", o.nodes)
	}
	if o.port < 1024 || o.port > 65000 {
		return usageErrorf("--port: %d is not allowed; it must be a port from 1024 to 65000", o.port)
	}
	if o.raftMultiplier < 1 || o.raftMultiplier > 10 {
		return usageErrorf("--raft-multiplier: %d is not allowed; it must be a whole number from 1 to 10", o.raftMultiplier)
	}
	return nil
}

// runDev runs the cluster until ctx ends.
func runDev(ctx context.Context, t *terminal, o devOptions) (err error) {
	started := time.Now()
	nodes := planNodes(o.nodes, o.port)
	if err := checkPorts(nodes); err != nil {
		return err
	}
	d := &devCluster{options: o, nodes: nodes, report: &devReport{t: t, json: o.json}}
	if d.binary, err = os.Executable(); err != nil {
		return fmt.Errorf("finding the binary to run: %w", err)
	}
	if err := d.makeDir(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.removeDir(err)) }()

	ctx, cancel := context.WithCancel(ctx)
	var guard sync.WaitGroup
	defer guard.Wait()
	defer cancel()
	if isGoRun(d.binary) {
		guard.Go(func() {
			awaitOrphaned(ctx)
			cancel()
		})
	}
	return d.run(ctx, started)
}

// run starts the nodes, proves that they work, and keeps them running until ctx ends.
func (d *devCluster) run(ctx context.Context, started time.Time) error {
	d.quiet.Store(true)
	defer d.stop()
	d.report.starting(d)
	ready, err := d.start(ctx)
	if ctx.Err() != nil {
		return nil // told to stop while starting
	}
	if err != nil {
		return err
	}
	ready.Seconds = seconds(time.Since(started))
	d.report.ready(ready)
	d.quiet.Store(false)
	d.watch(ctx)
	d.quiet.Store(true)
	d.report.event(event{Event: "stopping", Message: "stopping all nodes"})
	return nil
}

// start brings the cluster to the point where a user can work with it.
func (d *devCluster) start(ctx context.Context) (devReady, error) {
	ctx, cancel := context.WithTimeout(ctx, devStartLimit)
	defer cancel()
	began := time.Now()
	for _, n := range d.nodes {
		if err := d.launch(n); err != nil {
			return devReady{}, err
		}
	}
	if err := d.awaitAll(ctx); err != nil {
		return devReady{}, err
	}
	d.report.checked("%s ready after %s", countOf(len(d.nodes), "node"), shortTime(time.Since(began)))
	key, err := d.makeKey(ctx)
	if err != nil {
		return devReady{}, fmt.Errorf("preparing the tenant %q: %w", devTenant, err)
	}
	check, err := d.selfCheck(ctx, key)
	if err != nil {
		return devReady{}, fmt.Errorf("the self-check failed: %w", err)
	}
	return d.describe(ctx, key, check)
}

// makeKey returns a fresh API key of the demo tenant. The keys of earlier runs end.
func (d *devCluster) makeKey(ctx context.Context) (string, error) {
	a := d.adminOf(d.nodes[0])
	_, err := a.createTenant(ctx, tenantSpec{Slug: devTenant, Name: "Demo"})
	if exitCode(err) == exitConflict {
		err = revokeDevKeys(ctx, a)
	}
	if err != nil {
		return "", err
	}
	made, err := a.createKey(ctx, devTenant, keySpec{Name: devKeyName})
	return made.Secret, err
}

func revokeDevKeys(ctx context.Context, a admin) error {
	keys, err := a.keys(ctx, devTenant)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if k.Name != devKeyName || k.RevokedAt != "" {
			continue
		}
		if _, err := a.revokeKey(ctx, devTenant, k.ID); err != nil {
			return err
		}
	}
	return nil
}

// makeDir makes the data directory, and the admin token and key-encryption key in it.
func (d *devCluster) makeDir() (err error) {
	d.dir = d.options.dataDir
	if d.dir == "" {
		d.dir, err = os.MkdirTemp("", "syllecta-dev-")
	} else if d.dir, err = filepath.Abs(d.dir); err == nil {
		err = os.MkdirAll(d.dir, 0o700)
	}
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if err := d.checkDir(); err != nil {
		return err
	}
	d.adminToken = rand.Text()
	// A file of an earlier run is replaced, not reused: it may have been made readable for others.
	if err := os.Remove(d.tokenFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("admin token file: %w", err)
	}
	if err := os.WriteFile(d.tokenFile(), []byte(d.adminToken+"\n"), 0o600); err != nil {
		return fmt.Errorf("admin token file: %w", err)
	}
	return d.makeKEK()
}

// makeKEK makes a key-encryption key, unless there is one of an earlier run: the data can be read with that one only.
func (d *devCluster) makeKEK() error {
	if _, err := os.Lstat(d.kekFile()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := writeKEK(d.kekFile()); err != nil {
		return fmt.Errorf("key-encryption key: %w", err)
	}
	return nil
}

// checkDir refuses data of a cluster of another size: its nodes would wait for a majority that never comes.
func (d *devCluster) checkDir() error {
	held, err := filepath.Glob(filepath.Join(d.dir, "node[0-9]"))
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if len(held) > 0 && len(held) != len(d.nodes) {
		return usageErrorf("--data-dir: %s holds a cluster of %s; use --nodes %d or another directory",
			d.dir, countOf(len(held), "node"), len(held))
	}
	return nil
}

// removeDir removes a temporary directory, unless its logs are needed to see why dev failed.
func (d *devCluster) removeDir(failed error) error {
	if d.options.dataDir != "" {
		return nil
	}
	if failed != nil {
		return fmt.Errorf("the logs are kept in %s", d.dir)
	}
	if err := os.RemoveAll(d.dir); err != nil {
		return fmt.Errorf("removing the temporary data: %w", err)
	}
	return nil
}

func (d *devCluster) tokenFile() string { return filepath.Join(d.dir, "admin-token") }

func (d *devCluster) kekFile() string { return filepath.Join(d.dir, "kek") }
