package main

import (
	"time"

	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

const (
	envPrefix = "SYLLECTA_"

	maxTTLSeconds = fsm.MaxTTLMs / 1000
	filesTogether = "node-ca-file, node-cert-file and node-key-file are given together"
	minDiskFloor  = 1 << 20
	maxDiskFloor  = 1 << 50

	maxMemoryLimit = 1 << 50
	maxRequestRate = 1_000_000
)

// settingsTable holds every setting of `syllecta server`, in the order of its help.
var settingsTable = []setting{
	freeText("data-dir", "directory", "", "required", "where this node keeps its identity, log and snapshots",
		func(s *settings) *string { return &s.DataDir }),
	identifier("node-id", "",
		"identity of this node; none takes the one of its certificate or data directory, or a new random one",
		func(s *settings) *string { return &s.NodeID }),
	identifier("cluster-name", "syllecta", "name of the cluster; nodes of other names are refused",
		func(s *settings) *string { return &s.ClusterName }),

	address("http-addr", "127.0.0.1:4000", false, "address on which the public HTTP API listens",
		func(s *settings) *string { return &s.HTTPAddr }),
	{
		name: "http-advertise", unit: "url", allowed: "a URL or host:port that is no wildcard",
		usage: "where clients and other nodes reach this node's API; none takes http-addr",
		set:   setHTTPAdvertise,
	},
	address("raft-addr", "127.0.0.1:4100", false, "address on which raft listens",
		func(s *settings) *string { return &s.RaftAddr }),
	address("raft-advertise", "", true, "where other nodes reach this node's raft; none takes raft-addr",
		func(s *settings) *string { return &s.RaftAdvertise }),
	address("gossip-addr", "127.0.0.1:4200", true,
		"address on which gossip listens, TCP and UDP; empty for a single node without it",
		func(s *settings) *string { return &s.GossipAddr }),
	address("gossip-advertise", "", true, "where other nodes reach this node's gossip; none takes gossip-addr",
		func(s *settings) *string { return &s.GossipAdvertise }),

	freeText("node-ca-file", "file", "", filesTogether,
		"CA certificates, in PEM, that sign the certificates of this cluster's nodes",
		func(s *settings) *string { return &s.NodeCAFile }),
	freeText("node-cert-file", "file", "", filesTogether,
		"certificate, in PEM, with which this node speaks raft; it names the cluster and the node",
		func(s *settings) *string { return &s.NodeCertFile }),
	freeText("node-key-file", "file", "", filesTogether+", and only its owner may read it",
		"key, in PEM, of the node's certificate",
		func(s *settings) *string { return &s.NodeKeyFile }),
	freeText("http-cert-file", "file", "", "given together with http-key-file",
		"certificate, in PEM, of the HTTP API, which speaks TLS with it",
		func(s *settings) *string { return &s.HTTPCertFile }),
	freeText("http-key-file", "file", "", "given together with http-cert-file, and only its owner may read it",
		"key, in PEM, of the HTTP API's certificate",
		func(s *settings) *string { return &s.HTTPKeyFile }),
	freeText("gossip-key-file", "file", "", "one key a line, 32 bytes in base64, and only its owner may read it",
		"keys of gossip: the first encrypts, all of them decrypt",
		func(s *settings) *string { return &s.GossipKeyFile }),
	toggle("allow-public-plaintext",
		"let HTTP without certificate, raft without certificate and gossip without key listen outside loopback",
		func(s *settings) *bool { return &s.AllowPublicPlaintext }),

	toggle("bootstrap", "form a new cluster of this node alone, unless the data directory has one; others may join it",
		func(s *settings) *bool { return &s.Bootstrap }),
	integer("bootstrap-expect", "nodes", "0", 0, cluster.MaxBootstrapExpect,
		"number of nodes that form a new cluster together, the same on all of them; 0 only joins one",
		func(s *settings) *int { return &s.BootstrapExpect }),
	{
		name: "join", unit: "host:port", list: true, set: setJoin,
		allowed: "a host or IP address, a colon and a port; several are repeated or separated by commas",
		usage:   "raft addresses of other nodes, through which this one finds the cluster; its own among them does no harm",
	},
	toggle("non-voter", "join as a node that keeps a copy and never votes",
		func(s *settings) *bool { return &s.NonVoter }),
	duration("promote-after", "5s", 100*time.Millisecond, time.Hour,
		"how long a node that has joined must have been healthy and caught up before it votes",
		func(s *settings) *time.Duration { return &s.PromoteAfter }),

	freeText("backup-dir", "directory", "", "a path", "where this node puts backups of its state; none makes none",
		func(s *settings) *string { return &s.BackupDir }),
	duration("backup-every", "1h", time.Second, 720*time.Hour, "time between two backups",
		func(s *settings) *time.Duration { return &s.BackupEvery }),
	integer("backup-keep", "backups", "24", 1, 10_000, "number of backups kept, the oldest are deleted",
		func(s *settings) *int { return &s.BackupKeep }),

	freeText("admin-token-file", "file", "", "only its owner may read it, at least 16 bytes inside",
		"file with the token of the admin API; none switches that API off",
		func(s *settings) *string { return &s.AdminTokenFile }),
	freeText("kek-file", "file", "",
		"lines of an id, a colon and 32 bytes in base64, the same on all nodes, and only its owner may read it",
		"key-encryption keys for webhooks: the first encrypts, all of them decrypt; none keeps no secrets and no payloads",
		func(s *settings) *string { return &s.KEKFile }),
	{
		name: "callback-allow-cidr", unit: "cidr", list: true, set: setCallbackAllowCIDR,
		allowed: "an address, a slash and a length, as 10.1.0.0/16; several are repeated or separated by commas",
		usage: "addresses that events may be delivered to though they are not public, on every port and without TLS too; " +
			"none delivers to public addresses by https alone",
	},
	{
		name: "callback-ports", unit: "port", list: true, def: "443", set: setCallbackPorts,
		allowed: "numbers from 1 to 65535; several are repeated or separated by commas",
		usage:   "ports of public addresses that events may be delivered to",
	},
	withAlias("IDEMPOTENCY_MAX_RECORD_BODY_BYTES",
		integer("max-record-body-bytes", "bytes", "262144", 1, fsm.MaxBodyBytes, "largest body that a record may store",
			func(s *settings) *int { return &s.MaxRecordBodyBytes })),
	withAlias("IDEMPOTENCY_MAX_RECORD_TTL_SECONDS",
		span("max-record-ttl-seconds", "seconds", "2592000", time.Second, 1, maxTTLSeconds,
			"longest life that a request may ask for a record",
			func(s *settings) *time.Duration { return &s.MaxRecordTTL })),
	span("default-ttl-seconds", "seconds", "86400", time.Second, 1, maxTTLSeconds,
		"life of a record whose request names none",
		func(s *settings) *time.Duration { return &s.DefaultTTL }),
	span("default-lock-ms", "milliseconds", "60000", time.Millisecond, fsm.MinLeaseMs, fsm.MaxLeaseMs,
		"how long a lock is protected whose request names no time",
		func(s *settings) *time.Duration { return &s.DefaultLease }),
	choice("followers", "redirect", []string{"redirect", "forward"},
		"what a follower does with a request for the leader",
		func(s *settings) *string { return &s.Followers }),
	duration("request-timeout", "10s", 100*time.Millisecond, 5*time.Minute,
		"longest time a request may take, beside what it asks to wait",
		func(s *settings) *time.Duration { return &s.RequestTimeout }),
	integer("max-connections", "connections", "10000", 1, 1_000_000, "HTTP connections served at the same time",
		func(s *settings) *int { return &s.MaxConnections }),
	integer("failed-auth-per-second", "requests", "10", 0, maxRequestRate,
		"requests with refused credentials that one address may send, at first five times as many; 0 sets no limit",
		func(s *settings) *int { return &s.FailedAuthPerSecond }),
	integer("requests-per-address", "requests", "0", 0, maxRequestRate,
		"requests that one address may send in a second, at first twice as many; 0 sets no limit",
		func(s *settings) *int { return &s.RequestsPerAddress }),

	integer("raft-multiplier", "factor", "1", 1, 10,
		"scales all raft timeouts: raise it for slow disks and busy networks",
		func(s *settings) *int { return &s.RaftMultiplier }),
	integer("snapshot-threshold", "entries", "16384", 16, 100_000_000, "log entries between two snapshots",
		func(s *settings) *uint64 { return &s.SnapshotThreshold }),
	choice("log-store", cluster.LogStoreAuto, cluster.LogStores,
		"how this node keeps its log; auto is as its data directory has it, and "+cluster.DefaultLogStore+" in a new one",
		func(s *settings) *string { return &s.LogStore }),
	duration("store-deadline", "4s", 100*time.Millisecond, 5*time.Minute,
		"a disk call that takes longer stops the process, so that another node can lead",
		func(s *settings) *time.Duration { return &s.StoreDeadline }),
	integer("disk-free-floor-bytes", "bytes", "268435456", minDiskFloor, maxDiskFloor,
		"with less free disk space than this, claims and webhooks are refused",
		func(s *settings) *int64 { return &s.DiskFreeFloor }),
	integer("memory-limit-bytes", "bytes", "0", 0, maxMemoryLimit,
		"memory beyond which garbage is collected ever harder, as GOMEMLIMIT of Go does; 0 sets none",
		func(s *settings) *int64 { return &s.MemoryLimit }),

	choice("log-level", "info", []string{"debug", "info", "warn", "error"}, "least severe message that is logged",
		func(s *settings) *string { return &s.LogLevel }),
	choice("log-format", "auto", []string{"auto", "text", "json"},
		"how messages are logged; auto is text on a terminal and json elsewhere",
		func(s *settings) *string { return &s.LogFormat }),
}
