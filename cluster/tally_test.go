package cluster

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// usageOf adds up all days of a tenant.
func usageOf(n *Node, tenant fsm.TenantID) map[fsm.Meter]int64 {
	total := make(map[fsm.Meter]int64)
	for _, day := range n.UsageDays(tenant, 0, math.MaxInt32) {
		for _, x := range fsm.Meters() {
			if c := day.Count(x); c > 0 {
				total[x] += c
			}
		}
	}
	return total
}

func waitForUsage(t *testing.T, n *Node, tenant fsm.TenantID, x fsm.Meter, want int64) {
	t.Helper()
	waitFor(t, fmt.Sprintf("%s to be %d", x, want), func() bool { return usageOf(n, tenant)[x] == want })
}

func waitForLevel(t *testing.T, nodes ...*Node) {
	t.Helper()
	for _, n := range nodes {
		waitFor(t, "the feature level to rise", n.counts)
	}
}

// TestTally: what is answered without the log is counted all the same, on every node, by entries that are far fewer; and
// what the log decides is counted once.
func TestTally(t *testing.T) {
	t.Parallel()
	leader, followers := newCluster(t)
	nodes := append(followers, leader)
	waitForLevel(t, nodes...)
	tenant := newTenant(t, leader)
	done := fsm.RecordID{Tenant: tenant, Scope: "orders", Key: "done"}
	held := fsm.RecordID{Tenant: tenant, Scope: "orders", Key: "held"}
	if _, _, err := leader.Propose(t.Context(), Call{Command: complete(done, `1`)}, Call{Command: claim(held, "a")}); err != nil {
		t.Fatal(err)
	}
	const replays, conflicts = 50, 20
	for i := range replays {
		calls := []Call{{Command: claim(done, "b")}}
		if i < conflicts {
			calls = append(calls, Call{Command: claim(held, "b")})
		}
		if _, _, err := leader.Claim(t.Context(), calls...); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range nodes {
		waitForUsage(t, n, tenant, fsm.MeterReplays, replays)
		waitForUsage(t, n, tenant, fsm.MeterConflicts, conflicts)
	}
	// A claim that waits is decided in the log, which counts the conflict; it is not counted again when it is answered.
	if _, _, err := leader.Claim(t.Context(), Call{Command: claim(held, "b"), Wait: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		waitForUsage(t, n, tenant, fsm.MeterConflicts, conflicts+1)
		if got := usageOf(n, tenant)[fsm.MeterClaims]; got != 1 {
			t.Errorf("%s: %d claims counted, want 1", n.ID(), got)
		}
	}
}

// TestTallyOfALeaderThatHandsOver: it commits what it has counted first.
func TestTallyOfALeaderThatHandsOver(t *testing.T) {
	t.Parallel()
	leader, followers := newCluster(t)
	waitForLevel(t, leader)
	tenant := newTenant(t, leader)
	done := fsm.RecordID{Tenant: tenant, Scope: "orders", Key: "done"}
	if _, _, err := leader.Propose(t.Context(), Call{Command: complete(done, `1`)}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, _, err := leader.Claim(t.Context(), Call{Command: claim(done, "b")}); err != nil {
			t.Fatal(err)
		}
	}
	leader.Drain()
	next := waitForLeader(t, followers...)
	waitForUsage(t, next, tenant, fsm.MeterReplays, 3)
}

// TestKeyUse: the first use within an hour is kept, and those that follow cost nothing.
func TestKeyUse(t *testing.T) {
	t.Parallel()
	n := openNode(t, Config{BootstrapExpect: 1})
	waitForLeader(t, n)
	waitForLevel(t, n)
	tenant := newTenant(t, n)
	created := fsm.CreateKey{Tenant: tenant, PublicID: "key_1", Hash: [32]byte{1}}
	if _, _, err := n.Propose(t.Context(), Call{Command: created}); err != nil {
		t.Fatal(err)
	}
	key := func() *fsm.APIKey { return n.Directory().KeyByHash([32]byte{1}) }
	before := n.clock.nowMs()
	n.NoteKeyUse(key())
	waitFor(t, "the use to be kept", func() bool { return key().LastUsedMs != 0 })
	if got := key().LastUsedMs; got%tallyHour != 0 || got < before-before%tallyHour || got > n.clock.nowMs() {
		t.Errorf("used at %d, want the hour of %d", got, before)
	}
	if n.clock.nowMs()-key().LastUsedMs < tallyHour {
		n.NoteKeyUse(key())
		if n.proposer.tally.due(0) {
			t.Error("a use within the hour is noted again")
		}
	}
}

// A command holds so much of a tally at most; the rest comes in the next entries, and nothing twice.
func TestTallyIsTakenInParts(t *testing.T) {
	t.Parallel()
	tl := newTally()
	tl.hurry(true)
	want := int64(0)
	for i := range fsm.TenantID(2*fsm.MaxTallyCounts + 1) {
		tl.count(i+1, fsm.MeterReplays, int64(i)+1)
		tl.use(i+1, "key", int64(i))
		want += int64(i) + 1
	}
	got, parts := int64(0), 0
	for {
		c, ok := tl.take()
		if !ok {
			break
		}
		if err := fsm.Validate(c); err != nil {
			t.Fatal(err)
		}
		for _, n := range c.Counts {
			got += n.Count
		}
		parts++
	}
	if got != want || parts != 3 {
		t.Errorf("%d in %d parts, want %d in 3", got, parts, want)
	}
}

// What rode in an entry that was not applied rides in the next one; what may have been applied does not.
func TestTallyOfAFailedEntry(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err  error
		want int64
	}{"not applied": {ErrBusy, 2}, "unknown": {ErrOutcomeUnknown, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.call(fsm.RaiseFeatureLevel{Level: fsm.LevelControl, Version: "v"})
			b.p.tally.count(1, fsm.MeterReplays, 2)
			b.enqueue(Call{Command: claim(record("1"), "a")})
			b.p.discard(b.p.nextBatch(), tt.err)
			b.call(claim(record("2"), "a"))
			got := int64(0)
			for _, day := range b.m.UsageDays(1, 0, math.MaxInt32) {
				got += day.Count(fsm.MeterReplays)
			}
			if got != tt.want {
				t.Errorf("%d replays counted, want %d", got, tt.want)
			}
		})
	}
}

