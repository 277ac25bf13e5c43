package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
	"github.com/syllecta/syllecta/snapshot"
)

// The files by which a cluster without a majority is recovered: what is to be done at the next start, and what was.
const (
	recoveryFile  = "peers.json"
	recoveredFile = "peers.applied.json"
)

// RecoveryPeer is a voter of a recovered cluster.
type RecoveryPeer struct {
	ID      string `json:"id"`
	Address string `json:"address"` // of its raft, host:port
}

// recoveryPlan is what recoveryFile holds.
type recoveryPlan struct {
	documentHead
	NodeID    string         `json:"nodeId"` // whose directory it was made for
	ClusterID string         `json:"clusterId"`
	Voters    []RecoveryPeer `json:"voters"`
	// Lost are the members that are left out. Their ids are never used again.
	Lost  []string `json:"lost,omitempty"`
	Epoch uint64   `json:"epoch"` // that the fences go on from
	// LastIndex and LastTerm are the end of the log as it was: a log that has moved on since is another case.
	LastIndex uint64    `json:"lastIndex"`
	LastTerm  uint64    `json:"lastTerm"`
	At        time.Time `json:"at"`
	Release   string    `json:"release"` // that wrote it
}

func (p *recoveryPlan) validate() error {
	if err := validatePeers(p.NodeID, p.Voters); err != nil {
		return err
	}
	if p.Epoch < 2 || p.LastIndex == 0 || p.LastTerm == 0 {
		return errors.New("it is incomplete")
	}
	return nil
}

// validatePeers checks the voters that a cluster is to have after this node was recovered.
func validatePeers(nodeID string, peers []RecoveryPeer) error {
	if len(peers) == 0 || len(peers) > MaxBootstrapExpect {
		return fmt.Errorf("%d peers: want 1 to %d", len(peers), MaxBootstrapExpect)
	}
	ids, addresses := make(map[string]bool), make(map[string]bool)
	for _, p := range peers {
		if !namePattern.MatchString(p.ID) {
			return fmt.Errorf("peer id %q: want 1 to 63 letters, digits, '.', '_' or '-'", p.ID)
		}
		if host, port, err := net.SplitHostPort(p.Address); err != nil || host == "" || port == "" {
			return fmt.Errorf("address %q of peer %s: want host:port", p.Address, p.ID)
		}
		if ids[p.ID] || addresses[p.Address] {
			return fmt.Errorf("peer %s at %s: its id or its address is there twice", p.ID, p.Address)
		}
		ids[p.ID], addresses[p.Address] = true, true
	}
	if !ids[nodeID] {
		return fmt.Errorf("this node, %s, must be one of the peers", nodeID)
	}
	return nil
}

func (p *recoveryPlan) configuration() (c raft.Configuration) {
	for _, v := range p.Voters {
		c.Servers = append(c.Servers, raft.Server{
			Suffrage: raft.Voter, ID: raft.ServerID(v.ID), Address: raft.ServerAddress(v.Address),
		})
	}
	return c
}

// recovery makes a node's state that of a cluster with other voters, as a plan has it. Each of its steps may be cut
// short anywhere: the plan stays where it is until all is done, and done again they come to the same.
type recovery struct {
	dir       string
	log       *slog.Logger
	plan      recoveryPlan
	logs      raft.LogStore
	stable    raft.StableStore
	snapshots *snapshotStore
}

// applyRecovery carries out what PrepareRecovery has left in the directory, if anything, and returns which members
// recoveries have left out. It comes before raft is started.
func applyRecovery(cfg Config, id raft.ServerID, store durableStore, snapshots *snapshotStore) ([]string, error) {
	if err := carryOutRecovery(cfg, id, store, snapshots); err != nil {
		return nil, err
	}
	return lostMembers(cfg.DataDir)
}

func carryOutRecovery(cfg Config, id raft.ServerID, store durableStore, snapshots *snapshotStore) error {
	path := filepath.Join(cfg.DataDir, recoveryFile)
	r := newRecovery(cfg, store, snapshots)
	err := readDocument(path, &r.plan)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = r.plan.validate()
	}
	if err == nil && r.plan.NodeID != string(id) {
		err = fmt.Errorf("it was made for node %s, this is %s", r.plan.NodeID, id)
	}
	if err != nil {
		return fmt.Errorf("%s tells how to recover this node and cannot be followed: %w; run syllecta recover "+
			"again, or remove the file to start the node as it is", path, err)
	}
	r.log.Warn("recovering: other voters, and fences from a new epoch",
		"voters", r.plan.Voters, "epoch", r.plan.Epoch, "last_index", r.plan.LastIndex, "last_term", r.plan.LastTerm)
	for _, step := range []func() error{r.check, r.rewrite, r.verify, r.finish} {
		if err := step(); err != nil {
			return fmt.Errorf("recover this node as %s says: %w", path, err)
		}
	}
	r.log.Warn("recovered", "voters", r.plan.Voters, "epoch", r.plan.Epoch)
	return nil
}

func newRecovery(cfg Config, store durableStore, snapshots *snapshotStore) *recovery {
	guard := &storeGuard{
		deadline: cfg.StoreDeadline,
		observe:  func(time.Duration) {},
		fatal:    func(err error) { cfg.Logger.Error("recovering", "error", err) }, // what fails is returned as well
	}
	return &recovery{
		dir: cfg.DataDir, log: cfg.Logger, snapshots: snapshots,
		logs: &guardedLogs{guard, store}, stable: &guardedStable{guard, store},
	}
}

