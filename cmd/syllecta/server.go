package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/syllecta/syllecta/api"
	"github.com/syllecta/syllecta/cluster"
)

const (
	// shutdownTimeout bounds everything between the first signal and the end of the process.
	shutdownTimeout = 10 * time.Second
	// closingTimeout is the part of shutdownTimeout that the node gets to close; the rest is for requests to end before.
	closingTimeout = 3 * time.Second
)

func newServer(t *terminal) *cobra.Command {
	var configFile string
	var exitWithStdin bool
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run a node",
		Long: "Run a node: one of a cluster, or a cluster of one.\n\n" +
			"Every setting has three spellings: a flag, an environment name and, with _ for -, a key of the TOML file\n" +
			"that --config names. A flag wins over the environment, the environment over the file. The nodes of a cluster\n" +
			"get the same --bootstrap-expect and --join, each its own addresses.",
		Example: `  syllecta server --data-dir /var/lib/syllecta --bootstrap
  syllecta server --config /etc/syllecta/syllecta.toml --log-level debug
  syllecta server --data-dir d --raft-addr 10.0.0.1:4100 --gossip-addr 10.0.0.1:4200 --allow-public-plaintext \
    --http-addr 0.0.0.0:4000 --http-advertise 10.0.0.1:4000 --bootstrap-expect 3 --join 10.0.0.2:4100,10.0.0.3:4100`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&configFile, "config", "", "TOML `file` with settings")
	addSettingFlags(flags)
	flags.BoolVar(&exitWithStdin, "exit-with-stdin", false, "exit at once when standard input ends")
	_ = flags.MarkHidden("exit-with-stdin") // fails only for a flag that does not exist
	completeSettings(cmd)
	cmd.RunE = verb(func(cmd *cobra.Command, _ []string) error {
		if exitWithStdin {
			go exitAtEOF(t.in) // ends with the process
		}
		l, err := loadSettings(cmd.Flags(), os.Environ(), configFile)
		if err != nil {
			return err
		}
		return serve(cmd.Context(), t, l)
	})
	return cmd
}

// exitAtEOF ends the process when r does: r is a pipe whose other end the parent holds, so the parent is gone.
func exitAtEOF(r io.Reader) {
	_, _ = io.Copy(io.Discard, r) // however reading ends, the parent is not there any more
	os.Exit(exitFailure)
}

// serve runs a node until ctx ends or it cannot go on.
func serve(ctx context.Context, t *terminal, l loaded) error {
	log, err := newLogger(t, l.LogLevel, l.LogFormat)
	if err != nil {
		return err
	}
	adminToken := ""
	if l.AdminTokenFile != "" {
		if adminToken, err = readAdminToken(l.AdminTokenFile); err != nil {
			return err
		}
	}
	listener, err := listenHTTP(l.HTTPAddr)
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := checkNodePorts(l.settings); err != nil {
		return err
	}
	logStart(log, l)
	defer startCollector(l.MemoryLimit, log)()

	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectorShare)),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	config := apiConfig(l.settings, adminToken, log, registry)
	if err := secureHTTP(&config, l.settings, registry); err != nil {
		return err
	}
	if config.Vault, err = openVault(l.KEKFile, log); err != nil {
		return err
	}
	nodeConfig := clusterConfig(l.settings, log, registry)
	if err := deliverEvents(&nodeConfig, &config, l.settings, log, registry); err != nil {
		return err
	}
	server, err := api.New(config)
	if err != nil {
		return fmt.Errorf("preparing the HTTP API: %w", err)
	}
	return runNode(ctx, server, listener, nodeConfig)
}

// runNode answers HTTP from the start, so that /readyz can tell about a node that is still replaying its log.
func runNode(ctx context.Context, server *api.Server, listener net.Listener, config cluster.Config) error {
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	served := make(chan error, 1)
	go func() { served <- server.Serve(serving, listener) }()
	manager := startNotifier(config.Logger)
	defer manager.close()

	node, err := cluster.Open(ctx, config)
	if err != nil {
		stopServing()
		<-served
		if ctx.Err() != nil {
			return nil // told to stop before the node was up
		}
		if errors.Is(err, cluster.ErrRemoved) {
			return &failure{code: exitRemoved, err: err}
		}
		return fmt.Errorf("opening the node: %w", err)
	}
	server.Attach(node)
	manager.attach(node)
	config.Logger.Info("node is open", "nodeId", node.ID())

	select {
	case err := <-node.Fatal():
		if errors.Is(err, cluster.ErrRemoved) {
			return &failure{code: exitRemoved, err: errors.Join(err, stop(server, node, stopServing, served))}
		}
		// Nothing is closed in good order: what failed, a disk most likely, would only hang that too.
		config.Logger.Error("the node cannot go on", "error", err)
		return &failure{code: exitFailure, err: err, logged: true}
	case err := <-served:
		return errors.Join(fmt.Errorf("serving HTTP: %w", err), stopNode(node))
	case <-ctx.Done():
	}
	config.Logger.Info("stopping")
	manager.stopping()
	exitAfter(shutdownTimeout, config.Logger)
	return stop(server, node, stopServing, served)
}

