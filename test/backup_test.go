package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	backupScope = "backup"
	// bulkBytes is the size of what is written to have a backup take its time.
	bulkBytes = 64 << 20
)

// TestBackup saves and restores clusters of real processes by the command line that operators use.
func TestBackup(t *testing.T) {
	t.Parallel()
	t.Run("under load, into a fresh cluster", testBackupUnderLoad)
	t.Run("the leader is killed", testRestoreKilled)
	t.Run("memory", testBackupMemory)
}

// adminVerb is a verb of the binary, to be run against a node, and where its output will be.
func adminVerb(ctx context.Context, n *node, args ...string) (cmd *exec.Cmd, output *bytes.Buffer) {
	cmd, output = exec.CommandContext(ctx, binary, args...), new(bytes.Buffer)
	cmd.Env = append(plainEnvironment(), "SYLLECTA_SERVER="+n.url(), "SYLLECTA_ADMIN_TOKEN="+adminToken)
	cmd.Stdout, cmd.Stderr = output, output
	return cmd, output
}

// command runs a verb of the binary against a node and returns what it said.
func command(ctx context.Context, n *node, args ...string) (output string, err error) {
	cmd, both := adminVerb(ctx, n, args...)
	err = cmd.Run()
	return both.String(), err
}

// mustCommand is command for a verb that must succeed.
func mustCommand(t testing.TB, n *node, args ...string) {
	t.Helper()
	if output, err := command(t.Context(), n, args...); err != nil {
		t.Fatalf("syllecta %s: %v\n%s", strings.Join(args, " "), err, output)
	}
}

// mustCommandPeak is mustCommand, and returns the most memory that the process had, as far as it was looked at. What the
// kernel tells in the end is no less than the peak of the process that started it, which is this one.
func mustCommandPeak(t testing.TB, n *node, args ...string) (peak int64) {
	t.Helper()
	cmd, output := adminVerb(t.Context(), n, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("syllecta %s: %v\n%s", strings.Join(args, " "), err, output)
			}
			return peak
		case <-time.After(pollInterval):
			if now, err := memoryOf(cmd.Process.Pid, "VmHWM"); err == nil { // else it is ending
				peak = max(peak, now)
			}
		}
	}
}

// ledger is what was acknowledged: the body of each key, and the highest fence.
type ledger struct {
	mu     sync.Mutex
	bodies map[string]string
	fence  uint64
}

func (l *ledger) note(key, body string, fence uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bodies[key] = body
	l.fence = max(l.fence, fence)
}

func (l *ledger) copy() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.bodies)
}

func (l *ledger) len() int { return len(l.copy()) }

// write claims and completes keys through one node until ctx ends. The leader may change meanwhile.
func (l *ledger) write(ctx context.Context, c *client, name string) error {
	for i := 0; ctx.Err() == nil; i++ {
		key := fmt.Sprintf("%s-%d", name, i)
		var granted claimed
		untilTold(func() answer {
			granted = c.claim(claimRequest{Scope: backupScope, Key: key, Owner: key})
			return granted.answer
		})
		if !granted.Locked {
			return fmt.Errorf("claim %s: %v", key, granted.answer)
		}
		body := fmt.Sprintf(`{"key":%q,"n":%d.50}`, key, i)
		put := putRequest{Scope: backupScope, Key: key, Token: granted.Token, Body: []byte(body)}
		if a := untilTold(func() answer { return c.put(put) }); a.outcome != ok {
			return fmt.Errorf("put %s: %v", key, a)
		}
		l.note(key, body, granted.Fence)
	}
	return nil
}

