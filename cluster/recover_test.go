package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

// orphan is the data directory of a node whose cluster has lost its majority: a snapshot, entries behind it, and a
// configuration with two nodes more than there are.
func orphan(t *testing.T) (dir string, before Status, ids []fsm.RecordID) {
	t.Helper()
	dir, before, ids = snapshottedDir(t)
	store, err := openStore(dir, *logStoreFlag, discardLog)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	last, err := store.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	var entry raft.Log
	if err := store.GetLog(last, &entry); err != nil {
		t.Fatal(err)
	}
	var members raft.Configuration
	for i := range 3 {
		members.Servers = append(members.Servers, raft.Server{
			ID: raft.ServerID(fmt.Sprintf("n%d", i)), Address: raft.ServerAddress(fmt.Sprintf("127.0.0.1:%d", i+1)),
		})
	}
	f := &fatals{}
	g := &storeGuard{deadline: time.Hour, fatal: f.report, observe: func(time.Duration) {}}
	err = (&guardedLogs{g, store}).StoreLog(&raft.Log{
		Index: last + 1, Term: entry.Term, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(members),
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir, before, ids
}

// prepare leaves a plan for a cluster of this node alone.
func prepare(t *testing.T, dir string) Survey {
	t.Helper()
	s, err := PrepareRecovery(dir, nil, time.Now(), "test")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// stores opens what a recovery works on. close is safe to call twice.
func stores(t *testing.T, dir string) (store durableStore, snapshots *snapshotStore, done func()) {
	t.Helper()
	bolt, err := openStore(dir, *logStoreFlag, discardLog)
	if err != nil {
		t.Fatal(err)
	}
	snapshots, err = openSnapshots(dir, raftLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	return bolt, snapshots, func() { _ = bolt.Close() }
}

// carryOut does what Open does with a plan.
func carryOut(t *testing.T, dir string) error {
	t.Helper()
	store, snapshots, done := stores(t, dir)
	defer done()
	return carryOutRecovery(Config{DataDir: dir}.withDefaults(), "n0", store, snapshots)
}

// checkRecovered opens the node and compares what it serves with what there was.
func checkRecovered(t *testing.T, dir string, before Status, ids []fsm.RecordID, epoch uint64) {
	t.Helper()
	n := openNode(t, Config{DataDir: dir})
	waitForLeader(t, n)
	for i, id := range ids {
		want := fsm.StateLocked
		if i%2 == 0 {
			want = fsm.StateCompleted
		}
		if v, _, err := n.Read(t.Context(), id); err != nil || v.State != want {
			t.Errorf("record %d: %v, %v", i, v.State, err)
		}
	}
	if s := n.Status(); s.Records != before.Records || s.Locks != before.Locks {
		t.Errorf("%d records and %d locks, there were %d and %d", s.Records, s.Locks, before.Records, before.Locks)
	}
	id := fsm.RecordID{Tenant: ids[0].Tenant, Scope: "orders", Key: "after"}
	if got := propose(t, n, claim(id, "owner")); got.Outcome != fsm.Granted || got.Fence>>40 != epoch {
		t.Errorf("%v, fence %d of epoch %d, want epoch %d", got.Outcome, got.Fence, got.Fence>>40, epoch)
	}
	servers := n.servers()
	if len(servers) != 1 || servers[0].ID != "n0" {
		t.Errorf("the cluster is %v", servers)
	}
	closeNode(t, n)
}

func TestRecover(t *testing.T) {
	t.Parallel()
	dir, before, ids := orphan(t)
	found, err := SurveyDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	if found.NodeID != "n0" || found.ClusterID == "" || found.Epoch != 1 || found.Records != 3 || found.Locks != 3 ||
		found.Tenants != 1 || len(found.Members) != 3 || found.ConfigurationIndex != found.LastIndex ||
		found.SnapshotIndex == 0 || found.SnapshotIndex >= found.LastIndex || found.LastTerm == 0 || found.Planned {
		t.Fatalf("%+v", found)
	}
	if planned := prepare(t, dir); !reflect.DeepEqual(planned, found) {
		t.Errorf("found %+v, planned for %+v", found, planned)
	}
	if found, err := SurveyDirectory(dir); err != nil || !found.Planned {
		t.Errorf("%+v %v", found, err)
	}
	checkRecovered(t, dir, before, ids, 2)
	if _, err := os.Stat(filepath.Join(dir, recoveryFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the plan is still there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, recoveredFile)); err != nil {
		t.Error(err)
	}
	checkRecoveredAgain(t, dir, before, ids)
	n := openNode(t, Config{DataDir: dir})
	for _, lost := range []string{"n1", "n2"} {
		waitFor(t, lost+" to be retired", func() bool {
			m := n.Directory().Member(lost)
			return m != nil && m.Retired()
		})
	}
}

// TestRecoverEndsARestore: what was being restored is the state of the cluster once it is recovered.
func TestRecoverEndsARestore(t *testing.T) {
	t.Parallel()
	dir, _, _ := orphan(t)
	prepare(t, dir)
	store, snapshots, done := stores(t, dir)
	defer done()
	last, err := store.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	snapshots.restored.note(raftMeta{Index: last, Term: 1, Restored: true})
	lost, err := applyRecovery(Config{DataDir: dir}.withDefaults(), "n0", store, snapshots)
	if err != nil || !slices.Equal(lost, []string{"n1", "n2"}) {
		t.Fatal(lost, err)
	}
	if got := snapshots.restored.newest.Load(); got != nil {
		t.Errorf("%+v counts as restored still", got)
	}
}

// TestRecoverWithAClockBehind: snapshots of the same entry are told apart by when they were written. If the clock says
// that a new one is older, raft would go on with the old one, and that must not go unnoticed.
func TestRecoverWithAClockBehind(t *testing.T) {
	t.Parallel()
	dir, _, _ := orphan(t)
	prepare(t, dir)
	if err := carryOut(t, dir); err != nil { // now everything is in a snapshot
		t.Fatal(err)
	}
	newest, err := newestSnapshot(filepath.Join(dir, snapshotsDir))
	if err != nil {
		t.Fatal(err)
	}
	order, _ := snapshotOrder(filepath.Base(newest))
	future := fmt.Sprintf("%d-%d-%d", order[0], order[1], order[2]+uint64(time.Hour.Milliseconds()))
	rewrite(t, filepath.Join(newest, "meta.json"), func(b []byte) []byte {
		return bytes.ReplaceAll(b, []byte(filepath.Base(newest)), []byte(future))
	})
	if err := os.Rename(newest, filepath.Join(dir, snapshotsDir, future)); err != nil {
		t.Fatal(err)
	}
	if _, err := PrepareRecovery(dir, []RecoveryPeer{{"n0", "10.0.0.1:4100"}}, time.Now(), "test"); err != nil {
		t.Fatal(err)
	}
	if err := carryOut(t, dir); err == nil || !strings.Contains(err.Error(), "clock of this machine") {
		t.Errorf("%v", err)
	}
	if found, err := SurveyDirectory(dir); err != nil || !found.Planned {
		t.Errorf("%+v %v", found, err)
	}
}

// checkRecoveredAgain recovers a directory a second time: the fences rise once more.
func checkRecoveredAgain(t *testing.T, dir string, before Status, ids []fsm.RecordID) {
	t.Helper()
	if s := prepare(t, dir); s.Epoch != 2 {
		t.Errorf("epoch %d", s.Epoch)
	}
	before.Locks++ // of the check before
	n := openNode(t, Config{DataDir: dir})
	waitForLeader(t, n)
	id := fsm.RecordID{Tenant: ids[0].Tenant, Scope: "orders", Key: "again"}
	if got := propose(t, n, claim(id, "owner")); got.Fence>>40 != 3 {
		t.Errorf("a fence of epoch %d", got.Fence>>40)
	}
	if s := n.Status(); s.Records != before.Records || s.Locks != before.Locks+1 {
		t.Errorf("%d records and %d locks", s.Records, s.Locks)
	}
	closeNode(t, n)
}

// TestRecoverChangesNothing: looking does not.
func TestRecoverChangesNothing(t *testing.T) {
	t.Parallel()
	dir, _, _ := orphan(t)
	content := func() map[string]string {
		all := make(map[string]string)
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			raw, err := os.ReadFile(path)
			all[path] = string(raw)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := content()
	if _, err := SurveyDirectory(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := PrepareRecovery(dir, []RecoveryPeer{{"n1", "127.0.0.1:1"}}, time.Now(), "test"); err == nil {
		t.Error("a plan without this node was written")
	}
	if !reflect.DeepEqual(content(), before) {
		t.Error("something was changed")
	}
}

var errCut = errors.New("the power was cut")

// cutSnapshots fails where a snapshot is begun, in the middle of it, or where it is about to be complete.
type cutSnapshots struct {
	raft.SnapshotStore
	at string
}

func (s *cutSnapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	if s.at == "create" {
		return nil, errCut
	}
	sink, err := s.SnapshotStore.Create(version, index, term, configuration, configurationIndex, trans)
	return &cutSink{sink, s.at}, err
}

// cutSink leaves everything as it is when it fails.
type cutSink struct {
	raft.SnapshotSink
	at string
}

func (s *cutSink) Write(p []byte) (int, error) {
	if s.at == "write" {
		_, _ = s.SnapshotSink.Write(p[:len(p)/2])
		return 0, errCut
	}
	return s.SnapshotSink.Write(p)
}

func (s *cutSink) Close() error {
	if s.at == "close" {
		return errCut
	}
	return s.SnapshotSink.Close()
}

func (s *cutSink) Cancel() error { return errCut }

// cutLogs fails before or after the log is removed.
type cutLogs struct {
	raft.LogStore
	at string
}

func (s *cutLogs) DeleteRange(lo, hi uint64) error {
	if s.at == "delete" {
		return errCut
	}
	return errors.Join(s.LogStore.DeleteRange(lo, hi), errCut)
}

// TestRecoverCutShort cuts a recovery short at every step, once or three times, and lets the next start do it.
func TestRecoverCutShort(t *testing.T) {
	t.Parallel()
	dir, before, ids := orphan(t)
	prepare(t, dir)
	cuts := map[string]func(*recovery) error{
		"before anything": func(*recovery) error { return errCut },
		"checked":         func(r *recovery) error { return errors.Join(r.check(), errCut) },
		"verified":        func(r *recovery) error { return errors.Join(r.check(), r.rewrite(), r.verify(), errCut) },
	}
	for _, at := range []string{"create", "write", "close"} {
		cuts["snapshot: "+at] = func(r *recovery) error {
			r.snapshots.SnapshotStore = &cutSnapshots{r.snapshots.SnapshotStore, at}
			return errors.Join(r.check(), r.rewrite())
		}
	}
	for _, at := range []string{"delete", "deleted"} {
		cuts["log: "+at] = func(r *recovery) error {
			r.logs = &cutLogs{r.logs, at}
			return errors.Join(r.check(), r.rewrite())
		}
	}
	for name, cut := range cuts {
		for _, times := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, %d times", name, times), func(t *testing.T) {
				t.Parallel()
				dir := copyDir(t, dir)
				for range times {
					cutShort(t, dir, cut)
				}
				checkRecovered(t, dir, before, ids, 2)
			})
		}
	}
}

// cutShort begins a recovery and has it fail with errCut.
func cutShort(t *testing.T, dir string, cut func(*recovery) error) {
	t.Helper()
	store, snapshots, done := stores(t, dir)
	defer done()
	r := newRecovery(Config{DataDir: dir}.withDefaults(), store, snapshots)
	if err := readDocument(filepath.Join(dir, recoveryFile), &r.plan); err != nil {
		t.Fatal(err)
	}
	if err := cut(r); err == nil || !strings.Contains(err.Error(), errCut.Error()) {
		t.Fatalf("it was not cut short: %v", err)
	}
}

// TestRecoveryRefused: a plan that cannot be trusted is not followed, and the node does not start without it either.
func TestRecoveryRefused(t *testing.T) {
	t.Parallel()
	intact, _, _ := orphan(t)
	prepare(t, intact)
	change := func(f func(*recoveryPlan)) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, recoveryFile)
			var p recoveryPlan
			if err := readDocument(path, &p); err != nil {
				t.Fatal(err)
			}
			f(&p)
			if err := writeDocument(path, p); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		spoil func(*testing.T, string)
		words string
	}{
		"a bit flipped": {func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, recoveryFile), func(b []byte) []byte { b[20] ^= 1; return b })
		}, "damaged"},
		"cut off": {func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, recoveryFile), func(b []byte) []byte { return b[:len(b)-4] })
		}, "damaged"},
		"empty":           {func(t *testing.T, dir string) { rewriteNew(t, filepath.Join(dir, recoveryFile)) }, "damaged"},
		"newer":           {change(func(p *recoveryPlan) { p.Version = 2 }), "format version 2"},
		"another node's":  {change(func(p *recoveryPlan) { p.NodeID, p.Voters[0].ID = "n1", "n1" }), "made for node n1"},
		"without voters":  {change(func(p *recoveryPlan) { p.Voters = nil }), "0 peers"},
		"without an end":  {change(func(p *recoveryPlan) { p.LastIndex = 0 }), "incomplete"},
		"an old epoch":    {change(func(p *recoveryPlan) { p.Epoch = 1 }), "incomplete"},
		"no such epoch":   {change(func(p *recoveryPlan) { p.Epoch = 1 << 20 }), "cannot go on"},
		"log has grown":   {change(func(p *recoveryPlan) { p.LastIndex-- }), "run syllecta recover again"},
		"log of a term":   {change(func(p *recoveryPlan) { p.LastTerm++ }), "run syllecta recover again"},
		"without address": {change(func(p *recoveryPlan) { p.Voters[0].Address = "" }), "host:port"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := copyDir(t, intact)
			c.spoil(t, dir)
			for range 2 {
				err := carryOut(t, dir)
				if err == nil || !strings.Contains(err.Error(), c.words) || !strings.Contains(err.Error(), recoveryFile) {
					t.Fatalf("%v does not say %q", err, c.words)
				}
			}
		})
	}
}

