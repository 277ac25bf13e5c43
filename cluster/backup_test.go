package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/syllecta/syllecta/fsm"
)

// TestBackupHasWhatWasAcknowledged: a backup taken from any node holds what was acknowledged before it began.
func TestBackupHasWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	leader, followers := newCluster(t)
	furnish(t, leader)
	for i, n := range append(followers, leader) {
		propose(t, leader, complete(record(fmt.Sprint("more ", i)), "1"))
		held, err := Inspect(bytes.NewReader(backupOf(t, n)))
		s := held.State
		if err != nil || s.Records != 2+i || s.Locks != 1 || s.Tenants != 1 || s.Keys != 1 {
			t.Errorf("%s: %+v, %v", n.ID(), held, err)
		}
		if held.Backup.Index != held.State.Index || held.Backup.ClockMs != held.State.ClockMs ||
			held.Backup.Epoch != held.State.Epoch || held.Backup.FeatureLevel != held.State.FeatureLevel ||
			held.Backup.ClusterID != held.State.ClusterID || time.Since(held.Backup.TakenAt) > time.Hour {
			t.Errorf("the backup says %+v of %+v", held.Backup, held.State)
		}
	}
}

// TestBackupNeedsMajority: a node that hears from nobody has nothing to say.
func TestBackupNeedsMajority(t *testing.T) {
	t.Parallel()
	leader, followers := newCluster(t)
	closeNode(t, leader)
	closeNode(t, followers[0])
	var file bytes.Buffer
	waitFor(t, "the node to be alone", func() bool {
		_, err := followers[1].Backup(t.Context(), &file)
		return errors.Is(err, ErrUnavailable)
	})
}

// TestBackupEndsWithItsCaller: a caller that is gone, or cannot write, is noticed.
func TestBackupEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	n := openNode(t, Config{BootstrapExpect: 1})
	furnish(t, waitForLeader(t, n))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := n.Backup(ctx, writerFunc(func(p []byte) (int, error) {
		cancel()
		return len(p), nil
	}))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the caller had gone: %v", err)
	}
	_, err = n.Backup(t.Context(), writerFunc(func([]byte) (int, error) { return 0, errHungUp }))
	if !errors.Is(err, errHungUp) {
		t.Errorf("the caller could not write: %v", err)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestInspectDataDirectory: a snapshot that a node keeps for itself can be looked into as well, and restored.
func TestInspectDataDirectory(t *testing.T) {
	t.Parallel()
	dir, _, _ := snapshottedDir(t)
	b, err := os.ReadFile(filepath.Join(newestIn(t, dir), "state.bin"))
	if err != nil {
		t.Fatal(err)
	}
	held, err := Inspect(bytes.NewReader(b))
	if err != nil || held.Backup != nil || held.State.Tenants != 1 || held.State.Records == 0 {
		t.Errorf("%+v, %v", held, err)
	}
	n := openNode(t, Config{BootstrapExpect: 1})
	waitForLeader(t, n)
	if r := restoreInto(t, n, b); r.Records != held.State.Records || r.Backup != nil {
		t.Errorf("%+v", r)
	}
}

func snapshotsIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestScheduledBackups keeps the newest of a node's own backups, and touches nothing else.
func TestScheduledBackups(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "deep", "backups")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		NodeID: "n1", ClusterName: "blue", BootstrapExpect: 1,
		BackupDir: dir, BackupEvery: 30 * time.Millisecond, BackupKeep: 2,
	}
	other := openNode(t, Config{NodeID: "b-n1", ClusterName: "a", BootstrapExpect: 1})
	theirs := backupOf(t, waitForLeader(t, other))
	foreign := map[string][]byte{
		"notes.txt":                              []byte("keep"),
		"blue-n2-20200101T000000Z-7.snapshot":    theirs,
		"blue-n1-20200101T000000Z-7.snapshot":    theirs, // by its name ours, by its content another's
		"blue-n1-20200101T000001Z-8.snapshot":    []byte("ours by its name, and damaged"),
		"blue-n1-20200101T000002Z-9.snapshot.gz": theirs,
	}
	for name, content := range foreign {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	left := strings.Replace(unfinishedBackup("blue", "n1"), "*", "77", 1)
	if err := os.WriteFile(filepath.Join(dir, left), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := openNode(t, cfg)
	waitForLeader(t, n)
	tenant := newTenant(t, n)
	seen := map[string]bool{}
	for i := 0; len(seen) < 5; i++ {
		id := record(fmt.Sprint(i))
		id.Tenant = tenant
		propose(t, n, complete(id, "1")) // another index, another name
		waitFor(t, "another backup", func() bool {
			own, err := n.ownBackups()
			if err != nil {
				t.Fatal(err)
			}
			before := len(seen)
			for _, b := range own {
				seen[b.path] = true
			}
			return len(seen) > before
		})
	}
	waitFor(t, "only the newest to be kept", func() bool {
		own, err := n.ownBackups()
		return err == nil && len(own) == cfg.BackupKeep
	})
	closeNode(t, n)
	names := snapshotsIn(t, dir)
	for name := range foreign {
		if !slices.Contains(names, name) {
			t.Errorf("%s is gone", name)
		}
	}
	own, err := n.ownBackups()
	if err != nil || len(own) != cfg.BackupKeep || len(names) != len(foreign)+len(own) {
		t.Errorf("kept %v of %v, %v", own, names, err)
	}
	for _, b := range own {
		checkBackupFile(t, b.path)
	}
	if testutil.ToFloat64(n.schedule.lastSuccess) == 0 || testutil.ToFloat64(n.schedule.failures) != 0 {
		t.Errorf("metrics: %v, %v", testutil.ToFloat64(n.schedule.lastSuccess), testutil.ToFloat64(n.schedule.failures))
	}
}

func checkBackupFile(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v", path, info.Mode(), err)
	}
	if _, err := Inspect(f); err != nil {
		t.Errorf("%s: %v", path, err)
	}
}

