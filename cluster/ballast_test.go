package cluster

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"

	"github.com/syllecta/syllecta/fsm"
)

const mib = 1 << 20

// smallDisk mounts a file system of that size, which is gone with the test.
func smallDisk(t *testing.T, bytes int64) string {
	t.Helper()
	dir := t.TempDir()
	err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", bytes))
	if err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() { // also if raft still holds a file that it gave up
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// smallExt4 is smallDisk with the file system that most machines have.
func smallExt4(t *testing.T, bytes int64) string {
	t.Helper()
	dir, image := t.TempDir(), filepath.Join(t.TempDir(), "image")
	rewriteNew(t, image)
	if err := os.Truncate(image, bytes); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"mkfs.ext4", "-q", "-F", "-m", "0", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Skipf("cannot mount ext4: %v: %v: %s", command, err, out)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// fillUp writes to a file until there is no space, and returns its path.
func fillUp(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, mib); len(chunk) > 0; {
		if _, err := f.Write(chunk); errors.Is(err, unix.ENOSPC) {
			chunk = chunk[:len(chunk)/2] // to the last byte
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func newBallast(t *testing.T, dir string) *ballast {
	t.Helper()
	b, err := openBallast(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func tendNow(t *testing.T, b *ballast, floor int64) {
	t.Helper()
	free, total, err := diskSpace(filepath.Dir(b.path))
	if err != nil {
		t.Fatal(err)
	}
	b.tend(time.Now().Add(2*ballastPause), free, total, floor)
}

func TestBallastSize(t *testing.T) {
	t.Parallel()
	for total, want := range map[int64]int64{
		0: 0, 100 * mib: 2 * mib, 3_200 * mib: 64 * mib, 1 << 50: 64 * mib,
	} {
		if got := ballastSize(total); got != want {
			t.Errorf("of %d: %d, want %d", total, got, want)
		}
	}
}

// TestBallastOnDisk walks a ballast through its life on a real file system.
func TestBallastOnDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, 100*mib)
	free := func() int64 { free, _, _ := diskSpace(dir); return free }
	b := newBallast(t, dir)
	tendNow(t, b, 256*mib)
	if b.held.Load() != 2*mib || free() != 98*mib {
		t.Fatalf("%d held, %d free: the ballast was not reserved", b.held.Load(), free())
	}
	if info, err := os.Stat(b.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	if again := newBallast(t, dir); again.held.Load() != 2*mib {
		t.Fatal("the next process does not take it over")
	}

	filler := fillUp(t, dir)
	tendNow(t, b, 256*mib)
	if b.held.Load() != 0 || free() != 2*mib || b.spent() {
		t.Fatalf("%d held, %d free, spent %v: the ballast was not given up", b.held.Load(), free(), b.spent())
	}
	// The floor is 5 MiB here, and twice the ballast comes on top: with less than 9 MiB free it is not reserved.
	for _, c := range []struct {
		free int64
		held bool
	}{{5 * mib, false}, {9*mib - 4096, false}, {9 * mib, true}} {
		if err := os.Truncate(filler, 100*mib-c.free); err != nil {
			t.Fatal(err)
		}
		if tendNow(t, b, 256*mib); (b.held.Load() > 0) != c.held {
			t.Fatalf("with %d free, %d held", c.free, b.held.Load())
		}
	}
	if free() != 7*mib {
		t.Fatalf("%d free", free())
	}
}

// TestBallastAfterAFailedWrite: claims stay refused until the ballast is back, however much statfs calls free.
func TestBallastAfterAFailedWrite(t *testing.T) {
	t.Parallel()
	b := newBallast(t, t.TempDir())
	now := time.Now()
	b.tend(now, 1<<40, 100*mib, 5*mib)
	b.makeRoom()
	if !b.spent() || b.held.Load() != 0 {
		t.Fatal("it was not given up")
	}
	if b.tend(time.Now(), 1<<40, 100*mib, 5*mib); !b.spent() {
		t.Fatal("it was reserved again at once")
	}
	if b.tend(time.Now().Add(ballastPause), 1<<40, 100*mib, 5*mib); b.spent() || b.held.Load() != 2*mib {
		t.Fatal("it was not reserved again")
	}
}

// TestBallastThatCannotBeReserved: without a way to reserve space, there being enough is enough.
func TestBallastThatCannotBeReserved(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	b, err := openBallast(filepath.Join(t.TempDir(), "missing"), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	b.makeRoom()
	for i := range 3 {
		b.tend(time.Now().Add(time.Duration(i)*ballastPause), 1<<40, 100*mib, 5*mib)
	}
	if b.spent() || b.held.Load() != 0 {
		t.Fatal("claims would be refused for ever")
	}
	if n := strings.Count(log.String(), "no disk space is reserved"); n != 1 {
		t.Errorf("said %d times: %s", n, &log)
	}
}

// TestUnfinishedBallast: what a crash left while the file was being made is no ballast.
func TestUnfinishedBallast(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, size := range []int64{0, 2 * mib} {
		rewriteNew(t, filepath.Join(dir, ballastFile))
		if err := os.Truncate(filepath.Join(dir, ballastFile), size); err != nil { // without blocks
			t.Fatal(err)
		}
		if b := newBallast(t, dir); b.held.Load() != 0 {
			t.Errorf("a file of %d bytes without blocks counts as %d", size, b.held.Load())
		}
		if _, err := os.Stat(filepath.Join(dir, ballastFile)); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
}

// fullStore has no space until room is made, if that helps.
type fullStore struct {
	brokenStore
	calls int
}

func (s *fullStore) StoreLogs([]*raft.Log) error { s.calls++; return s.err }
func (s *fullStore) Set([]byte, []byte) error    { s.calls++; return s.err }
func (s *fullStore) SetUint64([]byte, uint64) error {
	s.calls++
	return s.err
}
func (s *fullStore) DeleteRange(uint64, uint64) error { s.calls++; return s.err }

// TestWriteWithoutSpace: only a write that surely left nothing behind is repeated, once.
func TestWriteWithoutSpace(t *testing.T) {
	t.Parallel()
	write := func(err error) error { return &fs.PathError{Op: "write", Path: "raft.db", Err: err} }
	for _, c := range []struct {
		name  string
		err   error
		helps bool // making room
		calls int
		fatal bool
	}{
		{"full, room found", write(unix.ENOSPC), true, 2, false},
		{"quota, room found", write(unix.EDQUOT), true, 2, false},
		{"full, no room", write(unix.ENOSPC), false, 2, true},
		{"full, only seen by a flush", unix.ENOSPC, true, 1, true},
		{"full, seen by a sync of the file", &fs.PathError{Op: "sync", Path: "raft.db", Err: unix.ENOSPC}, true, 1, true},
		{"broken", write(unix.EIO), true, 1, true},
	} {
		for name, call := range storeCalls {
			if !strings.HasPrefix(name, "write") && !strings.HasPrefix(name, "set") && name != "delete" {
				continue
			}
			store := &fullStore{brokenStore: brokenStore{err: c.err}}
			f := &fatals{}
			rooms := 0
			g := &storeGuard{deadline: time.Hour, fatal: f.report, observe: func(time.Duration) {}, makeRoom: func() {
				if rooms++; c.helps {
					store.err = nil
				}
			}}
			err := call(&guardedLogs{g, store}, &guardedStable{g, store})
			if store.calls != c.calls || rooms != c.calls-1 || (err != nil) != c.fatal {
				t.Errorf("%s, %s: %d calls, %d times room made, %v", c.name, name, store.calls, rooms, err)
			}
			if c.fatal {
				f.only(t, "unknown")
			} else {
				f.none(t)
			}
		}
	}
}

var fullRoundsFlag = flag.Int("full.rounds", 8, "how often TestStoreOnAFullDisk fills the disk of each store")

// TestStoreOnAFullDisk fills the disk under a store of production again and again. Every write that was said to be done
// is there when the file is opened anew, and the file is whole.
func TestStoreOnAFullDisk(t *testing.T) {
	t.Parallel()
	for _, kind := range storeKinds {
		for name, mount := range map[string]func(*testing.T, int64) string{"tmpfs": smallDisk, "ext4": smallExt4} {
			t.Run(kind+" on "+name, func(t *testing.T) {
				t.Parallel()
				testStoreOnAFullDisk(t, kind, mount(t, 100*mib))
			})
		}
	}
}

func testStoreOnAFullDisk(t *testing.T, kind, dir string) {
	const perRound = 25
	rounds := *fullRoundsFlag
	store, err := openTestStore(dir, kind, mib)
	if err != nil {
		t.Fatal(err)
	}
	b, f := newBallast(t, dir), &fatals{}
	rooms := 0
	g := &storeGuard{deadline: time.Hour, fatal: f.report, observe: func(time.Duration) {}, makeRoom: func() {
		rooms++
		b.makeRoom()
	}}
	if s, ok := store.(roomMaker); ok {
		s.whenFull(g.makeRoom)
		g.makeRoom = nil
	}
	logs, stable := &guardedLogs{g, store}, &guardedStable{g, store}
	written := func(index uint64) *raft.Log {
		frame := fsm.Encode(claim(fsm.RecordID{Tenant: 1, Scope: "orders", Key: fmt.Sprint(index)}, "owner"))
		return &raft.Log{Index: index, Term: index / perRound, Type: raft.LogCommand,
			Data: fsm.EncodeEntry(1, fsm.BatchID{}, frame), Extensions: bytes.Repeat([]byte{byte(index)}, 40_000)}
	}
	last := uint64(0)
	for range rounds {
		tendNow(t, b, 5*mib)
		filler := fillUp(t, dir)
		for range perRound {
			last++
			if err := logs.StoreLogs([]*raft.Log{written(last)}); err != nil {
				t.Fatal(err)
			}
			if err := stable.SetUint64([]byte("CurrentTerm"), last); err != nil {
				t.Fatal(err)
			}
		}
		remove(t, filler)
		f.none(t)
	}
	if rooms < rounds/2 {
		t.Errorf("only %d writes in %d rounds found no space: this test shows little", rooms, rounds)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	reopened, err := openTestStore(dir, kind, mib)
	if err != nil {
		t.Fatal(err)
	}
	defer reopened.Close()
	logs, stable = &guardedLogs{g, reopened}, &guardedStable{g, reopened}
	for index := uint64(1); index <= last; index++ {
		var got raft.Log
		want := written(index)
		if err := logs.GetLog(index, &got); err != nil || got.Term != want.Term || !bytes.Equal(got.Data, want.Data) ||
			!bytes.Equal(got.Extensions, want.Extensions) {
			t.Fatalf("entry %d of %d: %v", index, last, err)
		}
	}
	if term, err := stable.GetUint64([]byte("CurrentTerm")); err != nil || term != last {
		t.Errorf("%d %v", term, err)
	}
	t.Logf("%d entries, %d writes found no space at first", last, rooms)
}

// TestSnapshotWithoutSpace: a snapshot that does not fit leaves nothing behind, and none is begun on the last space.
func TestSnapshotWithoutSpace(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, 100*mib)
	snapshots, err := openSnapshots(dir, raftLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	b := newBallast(t, dir)
	snapshots.leaveRoom(b)
	tendNow(t, b, 5*mib)
	create := func() (raft.SnapshotSink, error) {
		_, trans := raft.NewInmemTransport("")
		return snapshots.Create(1, 7, 3, raft.Configuration{}, 1, trans)
	}
	leftovers := func() int {
		all, _ := filepath.Glob(filepath.Join(dir, snapshotsDir, "*"))
		return len(all)
	}
	sink, err := create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Write(make([]byte, mib)); err != nil {
		t.Fatal(err)
	}
	filler := fillUp(t, dir)
	if _, err := io.Copy(struct{ io.Writer }{sink}, bytes.NewReader(make([]byte, 3*mib))); !outOfSpace(err) {
		t.Fatal(err)
	}
	_ = sink.Cancel()
	if free, _, _ := diskSpace(dir); free < mib || leftovers() != 0 {
		t.Errorf("%d bytes free, %d leftovers", free, leftovers())
	}

	if sink, err = create(); err != nil {
		t.Fatal(err)
	}
	b.makeRoom()
	if _, err := sink.Write([]byte("more")); !errors.Is(err, errNoRoom) {
		t.Errorf("it goes on: %v", err)
	}
	_ = sink.Cancel()
	if _, err := create(); !errors.Is(err, errNoRoom) || leftovers() != 0 {
		t.Errorf("one is begun: %v, %d leftovers", err, leftovers())
	}
	remove(t, filler)
	tendNow(t, b, 5*mib)
	if sink, err = create(); err != nil {
		t.Fatal(err)
	}
	_ = sink.Cancel()
}
