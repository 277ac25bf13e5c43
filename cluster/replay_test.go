package cluster

import (
	"testing"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// TestClaimWritesNoMoreThanItMust: what changes nothing is answered without a log entry, and everything else with one.
func TestClaimWritesNoMoreThanItMust(t *testing.T) {
	t.Parallel()
	n := openNode(t, Config{BootstrapExpect: 1})
	waitForLeader(t, n)
	tenant := newTenant(t, n)
	done := fsm.RecordID{Tenant: tenant, Scope: "orders", Key: "done"}
	held := fsm.RecordID{Tenant: tenant, Scope: "orders", Key: "held"}
	if _, _, err := n.Propose(t.Context(), Call{Command: complete(done, `"paid"`)}, Call{Command: claim(held, "a")}); err != nil {
		t.Fatal(err)
	}
	fresh := func(key string) Call {
		return Call{Command: claim(fsm.RecordID{Tenant: tenant, Scope: "orders", Key: key}, "b")}
	}
	for _, tc := range []struct {
		name    string
		calls   []Call
		entries uint64
		want    []fsm.Outcome
	}{
		{"completed", []Call{{Command: claim(done, "b")}}, 0, []fsm.Outcome{fsm.Cached}},
		{"completed, and would wait", []Call{{Command: claim(done, "b"), Wait: time.Second}}, 0, []fsm.Outcome{fsm.Cached}},
		{"held", []Call{{Command: claim(held, "b")}}, 0, []fsm.Outcome{fsm.InProgress}},
		{"held, by its owner", []Call{{Command: claim(held, "a")}}, 1, []fsm.Outcome{fsm.Granted}},
		{"held, and waits", []Call{{Command: claim(held, "b"), Wait: time.Millisecond}}, 1, []fsm.Outcome{fsm.InProgress}},
		{"new", []Call{fresh("1")}, 1, []fsm.Outcome{fsm.Granted}},
		{"completed and held", []Call{{Command: claim(done, "b")}, {Command: claim(held, "b")}}, 0,
			[]fsm.Outcome{fsm.Cached, fsm.InProgress}},
		{"completed and new", []Call{{Command: claim(done, "b")}, fresh("2")}, 1, []fsm.Outcome{fsm.Cached, fsm.Granted}},
	} {
		n.proposer.tally.clear() // what is counted of replays comes later, in an entry of its own
		before := n.raft.LastIndex()
		results, at, err := n.Claim(t.Context(), tc.calls...)
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if wrote := n.raft.LastIndex() - before; wrote != tc.entries {
			t.Errorf("%s: %d entries, want %d", tc.name, wrote, tc.entries)
		}
		if at.Index == 0 || at.Term == 0 {
			t.Errorf("%s: receipt %+v", tc.name, at)
		}
		for i, want := range tc.want {
			if results[i].Outcome != want {
				t.Errorf("%s: result %d is %+v, want outcome %d", tc.name, i, results[i], want)
			}
		}
	}
}
