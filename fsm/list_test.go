package fsm

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// listAll lists to the end, and calls between after each part.
func listAll(m *Machine, q LockQuery, nowMs int64, between func()) (found []HeldLock, parts int) {
	for more := true; more; parts++ {
		var part []HeldLock
		part, q.After, more = m.ListLocks(q, nowMs)
		found = append(found, part...)
		if between != nil {
			between()
		}
	}
	return found, parts
}

func namesOf(found []HeldLock) []string {
	names := make([]string, 0, len(found))
	for _, h := range found {
		names = append(names, h.Scope+"/"+h.Key)
	}
	slices.Sort(names)
	return names
}

func TestListLocks(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	j.apply(noon2026, CreateTenant{PublicID: "ten_2", Slug: "umbrella"})
	grant := func(tenant TenantID, scope, key string, lease int64) {
		c := Claim{ID: RecordID{tenant, scope, key}, Owner: "o:me", Token: tok(1), LeaseMs: lease, TTLMs: ttlMs, Fingerprint: "f"}
		if r := j.apply(noon2026, c); r.Outcome != Granted {
			t.Fatalf("%+v", r)
		}
	}
	grant(1, "orders", "short", leaseMs)
	grant(1, "orders", "long", 2*leaseMs)
	grant(1, "orders", "endless", NeverMs)
	grant(1, "mails", "short", leaseMs)
	grant(2, "orders", "short", leaseMs)
	grant(1, "orders", "done", leaseMs)
	grant(1, "orders", "released", leaseMs)
	j.apply(noon2026, Complete{ID: RecordID{1, "orders", "done"}, Status: 200, Headers: []byte("{}"), Body: []byte("1"), TTLMs: ttlMs})
	j.apply(noon2026, Release{ID: RecordID{1, "orders", "released"}, Token: tok(1)})

	for _, tt := range []struct {
		name  string
		query LockQuery
		atMs  int64
		want  string
	}{
		{"none has lapsed", LockQuery{Tenant: 1, State: StateLapsed}, noon2026 + leaseMs - 1, ""},
		{"lapsed", LockQuery{Tenant: 1, State: StateLapsed}, noon2026 + leaseMs, "mails/short orders/short"},
		{"of a scope", LockQuery{Tenant: 1, Scope: "orders", State: StateLapsed}, noon2026 + leaseMs, "orders/short"},
		{"of another tenant", LockQuery{Tenant: 2, State: StateLapsed}, noon2026 + leaseMs, "orders/short"},
		{"of no tenant", LockQuery{Tenant: 3, State: StateLapsed}, noon2026 + leaseMs, ""},
		{"locked", LockQuery{Tenant: 1, State: StateLocked}, noon2026 + leaseMs, "orders/endless orders/long"},
		{"forgotten", LockQuery{Tenant: 1, State: StateLapsed}, noon2026 + ttlMs, ""},
		{"a clock behind the committed one", LockQuery{Tenant: 1, Scope: "orders", State: StateLocked}, 0,
			"orders/endless orders/long orders/short"},
	} {
		for limit := 1; limit <= 4; limit++ {
			tt.query.Limit = limit
			found, _ := listAll(j.m, tt.query, tt.atMs, nil)
			if got := strings.Join(namesOf(found), " "); got != tt.want {
				t.Errorf("%s, %d at a time: %q, want %q", tt.name, limit, got, tt.want)
			}
		}
	}
	found, _ := listAll(j.m, LockQuery{Tenant: 1, Scope: "mails", State: StateLapsed, Limit: 1}, noon2026+leaseMs, nil)
	want := HeldLock{Scope: "mails", Key: "short", Owner: "o:me", Fingerprint: "f", Fence: found[0].Fence, State: StateLapsed,
		CreatedAtMs: noon2026, LeaseEndMs: noon2026 + leaseMs, ExpiresAtMs: noon2026 + ttlMs}
	if found[0] != want || want.Fence == 0 {
		t.Errorf("listed %+v, want %+v", found[0], want)
	}
}

// However many locks there are, a call looks through a bounded part; and what stays from beginning to end is listed once
// while others come and go between the calls.
func TestListLocksWhileTheyChange(t *testing.T) {
	t.Parallel()
	const stay, limit = 12_000, 500
	j := newJournal(t)
	random := rand.New(rand.NewPCG(1, 2))
	name := func(i int) string { return fmt.Sprint(i, strings.Repeat("x", i%300)) }
	claimOf := func(prefix string, i int) Claim {
		return Claim{ID: RecordID{1, prefix, name(i)}, Owner: "o:me", Token: tok(1), LeaseMs: leaseMs, TTLMs: ttlMs}
	}
	var cmds []Command
	flush := func() {
		j.entry(noon2026, cmds...)
		cmds = nil
	}
	for i := range stay {
		cmds = append(cmds, claimOf("stay", i), claimOf("go", i))
		if len(cmds) > 1000 {
			flush()
		}
	}
	flush()
	change := func() {
		for range 300 {
			i := random.IntN(2 * stay)
			if i < stay && random.IntN(2) == 0 {
				cmds = append(cmds, Release{ID: RecordID{1, "go", name(i)}, Token: tok(1)})
			} else {
				cmds = append(cmds, claimOf("go", i))
			}
		}
		flush()
	}
	found, parts := listAll(j.m, LockQuery{Tenant: 1, State: StateLocked, Limit: limit}, noon2026, change)
	staying := slices.DeleteFunc(found, func(h HeldLock) bool { return h.Scope != "stay" })
	names := namesOf(staying)
	if len(names) != stay || len(slices.Compact(names)) != stay {
		t.Errorf("%d of those that stay were listed, %d of them different; want %d", len(staying), len(slices.Compact(names)), stay)
	}
	if parts < stay/limit {
		t.Errorf("%d parts", parts)
	}
	// None is found, and still a call looks at so much only.
	if _, parts := listAll(j.m, LockQuery{Tenant: 2, State: StateLocked, Limit: limit}, noon2026, nil); parts < 2 {
		t.Errorf("all of %d pages were looked through in one call", len(j.m.locks.pages.pages))
	}
}
