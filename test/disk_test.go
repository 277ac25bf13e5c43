package test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// smallDiskBytes is the size of the disks that are filled: claims are refused with less than a twentieth of it free,
	// and a fiftieth is what a node reserves.
	smallDiskBytes = 100 << 20
	// heldLocks are granted before a disk is full, and completed while it is.
	heldLocks = 100
	// fewTerms is how far the term may grow where nothing is wrong with the leader: a storm of elections takes dozens.
	fewTerms = 3
	// hungRounds is how often a disk is frozen at least.
	hungRounds = 3
	// thawAtLatest is when a frozen disk thaws by itself, should this process end before it thaws it.
	thawAtLatest = "120"
)

// diskFaults is what is done to disks. The pulse goes on meanwhile: writes that need no lock.
type diskFaults struct {
	*faults
	claims    int // of new keys, so far
	completed int // of the locks that were held
}

// newClusterOnDisks is newCluster with a file system of its own for every node's data.
func newClusterOnDisks(t *testing.T, count int, mount func(t *testing.T, dir string), args ...string) *cluster {
	t.Helper()
	for range maxStarts {
		c := planCluster(t, count, args...)
		for _, n := range c.nodes {
			if err := os.Mkdir(n.dir, 0o700); err != nil {
				t.Fatal(err)
			}
			mount(t, n.dir)
		}
		t.Cleanup(c.killAll) // before the file systems go
		if c.startAll() {
			for _, n := range c.nodes {
				n.waitReady()
			}
			return c
		}
	}
	t.Fatalf("a port was taken in between, %d times", maxStarts)
	return nil
}

// mountSmall mounts a disk that is soon full.
func mountSmall(t *testing.T, dir string) {
	t.Helper()
	options := fmt.Sprintf("size=%d,mode=0700", smallDiskBytes)
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		t.Skipf("small disks cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { unmount(t, dir) })
}

// mountExt4 mounts a small disk with the file system that most machines have. It can be frozen.
func mountExt4(t *testing.T, dir string) {
	t.Helper()
	image := dir + ".ext4"
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, smallDiskBytes); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"mkfs.ext4", "-q", "-F", "-m", "0", image}, {"mount", "-o", "loop,nosuid,nodev", image, dir}, {"chmod", "0700", dir},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Skipf("ext4 cannot be mounted here: %v: %v: %s", command, err, out)
		}
	}
	t.Cleanup(func() { unmount(t, dir) }) // the loop device goes with it
}

func unmount(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		t.Errorf("unmount %s: %v", dir, err)
	}
}

// fill writes a file that takes the last byte of the node's disk.
func (n *node) fill() {
	n.t.Helper()
	f, err := os.OpenFile(n.filler(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 1<<20); len(chunk) > 0; {
		if _, err := f.Write(chunk); errors.Is(err, unix.ENOSPC) {
			chunk = chunk[:len(chunk)/2]
		} else if err != nil {
			n.t.Fatal(err)
		}
	}
}

// empty takes the file away again.
func (n *node) empty() {
	n.t.Helper()
	if err := os.Remove(n.filler()); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) filler() string { return filepath.Join(n.dir, "filler") }

// TestFullDisk fills the leader's disk, and then all disks, to the last byte: claims are refused, everything else is
// stored, nobody campaigns, and it is over when the space is back.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	leader := func(c *cluster) []*node { return []*node{c.leader()} }
	follower := func(c *cluster) []*node { return c.followers()[:1] }
	all := func(c *cluster) []*node { return c.nodes }
	for name, test := range map[string]struct {
		mount func(*testing.T, string)
		full  func(*cluster) []*node
	}{
		"of the leader":            {mountSmall, leader},
		"of a follower":            {mountSmall, follower},
		"of all together":          {mountSmall, all},
		"of all together, on ext4": {mountExt4, all},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClusterOnDisks(t, 3, test.mount)
			testFullDisk(t, c, test.full(c))
		})
	}
}

func testFullDisk(t *testing.T, c *cluster, full []*node) {
	f := &diskFaults{faults: newFaults(t, c)}
	stop := f.work(0)
	defer stop()
	held := f.hold(heldLocks)
	leader, term := c.leader(), c.term()

	for _, n := range full {
		n.fill()
	}
	for _, n := range full {
		eventually(t, n.name+" falls back on what it had reserved", func() bool {
			return strings.Contains(n.logText(), "gave up the reserved disk space")
		}, n.logTail)
	}
	claimsRefused := slices.Contains(full, leader)
	if claimsRefused {
		f.awaitClaims("claims are refused", func(a answer) bool {
			return a.status == http.StatusInsufficientStorage && a.code == "storage_full"
		})
	}
	f.complete(held[:heldLocks/2])
	for range 3 {
		f.awaitAcks(acksBetween)
		f.claimWhileFull(claimsRefused)
	}
	f.complete(held[heldLocks/2:])
	for _, n := range c.nodes {
		if !n.running() {
			t.Errorf("%s has ended:\n%s", n.name, n.logTail())
		}
	}
	if now := c.term(); now > term+fewTerms {
		t.Errorf("the term grew from %d to %d", term, now)
	}

	for _, n := range full {
		n.empty()
	}
	freed := time.Now()
	f.awaitClaims("claims are granted again", func(a answer) bool { return a.outcome == ok })
	t.Logf("%s after there was space", time.Since(freed).Round(time.Millisecond))
	for _, n := range full {
		eventually(t, n.name+" has reserved space again", func() bool {
			return n.metric("syllecta_disk_reserved_bytes") > 0
		})
	}
	stop()
	f.verifyHeld(held)
	t.Logf("term %d, before it was %d; %s", c.term(), term, f.pulse)
	if err := f.pulse.verify(); err != nil {
		t.Error(err)
	}
	c.waitConverged()
}