func testBackupUnderLoad(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	key := c.newTenant("shop", 0).key
	l := &ledger{bodies: make(map[string]string)}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var load errgroup.Group
	for i := range 6 {
		at := newClient(c.nodes[i%3].url(), key).following()
		load.Go(func() error { return l.write(ctx, at, fmt.Sprint("worker", i)) })
	}
	var files []string
	var promised []map[string]string // acknowledged before each save began
	for _, n := range c.nodes {
		before := l.len()
		eventually(t, "some load", func() bool { return l.len() > before+50 })
		promised = append(promised, l.copy())
		file := filepath.Join(t.TempDir(), n.name+".snapshot")
		mustCommand(t, n, "snapshot", "save", file)
		mustCommand(t, n, "snapshot", "verify", file)
		files = append(files, file)
	}
	stop()
	if err := load.Wait(); err != nil {
		t.Fatalf("load: %v", err)
	}
	c.killAll()

	fresh := newCluster(t, 3)
	for i, file := range files {
		at := fresh.nodes[i] // followers send it on to the leader
		mustCommand(t, at, "snapshot", "restore", file, "--yes", "--other-cluster")
		l.check(t, fresh, key, promised[i])
	}
	fresh.killAll()
	fresh.restartAll()
	l.check(t, fresh, key, promised[len(promised)-1])
	t.Logf("%d acknowledged, of which %d before the last save", l.len(), len(promised[len(promised)-1]))
}

// check reads everything that was promised on every node, and that new fences are above all old ones.
func (l *ledger) check(t *testing.T, c *cluster, key string, promised map[string]string) {
	t.Helper()
	c.waitConverged()
	for _, n := range c.nodes {
		at := newClient(n.url(), key)
		for k, body := range promised {
			if v := at.getStale(backupScope, k); string(v.Record.Body) != body {
				t.Fatalf("%s on %s: %v, want %s", k, n.name, v.answer, body)
			}
		}
		name := fmt.Sprint("new-", rand.Uint64())
		var granted claimed
		untilTold(func() answer {
			granted = at.following().claim(claimRequest{Scope: backupScope, Key: name, Owner: name})
			return granted.answer
		})
		if !granted.Locked || granted.Fence <= l.fence {
			t.Fatalf("through %s: %v, the fence must be above %d", n.name, granted.answer, l.fence)
		}
		l.note("", "", granted.Fence)
	}
}

// fillBulk stores records of some size, total bytes in all.
func fillBulk(t testing.TB, n *node, key string, total int) {
	t.Helper()
	const each = 200 << 10
	body := []byte(`"` + strings.Repeat("x", each-2) + `"`)
	var writers errgroup.Group
	writers.SetLimit(4)
	for i := range total / each {
		writers.Go(func() error {
			put := putRequest{Scope: "bulk", Key: fmt.Sprint(i), Body: body}
			a := untilTold(func() answer { return newClient(n.url(), key).following().put(put) })
			if a.outcome != ok {
				return fmt.Errorf("put %d: %v", i, a)
			}
			return nil
		})
	}
	if err := writers.Wait(); err != nil {
		t.Fatal(err)
	}
}

// testRestoreKilled kills the leader at any moment of a restore. Whatever was reached by then, all nodes end up with
// the same state: that from before, or the backup's.
func testRestoreKilled(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	key := c.newTenant("shop", 0).key
	fillBulk(t, c.leader(), key, bulkBytes/2)
	file := filepath.Join(t.TempDir(), "b.snapshot")
	mustCommand(t, c.leader(), "snapshot", "save", file)
	began := time.Now()
	mustCommand(t, c.leader(), "snapshot", "restore", file, "--yes")
	whole := time.Since(began)
	t.Logf("a restore that nobody disturbs takes %s", whole.Round(time.Millisecond))
	outcomes := map[string]int{}
	for round := range *killsFlag {
		marker := fmt.Sprint("marker-", round)
		leader := c.leader()
		put := putRequest{Scope: backupScope, Key: marker, Body: []byte("1")}
		if a := untilTold(func() answer { return newClient(leader.url(), key).following().put(put) }); a.outcome != ok {
			t.Fatalf("put %s: %v", marker, a)
		}
		restored := c.killDuringRestore(leader, file, whole)
		state := c.settled(t, key, marker)
		if restored && state == "old" {
			t.Fatal("a restore that had succeeded was lost")
		}
		outcomes[state]++
	}
	t.Logf("after %d kills, by the state that all nodes had: %v", *killsFlag, outcomes)
}