// Once another node leads, what this one counted is no entry's of its own any more.
func TestTallyOfADeposedLeader(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.p.tally.count(1, fsm.MeterReplays, 2)
	b.p.tally.use(1, "key", 1)
	b.p.revoke()
	if b.p.tally.due(0) {
		t.Error("it is still there")
	}
}

// Uses of keys wait until they have been collected for a while, for an entry that brings them is dear; counts do not.
func TestUsesOfKeysWait(t *testing.T) {
	t.Parallel()
	tl := newTally()
	tl.use(1, "key", 1)
	if c, ok := tl.take(); ok {
		t.Errorf("took %+v at once", c)
	}
	tl.count(1, fsm.MeterReplays, 1)
	if c, ok := tl.take(); !ok || len(c.Counts) != 1 || len(c.Uses) != 0 {
		t.Errorf("took %+v, want the count alone", c)
	}
	tl.usedSince = tl.usedSince.Add(-tallyDelay)
	if c, ok := tl.take(); !ok || len(c.Uses) != 1 {
		t.Errorf("took %+v, want the use", c)
	}
	if tl.due(0) {
		t.Error("something is left")
	}
}

// What was counted before a backup was restored is of tenants that may be others now.
func TestTallyOfARestoredState(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.p.tally.count(1, fsm.MeterReplays, 2)
	b.p.onRestore(b.index + 10)
	if b.p.tally.due(0) {
		t.Error("it is still there")
	}
}
