package cluster

import (
	"errors"
	"fmt"
	"testing"

	"github.com/syllecta/syllecta/fsm"
)

// TestListLocks lists all that is held in parts, and refuses cursors that are not of the node that leads.
func TestListLocks(t *testing.T) {
	t.Parallel()
	leader, followers := newCluster(t)
	tenant := newTenant(t, leader)
	const held, limit = 25, 10
	for i := range held {
		id := fsm.RecordID{Tenant: tenant, Scope: "orders", Key: fmt.Sprint(i)}
		if _, _, err := leader.Propose(t.Context(), Call{Command: claim(id, "a")}); err != nil {
			t.Fatal(err)
		}
	}
	query := fsm.LockQuery{Tenant: tenant, State: fsm.StateLocked, Limit: limit}
	seen, parts, cursor := make(map[string]bool), 0, ""
	for more := true; more; more = cursor != "" {
		found, next, err := leader.ListLocks(t.Context(), query, cursor)
		if err != nil || len(found) > limit {
			t.Fatalf("%d locks, %v", len(found), err)
		}
		for _, h := range found {
			seen[h.Key] = true
		}
		cursor = next
		parts++
	}
	if len(seen) != held || parts != 3 {
		t.Errorf("%d locks in %d parts, want %d in 3", len(seen), parts, held)
	}
	_, cursor, err := leader.ListLocks(t.Context(), query, "")
	if err != nil || cursor == "" {
		t.Fatalf("cursor %q, %v", cursor, err)
	}
	for _, bad := range []string{"x", "!", cursor[:len(cursor)-2], cursor + "AA", "A" + cursor[1:] + "A"} {
		if _, _, err := leader.ListLocks(t.Context(), query, bad); !errors.Is(err, ErrCursor) {
			t.Errorf("cursor %q: %v, want ErrCursor", bad, err)
		}
	}
	if _, _, err := followers[0].ListLocks(t.Context(), query, ""); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a follower: %v, want ErrNotLeader", err)
	}
	leader.Drain()
	next := waitForLeader(t, followers...)
	if _, _, err := next.ListLocks(t.Context(), query, cursor); !errors.Is(err, ErrCursor) {
		t.Errorf("a cursor of another leader: %v, want ErrCursor", err)
	}
}