// TestExhaustedDisk takes what the nodes had reserved as well. They cannot store anything then, so they end; restarted
// again and again, as a supervisor does, they are back when the space is, and nothing acknowledged is lost.
func TestExhaustedDisk(t *testing.T) {
	t.Parallel()
	c := newClusterOnDisks(t, 3, mountSmall)
	f := &diskFaults{faults: newFaults(t, c)}
	stop := f.work(0)
	defer stop()
	held := f.hold(heldLocks)
	f.complete(held)
	for _, n := range c.nodes {
		n.fill()
	}
	ended := 0
	eventually(t, "nodes have ended for want of space", func() bool {
		f.fillLog()
		for _, n := range c.nodes {
			n.fill() // what was given up in the meantime
			if !n.running() {
				ended++
				n.start()
			}
		}
		return ended >= len(c.nodes)
	}, c.logTails)
	for _, n := range c.nodes {
		n.empty()
	}
	c.restartAll()
	f.awaitClaims("claims are granted again", func(a answer) bool { return a.outcome == ok })
	stop()
	f.verifyHeld(held)
	t.Logf("%d times a node ended; %s", ended, f.pulse)
	if err := f.pulse.verify(); err != nil {
		t.Error(err)
	}
	c.waitConverged()
}

// logFiller is a body so large that a log which has space in reserve is soon full.
var logFiller = []byte(`"` + strings.Repeat("x", 200<<10) + `"`)

// fillLog stores a large record. Whether that succeeds is of no matter.
func (f *diskFaults) fillLog() {
	for _, n := range f.c.nodes {
		c := newClient(n.url(), f.apiKey)
		c.timeout = hungProbe
		c.put(putRequest{Scope: "filler", Key: n.name, Body: logFiller})
	}
}

const heldScope = "held"

// hold gets locks for keys of their own and returns their tokens.
func (f *diskFaults) hold(count int) (tokens []string) {
	f.t.Helper()
	anyone := newClient(f.c.leader().url(), f.apiKey).following()
	for i := range count {
		a := anyone.claim(claimRequest{Scope: heldScope, Key: fmt.Sprint(i)})
		if !a.Locked {
			f.t.Fatalf("lock %d: %v", i, a.answer)
		}
		tokens = append(tokens, a.Token)
	}
	return tokens
}

// complete stores a result under each of the locks, through all nodes in turn. Every one must be acknowledged.
func (f *diskFaults) complete(held []string) {
	f.t.Helper()
	for i, token := range held {
		c := newClient(f.c.nodes[i%len(f.c.nodes)].url(), f.apiKey).following()
		key := fmt.Sprint(f.completed)
		a := c.put(putRequest{Scope: heldScope, Key: key, Token: token, Body: []byte(`"` + key + `"`)})
		if a.outcome != ok {
			f.t.Errorf("lock %s was not completed: %v", key, a)
		}
		f.completed++
	}
}

// verifyHeld wants all of those results to be there.
func (f *diskFaults) verifyHeld(held []string) {
	f.t.Helper()
	for i := range held {
		v := newClient(f.c.leader().url(), f.apiKey).following().get(heldScope, fmt.Sprint(i))
		if want := fmt.Sprintf(`"%d"`, i); string(v.Record.Body) != want {
			f.t.Errorf("lock %d: %v, want %s", i, v.answer, want)
		}
	}
}

// awaitClaims claims new keys until the answer is as it should be.
func (f *diskFaults) awaitClaims(what string, good func(answer) bool) {
	f.t.Helper()
	var last answer
	eventually(f.t, what, func() bool {
		f.claims++
		last = newClient(f.c.nodes[f.claims%len(f.c.nodes)].url(), f.apiKey).following().
			claim(claimRequest{Scope: "new", Key: fmt.Sprint(f.claims)}).answer
		return good(last)
	}, func() string { return last.String() }, f.c.logTails)
}

