package cluster

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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
	id, err := identity(cfg.DataDir, cfg.NodeID)
	if err != nil {
		return nil, err
	}
	var cleanup closers
	defer cleanup.unlessKept()
	store, err := openStore(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	cleanup.add(func() { store.Close() })
	snapshots, err := openSnapshots(cfg.DataDir, raftLogger(cfg.Logger))
	if err != nil {
		return nil, err
	}
	w, err := listenWire(cfg.RaftAddr, cfg.RaftAdvertise)
	if err != nil {
		return nil, err
	}
	cleanup.add(func() { w.Close() })
	transport := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: w, MaxPool: maxRaftConns, Timeout: raftIOTimeout, Logger: raftLogger(cfg.Logger),
		MsgpackUseNewTimeFormat: true,
	})
	cleanup.add(func() {
		transport.Close()
		transport.CloseStreams() // the idle ones to other nodes
	})
	n, err := assemble(cfg, parts{
		id: raft.ServerID(id), logs: store, stable: store, snapshots: snapshots,
		transport: transport, caller: newNetCaller(), wall: time.Now,
	})
	if err != nil {
		return nil, err
	}
	if err := w.serve(&peerService{n}); err != nil {
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

// identity returns the node's id, which the data directory keeps: raft counts votes by it, so a directory never
// changes its id.
func identity(dir, configured string) (string, error) {
	path := filepath.Join(dir, "node-id")
	raw, err := os.ReadFile(path)
	kept := strings.TrimSpace(string(raw))
	switch {
	case err == nil && configured != "" && kept != configured:
		return "", fmt.Errorf("this data directory belongs to node %q, not %q: use its own id, or another directory",
			kept, configured)
	case err == nil && !namePattern.MatchString(kept):
		return "", fmt.Errorf("%s does not hold a node id", path)
	case err == nil:
		return kept, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("read the node id: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "raft.db")); err == nil {
		return "", fmt.Errorf("%s is missing beside an existing log: restore it, the node must not change its id", path)
	}
	if configured == "" {
		var random [4]byte
		_, _ = rand.Read(random[:]) // never fails (crypto/rand)
		configured = "node-" + hex.EncodeToString(random[:])
	}
	if err := writeDurably(path, configured+"\n"); err != nil {
		return "", fmt.Errorf("keep the node id: %w", err)
	}
	return configured, nil
}

// writeDurably makes a file that is there whole or not at all, even if the machine loses power: a log may follow that
// is of no use without the id.
func writeDurably(path, content string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
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
