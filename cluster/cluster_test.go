package cluster

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/syllecta/syllecta/fsm"
)

func propose(t *testing.T, n *Node, cmd fsm.Command) fsm.Result {
	t.Helper()
	results, _, err := n.Propose(t.Context(), Call{Command: cmd})
	if err != nil {
		t.Fatal(err)
	}
	return results[0]
}

// TestFollowersSeeWhatWasAcknowledged writes on the leader and reads on the followers, which catch up in between.
func TestFollowersSeeWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	leader, followers := newCluster(t)
	tenant := newTenant(t, leader)
	for i := range 20 {
		id := fsm.RecordID{Tenant: tenant, Scope: "orders", Key: fmt.Sprint(i)}
		propose(t, leader, claim(id, "owner"))
		f := followers[i%2]
		if err := f.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if v, _, age := f.ReadStale(id); v.State != fsm.StateLocked || !age.Known {
			t.Fatalf("record %d on %s: %+v, %+v", i, f.ID(), v, age)
		}
	}
	if err := leader.CatchUp(t.Context()); err != nil {
		t.Error(err)
	}
	for _, f := range followers {
		if _, _, err := f.Propose(t.Context(), Call{Command: claim(record("1"), "owner")}); !errors.Is(err, ErrNotLeader) {
			t.Errorf("proposed on a follower: %v", err)
		}
		if _, _, err := f.Read(t.Context(), record("1")); !errors.Is(err, ErrNotLeader) {
			t.Errorf("read on a follower: %v", err)
		}
		p, ok := f.WaitLeader(t.Context())
		want := Peer{ID: leader.ID(), HTTPURL: leader.cfg.HTTPURL, TicketKey: leader.TicketKey()}
		if !ok || !reflect.DeepEqual(p, want) {
			t.Errorf("the leader is %+v", p)
		}
	}
}

// TestStaleReadsOfADeposedLeader: a leader that lost its majority knows until when it was the only one.
func TestStaleReadsOfADeposedLeader(t *testing.T) {
	t.Parallel()
	leader, followers := newCluster(t)
	waitFor(t, "a majority to be heard", func() bool { _, ok := leader.quorumTime(); return ok })
	for _, f := range followers {
		closeNode(t, f)
	}
	waitFor(t, "the leader to step down", func() bool { return leader.readyTerm.Load() == 0 })
	_, _, before := leader.ReadStale(record("1"))
	waitFor(t, "the bound to grow", func() bool {
		_, _, age := leader.ReadStale(record("1"))
		return before.Known && age.Known && age.Max > before.Max+pingEvery
	})
}

