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

// TestALargeEventTakesThePlaceOfManySmallOnes: a new event is refused for what is not settled alone.
func TestALargeEventTakesThePlaceOfManySmallOnes(t *testing.T) {
	t.Parallel()
	j := connectedJournal(t, Plan{})
	const settled = 2*MaxEventPayloadBytes/512 + 100
	for i := range settled {
		j.apply(noon2026, anEvent(fmt.Sprint("e", i)))
		j.apply(noon2026, IgnoreEvents{Tenant: 1, Events: []EventID{eventBySeq(j.m, uint64(i+1)).ID}})
	}
	full := j.m.events.tenants[1]
	full.bytes = MaxEventBytesPerTenant // as if there were more besides
	j.m.events.tenants[1] = full
	large := anEvent("large")
	large.Payload = make([]byte, MaxEventPayloadBytes)
	if r := j.apply(noon2026, large); r.Outcome != EventAccepted {
		t.Errorf("a large event beside %d that are settled: %+v", settled, r)
	}
	if eventBySeq(j.m, settled) == nil {
		t.Error("more are dropped than there must")
	}
}

// TestAReportIsOfItsReplay: an attempt that began before an event was replayed does not count as the replay's.
func TestAReportIsOfItsReplay(t *testing.T) {
	t.Parallel()
	j := connectedJournal(t, Plan{})
	j.apply(noon2026, UpdateTenant{Tenant: 1, SetPayloadPolicy: true, PayloadPolicy: PayloadRawDebugWindow})
	j.apply(noon2026, anEvent("e"))
	late := report(j, 1, VerdictDelivered)
	ids := []EventID{late.Event}
	j.apply(noon2026, IgnoreEvents{Tenant: 1, Events: ids})
	j.apply(noon2026, ReplayEvents{Tenant: 1, Events: ids, Nonce: "again"})
	if r := j.apply(noon2026, late); r.Outcome != Conflict || r.Event.Status != EventQueued || r.Event.Attempts != 0 {
		t.Errorf("the report of an attempt before the replay: %+v, %+v", r, r.Event)
	}
	late.Attempt.Replay = "again"
	if r := j.apply(noon2026, late); r.Outcome != AttemptNoted || r.Event.Status != EventProcessed {
		t.Errorf("that of the replay: %+v, %+v", r, r.Event)
	}
}

// TestLiftingASuspensionIsAChange: whoever delivers is told that what was held is due.
func TestLiftingASuspensionIsAChange(t *testing.T) {
	t.Parallel()
	j := connectedJournal(t, Plan{})
	j.apply(noon2026, UpdateTenant{Tenant: 1, SetSuspended: true, Suspended: true})
	before := j.m.EventVersion()
	j.apply(noon2026, UpdateTenant{Tenant: 1, SetSuspended: true})
	if j.m.EventVersion() == before {
		t.Error("the version of events stays")
	}
}