// TestBackupIsDue: the first one is due at once unless there is a young one, and one of the future is no excuse.
func TestBackupIsDue(t *testing.T) {
	t.Parallel()
	made := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct{ age, want time.Duration }{
		{0, time.Hour}, {time.Minute, 59 * time.Minute}, {time.Hour, 0}, {2 * time.Hour, 0}, {-time.Minute, 0},
	} {
		cfg := Config{ClusterName: "blue", BackupDir: t.TempDir(), BackupEvery: time.Hour}.withDefaults()
		n := &Node{id: "n1", cfg: cfg, schedule: newBackupSchedule(cfg), wall: func() time.Time { return made.Add(c.age) }}
		if due := n.untilBackup(); due != 0 {
			t.Errorf("there is none, and the first is due in %s", due)
		}
		var file bytes.Buffer
		info := BackupInfo{ClusterName: "blue", NodeID: "n1"}
		if err := writeBackup(&file, info, fsm.New(fsmConfig()).Snapshot()); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(cfg.BackupDir, "blue-n1-"+made.Format(backupTimeFormat)+"-7"+backupSuffix)
		if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		if due := n.untilBackup(); due != c.want {
			t.Errorf("%s after the newest, the next one is due in %s, not %s", c.age, due, c.want)
		}
		if got := testutil.ToFloat64(n.schedule.lastSuccess); got != float64(made.Unix()) {
			t.Errorf("last success %v", got)
		}
	}
}

// TestBackupFailureIsSaidOnce counts every failure and logs the first of a row.
func TestBackupFailureIsSaidOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	n := &Node{log: slog.New(slog.NewTextHandler(&log, nil))}
	s := newBackupSchedule(Config{})
	for range 3 {
		s.report(n, ErrUnavailable)
	}
	s.report(n, nil)
	s.report(n, nil)
	s.report(n, ErrUnavailable)
	if got := testutil.ToFloat64(s.failures); got != 4 {
		t.Errorf("%v failures", got)
	}
	if said := strings.Count(log.String(), "\n"); said != 3 {
		t.Errorf("said %d times:\n%s", said, log.String())
	}
}

// TestBackupDirectory: a directory that cannot be written is noticed at the start, one that does not exist is made.
func TestBackupDirectory(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Config{DataDir: t.TempDir(), RaftAddr: freeAddr(t), BackupDir: file}
	if n, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "backup directory") {
		if err == nil {
			closeNode(t, n)
		}
		t.Errorf("opened with a file for a backup directory: %v", err)
	}
	made := filepath.Join(t.TempDir(), "a", "b")
	if err := prepareBackups(Config{BackupDir: made}, "n1"); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(made); err != nil || info.Mode().Perm() != 0o700 || len(snapshotsIn(t, made)) != 0 {
		t.Errorf("%v, %v", info, err)
	}
}

// TestBackupNeedsRoom stops before the disk is full.
func TestBackupNeedsRoom(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	left := int64(3 * spaceCheckBytes)
	f := &frugalWriter{w: &file, room: func(bytes int64) error {
		if left -= spaceCheckBytes; left < 0 {
			return ErrStorageFull
		}
		return nil
	}}
	piece := make([]byte, 1<<20)
	for {
		if _, err := f.Write(piece); errors.Is(err, ErrStorageFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if file.Len() < 3*spaceCheckBytes || file.Len() > 4*spaceCheckBytes {
		t.Errorf("stopped after %d bytes", file.Len())
	}
	dir := t.TempDir()
	if err := roomIn(dir, 1, 1); err != nil {
		t.Errorf("no room for a byte: %v", err)
	}
	if err := roomIn(dir, 1<<62, 1); !errors.Is(err, ErrStorageFull) {
		t.Errorf("room for everything: %v", err)
	}
}
