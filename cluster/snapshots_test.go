package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
	"github.com/syllecta/syllecta/snapshot"
)

// snapshottedDir is the data directory of a single node that holds a few records, locks and a key, two snapshots, and
// a few entries behind them.
func snapshottedDir(t *testing.T) (dir string, status Status, ids []fsm.RecordID) {
	t.Helper()
	return snapshottedDirOf(t, *logStoreFlag)
}

// snapshottedDirOf is snapshottedDir with a log of a kind.
func snapshottedDirOf(t *testing.T, kind string) (dir string, status Status, ids []fsm.RecordID) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	n := openNode(t, Config{DataDir: dir, NodeID: "n0", BootstrapExpect: 1, LogStore: kind})
	waitForLeader(t, n)
	tenant := newTenant(t, n)
	propose := func(cmd fsm.Command) {
		if _, _, err := n.Propose(t.Context(), Call{Command: cmd}); err != nil {
			t.Fatal(err)
		}
	}
	propose(fsm.CreateKey{Tenant: tenant, PublicID: "key_1", Name: "ci", Hash: [32]byte{7}, Hint: "abcd"})
	for i := range 6 {
		id := fsm.RecordID{Tenant: tenant, Scope: "orders", Key: fmt.Sprint(i)}
		ids = append(ids, id)
		propose(claim(id, "owner"))
		if i%2 == 0 {
			propose(fsm.Complete{ID: id, Status: 201, Headers: []byte("{}"), Body: []byte(`{"n":1}`), TTLMs: 86_400_000})
		}
		if i == 1 || i == 3 {
			if err := n.raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
		}
	}
	status = n.Status()
	closeNode(t, n)
	return dir, status, ids
}

// newestIn returns the path of the newest snapshot of a data directory.
func newestIn(t *testing.T, dir string) string {
	t.Helper()
	path, err := newestSnapshot(filepath.Join(dir, snapshotsDir))
	if err != nil || path == "" {
		t.Fatalf("no snapshot: %v", err)
	}
	return path
}

