package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/syllecta/syllecta/fsm"
	"github.com/syllecta/syllecta/snapshot"
)

// furnish gives a cluster a tenant with a key, a lock that lives and a completed record, and returns what to look for.
func furnish(t *testing.T, leader *Node) (lock, done fsm.RecordID, granted fsm.Result) {
	t.Helper()
	tenant := newTenant(t, leader)
	propose(t, leader, fsm.CreateKey{Tenant: tenant, PublicID: "key_1", Name: "ci", Hash: [32]byte{7}, Hint: "abcd"})
	lock = fsm.RecordID{Tenant: tenant, Scope: "orders", Key: "locked"}
	done = fsm.RecordID{Tenant: tenant, Scope: "orders", Key: "done"}
	granted = propose(t, leader, claim(lock, "holder"))
	propose(t, leader, claim(done, "holder"))
	propose(t, leader, complete(done, `{"n":1}`))
	return lock, done, granted
}

// newCalmCluster is newCluster with nodes that are in no hurry to elect another leader: a restore is meant to succeed,
// however busy the machine is.
func newCalmCluster(t *testing.T) (leader *Node, followers []*Node) {
	t.Helper()
	return formed(t, startAll(t, calmHosts(t)))
}

func calmHosts(t *testing.T) []*host {
	t.Helper()
	hosts := newHosts(t, 3, 3)
	for _, h := range hosts {
		h.cfg.RaftMultiplier = 5
	}
	return hosts
}

func backupOf(t *testing.T, n *Node) []byte {
	t.Helper()
	var file bytes.Buffer
	info, err := n.Backup(t.Context(), &file)
	if err != nil {
		t.Fatal(err)
	}
	if info.ClusterID != n.Directory().ClusterID || info.NodeID != n.ID() || info.Index == 0 || info.Epoch == 0 {
		t.Errorf("backup info: %+v", info)
	}
	return file.Bytes()
}

