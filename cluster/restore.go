package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

const (
	// quietPoll is how often a restore looks whether everything in flight is settled.
	quietPoll = 5 * time.Millisecond
	// snapshotVersion is raft's for what surrounds a snapshot; there is no other.
	snapshotVersion = raft.SnapshotVersionMax
)

// RestoreOptions are what an operator must say on purpose.
type RestoreOptions struct {
	// OtherCluster takes a backup of another cluster though this one has tenants of its own, which are lost.
	OtherCluster bool
	// By is who asks for it, for the audit log.
	By fsm.Actor
}

// Restored says what Restore did.
type Restored struct {
	Backup       *BackupInfo // nil if it was a snapshot out of a data directory
	Index, Epoch uint64      // of the restored state
	Records      int
}

// restoring is a node's part in the restore that it leads.
type restoring struct {
	claimed atomic.Bool // one is under way, and has perhaps not changed anything yet
	// replacing suspends serving: what is queued or asked now would be answered from a state that is on its way out,
	// or from one that is not committed yet.
	replacing atomic.Bool
}

// Restore replaces the state of the whole cluster by that of a backup: tenants, keys, usage, locks and records become
// the backup's, the cluster's own id and members stay. Not a byte is applied before all of it has been verified; a
// *Refusal or ErrStorageFull means that nothing was changed, as do ErrNotLeader and ErrUnavailable. After
// ErrOutcomeUnknown the cluster has either the old state or the new one, on all nodes the same. Only the leader does
// it; meanwhile it serves nothing else. The epoch rises above all before, so that fences never repeat.
func (n *Node) Restore(ctx context.Context, r io.Reader, options RestoreOptions) (Restored, error) {
	if !n.IsLeader() {
		return Restored{}, ErrNotLeader
	}
	if !n.restoring.claimed.CompareAndSwap(false, true) {
		return Restored{}, refuse(ReasonChangePending, "another restore is under way; wait until it is done")
	}
	defer n.restoring.claimed.Store(false)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()

	spooled, err := n.spoolBackup(ctx, r)
	if err != nil {
		return Restored{}, err
	}
	defer spooled.remove()
	held, err := n.checkBackup(ctx, spooled, options)
	if err != nil {
		return Restored{}, err
	}
	n.log.Warn("restoring a backup: the state of the whole cluster is being replaced", "backup_cluster",
		held.State.ClusterID, "backup_index", held.State.Index, "bytes", spooled.size, "records", held.State.Records)
	done, err := n.replaceState(ctx, spooled, options.By)
	if err != nil {
		n.log.Error("the restore did not succeed", "error", err)
		return Restored{}, err
	}
	done.Backup = held.Backup
	n.log.Warn("restored a backup", "index", done.Index, "epoch", done.Epoch, "records", done.Records)
	return done, nil
}

// replaceState has raft replace the state. Serving is suspended until the new one is committed, or given up.
func (n *Node) replaceState(ctx context.Context, spooled *spool, by fsm.Actor) (Restored, error) {
	n.restoring.replacing.Store(true)
	defer n.restoring.replacing.Store(false)
	n.proposer.pause()
	defer n.proposer.resume()
	if err := n.settle(ctx); err != nil {
		return Restored{}, err
	}
	to := n.identity()
	to.RestoredBy = by
	backup, err := spooled.reader(to)
	if err != nil {
		return Restored{}, err
	}
	// From here on it runs to its end: what raft has begun, it does not break off.
	meta := &raft.SnapshotMeta{Version: snapshotVersion, Size: spooled.size}
	if err := n.raft.Restore(meta, backup, 0); err != nil {
		return Restored{}, restoreError(err, backup.installed.Load())
	}
	return n.adopt(), nil
}

// settle waits until nothing is in flight, and has raft take a snapshot. So no other snapshot is under way when the
// restored one is written: raft (1.8.0) would take the older one for its newest, and send the restored one to
// followers for ever. And should the restore come to nothing, the way back is short.
func (n *Node) settle(ctx context.Context) error {
	for !n.proposer.quiet() {
		select {
		case <-ctx.Done():
			return ErrUnavailable
		case <-time.After(quietPoll):
		}
	}
	if err := n.raft.Barrier(establishTimeout).Error(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	err := n.raft.Snapshot().Error()
	if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return ctx.Err()
}

func (n *Node) identity() (id fsm.Identity) {
	n.applier.read(func(m *fsm.Machine) { id = m.Identity() })
	return id
}

// restoreError says what raft's error means. Raft does not tell whether it failed before or after it replaced the
// state of this node, but once the restored snapshot is its newest, the state will follow.
func restoreError(err error, installed bool) error {
	switch {
	case installed:
		return fmt.Errorf("%w: the leadership moved while the backup was being restored: %w", ErrOutcomeUnknown, err)
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return ErrNotLeader
	default:
		return fmt.Errorf("%w: nothing was restored: %w", ErrUnavailable, err)
	}
}

// adopt makes this node go on from the restored state, which is committed. The backup's clock may be ahead of the
// cluster's, or behind: an entry with the cluster's own stamp sees to it that time never goes back. If the leadership
// has moved just now, the next leader's first entry does.
func (n *Node) adopt() (done Restored) {
	n.applier.read(func(m *fsm.Machine) {
		n.clock.raise(m.ClockMs())
		done = Restored{Index: m.Index(), Epoch: m.Epoch(), Records: m.Records()}
	})
	stamp := fsm.EncodeEntry(n.clock.nowMs(), fsm.BatchID{})
	if err := n.raft.Apply(stamp, establishTimeout).Error(); err != nil {
		n.log.Debug("could not stamp the restored state", "error", err)
	}
	return done
}

// pause refuses calls from now on, and answers those that wait. What is in flight goes on.
func (p *proposer) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = true
	p.dismiss(ErrUnavailable)
}

// resume ends a pause.
func (p *proposer) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = false
}

// quiet reports whether nothing is in flight.
func (p *proposer) quiet() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.batches) == 0
}
