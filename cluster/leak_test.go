package cluster

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

// goroutines returns the stacks of all goroutines that run code of this package, of raft, memberlist or net/rpc, other
// than tests' own.
func goroutines() (stacks []string) {
	buf := make([]byte, 4<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for stack := range bytes.SplitSeq(buf, []byte("\n\n")) {
		s := string(stack)
		ours := slices.ContainsFunc([]string{"/cluster.", "hashicorp/", "net/rpc", "bbolt"}, func(part string) bool {
			return strings.Contains(s, part)
		})
		if ours && !strings.Contains(s, "testing.tRunner") {
			stacks = append(stacks, s)
		}
	}
	return stacks
}

// noLeaks fails unless all goroutines end within a while.
func noLeaks(t *testing.T) {
	t.Helper()
	var left []string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if left = goroutines(); len(left) == 0 {
			return
		}
	}
	t.Errorf("%d goroutines are left, such as\n%s", len(left), left[0])
}

// These tests are not parallel: they count what runs in the whole process.

// TestShutdownLeavesNothing runs a cluster through everything that starts goroutines, and shuts it down.
func TestShutdownLeavesNothing(t *testing.T) {
	noLeaks(t)
	leader, followers := newCluster(t)
	id := fsm.RecordID{Tenant: newTenant(t, leader), Scope: "orders", Key: "1"}
	propose(t, leader, claim(id, "holder"))
	waited := make(chan error)
	go func() {
		_, _, err := leader.Propose(context.Background(), waiting(claim(id, "w")))
		waited <- err
	}()
	waitFor(t, "the waiter", func() bool { return waitersOf(leader, id) == 1 })
	for _, f := range followers {
		if err := f.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := leader.Read(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*Node{followers[0], leader, followers[1]} {
		closeNode(t, n)
		closeNode(t, n) // once more does no harm
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
	noLeaks(t)
}

// TestShutdownSettlesSuspects: who waits to learn what became of an entry does not outlive the node.
func TestShutdownSettlesSuspects(t *testing.T) {
	n := openNode(t, Config{BootstrapExpect: 1})
	waitForLeader(t, n)
	pr, err := newProposal([]Call{{Command: claim(record("1"), "owner")}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	n.proposer.mu.Lock()
	b := &batch{id: fsm.BatchID{1}, proposals: []*proposal{pr}}
	b.add(pr.calls[0])
	n.proposer.batches[b.id] = b
	n.proposer.mu.Unlock()
	n.proposer.suspect(b, 1<<40)
	closeNode(t, n)
	if !pr.isDone() || !errors.Is(pr.err, ErrOutcomeUnknown) {
		t.Errorf("got %v", pr.err)
	}
	noLeaks(t)
}

// TestFailedOpenLeavesNothing has Open fail at each stage there is. Afterwards nothing runs, and the ports and the
// directory are free.
func TestFailedOpenLeavesNothing(t *testing.T) {
	noLeaks(t)
	for name, spoil := range map[string]func(t *testing.T, cfg *Config) context.Context{
		"configuration": func(_ *testing.T, cfg *Config) context.Context { cfg.RaftMultiplier = 99; return nil },
		"data directory": func(t *testing.T, cfg *Config) context.Context {
			cfg.DataDir = filepath.Join(cfg.DataDir, "file", "data")
			rewriteNew(t, filepath.Dir(cfg.DataDir))
			return nil
		},
		"identity": func(t *testing.T, cfg *Config) context.Context {
			rewriteNew(t, filepath.Join(cfg.DataDir, "node-id"))
			return nil
		},
		"store": func(t *testing.T, cfg *Config) context.Context {
			_, _ = identity(cfg.DataDir, "n0")
			if err := os.Mkdir(filepath.Join(cfg.DataDir, "raft.db"), 0o700); err != nil {
				t.Fatal(err)
			}
			return nil
		},
		"snapshots": func(t *testing.T, cfg *Config) context.Context {
			rewriteNew(t, filepath.Join(cfg.DataDir, snapshotsDir))
			return nil
		},
		"raft address": func(_ *testing.T, cfg *Config) context.Context { cfg.RaftAddr = "192.0.2.1:1"; return nil },
		"log": func(t *testing.T, cfg *Config) context.Context {
			withLogs(t, cfg.DataDir, *logStoreFlag, nil, func(logs *guardedLogs) {
				if err := logs.logs.StoreLog(&raft.Log{Index: 1, Type: raft.LogCommand}); err != nil {
					t.Fatal(err)
				}
			})
			rewriteNew(t, filepath.Join(cfg.DataDir, "node-id"))
			rewrite(t, filepath.Join(cfg.DataDir, "node-id"), func([]byte) []byte { return []byte("n0\n") })
			return nil
		},
		"gossip address": func(_ *testing.T, cfg *Config) context.Context { cfg.GossipAddr = "192.0.2.1:1"; return nil },
		"cancelled": func(t *testing.T, _ *Config) context.Context {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return ctx
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := newHosts(t, 1, 1)[0].cfg
			cfg.NodeID = ""
			ctx := spoil(t, &cfg)
			if ctx == nil {
				ctx = t.Context()
			}
			n, err := Open(ctx, cfg)
			if err == nil {
				closeNode(t, n)
				t.Fatal("it did not fail")
			}
			noLeaks(t)
		})
	}
}

// rewriteNew makes an empty file.
func rewriteNew(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}
