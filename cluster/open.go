package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// maxRaftConns is how many idle connections raft keeps to each peer; raftIOTimeout bounds one of its exchanges.
	maxRaftConns  = 3
	raftIOTimeout = 10 * time.Second
)

// Open starts a node on its data directory and its network addresses. It returns once the node runs, which is before
// it has found or formed its cluster: see Readiness.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	pass, err := openPassport(cfg)
	if err != nil {
		return nil, err
	}
	if err := prepareBackups(cfg, string(pass.nodeID)); err != nil {
		return nil, err
	}
	var cleanup closers
	defer cleanup.unlessKept()
	store, err := openStore(cfg.DataDir, cfg.LogStore, cfg.Logger)
	if err != nil {
		return nil, err
	}
	cleanup.add(func() { store.Close() })
	snapshots, err := openSnapshots(cfg.DataDir, raftLogger(cfg.Logger))
	if err != nil {
		return nil, err
	}
	lost, err := applyRecovery(cfg, pass.nodeID, store, snapshots)
	if err != nil {
		return nil, err
	}
	reserve, err := openBallast(cfg.DataDir, cfg.Logger)
	if err != nil {
		return nil, err
	}
	snapshots.leaveRoom(reserve)
	w, err := listenWire(pass, cfg.Logger.With("node", string(pass.nodeID)))
	if err != nil {
		return nil, err
	}
	cleanup.add(func() { w.Close() })
	addresses := newAddressBook(pass.nodeID, cfg.RaftAdvertise)
	transport := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: w, MaxPool: maxRaftConns, Timeout: raftIOTimeout, Logger: raftLogger(cfg.Logger),
		MsgpackUseNewTimeFormat: true, ServerAddressProvider: addresses,
	})
	cleanup.add(func() {
		transport.Close()
		transport.CloseStreams() // the idle ones to other nodes
	})
	n, err := assemble(cfg, parts{
		passport: pass, addresses: addresses, logs: store, stable: store, snapshots: snapshots, ballast: reserve,
		transport: transport, caller: newNetCaller(pass), wall: time.Now,
	})
	if err != nil {
		return nil, err
	}
	n.steward.lost = lost
	if err := w.serve(&peerService{n}, &lobbyService{n}); err != nil {
		return nil, errors.Join(err, n.raft.Shutdown().Error())
	}
	n.run()
	if err := n.join(ctx); err != nil {
		cleanup.keep()
		n.closers = append(n.closers, cleanup.funcs()...)
		return nil, errors.Join(err, n.close())
	}
	cleanup.keep()
	n.closers = append(n.closers, cleanup.funcs()...)
	return n, nil
}

// openPassport reads from the data directory who this node is and to which cluster it belongs.
func openPassport(cfg Config) (*passport, error) {
	if err := refuseRemoved(cfg.DataDir); err != nil {
		return nil, err
	}
	// Before the identity is drawn and kept: a certificate says who its node is.
	certificates, err := loadNodeCertificates(cfg, raft.ServerID(cfg.NodeID))
	if err != nil {
		return nil, err
	}
	configured := cfg.NodeID
	if certificates != nil {
		configured = string(certificates.id())
	}
	id, err := identity(cfg.DataDir, configured)
	if err != nil {
		return nil, err
	}
	diskID, err := diskIdentity(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	a, err := openAffiliation(cfg.DataDir, cfg.ClusterName)
	if err != nil {
		return nil, err
	}
	kind, err := storeIn(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	if kind == "" && a.clusterID() != "" { // which is written when there is a log already
		return nil, fmt.Errorf("the log, %s or %s, is missing in %s, which is that of %s in cluster %s: the node has forgotten "+
			"what it stored and voted, and must not go on; restore it, or empty the directory and give the node a new id",
			raftFile, walDir, cfg.DataDir, id, a.clusterID())
	}
	p := newPassport(cfg, raft.ServerID(id), diskID, a)
	p.certificates = certificates
	return p, nil
}

// closers undo what was opened, last opened first, unless they are kept.
type closers struct {
	all  []func()
	kept bool
}

func (c *closers) add(f func()) { c.all = append([]func(){f}, c.all...) }

func (c *closers) keep() { c.kept = true }

func (c *closers) funcs() []func() { return c.all }

func (c *closers) unlessKept() {
	if c.kept {
		return
	}
	for _, f := range c.all {
		f()
	}
}
