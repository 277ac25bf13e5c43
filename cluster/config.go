package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Bounds and defaults of a Config.
const (
	MaxBootstrapExpect = 9
	MaxRaftMultiplier  = 10

	DefaultClusterName       = "syllecta"
	DefaultSnapshotThreshold = 16_384
	DefaultStoreDeadline     = 4 * time.Second // and an election: others acknowledge within 6 s when a leader's disk hangs
	DefaultDiskFreeFloor     = 256 << 20
	DefaultPromoteAfter      = 5 * time.Second
	DefaultBackupEvery       = time.Hour
	DefaultBackupKeep        = 24

	// MaxWait bounds Call.Wait.
	MaxWait = 30 * time.Second
)

// The timeouts that RaftMultiplier scales. Below 300 ms, elections start for no reason on two loaded cores.
//
// A follower stands for election when it has heard nothing for one to two heartbeat timeouts, and the others let it
// (pre-vote) once they have heard nothing for one: so the shorter that is, the sooner a dead leader is replaced, while a
// follower that was impatient alone disturbs nobody. The lease, after which a leader without a majority gives up, is as
// long as raft allows, because it costs a leader that was only starved of processor time its place.
const (
	baseElectionTimeout  = 300 * time.Millisecond
	baseHeartbeatTimeout = 250 * time.Millisecond
	baseLeaderLease      = 250 * time.Millisecond
)

// Config says how a node runs. The zero value of a member means its default.
type Config struct {
	NodeID      string // identity, for ever; "" takes the one kept in DataDir, or draws one
	ClusterName string // nodes of other names are refused
	DataDir     string // required; created with mode 0700

	RaftAddr, RaftAdvertise     string // host:port to listen on and to be reached at; the latter defaults to the former
	GossipAddr, GossipAdvertise string // likewise; GossipAddr "" is a node without gossip
	HTTPURL                     string // base URL at which clients and peers reach this node's API

	// BootstrapExpect is how many nodes form a new cluster together, 1…MaxBootstrapExpect; 0 never forms one.
	BootstrapExpect int
	Join            []string // raft addresses of other nodes, host:port
	// NonVoter makes this node, when it joins a cluster, a member that never votes.
	NonVoter bool
	// PromoteAfter is how long a node that has joined must have been healthy and caught up before it votes.
	PromoteAfter time.Duration

	// The files of this node's certificate for other nodes, its key, and the CA of all nodes' certificates, in PEM:
	// all or none. Without, the wire between nodes is neither encrypted nor authenticated.
	NodeCAFile, NodeCertFile, NodeKeyFile string
	// GossipKeyFile holds base64 keys of 32 bytes, one per line: the first encrypts, all of them decrypt. "" leaves gossip in plain text.
	GossipKeyFile string

	// BackupDir gets a backup of this node's state each BackupEvery, and keeps the BackupKeep newest; "" makes none.
	BackupDir   string
	BackupEvery time.Duration
	BackupKeep  int

	LogStore string // how a new DataDir keeps the log, LogStoreBolt or LogStoreWAL; another than that of an existing one is refused

	RaftMultiplier    int           // 1…MaxRaftMultiplier, scales all of raft's timeouts
	SnapshotThreshold uint64        // log entries after which a snapshot is due
	StoreDeadline     time.Duration // a store call that takes longer ends the process
	DiskFreeFloor     int64         // bytes of free space below which claims and events are refused; a twentieth of a small disk

	// Lead is run by the leader, from taking over until ctx ends; the leadership is handed on when it has returned. nil does
	// nothing.
	Lead func(ctx context.Context, n *Node)

	Version string
	Logger  *slog.Logger
	Metrics prometheus.Registerer
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// withDefaults returns cfg with every default filled in.
func (cfg Config) withDefaults() Config {
	setDefault(&cfg.ClusterName, DefaultClusterName)
	setDefault(&cfg.RaftAdvertise, cfg.RaftAddr)
	setDefault(&cfg.GossipAdvertise, cfg.GossipAddr)
	setDefault(&cfg.LogStore, LogStoreAuto)
	setDefault(&cfg.RaftMultiplier, 1)
	setDefault(&cfg.SnapshotThreshold, DefaultSnapshotThreshold)
	setDefault(&cfg.StoreDeadline, DefaultStoreDeadline)
	setDefault(&cfg.DiskFreeFloor, DefaultDiskFreeFloor)
	setDefault(&cfg.PromoteAfter, DefaultPromoteAfter)
	setDefault(&cfg.BackupEvery, DefaultBackupEvery)
	setDefault(&cfg.BackupKeep, DefaultBackupKeep)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.NewRegistry()
	}
	return cfg
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func (cfg Config) validate() error {
	if cfg.DataDir == "" {
		return errors.New("the data directory is not set")
	}
	if cfg.NodeID != "" && !namePattern.MatchString(cfg.NodeID) {
		return fmt.Errorf("node id %q: want 1 to 63 letters, digits, '.', '_' or '-'", cfg.NodeID)
	}
	if !namePattern.MatchString(cfg.ClusterName) {
		return fmt.Errorf("cluster name %q: want 1 to 63 letters, digits, '.', '_' or '-'", cfg.ClusterName)
	}
	if !slices.Contains(LogStores, cfg.LogStore) {
		return fmt.Errorf("log store %q: want one of %s", cfg.LogStore, strings.Join(LogStores, ", "))
	}
	if cfg.BootstrapExpect < 0 || cfg.BootstrapExpect > MaxBootstrapExpect {
		return fmt.Errorf("bootstrap expect %d: want 0 to %d", cfg.BootstrapExpect, MaxBootstrapExpect)
	}
	if cfg.BootstrapExpect > 1 && cfg.GossipAddr == "" {
		return errors.New("forming a cluster of several nodes needs a gossip address")
	}
	if cfg.RaftMultiplier < 1 || cfg.RaftMultiplier > MaxRaftMultiplier {
		return fmt.Errorf("raft multiplier %d: want 1 to %d", cfg.RaftMultiplier, MaxRaftMultiplier)
	}
	for _, a := range []string{cfg.RaftAddr, cfg.RaftAdvertise, cfg.GossipAddr, cfg.GossipAdvertise} {
		if a == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(a); err != nil {
			return fmt.Errorf("address %q: %w", a, err)
		}
	}
	return nil
}

func (cfg Config) electionTimeout() time.Duration {
	return time.Duration(cfg.RaftMultiplier) * baseElectionTimeout
}

func (cfg Config) heartbeatTimeout() time.Duration {
	return time.Duration(cfg.RaftMultiplier) * baseHeartbeatTimeout
}

func (cfg Config) leaderLease() time.Duration {
	return time.Duration(cfg.RaftMultiplier) * baseLeaderLease
}