// claimWhileFull claims new keys through every node. They are granted, unless it is the leader that has no space.
func (f *diskFaults) claimWhileFull(refused bool) {
	f.t.Helper()
	for _, n := range f.c.nodes {
		f.claims++
		a := newClient(n.url(), f.apiKey).following().claim(claimRequest{Scope: "new", Key: fmt.Sprint(f.claims)})
		if isFull := a.code == "storage_full"; isFull != refused || !isFull && a.outcome != ok {
			f.t.Errorf("a claim through %s: %v", n.name, a.answer)
		}
	}
}

// freeze has every write to the node's disk hang until thaw is called, as a storage network does that is gone. The
// processes that wait for it cannot even be killed.
func (n *node) freeze() (thaw func()) {
	n.t.Helper()
	rescue := exec.Command("sh", "-c", "sleep "+thawAtLatest+`; exec fsfreeze -u "$0"`, n.dir)
	if err := rescue.Start(); err != nil {
		n.t.Fatal(err)
	}
	thaw = sync.OnceFunc(func() {
		out, err := exec.Command("fsfreeze", "-u", n.dir).CombinedOutput()
		_ = rescue.Process.Kill()
		_ = rescue.Wait()
		if err != nil {
			n.t.Errorf("thaw: %v: %s", err, out)
		}
	})
	if out, err := exec.Command("fsfreeze", "-f", n.dir).CombinedOutput(); err != nil {
		_ = rescue.Process.Kill()
		_ = rescue.Wait()
		n.t.Skipf("disks cannot be frozen here: %v: %s", err, out)
	}
	n.t.Cleanup(thaw) // before the processes are killed, and the file system is unmounted
	return thaw
}

// TestHungDisk freezes the leader's disk again and again. The process must end, for raft alone would keep a leader that
// can write nothing; the others go on, and it follows them when its disk is back.
func TestHungDisk(t *testing.T) {
	t.Parallel()
	f := &diskFaults{faults: newFaults(t, newClusterOnDisks(t, 3, mountExt4))}
	var gaps []time.Duration
	for range max(hungRounds, *roundsFlag) {
		gaps = append(gaps, f.hangLeader())
	}
	slices.Sort(gaps)
	t.Logf("a leader's disk hung, %d times: no write was acknowledged for %v (min), %v (median), %v (max)",
		len(gaps), gaps[0], gaps[len(gaps)/2], gaps[len(gaps)-1])
	if err := f.pulse.verify(); err != nil {
		t.Error(err)
	}
	f.c.waitConverged()
}

// hangLeader freezes the leader's disk until others have taken over, and returns how long that took.
func (f *diskFaults) hangLeader() time.Duration {
	f.t.Helper()
	hung, term := f.c.leader(), f.c.term()
	others := slices.DeleteFunc(slices.Clone(f.c.nodes), func(n *node) bool { return n == hung })
	thaw := hung.freeze()
	frozen := time.Now()
	acknowledged := f.probe(others)
	gap := acknowledged.Sub(frozen).Round(time.Millisecond)
	eventually(f.t, hung.name+" has said why it ends", func() bool {
		return strings.Contains(hung.logText(), "the disk hangs")
	}, hung.logTail)
	thaw()
	if !hung.process.awaitExit(patience) {
		f.t.Fatalf("%s goes on with a disk that hung:\n%s", hung.name, hung.logTail())
	}
	if code := hung.process.exitCode(); code != 1 {
		f.t.Errorf("%s ended with code %d", hung.name, code)
	}
	f.t.Logf("%s hung; acknowledged again after %s, in term %d after %d", hung.name, gap, f.c.term(), term)
	hung.restart()
	if f.c.term() <= term {
		f.t.Error("nobody was elected")
	}
	return gap
}

const (
	probeEvery = 20 * time.Millisecond
	// hungProbe is when a probe is given up that was sent on to the node that hangs.
	hungProbe = 500 * time.Millisecond
)

// probe writes through these nodes, with no regard to writes that hang, until one is acknowledged, and tells when.
func (f *diskFaults) probe(through []*node) time.Time {
	f.t.Helper()
	acknowledged := make(chan time.Time, 1)
	var sent sync.WaitGroup
	defer sent.Wait()
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		select {
		case at := <-acknowledged:
			return at
		case <-ticker.C:
		}
		f.claims++
		key, n := fmt.Sprint("probe ", f.claims), through[f.claims%len(through)]
		sent.Go(func() {
			if f.probeOnce(n, key) {
				select {
				case acknowledged <- time.Now():
				default:
				}
			}
		})
	}
	f.t.Fatal("nobody has taken over")
	return time.Time{}
}

// probeOnce writes once. What is acknowledged must be there in the end.
func (f *diskFaults) probeOnce(n *node, key string) (acknowledged bool) {
	c := newClient(n.url(), f.apiKey).following()
	c.timeout = hungProbe
	if c.put(putRequest{Scope: pulseScope, Key: key, Body: []byte(`1`)}).outcome != ok {
		return false
	}
	f.pulse.mu.Lock()
	defer f.pulse.mu.Unlock()
	f.pulse.stored = append(f.pulse.stored, key)
	return true
}