// stop ends a node in good order. The leadership goes first, while the node still hears who has it: whoever calls until
// the last connection is closed is sent there.
func stop(server *api.Server, node *cluster.Node, stopServing func(), served <-chan error) error {
	server.Drain()
	node.Drain()
	stopServing()
	return errors.Join(<-served, stopNode(node))
}

func stopNode(node *cluster.Node) error {
	ctx, cancel := context.WithTimeout(context.Background(), closingTimeout)
	defer cancel()
	if err := node.Shutdown(ctx); err != nil {
		return fmt.Errorf("closing the node: %w", err)
	}
	return nil
}

// exitAfter ends a process that did not manage to stop by itself.
func exitAfter(limit time.Duration, log *slog.Logger) {
	time.AfterFunc(limit, func() {
		log.Error("stopping takes too long; exiting as it is", "limit", limit.String())
		os.Exit(exitFailure)
	})
}

// logStart tells what was started. Settings hold no secrets: the admin token is named by its file.
func logStart(log *slog.Logger, l loaded) {
	log.Info("starting", "version", version, "nodeId", l.NodeID, "cluster", l.ClusterName,
		"http", l.HTTPAddr, "url", l.HTTPAdvertise, "raft", l.RaftAddr, "gossip", l.GossipAddr,
		slog.GroupAttrs("changed", l.changed...))
}

func apiConfig(s settings, adminToken string, log *slog.Logger, registry *prometheus.Registry) api.Config {
	failedAuth := s.FailedAuthPerSecond
	if failedAuth == 0 {
		failedAuth = api.NoLimit
	}
	return api.Config{
		Logger:              log,
		Metrics:             registry,
		Gatherer:            registry,
		AdminToken:          adminToken,
		MaxRecordBodyBytes:  s.MaxRecordBodyBytes,
		MaxRecordTTL:        s.MaxRecordTTL,
		DefaultTTL:          s.DefaultTTL,
		DefaultLease:        s.DefaultLease,
		Followers:           api.FollowerMode(s.Followers),
		RequestTimeout:      s.RequestTimeout,
		MaxConnections:      s.MaxConnections,
		FailedAuthPerSecond: failedAuth,
		RequestsPerAddress:  s.RequestsPerAddress,
		Version:             version,
	}
}

func clusterConfig(s settings, log *slog.Logger, registry *prometheus.Registry) cluster.Config {
	return cluster.Config{
		NodeID:            s.NodeID,
		ClusterName:       s.ClusterName,
		DataDir:           s.DataDir,
		RaftAddr:          s.RaftAddr,
		RaftAdvertise:     s.RaftAdvertise,
		GossipAddr:        s.GossipAddr,
		GossipAdvertise:   s.GossipAdvertise,
		HTTPURL:           s.HTTPAdvertise,
		BootstrapExpect:   s.BootstrapExpect,
		Join:              s.Join,
		NonVoter:          s.NonVoter,
		PromoteAfter:      s.PromoteAfter,
		NodeCAFile:        s.NodeCAFile,
		NodeCertFile:      s.NodeCertFile,
		NodeKeyFile:       s.NodeKeyFile,
		GossipKeyFile:     s.GossipKeyFile,
		BackupDir:         s.BackupDir,
		BackupEvery:       s.BackupEvery,
		BackupKeep:        s.BackupKeep,
		LogStore:          s.LogStore,
		RaftMultiplier:    s.RaftMultiplier,
		SnapshotThreshold: s.SnapshotThreshold,
		StoreDeadline:     s.StoreDeadline,
		DiskFreeFloor:     s.DiskFreeFloor,
		Version:           version,
		Logger:            log,
		Metrics:           registry,
	}
}