// killDuringRestore kills the leader some time after a restore has begun, and starts it again. It reports whether the
// command was told that the restore had succeeded.
func (c *cluster) killDuringRestore(leader *node, file string, whole time.Duration) (restored bool) {
	c.t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := command(c.t.Context(), leader, "snapshot", "restore", file, "--yes")
		done <- err
	}()
	time.Sleep(whole/4 + rand.N(whole))
	leader.kill9()
	err := <-done
	c.leader() // the others go on
	leader.start()
	return err == nil
}

// settled waits until all nodes have the same state and returns which one: "new" is the backup's. As a supervisor does,
// it starts a node again that has given up a restored state which came to nothing.
func (c *cluster) settled(t *testing.T, key, marker string) string {
	t.Helper()
	after := marker + "-settled"
	put := putRequest{Scope: backupScope, Key: after, Body: []byte("1")}
	eventually(t, "the cluster serves", func() bool {
		return newClient(c.leader().url(), key).following().put(put).outcome == ok
	}, c.logTails)
	for _, n := range c.nodes {
		eventually(t, n.name+" has what came after the restore", func() bool {
			if n.process.hasExited() {
				n.start()
			}
			return newClient(n.url(), key).getStale(backupScope, after).Cached
		}, c.logTails)
	}
	c.waitConverged()
	seen := map[string]bool{}
	for _, n := range c.nodes {
		v := newClient(n.url(), key).getStale(backupScope, marker)
		switch {
		case v.answer.outcome != ok:
			t.Fatalf("%s: %v", n.name, v.answer)
		case v.Cached:
			seen["old"] = true
		default:
			seen["new"] = true
		}
	}
	if len(seen) != 1 {
		t.Fatalf("the nodes differ: %v\n%s", seen, c.logTails())
	}
	for state := range seen {
		return state
	}
	return ""
}

// testBackupMemory saves a backup that is much larger than what either side may take for it.
func testBackupMemory(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	n := c.nodes[0]
	key := c.newTenant("shop", 0).key
	fillBulk(t, n, key, 3*bulkBytes)
	mustResetPeak(t, n)
	before := memory(t, n, "VmRSS")
	file := filepath.Join(t.TempDir(), "b.snapshot")
	own := mustCommandPeak(t, n, "snapshot", "save", file)
	grown := memory(t, n, "VmHWM") - before
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("a backup of %d MB: the server's memory grew by %d MB, the command took %d MB",
		info.Size()>>20, grown>>20, own>>20)
	if info.Size() < 3*bulkBytes*9/10 {
		t.Errorf("the backup has %d bytes", info.Size())
	}
	if own == 0 || grown > info.Size()/3 || own > info.Size()/3 {
		t.Errorf("memory grows with the backup, or nobody saw it")
	}
}

// mustResetPeak makes the kernel forget the largest memory that the node's process had.
func mustResetPeak(t *testing.T, n *node) {
	t.Helper()
	path := fmt.Sprintf("/proc/%d/clear_refs", n.process.pid())
	if err := os.WriteFile(path, []byte("5"), 0); errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		t.Skipf("this kernel keeps no peak that can be reset: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
}

// memory returns a line of the process's status in bytes.
func memory(t *testing.T, n *node, name string) int64 {
	t.Helper()
	bytes, err := memoryOf(n.process.pid(), name)
	if err != nil {
		t.Fatalf("%s: %v", n.name, err)
	}
	return bytes
}

// memoryOf is memory for any process.
func memoryOf(pid int, name string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		var kib int64
		if rest, found := strings.CutPrefix(line, name+":"); found {
			_, err := fmt.Sscan(rest, &kib)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("there is no %s in the status of process %d", name, pid)
}
