package cluster

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

func TestOvertaken(t *testing.T) {
	t.Parallel()
	// with is a leader's request in a term, behind an entry, with one more entry unless its index is 0.
	with := func(term, prevIndex, prevTerm, index, entryTerm uint64) *raft.AppendEntriesRequest {
		r := &raft.AppendEntriesRequest{Term: term, PrevLogEntry: prevIndex, PrevLogTerm: prevTerm}
		if index != 0 {
			r.Entries = []*raft.Log{{Index: index, Term: entryTerm}}
		}
		return r
	}
	for name, c := range map[string]struct {
		request *raft.AppendEntriesRequest
		want    bool
	}{
		"the leader that restored it goes on":    {with(5, 10, 5, 11, 5), false},
		"another leader that has it":             {with(6, 10, 5, 11, 6), false},
		"another entry in its place":             {with(6, 9, 5, 10, 6), true},
		"another entry before it":                {with(6, 7, 4, 8, 6), true},
		"an entry behind another in its place":   {with(7, 10, 6, 11, 6), true},
		"no entries behind another in its place": {with(7, 10, 6, 0, 0), true},
		"an old entry, from a new leader":        {with(6, 8, 5, 9, 5), false},
		"an old entry in its place":              {with(6, 9, 4, 10, 4), true},
		"entries behind an old one in its place": {with(6, 10, 4, 11, 6), true},
		"a deposed leader":                       {with(4, 9, 4, 10, 4), false},
		"a heartbeat":                            {with(6, 0, 0, 0, 0), false},
	} {
		var s restoredState
		if s.overtaken(c.request) {
			t.Errorf("%s: overtaken without a restored snapshot", name)
		}
		s.note(raftMeta{Index: 10, Term: 5, Restored: true})
		if got := s.overtaken(c.request); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
		s.note(raftMeta{Index: 9, Term: 5}) // an older one that took longer to write
		if got := s.overtaken(c.request); got != c.want {
			t.Errorf("%s, after an older snapshot: %t", name, got)
		}
		s.note(raftMeta{Index: 11, Term: 5})
		if s.overtaken(c.request) {
			t.Errorf("%s: overtaken though a snapshot behind it was taken", name)
		}
	}
}

// TestAdjoin: only what follows on the restored snapshot itself is passed on without the entry before it.
func TestAdjoin(t *testing.T) {
	t.Parallel()
	var s restoredState
	follows := &raft.AppendEntriesRequest{Term: 6, PrevLogEntry: 10, PrevLogTerm: 5, LeaderCommitIndex: 3}
	if got := s.adjoin(follows); got != follows {
		t.Errorf("without a restored snapshot: %+v", got)
	}
	s.note(raftMeta{Index: 10, Term: 5, Restored: true})
	got := s.adjoin(follows)
	if got.PrevLogEntry != 0 || got.PrevLogTerm != 0 || got.Term != 6 || got.LeaderCommitIndex != 3 ||
		follows.PrevLogEntry != 10 {
		t.Errorf("%+v became %+v", follows, got)
	}
	for _, other := range []*raft.AppendEntriesRequest{
		{Term: 6, PrevLogEntry: 11, PrevLogTerm: 5}, {Term: 6, PrevLogEntry: 9, PrevLogTerm: 5}, {Term: 6},
	} {
		if got := s.adjoin(other); got != other {
			t.Errorf("%+v became %+v", other, got)
		}
	}
}

// TestKeptLogs: compaction waits while the newest snapshot is a restored one, overruled entries go all the same.
func TestKeptLogs(t *testing.T) {
	t.Parallel()
	store := raft.NewInmemStore()
	for i := range uint64(10) {
		if err := store.StoreLog(&raft.Log{Index: i + 1}); err != nil {
			t.Fatal(err)
		}
	}
	var s restoredState
	s.note(raftMeta{Index: 10, Term: 5, Restored: true})
	logs := &keptLogs{store, &s}
	check := func(what string, lo, hi, first, last uint64) {
		t.Helper()
		if err := logs.DeleteRange(lo, hi); err != nil {
			t.Fatal(err)
		}
		f, _ := store.FirstIndex()
		l, _ := store.LastIndex()
		if f != first || l != last {
			t.Errorf("%s: %d to %d are left", what, f, l)
		}
	}
	check("compaction", 1, 5, 1, 10)
	check("overruled", 9, 10, 1, 8)
	s.note(raftMeta{Index: 11, Term: 5})
	check("compaction later", 1, 5, 6, 8)
}

// TestGap: what an earlier leader had put at a restored snapshot's index goes, when the snapshot comes and at a start.
func TestGap(t *testing.T) {
	t.Parallel()
	for _, kind := range append(storeKinds, "memory") {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			testGap(t, func() raft.LogStore {
				if kind == "memory" {
					return raft.NewInmemStore()
				}
				store, err := openTestKind(t.TempDir(), kind)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = store.Close() })
				return store
			})
		})
	}
}