// check refuses a plan that was made for another state than this one.
func (r *recovery) check() error {
	index, term, err := endOfLog(r.logs, r.snapshots)
	if err != nil {
		return err
	}
	if index != r.plan.LastIndex || term != r.plan.LastTerm {
		return fmt.Errorf("the log ended at index %d of term %d then, and ends at index %d of term %d now: remove the "+
			"file, and if it is still needed, run syllecta recover again", r.plan.LastIndex, r.plan.LastTerm, index, term)
	}
	return nil
}

// rewrite replaces log and snapshots by one snapshot with the new voters and the new epoch.
func (r *recovery) rewrite() error {
	state := newReplay()
	state.epoch = r.plan.Epoch
	err := raft.RecoverCluster(r.raftConfig(), state, r.logs, r.stable, r.snapshots, r.transport(), r.plan.configuration())
	return errors.Join(err, state.err)
}

// verify reads back what raft will start with.
func (r *recovery) verify() error {
	files, err := openSnapshots(r.dir, raftLogger(r.log))
	if err != nil {
		return err
	}
	state := newReplay()
	got, err := raft.GetConfiguration(r.raftConfig(), state, r.logs, r.stable, files, r.transport())
	if err != nil {
		return errors.Join(fmt.Errorf("read back: %w", err), state.err)
	}
	last, err := r.logs.LastIndex()
	if err != nil {
		return err
	}
	if want := r.plan.configuration(); !slices.Equal(got.Servers, want.Servers) {
		return fmt.Errorf("raft would start with the voters %v: the newest snapshot is not the one just written; check that "+
			"the clock of this machine is right", got.Servers)
	}
	if epoch := state.machine.Epoch(); epoch != r.plan.Epoch || last != 0 {
		return fmt.Errorf("raft would start in epoch %d, with a log to %d", epoch, last)
	}
	return nil
}

// finish marks the plan as carried out, durably: raft is about to start, and nothing must take it back again.
func (r *recovery) finish() error {
	if err := os.Rename(filepath.Join(r.dir, recoveryFile), filepath.Join(r.dir, recoveredFile)); err != nil {
		return err
	}
	r.snapshots.restored.newest.Store(nil) // whatever was being restored, the state is the recovered one now
	return syncDir(r.dir)
}

// lostMembers returns whom the last recovery of this directory left out, and those before it.
func lostMembers(dir string) ([]string, error) {
	var plan recoveryPlan
	err := readDocument(filepath.Join(dir, recoveredFile), &plan)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("whom an earlier recovery left out: %w; remove the file if that does not matter now", err)
	}
	return plan.Lost, nil
}

// retireLost is a leader's duty after a recovery: a node that was left out must not come back as the member it was.
func (n *Node) retireLost(ctx context.Context) error {
	if n.Directory().FeatureLevel < 2 {
		return nil
	}
	for _, id := range n.steward.lost {
		_, member := n.serverOf(raft.ServerID(id))
		if m := n.Directory().Member(id); member || m != nil && m.Retired() {
			continue
		}
		n.log.Info("the recovery left this node out: its id is never used again", "id", id)
		if err := n.decide(ctx, fsm.RetireMember{NodeID: id}); err != nil {
			return err
		}
	}
	return nil
}

func (r *recovery) raftConfig() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(r.plan.NodeID)
	c.Logger = raftLogger(r.log)
	return c
}

// transport is one that is never used: raft wants one to write addresses down with.
func (r *recovery) transport() raft.Transport {
	_, t := raft.NewInmemTransport("")
	return t
}

// replay is a state machine that is only filled, never asked. It implements raft.FSM.
type replay struct {
	machine *fsm.Machine
	epoch   uint64 // that the snapshot is raised to
	err     error  // the first that Apply or Restore met, which raft does not pass on
}

func newReplay() *replay { return &replay{machine: fsm.New(fsmConfig())} }

// Apply implements raft.FSM.
func (s *replay) Apply(log *raft.Log) any {
	if s.err == nil && log.Type == raft.LogCommand {
		_, _, s.err = s.machine.Apply(log.Index, log.Term, log.Data)
	}
	return nil
}

// Restore implements raft.FSM.
func (s *replay) Restore(rc io.ReadCloser) error {
	defer rc.Close()
	r, err := snapshot.NewReader(rc)
	if err == nil {
		s.machine, err = fsm.Restore(fsmConfig(), r)
	}
	s.err = err
	return err
}

// Snapshot implements raft.FSM. The epoch may be there already, if this is not the first try.
func (s *replay) Snapshot() (raft.FSMSnapshot, error) {
	if s.err != nil {
		return nil, s.err
	}
	if s.machine.Epoch() != s.epoch && !s.machine.RaiseEpoch(s.epoch) {
		return nil, fmt.Errorf("the fences are in epoch %d and cannot go on from %d", s.machine.Epoch(), s.epoch)
	}
	return &persister{captured: s.machine.Snapshot()}, nil
}

// endOfLog returns the last entry of the log, which may have gone into a snapshot.
func endOfLog(logs raft.LogStore, snapshots raft.SnapshotStore) (index, term uint64, err error) {
	kept, err := snapshots.List()
	if err != nil {
		return 0, 0, fmt.Errorf("list snapshots: %w", err)
	}
	if len(kept) > 0 {
		index, term = kept[0].Index, kept[0].Term
	}
	last, err := logs.LastIndex()
	if err != nil || last <= index {
		return index, term, err
	}
	var entry raft.Log
	if err := logs.GetLog(last, &entry); err != nil {
		return 0, 0, err
	}
	return last, entry.Term, nil
}