// TestStaleReads: a follower's bound is small while the leader is there, and grows once it is gone.
func TestStaleReads(t *testing.T) {
	t.Parallel()
	leader, followers := newCluster(t)
	age := func(n *Node) Staleness {
		_, _, age := n.ReadStale(record("1"))
		return age
	}
	waitFor(t, "a bound on the leader", func() bool { return age(leader).Known && age(leader).Max < peerFresh })
	f := followers[0]
	waitFor(t, "a bound", func() bool { return age(f).Known })
	waitFor(t, "a small bound", func() bool { return age(f).Max < peerFresh })
	// Without a majority nobody leads, and nobody knows how old the state is but by its own clock.
	closeNode(t, leader)
	closeNode(t, followers[1])
	waitFor(t, "the bound to grow", func() bool { return age(f).Max > peerFresh })
	if err := catchUpWithin(t, f, time.Second); !errors.Is(err, ErrUnavailable) {
		t.Errorf("caught up with nobody: %v", err)
	}
	if _, ok := f.Leader(); ok {
		t.Error("there is a leader")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if p, ok := f.WaitLeader(ctx); ok {
		t.Errorf("waited for a leader, and got %+v", p)
	}
	if ready(f) {
		t.Error("ready without a leader")
	}
}

func catchUpWithin(t *testing.T, n *Node, d time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return n.CatchUp(ctx)
}

// TestSuccession shuts down one leader after the other: each hands over, and its successor is ready in its own term
// and knows everything.
func TestSuccession(t *testing.T) {
	t.Parallel()
	first, followers := newCluster(t)
	id := fsm.RecordID{Tenant: newTenant(t, first), Scope: "orders", Key: "1"}
	granted := propose(t, first, claim(id, "owner"))
	terms := []uint64{first.readyTerm.Load()}
	check := func(leader *Node) {
		t.Helper()
		if got, want := leader.readyTerm.Load(), leader.raft.CurrentTerm(); got != want || want <= terms[len(terms)-1] {
			t.Errorf("ready in term %d of %d, after %v", got, want, terms)
		}
		terms = append(terms, leader.readyTerm.Load())
		v, _, err := leader.Read(t.Context(), id)
		if err != nil || v.State != fsm.StateLocked || v.LeaseEndMs < granted.LeaseEndMs {
			t.Errorf("%+v, %v", v, err)
		}
		if got := propose(t, leader, claim(id, "owner")); !got.Reentered || got.Fence != granted.Fence {
			t.Errorf("%+v, first %+v", got, granted)
		}
	}
	closeNode(t, first)
	if first.IsLeader() || first.Status().Role != "shutdown" {
		t.Errorf("%+v", first.Status())
	}
	if _, _, err := first.Propose(t.Context(), Call{Command: claim(id, "late")}); err == nil {
		t.Error("proposed on a node that is shut down")
	}
	if _, _, err := first.Read(t.Context(), id); err == nil {
		t.Error("read on a node that is shut down")
	}
	second := waitForLeader(t, followers...)
	check(second)
	// Back again, it follows; then its turn may come.
	cfg := first.cfg
	cfg.Metrics = nil
	again := openNode(t, cfg)
	waitFor(t, "the node to be back", func() bool { return ready(again) })
	third := followers[0]
	if third == second {
		third = followers[1]
	}
	waitFor(t, "all to have caught up", func() bool {
		return third.CatchUp(t.Context()) == nil && again.CatchUp(t.Context()) == nil
	})
	second.Drain()
	next := waitForLeader(t, third, again)
	check(next)
	if second.readyTerm.Load() != 0 {
		waitFor(t, "the old leader to step back", func() bool { return second.readyTerm.Load() == 0 })
	}
}

// TestDrain: a draining node takes no more proposals, says so in its readiness, and leads no more.
func TestDrain(t *testing.T) {
	t.Parallel()
	leader, followers := newCluster(t)
	leader.Drain()
	if _, _, err := leader.Propose(t.Context(), Call{Command: claim(record("1"), "owner")}); err == nil {
		t.Error("took a proposal")
	}
	waitForLeader(t, followers...)
	if checks := leader.Readiness(); checks[0].Name != "running" || checks[0].OK || checks[0].Detail != "shutting down" {
		t.Errorf("%+v", checks)
	}
	waitFor(t, "the drained node to follow", func() bool {
		return !leader.IsLeader() && leader.Status().Role == "follower"
	})
}

// TestStatus: each node tells the same story of the cluster.
func TestStatus(t *testing.T) {
	t.Parallel()
	leader, followers := newCluster(t)
	id := fsm.RecordID{Tenant: newTenant(t, leader), Scope: "orders", Key: "1"}
	propose(t, leader, claim(id, "owner"))
	want := leader.Status()
	if want.Role != "leader" || want.LeaderID != leader.ID() || want.LeaderURL != leader.cfg.HTTPURL || want.Locks != 1 ||
		want.ClusterID == "" || want.Digest == 0 || want.ClockMs == 0 || len(want.Nodes) != 3 {
		t.Errorf("%+v", want)
	}
	for _, f := range followers {
		if err := f.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := f.Status()
		if got.Role != "follower" || got.LeaderID != want.LeaderID || got.ClusterID != want.ClusterID ||
			got.AppliedIndex < want.AppliedIndex || got.ClockMs < want.ClockMs || got.Locks != 1 ||
			got.AppliedIndex == want.AppliedIndex && got.Digest != want.Digest {
			t.Errorf("%+v, the leader's %+v", got, want)
		}
		for _, p := range got.Nodes {
			if !p.Reachable || p.HTTPURL == "" || p.LastSeen > peerFresh || p.ClockOffset.Abs() > time.Minute {
				t.Errorf("%s of %+v", f.ID(), p)
			}
		}
	}
	closeNode(t, followers[0])
	waitFor(t, "the loss to be noticed", func() bool {
		for _, p := range leader.Status().Nodes {
			if p.ID == followers[0].ID() {
				return !p.Reachable
			}
		}
		return false
	})
}

// TestOutvotedNodeStops falsifies one node's state: it notices that the others differ, and ends.
func TestOutvotedNodeStops(t *testing.T) {
	t.Parallel()
	leader, followers := newCluster(t)
	id := fsm.RecordID{Tenant: newTenant(t, leader), Scope: "orders", Key: "1"}
	damaged := followers[0]
	damaged.applier.mu.Lock()
	// An entry that the others do not have, as if memory or disk had gone bad.
	m := damaged.applier.machine
	frame := fsm.Encode(fsm.Release{ID: record("never seen")})
	if _, _, err := m.Apply(m.Index(), m.Term(), fsm.EncodeEntry(m.ClockMs(), fsm.BatchID{}, frame)); err != nil {
		t.Error(err)
	}
	damaged.applier.mu.Unlock()
	for leader.Status().AppliedIndex <= 2*checkpointEvery {
		propose(t, leader, claim(id, "owner"))
	}
	select {
	case err := <-damaged.Fatal():
		at := fmt.Sprint("log index ", checkpointEvery)
		for _, w := range []string{"differs from the majority's", at, "empty its data directory"} {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q does not say %q", err, w)
			}
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it did not notice")
	}
	for _, n := range []*Node{leader, followers[1]} {
		select {
		case err := <-n.Fatal():
			t.Errorf("%s stopped as well: %v", n.ID(), err)
		default:
		}
	}
}

// TestDiskFull: below the floor claims and new events are refused, and what completes and reports is not.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	n := openNode(t, Config{BootstrapExpect: 1})
	waitForLeader(t, n)
	id := fsm.RecordID{Tenant: newTenant(t, n), Scope: "orders", Key: "1"}
	propose(t, n, claim(id, "owner"))
	event := fsm.AcceptEvent{Tenant: id.Tenant, Source: newSource(t, n, id.Tenant), Nonce: 1, ProviderID: "e", Payload: []byte("p")}
	accepted := propose(t, n, event).Event
	for what, calls := range map[string][]Call{
		"a claim":              {{Command: claim(id, "other")}},
		"a claim among others": {{Command: complete(id, "1")}, {Command: claim(id, "other")}},
		"an event":             {{Command: event}},
	} {
		waitFor(t, what+" to be refused", func() bool {
			n.diskFull.Store(true) // until the node looks again
			_, _, err := n.Propose(t.Context(), calls...)
			return errors.Is(err, ErrStorageFull)
		})
	}
	n.diskFull.Store(true)
	if got := propose(t, n, complete(id, "1")); got.Outcome != fsm.Stored {
		t.Errorf("%+v", got)
	}
	n.diskFull.Store(true)
	report := fsm.ReportAttempt{Tenant: id.Tenant, Event: accepted.ID, Number: 1, Verdict: fsm.VerdictDelivered}
	if got := propose(t, n, report); got.Outcome != fsm.AttemptNoted {
		t.Errorf("%+v", got)
	}
	if n.checkDisk(); n.diskFull.Load() {
		t.Error("the disk is not full any more")
	}
}