// TestSurveyRefused: what is no stopped node's intact directory.
func TestSurveyRefused(t *testing.T) {
	t.Parallel()
	intact, _, _ := orphan(t)
	running := copyDir(t, intact)
	store, _, done := stores(t, running)
	defer done()
	_ = store
	neverFormed := t.TempDir()
	closeNode(t, openNode(t, Config{DataDir: neverFormed}))
	damagedSnapshot, damagedLog := copyDir(t, intact), copyDir(t, intact)
	newest, err := newestSnapshot(filepath.Join(damagedSnapshot, snapshotsDir))
	if err != nil {
		t.Fatal(err)
	}
	rewrite(t, filepath.Join(newest, "state.bin"), func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
	editEntries(t, damagedLog, func(_ uint64, value []byte) { value[len(value)/2] ^= 1 })
	for dir, words := range map[string]string{
		running:                               "another process uses this data directory",
		t.TempDir():                           "not the data directory of a node",
		filepath.Join(t.TempDir(), "nowhere"): "not the data directory of a node",
		neverFormed:                           "never been a member",
		damagedSnapshot:                       "is damaged",
		damagedLog:                            "log entry",
	} {
		if s, err := SurveyDirectory(dir); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%+v, %v does not say %q", s, err, words)
		}
		if _, err := PrepareRecovery(dir, nil, time.Now(), "test"); err == nil {
			t.Errorf("a plan was made where it should be said: %s", words)
		}
	}
}

