package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/syllecta/syllecta/fsm"
)

// newSource adds a source of the tenant.
func newSource(t *testing.T, leader *Node, tenant fsm.TenantID) fsm.SourceID {
	t.Helper()
	results, _, err := leader.Propose(t.Context(), Call{Command: fsm.PutSource{Source: fsm.Source{
		Tenant: tenant, PublicID: "src_1", Provider: "stripe", Name: fsm.DefaultSourceName, CallbackURL: "https://example.com/",
		DedupeWindowMs: fsm.DefaultDedupeWindowMs,
	}}})
	if err != nil || results[0].Outcome != fsm.OK {
		t.Fatalf("%+v, %v", results, err)
	}
	return results[0].Source.ID
}

// TestEvents: the leader alone lists events, all nodes are told that there are some, and what is due is.
func TestEvents(t *testing.T) {
	t.Parallel()
	leader, followers := newCluster(t)
	tenant := newTenant(t, leader)
	source := newSource(t, leader, tenant)
	for _, n := range append(followers, leader) {
		select {
		case <-n.EventsChanged():
		default:
		}
	}
	var first fsm.EventID
	for i := range 3 {
		results, _, err := leader.Propose(t.Context(), Call{Command: fsm.AcceptEvent{
			Tenant: tenant, Source: source, Nonce: uint64(i + 1), ProviderID: fmt.Sprint(i), Payload: []byte("p"),
		}})
		if err != nil || results[0].Outcome != fsm.EventAccepted {
			t.Fatalf("%+v, %v", results, err)
		}
		if i == 0 {
			first = results[0].Event.ID
		}
	}
	for _, n := range append(followers, leader) {
		<-n.EventsChanged()
	}
	page, err := leader.ListEvents(t.Context(), fsm.EventQuery{Tenant: tenant, Limit: 2})
	if err != nil || len(page.Events) != 2 || page.Next == 0 {
		t.Errorf("%+v, %v", page, err)
	}
	counts, err := leader.CountEvents(t.Context(), fsm.EventQuery{Tenant: tenant})
	if err != nil || len(counts) != 1 || counts[0].Events != 3 {
		t.Errorf("%+v, %v", counts, err)
	}
	if e, err := leader.Event(t.Context(), tenant, first); err != nil || e == nil || e.ProviderID != "0" {
		t.Errorf("%+v, %v", e, err)
	}
	if due := leader.DueEvents(leader.ClusterNowMs(), func(fsm.SourceID) int { return 2 }); len(due) != 2 {
		t.Errorf("%d events are due", len(due))
	}
	if dueMs, ok := leader.NextEventDueMs(); !ok || dueMs > leader.ClusterNowMs() {
		t.Errorf("next at %d, %t", dueMs, ok)
	}
	if _, events := leader.EventUsage(tenant); events != 3 {
		t.Errorf("%d events this month", events)
	}
	if _, err := followers[0].ListEvents(t.Context(), fsm.EventQuery{Tenant: tenant, Limit: 1}); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a follower lists events: %v", err)
	}
	if _, err := followers[0].Event(t.Context(), tenant, first); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a follower shows an event: %v", err)
	}
}

// TestLead: what only a leader does begins and ends with each leadership.
func TestLead(t *testing.T) {
	t.Parallel()
	var running, started atomic.Int64
	hosts := newHosts(t, 3, 3)
	for _, h := range hosts {
		h.cfg.Lead = func(ctx context.Context, n *Node) {
			started.Add(1)
			running.Add(1)
			defer running.Add(-1)
			if !n.IsLeader() {
				t.Errorf("it runs on %s, which does not lead", n.id)
			}
			<-ctx.Done()
		}
	}
	leader, followers := formed(t, startAll(t, hosts))
	waitFor(t, "it runs", func() bool { return running.Load() == 1 && started.Load() == 1 })
	leader.Drain()
	waitForLeader(t, followers...)
	waitFor(t, "it runs on the next leader alone", func() bool { return running.Load() == 1 && started.Load() == 2 })
}