func testGap(t *testing.T, newStore func() raft.LogStore) {
	for _, atStart := range []bool{true, false} {
		snapshots := &snapshotStore{}
		store := newStore()
		n := &Node{logs: &keptLogs{store, &snapshots.restored}, snapshots: snapshots}
		for i := range uint64(5) {
			if err := store.StoreLog(&raft.Log{Index: i + 1, Term: 4}); err != nil {
				t.Fatal(err)
			}
		}
		if atStart {
			snapshots.restored.note(raftMeta{Index: 4, Term: 5, Restored: true})
		}
		if err := n.watchGap(); err != nil {
			t.Fatal(err)
		}
		if !atStart {
			snapshots.restored.note(raftMeta{Index: 4, Term: 5, Restored: true})
		}
		for i := range uint64(5) {
			var entry raft.Log
			if err := store.GetLog(i+1, &entry); errors.Is(err, raft.ErrLogNotFound) != (i+1 == 4) {
				t.Errorf("at the start %t: entry %d: %v", atStart, i+1, err)
			}
		}
		if err := n.watchGap(); err != nil { // once more, with nothing left to do
			t.Error(err)
		}
	}
}

// halfRestored is a cluster whose leader had replaced its own state when both followers were gone: nobody else has
// heard of the restore. All nodes are shut down. The backup has one record less than the cluster had.
func halfRestored(t *testing.T) (leader *host, followers []*host, late fsm.RecordID) {
	t.Helper()
	hosts := calmHosts(t) // the leader must not step down before it has begun
	first, _ := formed(t, startAll(t, hosts))
	for _, h := range hosts {
		if h.node == first {
			leader = h
		} else {
			followers = append(followers, h)
		}
	}
	lock, _, _ := furnish(t, first)
	file := backupOf(t, first)
	late = fsm.RecordID{Tenant: lock.Tenant, Scope: "orders", Key: "late"}
	propose(t, first, complete(late, "1"))

	spooled, err := first.spoolBackup(t.Context(), bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	defer spooled.remove()
	if err := first.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	backup, err := spooled.reader(first.identity())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range followers {
		closeNode(t, f.node)
	}
	meta := &raft.SnapshotMeta{Version: snapshotVersion, Size: spooled.size}
	err = restoreError(first.raft.Restore(meta, backup, 0), backup.installed.Load())
	if !errors.Is(err, ErrOutcomeUnknown) {
		t.Fatalf("restored without a majority: %v", err)
	}
	if v, _, _ := first.ReadStale(late); v.State != fsm.StateAbsent {
		t.Fatalf("the leader's own state was not replaced: %+v", v)
	}
	closeNode(t, first)
	return leader, followers, late
}

// TestRestoreOvertaken: the others go on without the restored state. The node that has it gives it up, stops, and has
// the others' state when it is started again.
func TestRestoreOvertaken(t *testing.T) {
	t.Parallel()
	former, others, late := halfRestored(t)
	for _, h := range others {
		h.start(t)
	}
	successor := waitForLeader(t, others[0].node, others[1].node)
	more := late
	more.Key = "more"
	propose(t, successor, complete(more, "2"))

	former.start(t)
	select {
	case err := <-former.node.Fatal():
		if !errors.Is(err, errOvertaken) {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it goes on with a state that nobody else has")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := former.node.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	n := former.start(t)
	waitFor(t, "the node to be ready again", func() bool { return ready(n) })
	waitFor(t, "the node to catch up", func() bool { return n.CatchUp(t.Context()) == nil })
	for _, id := range []fsm.RecordID{late, more} {
		if v, _, _ := n.ReadStale(id); v.State != fsm.StateCompleted {
			t.Errorf("%v: %+v", id, v)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(n.cfg.DataDir, snapshotsDir, "*.tmp")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	waitConverged(t, n, others[0].node, others[1].node)
}

// TestRestoreSurvivesItsLeader: the node that has the restored state leads again, and all nodes get it.
func TestRestoreSurvivesItsLeader(t *testing.T) {
	t.Parallel()
	former, others, late := halfRestored(t)
	former.start(t)
	others[0].start(t)
	leader := waitForLeader(t, former.node, others[0].node)
	if leader != former.node {
		t.Fatal("the node with the shorter log leads")
	}
	others[1].start(t)
	waitConverged(t, former.node, others[0].node, others[1].node)
	for _, h := range []*host{former, others[0], others[1]} {
		if v, _, _ := h.node.ReadStale(late); v.State != fsm.StateAbsent {
			t.Errorf("%s has what the backup has not: %+v", h.node.ID(), v)
		}
	}
	// It is settled now; a snapshot says so, and the log may be compacted again.
	if err := leader.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	if leader.snapshots.restored.newest.Load() != nil {
		t.Error("the restored snapshot is still thought to be the newest")
	}
	if _, err := os.Stat(filepath.Join(leader.cfg.DataDir, snapshotsDir)); err != nil {
		t.Error(err)
	}
}
