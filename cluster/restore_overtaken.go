package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// What raft (1.8.0) leaves open about restored states, and what is done about it here.
//
// Raft replaces the state of the leader first, and then that of the followers; only when a majority has it is the
// restored state committed. If the leader dies or is cut off before, the others may elect one of them who never heard
// of it, and go on from the old state. Raft does not notice then that a node has a state that came to nothing: an entry
// of the new leader at the snapshot's index would be passed over as old. So a node remembers that its newest snapshot
// is a restored one, and looks for the proof that it came to nothing: a leader of a later term with an entry at its
// index. Then it gives the snapshot up, and its process ends; restarted, it goes on from the snapshot before and the
// log, with the others.
//
// No log has an entry at a restored snapshot's index: that is what makes a leader send the snapshot. A follower that
// has entries behind that gap, of a leader that died, would refuse what follows on the snapshot, since it looks for the
// entry before it in its log only, and be sent the snapshot for ever (adjoin). And one that has an old entry in the gap
// would, as a leader, send that instead of the snapshot (keptLogs.openGap).

// restoredState is the newest snapshot while that is a restored one.
type restoredState struct {
	newest atomic.Pointer[raftMeta]
	// installed is told of every new one; nil until the log is open.
	installed func(raftMeta)
}

// note is told of every snapshot that is complete.
func (s *restoredState) note(meta raftMeta) {
	switch newest := s.newest.Load(); {
	case meta.Restored:
		s.newest.Store(&meta)
		if s.installed != nil {
			s.installed(meta)
		}
	case newest != nil && meta.Index > newest.Index:
		s.newest.Store(nil) // taken of the log behind it, so it was committed
	}
}

// overtaken reports whether a leader's entries prove that the restored state was never committed: it leads a later
// term, so it would have what was committed before, but has an entry where those who have the state have a gap.
func (s *restoredState) overtaken(request *raft.AppendEntriesRequest) bool {
	newest := s.newest.Load()
	if newest == nil || request.Term <= newest.Term {
		return false
	}
	if request.PrevLogEntry == newest.Index && request.PrevLogTerm != newest.Term {
		return true
	}
	return slices.ContainsFunc(request.Entries, func(e *raft.Log) bool {
		return e.Index == newest.Index || e.Index < newest.Index && e.Term > newest.Term
	})
}

// adjoin returns a leader's entries in a form in which raft takes them. If they follow on the restored snapshot, they
// follow on this node's state, whatever its log has there: raft need not look.
func (s *restoredState) adjoin(request *raft.AppendEntriesRequest) *raft.AppendEntriesRequest {
	newest := s.newest.Load()
	if newest == nil || request.PrevLogEntry != newest.Index || request.PrevLogTerm != newest.Term {
		return request
	}
	following := *request
	following.PrevLogEntry, following.PrevLogTerm = 0, 0
	return &following
}

// closableTransport is what every transport of ours can do.
type closableTransport interface {
	raft.Transport
	raft.WithPreVote
	raft.WithClose
}

// watchedTransport looks at what other nodes send before raft does.
type watchedTransport struct {
	closableTransport
	passed chan raft.RPC
}

func watchTransport(t raft.Transport) *watchedTransport {
	return &watchedTransport{t.(closableTransport), make(chan raft.RPC)}
}

// Consumer implements raft.Transport.
func (t *watchedTransport) Consumer() <-chan raft.RPC { return t.passed }

// run passes on what see makes of everything, until ctx ends or see returns an error.
func (t *watchedTransport) run(ctx context.Context, see func(*raft.RPC) error) {
	for {
		select {
		case rpc := <-t.closableTransport.Consumer():
			if err := see(&rpc); err != nil {
				rpc.Respond(nil, err)
				return
			}
			select {
			case t.passed <- rpc:
			case <-ctx.Done():
				rpc.Respond(nil, raft.ErrTransportShutdown)
			}
		case <-ctx.Done():
			return
		}
	}
}

var errOvertaken = errors.New("a backup was being restored when the leadership moved, and the cluster went on " +
	"without it; this node has given the restored state up and goes on with the others when it is started again")

// watchRestored stops this node if its state is a restored one that came to nothing.
func (n *Node) watchRestored(rpc *raft.RPC) error {
	request, ok := rpc.Command.(*raft.AppendEntriesRequest)
	if !ok {
		return nil
	}
	if !n.snapshots.restored.overtaken(request) {
		rpc.Command = n.snapshots.restored.adjoin(request)
		return nil
	}
	err := errOvertaken
	if cause := n.giveUpRestored(); cause != nil {
		err = fmt.Errorf("a backup that was being restored came to nothing, and its state could not be given up: %w; "+
			"empty this node's data directory and let it join again under a new node id", cause)
	}
	n.fail(err)
	return err
}

// giveUpRestored removes the restored snapshot and the entries behind it. They go first: without the snapshot, there
// would be a gap before them.
func (n *Node) giveUpRestored() error {
	newest := n.snapshots.restored.newest.Load()
	last, err := n.logs.LastIndex()
	if err != nil {
		return err
	}
	if last >= newest.Index {
		if err := n.logs.DeleteRange(newest.Index, last); err != nil {
			return err
		}
	}
	return n.snapshots.giveUp(newest)
}

// giveUp removes a restored snapshot.
func (s *snapshotStore) giveUp(restored *raftMeta) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		order, ok := snapshotOrder(e.Name())
		if !ok || order[0] != restored.Term || order[1] != restored.Index {
			continue
		}
		path := filepath.Join(s.dir, e.Name())
		if err := os.Rename(path, path+".tmp"); err != nil { // the next start removes it
			return err
		}
	}
	return syncDir(s.dir)
}

// keptLogs is the log as restored snapshots need it.
type keptLogs struct {
	raft.LogStore
	restored *restoredState
}

// DeleteRange passes over compaction while the newest snapshot is a restored one: the log behind the snapshot before it
// is the way back. What goes are entries that another leader overruled, which are the last ones.
func (l *keptLogs) DeleteRange(lo, hi uint64) error {
	last, err := l.LastIndex()
	if err != nil {
		return err
	}
	if restored := l.restored.newest.Load(); restored != nil && hi < last && lo < restored.Index {
		return nil
	}
	return l.LogStore.DeleteRange(lo, hi)
}

// openGap removes what an earlier leader had put at the index of a restored snapshot. A failure ends the process, as
// any of the log does; the next start tries again.
func (n *Node) openGap(restored raftMeta) error {
	var stale raft.Log
	err := n.logs.GetLog(restored.Index, &stale)
	if errors.Is(err, raft.ErrLogNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return n.logs.DeleteRange(restored.Index, restored.Index)
}

// watchGap opens the gap of the newest snapshot, and of every one to come.
func (n *Node) watchGap() error {
	r := &n.snapshots.restored
	r.installed = func(meta raftMeta) {
		if err := n.openGap(meta); err != nil {
			n.fail(fmt.Errorf("log entry %d, in whose place a backup was restored: %w", meta.Index, err))
		}
	}
	if newest := r.newest.Load(); newest != nil {
		return n.openGap(*newest)
	}
	return nil
}