func restoreInto(t *testing.T, n *Node, file []byte) Restored {
	t.Helper()
	done, err := n.Restore(t.Context(), bytes.NewReader(file), RestoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// wantNoSpool checks that no upload is left behind.
func wantNoSpool(t *testing.T, n *Node) {
	t.Helper()
	if left, _ := filepath.Glob(filepath.Join(n.cfg.DataDir, spoolPattern)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestRestore brings a cluster back to a backup that each node in turn has made: records, locks, keys and usage are
// the backup's on every node, fences are above all there ever were, and nothing is taken for damage.
func TestRestore(t *testing.T) {
	t.Parallel()
	leader, followers := newCalmCluster(t)
	lock, done, granted := furnish(t, leader)
	for round, source := range append(followers, leader) {
		file := backupOf(t, source)
		later := fsm.RecordID{Tenant: lock.Tenant, Scope: "orders", Key: fmt.Sprint("later ", round)}
		lost := propose(t, leader, claim(later, "late"))
		clockBefore, id := leader.Status().ClockMs, leader.Directory().ClusterID
		r := restoreInto(t, leader, file)
		if r.Records != 1 || r.Epoch <= lost.Fence>>40 || r.Backup.NodeID != source.ID() {
			t.Errorf("restored %+v from %s", r, source.ID())
		}
		if s := leader.Status(); s.ClockMs < clockBefore || s.ClusterID != id {
			t.Errorf("after the restore: %+v, the clock was %d", s, clockBefore)
		}
		for _, n := range append(followers, leader) {
			if err := n.CatchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			if v, _, _ := n.ReadStale(done); string(v.Record.Body) != `{"n":1}` {
				t.Errorf("%s: %+v", n.ID(), v)
			}
			if v, _, _ := n.ReadStale(lock); v.State != fsm.StateLocked {
				t.Errorf("%s: %+v", n.ID(), v)
			}
			if v, _, _ := n.ReadStale(later); v.State != fsm.StateAbsent {
				t.Errorf("%s has what came after the backup: %+v", n.ID(), v)
			}
			if n.Usage(lock.Tenant).Claims != 2 || n.Directory().KeyByHash([32]byte{7}) == nil {
				t.Errorf("%s: usage %+v", n.ID(), n.Usage(lock.Tenant))
			}
		}
		again := propose(t, leader, claim(lock, "holder"))
		next := propose(t, leader, claim(later, "again"))
		if !again.Reentered || again.Fence != granted.Fence || next.Fence <= lost.Fence {
			t.Errorf("first %+v, again %+v, next %+v after %+v", granted, again, next, lost)
		}
		propose(t, leader, fsm.Delete{ID: later})
		restoreInto(t, leader, file) // also with the usage
	}
	waitConverged(t, append(followers, leader)...)
	wantNoSpool(t, leader)
}

// waitConverged waits until all nodes have the same state at the same index, beyond a checkpoint of digests.
func waitConverged(t *testing.T, nodes ...*Node) {
	t.Helper()
	leader := waitForLeader(t, nodes...)
	for range 2 * checkpointEvery {
		if _, _, err := leader.Propose(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want := leader.Status()
	for _, n := range nodes {
		waitFor(t, n.ID()+" to catch up", func() bool { return n.Status().AppliedIndex >= want.AppliedIndex })
		if got := n.Status(); got.AppliedIndex == want.AppliedIndex && got.Digest != want.Digest {
			t.Errorf("%s has digest %x, not %x", n.ID(), got.Digest, want.Digest)
		}
	}
	time.Sleep(3 * pingEvery) // for the nodes to compare their digests
	for _, n := range nodes {
		select {
		case err := <-n.Fatal():
			t.Errorf("%s: %v", n.ID(), err)
		default:
		}
	}
}

// TestRestoreIntoFreshCluster: what a cluster had is there in another one, which keeps its own identity and remembers
// it all after a restart.
func TestRestoreIntoFreshCluster(t *testing.T) {
	t.Parallel()
	old := openNode(t, Config{NodeID: "old", BootstrapExpect: 1})
	lock, done, granted := furnish(t, waitForLeader(t, old))
	file := backupOf(t, old)
	cfg := Config{NodeID: "new", BootstrapExpect: 1, DataDir: filepath.Join(t.TempDir(), "data"), RaftAddr: freeAddr(t)}
	n := openNode(t, cfg)
	id := waitForLeader(t, n).Directory().ClusterID
	wantWayBack(t, n, restoreInto(t, n, file))
	check := func(n *Node) {
		t.Helper()
		waitForLeader(t, n)
		if n.Directory().ClusterID != id || n.Directory().KeyByHash([32]byte{7}) == nil {
			t.Errorf("cluster %s, was %s", n.Directory().ClusterID, id)
		}
		if v, _, err := n.Read(t.Context(), done); err != nil || string(v.Record.Body) != `{"n":1}` {
			t.Errorf("%+v, %v", v, err)
		}
		other := fsm.RecordID{Tenant: lock.Tenant, Scope: "orders", Key: rand.Text()}
		if r := propose(t, n, claim(other, "new")); r.Fence <= granted.Fence {
			t.Errorf("fence %d after %d", r.Fence, granted.Fence)
		}
	}
	check(n)
	closeNode(t, n)
	n = openNode(t, cfg)
	check(n)
	// A snapshot of its own is newer than the restored one: what is remembered of that one is forgotten.
	if err := n.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	if n.snapshots.restored.newest.Load() != nil {
		t.Error("the restored snapshot is still thought to be the newest")
	}
	// Now that there are tenants, another cluster's backup is refused unless it is wanted.
	_, err := n.Restore(t.Context(), bytes.NewReader(file), RestoreOptions{})
	wantReason(t, err, ReasonOtherCluster, old.Directory().ClusterID, id)
	if _, err := n.Restore(t.Context(), bytes.NewReader(file), RestoreOptions{OtherCluster: true}); err != nil {
		t.Error(err)
	}
}

// wantWayBack checks that the state before a restore is at hand: raft took a snapshot of it, and none meanwhile.
func wantWayBack(t *testing.T, n *Node, r Restored) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(n.cfg.DataDir, snapshotsDir))
	if err != nil {
		t.Fatal(err)
	}
	var indexes []uint64
	for _, e := range entries {
		if order, ok := snapshotOrder(e.Name()); ok {
			indexes = append(indexes, order[1])
		}
	}
	slices.Sort(indexes)
	if want := []uint64{r.Index - 1, r.Index}; !slices.Equal(indexes, want) {
		t.Errorf("there are snapshots of indexes %d, want %d", indexes, want)
	}
}

func wantReason(t *testing.T, err error, reason Reason, words ...string) {
	t.Helper()
	var refusal *Refusal
	if !errors.As(err, &refusal) || refusal.Reason != reason {
		t.Fatalf("got %v, want a refusal for %s", err, reason)
	}
	for _, w := range words {
		if !strings.Contains(refusal.Detail, w) {
			t.Errorf("%q does not say %q", refusal.Detail, w)
		}
	}
}

// TestRestoreRefusesDamage damages a backup at every place in turn. The state stays as it is, and serving goes on.
func TestRestoreRefusesDamage(t *testing.T) {
	t.Parallel()
	n := openNode(t, Config{BootstrapExpect: 1})
	_, done, _ := furnish(t, waitForLeader(t, n))
	file := backupOf(t, n)
	before, epoch := n.Status(), n.identity().Epoch
	try := func(what string, damaged []byte) {
		t.Helper()
		_, err := n.Restore(t.Context(), bytes.NewReader(damaged), RestoreOptions{})
		var refusal *Refusal
		if !errors.As(err, &refusal) || refusal.Reason != ReasonBadSnapshot {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for at := range file {
		damaged := bytes.Clone(file)
		damaged[at] ^= 1 << (at % 8)
		try(fmt.Sprintf("byte %d of %d", at, len(file)), damaged)
		try(fmt.Sprintf("cut to %d of %d", at, len(file)), file[:at])
	}
	try("a byte more", append(bytes.Clone(file), 0))
	try("twice", append(bytes.Clone(file), file...))
	try("no snapshot", []byte(`{"hello":"world"}`))
	after := n.Status()
	if after.Locks != before.Locks || after.Records != before.Records || n.identity().Epoch != epoch {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if v, _, err := n.Read(t.Context(), done); err != nil || v.State != fsm.StateCompleted {
		t.Errorf("%+v, %v", v, err)
	}
	wantNoSpool(t, n)
}

// TestRestoreRefusesNewer: what a later release has written is refused by its name, not taken for damage.
func TestRestoreRefusesNewer(t *testing.T) {
	t.Parallel()
	n := openNode(t, Config{BootstrapExpect: 1, Version: "1.2.3"})
	furnish(t, waitForLeader(t, n))
	refused := func(what string, file []byte, words ...string) {
		t.Helper()
		_, err := n.Restore(t.Context(), bytes.NewReader(file), RestoreOptions{})
		t.Log(what, err)
		wantReason(t, err, ReasonNewerSnapshot, words...)
	}
	refused("format", newerFormat(), "1.2.3")
	refused("section", sections(t, backupSection(sectionBackupVersion+1)), "1.2.3")
	refused("state", sections(t, backupSection(sectionBackupVersion), 50), "1.2.3")
	_, err := n.Restore(t.Context(), bytes.NewReader(sections(t)), RestoreOptions{})
	wantReason(t, err, ReasonBadSnapshot, "does not say where it is from")
}

// newerFormat is the file header of a later format version, as the first sixteen bytes are in every version.
func newerFormat() []byte {
	return fileHeader(snapshot.FormatVersion + 1)
}

// TestRestoreOnFollower: only the leader does it, and a follower reads nothing of what it gets.
func TestRestoreOnFollower(t *testing.T) {
	t.Parallel()
	leader, followers := newCluster(t)
	file := bytes.NewReader(backupOf(t, leader))
	size := file.Len()
	_, err := followers[0].Restore(t.Context(), file, RestoreOptions{})
	if !errors.Is(err, ErrNotLeader) || file.Len() != size {
		t.Errorf("%v, %d of %d bytes left", err, file.Len(), size)
	}
	wantNoSpool(t, followers[0])
}

// TestRestoreUnderLoad restores while claims and completes come in and callers wait for locks. Whoever is answered is
// answered in truth: nothing acknowledged after the restore is missing, and no call hangs.
func TestRestoreUnderLoad(t *testing.T) {
	t.Parallel()
	leader, followers := newCalmCluster(t)
	lock, _, _ := furnish(t, leader)
	file := backupOf(t, leader)

	waited := make(chan error, 1)
	go func() {
		results, _, err := leader.Propose(t.Context(), Call{Command: claim(lock, "somebody else"), Wait: MaxWait})
		if err == nil && results[0].Outcome != fsm.InProgress {
			err = fmt.Errorf("%+v", results[0])
		}
		waited <- err
	}()
	waitFor(t, "somebody to wait for the lock", func() bool {
		leader.proposer.mu.Lock()
		defer leader.proposer.mu.Unlock()
		return leader.proposer.waits.count == 1
	})

	var mu sync.Mutex
	acknowledged := make(map[fsm.RecordID]uint64) // by index
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	defer load.Wait()
	defer stop()
	for worker := range 8 {
		load.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := fsm.RecordID{Tenant: lock.Tenant, Scope: "load", Key: fmt.Sprint(worker, " ", i)}
				_, at, err := leader.Propose(t.Context(), Call{Command: complete(id, "1")})
				switch {
				case err == nil:
					mu.Lock()
					acknowledged[id] = at.Index
					mu.Unlock()
				case errors.Is(err, ErrUnavailable):
					time.Sleep(quietPoll)
				default:
					t.Errorf("under load: %v", err)
					stop()
				}
			}
		})
	}
	waitFor(t, "some load", func() bool { mu.Lock(); defer mu.Unlock(); return len(acknowledged) > 100 })
	var restoredAt uint64
	for range 3 {
		r, err := leader.Restore(t.Context(), bytes.NewReader(file), RestoreOptions{})
		if err != nil {
			t.Fatal(err)
		}
		restoredAt = r.Index
	}
	mu.Lock()
	before := len(acknowledged)
	mu.Unlock()
	waitFor(t, "load afterwards", func() bool { mu.Lock(); defer mu.Unlock(); return len(acknowledged) > before+100 })
	stop()
	load.Wait()
	if err := <-waited; err != nil {
		t.Errorf("who waited was told %v", err)
	}
	lost := 0
	for id, index := range acknowledged {
		v, _, err := leader.Read(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if kept := v.State == fsm.StateCompleted; kept != (index > restoredAt) {
			t.Fatalf("%v, acknowledged at %d, restored at %d: %+v", id, index, restoredAt, v)
		}
		if index <= restoredAt {
			lost++
		}
	}
	t.Logf("%d acknowledged, %d of them before the restore", len(acknowledged), lost)
	waitConverged(t, append(followers, leader)...)
}

// TestOneRestoreAtATime refuses a second restore while the first still receives its backup.
func TestOneRestoreAtATime(t *testing.T) {
	t.Parallel()
	n := openNode(t, Config{BootstrapExpect: 1})
	furnish(t, waitForLeader(t, n))
	file := backupOf(t, n)
	r, w := io.Pipe()
	first := make(chan error, 1)
	go func() {
		_, err := n.Restore(t.Context(), r, RestoreOptions{})
		first <- err
	}()
	if _, err := w.Write(file[:1]); err != nil {
		t.Fatal(err)
	}
	_, err := n.Restore(t.Context(), bytes.NewReader(file), RestoreOptions{})
	wantReason(t, err, ReasonChangePending)
	propose(t, n, claim(record("meanwhile"), "a")) // nothing is suspended yet
	if _, err := w.Write(file[1:]); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := <-first; err != nil {
		t.Error(err)
	}
	// A caller that breaks off leaves nothing behind.
	_, err = n.Restore(t.Context(), io.MultiReader(bytes.NewReader(file[:100]), failingReader{}), RestoreOptions{})
	if !errors.Is(err, errHungUp) {
		t.Error(err)
	}
	wantNoSpool(t, n)
}

var errHungUp = errors.New("hung up")

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errHungUp }

// TestSpoolLeftovers: what a crash left of an upload is removed when the node starts.
func TestSpoolLeftovers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	left := filepath.Join(dir, strings.Replace(spoolPattern, "*", "123", 1))
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := openNode(t, Config{DataDir: dir, BootstrapExpect: 1})
	wantNoSpool(t, n)
}

// TestRestoreNeedsRoom: an upload ends before the disk is full.
func TestRestoreNeedsRoom(t *testing.T) {
	t.Parallel()
	f, err := os.CreateTemp(t.TempDir(), spoolPattern)
	if err != nil {
		t.Fatal(err)
	}
	s := &spool{file: f}
	defer s.remove()
	err = s.fill(t.Context(), endlessReader{}, func(bytes int64) error {
		if bytes > 3*spoolChunk {
			return ErrStorageFull
		}
		return nil
	})
	if !errors.Is(err, ErrStorageFull) || s.size != 3*spoolChunk {
		t.Errorf("%d bytes were kept: %v", s.size, err)
	}
}

type endlessReader struct{}

func (endlessReader) Read(p []byte) (int, error) { return len(p), nil }

// fileHeader is the header of a snapshot file of that format version; see the documentation of package snapshot.
func fileHeader(version uint16) []byte {
	b := append([]byte("\x89SYL\r\n\x1a\n"), byte(version), byte(version>>8), 0, 0)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// backupSection stands for sectionBackup of that version among the sections of a hand-made file.
func backupSection(version uint16) int { return -int(version) }

// sections is an intact file of these sections, each with an empty JSON object.
func sections(t *testing.T, ids ...int) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := snapshot.NewWriter(&file)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		section, version := snapshot.SectionID(id), uint16(1)
		if id < 0 {
			section, version = sectionBackup, uint16(-id)
		}
		if err := errors.Join(w.Begin(section, version), w.Append([]byte("{}"))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}