// refuseToOpen opens a node on a directory, which must fail with these words.
func refuseToOpen(t *testing.T, dir string, words ...string) {
	t.Helper()
	n, err := Open(t.Context(), Config{DataDir: dir, BootstrapExpect: 1, RaftAddr: freeAddr(t)})
	if err == nil {
		closeNode(t, n)
		t.Error("the damage went unnoticed")
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
}

// TestRestartFromSnapshot: a snapshot and the entries behind it give the state there was.
func TestRestartFromSnapshot(t *testing.T) {
	t.Parallel()
	dir, before, ids := snapshottedDir(t)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the data directory has mode %v, %v", info.Mode(), err)
	}
	n := openNode(t, Config{DataDir: dir, BootstrapExpect: 0})
	// The state of the moment before this node led again: what the snapshot and the log have, and nothing else.
	waitForLeader(t, n)
	after := n.Status()
	if after.Records != before.Records || after.Locks != before.Locks ||
		after.ClusterID != before.ClusterID || after.ClusterID == "" {
		t.Errorf("before %+v, after %+v", before, after)
	}
	for i, id := range ids {
		v, _, err := n.Read(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		want := fsm.StateLocked
		if i%2 == 0 {
			want = fsm.StateCompleted
		}
		if v.State != want || want == fsm.StateCompleted && string(v.Record.Body) != `{"n":1}` {
			t.Errorf("record %d: %+v", i, v)
		}
	}
	tenant := n.Directory().Tenant(1)
	if tenant == nil || tenant.Slug != "demo" || n.Usage(1).Claims != 6 {
		t.Errorf("tenant %+v, usage %+v", tenant, n.Usage(1))
	}
}

// TestReplayGivesTheSameDigest restores the snapshot and applies the log behind it, as raft does at a start.
func TestReplayGivesTheSameDigest(t *testing.T) {
	t.Parallel()
	dir, before, _ := snapshottedDir(t)
	a, f := newTestApplier()
	snapshots, err := openSnapshots(dir, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	all, err := snapshots.List()
	if err != nil || len(all) != 1 {
		t.Fatalf("%d snapshots are offered, %v", len(all), err)
	}
	_, file, err := snapshots.Open(all[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Restore(file); err != nil {
		t.Fatal(err)
	}
	restored := a.applied.get()
	if restored == 0 || restored > all[0].Index || a.machine.Digest() == before.Digest {
		t.Fatalf("restored up to %d from a snapshot at %d", restored, all[0].Index)
	}
	withLogs(t, dir, *logStoreFlag, f, func(logs *guardedLogs) {
		last, _ := logs.LastIndex()
		for index := all[0].Index + 1; index <= last; index++ {
			var entry raft.Log
			if err := logs.GetLog(index, &entry); err != nil {
				t.Fatal(err)
			}
			a.Apply(&entry)
		}
	})
	f.none(t)
	if a.machine.Digest() != before.Digest || a.machine.Index() != before.AppliedIndex {
		t.Errorf("digest %x at %d, was %x at %d", a.machine.Digest(), a.machine.Index(), before.Digest, before.AppliedIndex)
	}
}

// TestEveryByteOfASnapshot damages each byte of a snapshot's contents. None may be taken for good, nor replace a state.
func TestEveryByteOfASnapshot(t *testing.T) {
	t.Parallel()
	dir, _, _ := snapshottedDir(t)
	intact, err := os.ReadFile(filepath.Join(newestIn(t, dir), "state.bin"))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := newTestApplier()
	restore := func(b []byte) error { return a.Restore(io.NopCloser(bytes.NewReader(b))) }
	for at := range intact {
		for _, mask := range []byte{0x01, 0xff} {
			damaged := bytes.Clone(intact)
			damaged[at] ^= mask
			if err := restore(damaged); err == nil {
				t.Fatalf("byte %d of %d changed by %#x went unnoticed", at, len(intact), mask)
			}
		}
		if err := restore(intact[:at]); err == nil {
			t.Fatalf("cut off at byte %d of %d went unnoticed", at, len(intact))
		}
	}
	if a.machine.Index() != 0 || a.applied.get() != 0 {
		t.Fatal("something was applied")
	}
	if err := restore(intact); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedSnapshotIsRefused starts nodes on directories whose newest snapshot is damaged here and there. They must
// refuse and name it; the older one, which is intact, is no way out.
func TestDamagedSnapshotIsRefused(t *testing.T) {
	t.Parallel()
	intact, _, _ := snapshottedDir(t)
	name := filepath.Base(newestIn(t, intact))
	size := fileSize(t, filepath.Join(newestIn(t, intact), "state.bin"))
	damage := map[string]func(t *testing.T, snapshot string){
		"no meta.json": func(t *testing.T, s string) { remove(t, filepath.Join(s, "meta.json")) },
		"no state.bin": func(t *testing.T, s string) { remove(t, filepath.Join(s, "state.bin")) },
		"empty meta": func(t *testing.T, s string) {
			rewrite(t, filepath.Join(s, "meta.json"), func([]byte) []byte { return nil })
		},
		"state cut off": func(t *testing.T, s string) {
			rewrite(t, filepath.Join(s, "state.bin"), func(b []byte) []byte { return b[:len(b)-9] })
		},
		"state longer": func(t *testing.T, s string) {
			rewrite(t, filepath.Join(s, "state.bin"), func(b []byte) []byte { return append(b, 0) })
		},
		"no state": func(t *testing.T, s string) {
			rewrite(t, filepath.Join(s, "state.bin"), func([]byte) []byte { return nil })
		},
	}
	for _, at := range []int{0, 9, 16, 60, 200, size / 2, 3 * size / 4, size - 30, size - 1} {
		damage[fmt.Sprintf("byte %d of the state", at)] = func(t *testing.T, s string) {
			rewrite(t, filepath.Join(s, "state.bin"), func(b []byte) []byte { b[at] ^= 0x10; return b })
		}
	}
	for what, damage := range damage {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := copyDir(t, intact)
			damage(t, newestIn(t, dir))
			refuseToOpen(t, dir, filepath.Join(dir, snapshotsDir, name), "damaged", "was not applied")
		})
	}
}

// TestEveryByteOfTheMetadata damages each byte of meta.json. The damage is refused, or it means the same as before.
func TestEveryByteOfTheMetadata(t *testing.T) {
	t.Parallel()
	dir, _, _ := snapshottedDir(t)
	newest := newestIn(t, dir)
	path := filepath.Join(newest, "meta.json")
	intact, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := readSnapshotMeta(t, intact)
	for at := range intact {
		for _, mask := range []byte{0x01, 0x20, 0xff} {
			damaged := bytes.Clone(intact)
			damaged[at] ^= mask
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := openSnapshots(dir, hclog.NewNullLogger()); err != nil {
				if !strings.Contains(err.Error(), newest) {
					t.Fatalf("byte %d: %q does not name the snapshot", at, err)
				}
				continue
			}
			if got := readSnapshotMeta(t, damaged); !reflect.DeepEqual(got, want) {
				t.Fatalf("byte %d changed by %#x: taken for\n%+v, was\n%+v", at, mask, got, want)
			}
		}
	}
}

// readSnapshotMeta decodes what raft reads of meta.json. Peers is of an older version and not looked at.
func readSnapshotMeta(t *testing.T, b []byte) any {
	t.Helper()
	var meta struct {
		raft.SnapshotMeta
		CRC []byte
	}
	if err := json.Unmarshal(b, &meta); err != nil {
		t.Fatal(err)
	}
	meta.Peers = nil
	return meta
}

func TestUnfinishedSnapshotsAreRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	unfinished := filepath.Join(dir, snapshotsDir, "9-9-9.tmp")
	if err := os.MkdirAll(unfinished, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(unfinished, "state.bin"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	openNode(t, Config{DataDir: dir})
	if _, err := os.Stat(unfinished); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}

// TestOlderSnapshotIsNeverOffered: raft would fall back to it and miss the entries in between.
func TestOlderSnapshotIsNeverOffered(t *testing.T) {
	t.Parallel()
	dir, _, _ := snapshottedDir(t)
	all, err := os.ReadDir(filepath.Join(dir, snapshotsDir))
	if err != nil || len(all) != snapshotsRetain {
		t.Fatalf("%d snapshots are kept, %v", len(all), err)
	}
	store, err := openSnapshots(dir, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	offered, err := store.List()
	if err != nil || len(offered) != 1 || offered[0].ID != filepath.Base(newestIn(t, dir)) {
		t.Fatalf("offered %v, %v", offered, err)
	}
}

func TestSnapshotOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if got, err := newestSnapshot(filepath.Join(dir, "missing")); got != "" || err != nil {
		t.Errorf("of no directory: %q, %v", got, err)
	}
	for _, name := range []string{
		"2-9-1700000000000", "2-10-1600000000000", "1-99-1800000000000", "notes", "2-11", "3-1-x", "2-10-1500000000000",
	} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	got, err := newestSnapshot(dir)
	if err != nil || filepath.Base(got) != "2-10-1600000000000" {
		t.Errorf("newest: %q, %v", got, err)
	}
}

// failingSink fails at its first write.
type failingSink struct {
	raft.SnapshotSink
	cancelled, closed bool
}

func (s *failingSink) Write([]byte) (int, error) { return 0, errors.New("no space left") }
func (s *failingSink) Cancel() error             { s.cancelled = true; return nil }
func (s *failingSink) Close() error              { s.closed = true; return nil }

// TestUnwritableSnapshotIsCancelled: half a snapshot must not become one.
func TestUnwritableSnapshotIsCancelled(t *testing.T) {
	t.Parallel()
	a, _ := newTestApplier()
	captured, err := a.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	sink := &failingSink{}
	err = captured.Persist(&snapshotSink{SnapshotSink: sink})
	if err == nil || !strings.Contains(err.Error(), "no space left") || !sink.cancelled || sink.closed {
		t.Errorf("%v, cancelled %v, closed %v", err, sink.cancelled, sink.closed)
	}
}

// TestDamagedEntryIsRefused: a node whose log is damaged does not start, and says which entry it is.
func TestDamagedEntryIsRefused(t *testing.T) {
	t.Parallel()
	intact, status, _ := snapshottedDir(t)
	for name, index := range map[string]uint64{"last": status.AppliedIndex, "before the last": status.AppliedIndex - 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := copyDir(t, intact)
			editEntries(t, dir, func(at uint64, value []byte) {
				if at == index {
					i := bytes.Index(value, []byte("orders"))
					value[i] ^= 0x04
				}
			})
			refuseToOpen(t, dir, fmt.Sprintf("log entry %d:", index))
		})
	}
}

// TestSnapshotIsReadable: what raft keeps is a snapshot like any other, with raft's own section in front.
func TestSnapshotIsReadable(t *testing.T) {
	t.Parallel()
	dir, _, _ := snapshottedDir(t)
	f, err := os.Open(filepath.Join(newestIn(t, dir), "state.bin"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := snapshot.Verify(f)
	if err != nil || info.Sections[0].ID != sectionRaft {
		t.Fatalf("%+v, %v", info, err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func rewrite(t *testing.T, path string, edit func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, edit(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func fileSize(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Size())
}

func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}
