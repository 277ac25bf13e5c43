package test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	restartScope = "restart"
	// snapshotEvery is the smallest threshold that the server takes, so that a few writes are enough for a snapshot and
	// for the log behind it to be dropped.
	snapshotEvery = 16
)

// TestRestart restarts nodes in every combination that keeps the data: from the log, from snapshots and the log, and
// one that was away for so long that the others have dropped the log it would need.
func TestRestart(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, fmt.Sprintf("--snapshot-threshold=%d", snapshotEvery))
	b := &book{c: c, key: c.newTenant("restart", 0).key}

	b.write(t, snapshotEvery/2)
	t.Run("one node after the other", func(t *testing.T) {
		for _, n := range c.nodes {
			n.term()
			if code := n.process.exitCode(); code != 0 {
				t.Errorf("%s ended with code %d after SIGTERM", n.name, code)
			}
			b.write(t, 1)
			n.restart()
		}
		b.check(t)
	})
	t.Run("all nodes in good order", func(t *testing.T) {
		for _, n := range c.nodes {
			n.term()
		}
		c.restartAll()
		b.check(t)
	})
	t.Run("all nodes from snapshots and the log", func(t *testing.T) {
		b.writeUntilSnapshots(t, c.nodes...)
		b.write(t, 3)
		c.killAll()
		c.restartAll()
		b.check(t)
	})
	t.Run("a node that was away for long", func(t *testing.T) { testLongAbsence(t, b) })
	t.Run("a damaged snapshot", func(t *testing.T) { testDamagedSnapshot(t, b) })
}

// book remembers what was acknowledged.
type book struct {
	c       *cluster
	key     string
	records int      // stored under keys 0 to records-1
	tokens  []string // of locks under keys "lock 0" and so on
}

func bookBody(i int) string { return fmt.Sprintf(`{"i": %d.0, "pad": %q}`, i, strings.Repeat("x", 40)) }

func bookKey(i int) string { return fmt.Sprint(i) }

// write stores records, and takes a lock that is kept.
func (b *book) write(t *testing.T, count int) {
	t.Helper()
	client := newClient(b.c.leader().url(), b.key).following()
	for range count {
		i := b.records
		body := fmt.Sprintf(`{"scope":%q,"key":%q,"body":%s}`, restartScope, bookKey(i), bookBody(i))
		var a answer
		eventually(t, "a record is stored", func() bool {
			a = client.call(http.MethodPut, "/v1/record", []byte(body))
			return a.outcome == ok
		}, func() string { return a.String() })
		b.records++
	}
	endless := int64(0)
	var granted claimed
	eventually(t, "a lock is granted", func() bool {
		granted = client.claim(claimRequest{
			Scope: restartScope, Key: fmt.Sprintf("lock %d", len(b.tokens)), Owner: "book", LockMs: &endless,
		})
		return granted.Locked
	}, func() string { return granted.String() })
	b.tokens = append(b.tokens, granted.Token)
}

// check reads everything back, through each node and as each node has it, and proves that the locks are still held. It
// returns what all nodes agree on.
func (b *book) check(t *testing.T) status {
	t.Helper()
	agreed := b.c.waitConverged()
	for _, n := range b.c.nodes {
		client := newClient(n.url(), b.key).following()
		for i := range b.records {
			for _, v := range []view{b.get(t, client, bookKey(i)), client.getStale(restartScope, bookKey(i))} {
				if string(v.Record.Body) != bookBody(i) {
					t.Errorf("record %d through %s: %v", i, n.name, v.answer)
				}
			}
		}
		for i, token := range b.tokens {
			endless := int64(0)
			lock := lockRequest{Scope: restartScope, Key: fmt.Sprintf("lock %d", i), Token: token, LockMs: &endless}
			var a answer
			eventually(t, "a lock is renewed", func() bool {
				a = client.renew(lock)
				return a.status != http.StatusServiceUnavailable
			}, func() string { return a.String() })
			if a.outcome != ok {
				t.Errorf("lock %d through %s: %v", i, n.name, a)
			}
		}
	}
	return agreed
}

// get reads linearizably, and again while no leader can prove that it leads.
func (b *book) get(t *testing.T, client *client, key string) (v view) {
	t.Helper()
	eventually(t, "a record is read", func() bool {
		v = client.get(restartScope, key)
		return v.status != http.StatusServiceUnavailable
	}, func() string { return v.String() })
	return v
}

// writeUntilSnapshots writes enough for a snapshot and waits until each of the nodes has one that it had not before.
func (b *book) writeUntilSnapshots(t *testing.T, nodes ...*node) {
	t.Helper()
	before := make([]string, len(nodes))
	for i, n := range nodes {
		before[i] = newestSnapshot(t, n)
	}
	b.write(t, 2*snapshotEvery)
	eventually(t, "all have a new snapshot", func() bool {
		for i, n := range nodes {
			if newestSnapshot(t, n) == before[i] {
				return false
			}
		}
		return true
	}, b.c.logTails)
}

// newestSnapshot returns the path of a node's newest snapshot, or "".
func newestSnapshot(t *testing.T, n *node) string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(n.dir, "snapshots", "*", "state.bin"))
	if err != nil {
		t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(path string) bool { return strings.Contains(path, ".tmp") })
	if len(all) == 0 {
		return ""
	}
	// Names are term-index-time, with numbers of any length.
	return slices.MaxFunc(all, func(x, y string) int { return slices.Compare(snapshotOrder(t, x), snapshotOrder(t, y)) })
}

func snapshotOrder(t *testing.T, path string) []int {
	t.Helper()
	var term, index, at int
	name := filepath.Base(filepath.Dir(path))
	if _, err := fmt.Sscanf(name, "%d-%d-%d", &term, &index, &at); err != nil {
		t.Fatalf("snapshot %s: %v", name, err)
	}
	return []int{term, index, at}
}

// testLongAbsence keeps a follower away until the others have dropped the entries it would need next.
func testLongAbsence(t *testing.T, b *book) {
	away := b.c.followers()[0]
	away.kill9()
	last := newestSnapshot(t, away)
	var others []*node
	for _, n := range b.c.nodes {
		if n != away {
			others = append(others, n)
		}
	}
	// The log behind a snapshot keeps as many entries as lie between two.
	for range 2 {
		b.writeUntilSnapshots(t, others...)
	}
	away.restart()
	b.check(t)
	if !strings.Contains(strings.ToLower(away.logText()), "installed remote snapshot") {
		t.Errorf("%s caught up without a snapshot: its newest was %s, those of the others are %s and %s",
			away.name, last, newestSnapshot(t, others[0]), newestSnapshot(t, others[1]))
	}
}

// testDamagedSnapshot changes one byte of a stopped node's newest snapshot, somewhere at each of several places.
func testDamagedSnapshot(t *testing.T, b *book) {
	n := b.c.followers()[0]
	b.writeUntilSnapshots(t, n)
	n.term()
	path := newestSnapshot(t, n)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, len(good) / 2, len(good) - 1} {
		damaged := bytes.Clone(good)
		damaged[at] ^= 1
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		n.start()
		if !n.process.awaitExit(patience) {
			t.Fatalf("%s runs on a snapshot with byte %d of %d changed", n.name, at, len(good))
		}
		if code, tail := n.process.exitCode(), n.logTail(); code != 1 || !strings.Contains(tail, "damaged") {
			t.Errorf("byte %d of %d changed: code %d, want 1 and words:\n%s", at, len(good), code, tail)
		}
		b.write(t, 1) // the others go on
	}
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	n.restart()
	b.check(t)
}