func TestBelowFloor(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	for _, c := range []struct {
		free, total, floor int64
		want               bool
	}{
		{DefaultDiskFreeFloor, 100 * gib, DefaultDiskFreeFloor, false},
		{DefaultDiskFreeFloor - 1, 100 * gib, DefaultDiskFreeFloor, true},
		{gib / 20, gib, DefaultDiskFreeFloor, false}, // a twentieth of a small disk is enough
		{gib/20 - 1, gib, DefaultDiskFreeFloor, true},
		{0, gib, DefaultDiskFreeFloor, true},
	} {
		if got := belowFloor(c.free, c.total, c.floor); got != c.want {
			t.Errorf("%d of %d bytes free, floor %d: %v", c.free, c.total, c.floor, got)
		}
	}
	free, total, err := diskSpace(t.TempDir())
	if err != nil || free <= 0 || total < free {
		t.Errorf("%d of %d bytes free, %v", free, total, err)
	}
}

// TestMetricsLint holds the names and helps of the metrics to the rules, and looks for each of them.
func TestMetricsLint(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	n := openNode(t, Config{BootstrapExpect: 1, Metrics: registry})
	waitForLeader(t, n)
	newTenant(t, n)
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) != 0 {
		t.Errorf("%v, %+v", err, problems)
	}
	names := []string{
		"syllecta_proposer_batch_calls", "syllecta_proposer_commit_seconds", "syllecta_raft_store_seconds",
		"syllecta_proposer_rejected_total", "syllecta_proposer_outcome_unknown_total", "syllecta_clock_offset_seconds",
		"syllecta_disk_free_bytes", "syllecta_fsm_apply_seconds", "syllecta_snapshot_capture_seconds",
		"syllecta_snapshot_persist_seconds",
	}
	for name := range stateHelp {
		if name != "syllecta_certificate_expiry_timestamp_seconds" { // only with certificates
			names = append(names, name)
		}
	}
	if got, err := testutil.GatherAndCount(registry, names...); err != nil || got != len(names) {
		t.Errorf("%d of %d metrics, %v", got, len(names), err)
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP syllecta_raft_leader 1 if this node leads and is ready to serve.
# TYPE syllecta_raft_leader gauge
syllecta_raft_leader 1
# HELP syllecta_raft_voters Voters in the raft configuration.
# TYPE syllecta_raft_voters gauge
syllecta_raft_voters 1
`), "syllecta_raft_leader", "syllecta_raft_voters"); err != nil {
		t.Error(err)
	}
}