func TestRecoveryPeers(t *testing.T) {
	t.Parallel()
	many := make([]RecoveryPeer, MaxBootstrapExpect+1)
	for _, c := range []struct {
		peers []RecoveryPeer
		words string // "" if they are right
	}{
		{[]RecoveryPeer{{"n0", "10.0.0.1:4100"}}, ""},
		{[]RecoveryPeer{{"n1", "n1.example:4100"}, {"n0", "[::1]:4100"}}, ""},
		{nil, "0 peers"},
		{many, "10 peers"},
		{[]RecoveryPeer{{"n1", "10.0.0.1:4100"}}, "must be one of the peers"},
		{[]RecoveryPeer{{"n0", "10.0.0.1"}}, "host:port"},
		{[]RecoveryPeer{{"n0", ":4100"}}, "host:port"},
		{[]RecoveryPeer{{"n0", "10.0.0.1:4100"}, {"n 1", "10.0.0.2:4100"}}, "peer id"},
		{[]RecoveryPeer{{"n0", "10.0.0.1:4100"}, {"n0", "10.0.0.2:4100"}}, "twice"},
		{[]RecoveryPeer{{"n0", "10.0.0.1:4100"}, {"n1", "10.0.0.1:4100"}}, "twice"},
	} {
		err := validatePeers("n0", c.peers)
		if (err == nil) != (c.words == "") || err != nil && !strings.Contains(err.Error(), c.words) {
			t.Errorf("%v: %v, want %q", c.peers, err, c.words)
		}
	}
}
