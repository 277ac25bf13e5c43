package fsm

import (
	"fmt"
	"slices"
	"testing"
)

// TestSweepingIsTheSameAfterARestore has more records expire than an entry removes. A snapshot leaves them out, so a node
// that was restored has none of that work; which events are dropped, and when, must not depend on it: answers show it.
func TestSweepingIsTheSameAfterARestore(t *testing.T) {
	t.Parallel()
	plan := Plan{EventRetentionMs: ttlMs, PayloadRetentionMs: ttlMs / 2}
	j := connectedJournal(t, plan)
	j.apply(noon2026, UpdateTenant{Tenant: 1, SetPayloadPolicy: true, PayloadPolicy: PayloadRawDebugWindow})
	j.apply(noon2026, anEvent("e"))
	e := eventBySeq(j.m, 1)
	j.apply(noon2026, IgnoreEvents{Tenant: 1, Events: []EventID{e.ID}})
	for i := range 4 * MaxReapPerEntry {
		id := recordID(fmt.Sprint("k", i))
		j.apply(noon2026, Claim{ID: id, Owner: "o", Token: tok(1), LeaseMs: leaseMs, TTLMs: ttlMs})
		j.apply(noon2026, Complete{ID: id, Token: tok(1), Status: 200, Headers: []byte("{}"), Body: []byte("1"), TTLMs: 1})
	}
	now := noon2026 + ttlMs/2
	j.advance(now - 1)
	restored := mustRestore(t, written(t, j.m.Snapshot()))
	for _, entry := range [][]Command{
		nil, {ReplayEvents{Tenant: 1, Events: []EventID{e.ID}, Nonce: "n"}}, {repetition("e")},
	} {
		j.index++
		for _, m := range []*Machine{j.m, restored} {
			if _, _, err := m.Apply(j.index, 1, encodeEntry(now, entry...)); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := dumpEvents(restored), dumpEvents(j.m); !slices.Equal(got, want) || restored.Digest() != j.m.Digest() {
			t.Fatalf("after %d entries, digests %x and %x:\nrestored %v\n   other %v", j.index, restored.Digest(), j.m.Digest(), got, want)
		}
	}
}
