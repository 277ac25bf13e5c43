package fsm

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func aSource() Source {
	return Source{Tenant: 1, PublicID: "src_1", Provider: "stripe", Name: DefaultSourceName,
		CallbackURL: "https://example.com/hook", DedupeWindowMs: DefaultDedupeWindowMs}
}

func anEvent(id string) AcceptEvent {
	return AcceptEvent{Tenant: 1, Source: 1, Nonce: 7, ProviderID: id, RawType: "raw", Type: "payment.succeeded",
		BodyHash: [16]byte{1}, Payload: []byte("sealed")}
}

// repetition is the same event, as the provider sends it again.
func repetition(id string) AcceptEvent {
	c := anEvent(id)
	c.Nonce = 8
	return c
}

// connectedJournal has a tenant with a source, at the feature level from which there are such.
func connectedJournal(tb testing.TB, plan Plan) *journal {
	j := newJournal(tb)
	j.apply(noon2026, RaiseFeatureLevel{FeatureLevel, "v4"})
	plan.Name = "p"
	j.apply(noon2026, PutPlan{plan})
	j.apply(noon2026, UpdateTenant{Tenant: 1, SetPlan: true, Plan: "p"})
	j.apply(noon2026, PutSource{Source: aSource()})
	return j
}

// connected is governed with what feature level 4 added. A golden file holds it too.
func connected(tb testing.TB) *journal {
	j := governed(tb)
	now := j.m.ClockMs()
	j.apply(0, RaiseFeatureLevel{Level: 4, Version: "v0.4.0"})
	j.apply(0, PutDataKey{Tenant: 1, Wrapped: []byte("wrapped")})
	j.apply(0, UpdateTenant{Tenant: 1, SetPayloadPolicy: true, PayloadPolicy: PayloadRawDebugWindow})
	full := aSource()
	full.Secrets = []SourceSecret{{PublicID: "sec_1", Sealed: []byte("s"), Hint: "wxyz"}}
	full.SigningSecret, full.RetryDelaysMs, full.MaxPerSecond = []byte("k"), []int64{1, 2}, 3
	bare := Source{Tenant: 2, PublicID: "src_2", Provider: "github", Name: "n", DedupeWindowMs: MinDedupeWindowMs}
	gone := bare
	gone.PublicID, gone.Name = "src_3", "gone"
	j.apply(0, PutSource{Source: full})
	j.apply(0, PutSource{Source: bare})
	j.apply(0, PutSource{Source: gone})
	j.apply(0, DeleteSource{Tenant: 2, PublicID: "src_3"})
	for i := range 4 {
		j.apply(now+int64(i), anEvent(fmt.Sprint("e", i)))
	}
	j.apply(now+5, repetition("e1"))
	j.apply(now+6, AcceptEvent{Tenant: 2, Source: 2, Nonce: 9, ProviderID: "x", Payload: []byte("p")})
	j.apply(now+7, report(j, 1, VerdictDelivered))
	j.apply(now+8, report(j, 2, VerdictFailed))
	j.apply(now+9, report(j, 3, VerdictRetry))
	j.apply(now+10, roll(j, "src_1", "k2", dayMs))
	return j
}

// report is the next report on a tenant's event.
func report(j *journal, seq uint64, v Verdict) ReportAttempt {
	e := eventBySeq(j.m, seq)
	return ReportAttempt{Tenant: e.Tenant, Event: e.ID, Number: e.Attempts + 1, Verdict: v, NextAtMs: j.m.ClockMs() + 5_000,
		Attempt: Attempt{StartedAtMs: j.m.ClockMs(), LatencyMs: 3, StatusCode: 500, Replay: e.Replay}}
}

// roll gives a source of the first tenant another signing secret.
func roll(j *journal, id, secret string, overlapMs int64) PutSource {
	s := *j.m.Directory().Source(1, id)
	s.SigningSecret = []byte(secret)
	return PutSource{Source: s, IfRevision: s.Revision, OverlapMs: overlapMs}
}

func eventBySeq(m *Machine, seq uint64) (found *Event) {
	m.events.all.Ascend(func(e *Event) bool {
		if e.ID.Seq == seq {
			found = e
		}
		return found == nil
	})
	return found
}

// upTo has that many events of each source returned.
func upTo(n int) func(SourceID) int { return func(SourceID) int { return n } }

func TestAcceptEvent(t *testing.T) {
	t.Parallel()
	j := connectedJournal(t, Plan{})
	r := j.apply(noon2026+1, anEvent("evt_1"))
	if r.Outcome != EventAccepted || r.Event.Status != EventQueued || r.Event.ID != (EventID{1, 7}) ||
		r.Event.NextAtMs != noon2026+1 || r.Event.Form != PayloadWhole {
		t.Fatalf("first: %+v, %+v", r, r.Event)
	}
	for n := range 20 {
		again := anEvent("evt_1")
		again.Nonce = uint64(100 + n)
		if n == 5 {
			again.BodyHash[0]++
		}
		r = j.apply(noon2026+2+int64(n), again)
		if r.Outcome != EventDuplicate || r.Event.Duplicates != uint64(n+1) || r.Event.Mismatch != (n >= 5) {
			t.Fatalf("repetition %d: %+v, %+v", n, r, r.Event)
		}
		if r := j.apply(0, again); r.Outcome != EventDuplicate || r.Event.Duplicates != uint64(n+1) {
			t.Fatalf("repetition %d sent again by its proposer: %+v, %+v", n, r, r.Event)
		}
	}
	if got := r.Event.KeptDuplicates; len(got) != MaxKeptDuplicates || got[MaxKeptDuplicates-1] != noon2026+21 {
		t.Errorf("repetitions kept: %v", got)
	}
	other := aSource()
	other.PublicID, other.Name = "src_2", "other"
	j.apply(0, PutSource{Source: other})
	second := anEvent("evt_1")
	second.Source = 2
	if r := j.apply(0, second); r.Outcome != EventAccepted || r.Event.ID.Seq != 2 {
		t.Errorf("the same id at another source: %+v", r)
	}
	if r := j.apply(noon2026+DefaultDedupeWindowMs, repetition("evt_1")); r.Outcome != EventDuplicate {
		t.Errorf("at the end of the window: %+v", r)
	}
	if r := j.apply(noon2026+1+DefaultDedupeWindowMs, anEvent("evt_1")); r.Outcome != EventAccepted || r.Event.ID.Seq != 3 {
		t.Errorf("after the window: %+v", r)
	}
	for name, c := range map[string]AcceptEvent{
		"no such source": {Tenant: 1, Source: 9, Nonce: 1, ProviderID: "x"},
		"another's":      {Tenant: 2, Source: 1, Nonce: 1, ProviderID: "x"},
		"no such tenant": {Tenant: 9, Source: 1, Nonce: 1, ProviderID: "x"},
	} {
		if r := j.apply(0, c); r.Outcome != NotFound {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// What is known of an id survives snapshot and restore, and no caller's command reaches it.
func TestDedupeIsARecord(t *testing.T) {
	t.Parallel()
	j := connectedJournal(t, Plan{})
	j.apply(noon2026, anEvent("evt_1"))
	m := mustRestore(t, written(t, j.m.Snapshot()))
	if v := m.View(dedupeID(1, 1, "evt_1")); v.State != StateCompleted || v.ExpiresAtMs != noon2026+DefaultDedupeWindowMs {
		t.Errorf("restored: %+v", v)
	}
	if !strings.HasPrefix(dedupeID(1, 1, "x").Scope, "\x01") {
		t.Error("the scope is one that callers can name")
	}
}

func TestWhatBecomesOfAnEvent(t *testing.T) {
	t.Parallel()
	noCallback := aSource()
	noCallback.CallbackURL = ""
	for _, tt := range []struct {
		name    string
		plan    Plan
		before  []Command
		outcome Outcome
		status  EventStatus
		form    PayloadForm
	}{
		{"queued", Plan{}, nil, EventAccepted, EventQueued, PayloadWhole},
		{"suspended", Plan{}, []Command{UpdateTenant{Tenant: 1, SetSuspended: true, Suspended: true}}, EventAccepted, EventIgnored,
			PayloadNone},
		{"no destination", Plan{}, []Command{PutSource{Source: noCallback, IfRevision: 7}}, EventAccepted, EventIgnored, PayloadNone},
		{"no destination, payloads kept", Plan{}, []Command{PutSource{Source: noCallback, IfRevision: 7},
			UpdateTenant{Tenant: 1, SetPayloadPolicy: true, PayloadPolicy: PayloadRawDebugWindow}}, EventAccepted, EventIgnored,
			PayloadWhole},
		{"within the plan", Plan{MonthlyEvents: 2}, []Command{anEvent("a")}, EventAccepted, EventQueued, PayloadWhole},
		{"over the plan", Plan{MonthlyEvents: 1}, []Command{anEvent("a")}, UsageLimitExceeded, 0, 0},
		{"held over the plan", Plan{MonthlyEvents: 1, HoldEvents: true}, []Command{anEvent("a")}, EventAccepted, EventHeld,
			PayloadWhole},
		{"a repetition over the plan", Plan{MonthlyEvents: 1}, []Command{repetition("x")}, EventDuplicate, EventQueued, PayloadWhole},
	} {
		j := connectedJournal(t, tt.plan)
		if r := j.m.Directory().Sources(1)[0].Revision; r != j.index {
			t.Fatalf("revision %d at index %d", r, j.index)
		}
		for i, cmd := range tt.before {
			if c, ok := cmd.(PutSource); ok {
				c.IfRevision = j.m.Directory().Sources(1)[0].Revision
				tt.before[i] = c
			}
		}
		j.entry(noon2026, tt.before...)
		r := j.apply(noon2026, anEvent("x"))
		if r.Outcome != tt.outcome {
			t.Errorf("%s: %+v", tt.name, r)
			continue
		}
		if r.Event != nil && (r.Event.Status != tt.status || r.Event.Form != tt.form) {
			t.Errorf("%s: %s with payload %s", tt.name, r.Event.Status, r.Event.Form)
		}
		if tt.outcome == UsageLimitExceeded && (r.Limit != 1 || r.ResetAtMs <= noon2026) {
			t.Errorf("%s: %+v", tt.name, r)
		}
	}
}

func TestReportAttempt(t *testing.T) {
	t.Parallel()
	j := connectedJournal(t, Plan{})
	j.apply(noon2026, anEvent("e"))
	late := report(j, 1, VerdictDelivered)
	r := j.apply(noon2026+10, report(j, 1, VerdictRetry))
	if r.Outcome != AttemptNoted || r.Event.NextAtMs != noon2026+5_000 || r.Event.Attempts != 1 || r.Event.Tries != 1 {
		t.Fatalf("retry: %+v", r.Event)
	}
	if r := j.apply(noon2026+11, late); r.Outcome != Conflict {
		t.Errorf("a report of an attempt that was reported: %+v", r)
	}
	if due := j.m.DueEvents(noon2026+4_999, upTo(9)); len(due) != 0 {
		t.Errorf("due too early: %v", due)
	}
	if due := j.m.DueEvents(noon2026+5_000, upTo(9)); len(due) != 1 {
		t.Errorf("not due: %v", due)
	}
	if r := j.apply(noon2026+12, report(j, 1, VerdictFailed)); r.Event.Status != EventFailed || r.Event.NextAtMs != 0 {
		t.Errorf("failed: %+v", r.Event)
	}
	replay := ReplayEvents{Tenant: 1, Events: []EventID{{1, 7}, {1, 8}, {9, 9}}, Nonce: "n"}
	if r := j.apply(noon2026+13, replay); r.Outcome != EventsChanged || r.Count != 1 {
		t.Errorf("replay: %+v", r)
	}
	if e := eventBySeq(j.m, 1); e.Status != EventQueued || e.Tries != 0 || e.Attempts != 2 || e.Replay != "n" || e.Replays != 1 {
		t.Errorf("replayed: %+v", e)
	}
	if r := j.apply(noon2026+13, replay); r.Count != 0 {
		t.Errorf("replay of what is queued: %+v", r)
	}
	done := report(j, 1, VerdictDelivered)
	done.SetPayload, done.Form, done.Payload = true, PayloadPartial, []byte("less")
	if r := j.apply(noon2026+14, done); r.Event.Status != EventProcessed || string(r.Event.Payload) != "less" ||
		r.Event.SweepAtMs != noon2026+DefaultPayloadRetentionMs {
		t.Errorf("delivered: %+v", r.Event)
	}
	u := j.m.UsageDays(1, 0, DayOf(MaxStampMs))[0]
	if u.Count(MeterEvents) != 1 || u.Count(MeterDeliveries) != 1 || u.Count(MeterDeliveryFailures) != 2 {
		t.Errorf("counted: %v", u)
	}
}

// A destination that is gone has its source disabled, by the cluster; its events wait, and go on when it is enabled.
func TestDisabledDestination(t *testing.T) {
	t.Parallel()
	j := connectedJournal(t, Plan{})
	j.apply(noon2026, anEvent("e"))
	j.apply(noon2026, report(j, 1, VerdictDisable))
	s := j.m.Directory().SourceByID(1)
	if e := eventBySeq(j.m, 1); !s.Disabled || s.DisabledReason != goneReason || e.StatusIn(j.m.Directory()) != EventHeld {
		t.Fatalf("%+v, %+v", s, e)
	}
	if entries := entriesOf(j.m); entries[len(entries)-1].Action != "source.update" || entries[len(entries)-1].By != clusterActor {
		t.Errorf("audited as %+v", entries[len(entries)-1])
	}
	if due := j.m.DueEvents(MaxStampMs, upTo(9)); len(due) != 0 {
		t.Errorf("due while disabled: %v", due)
	}
	if r := j.apply(0, DeleteSource{Tenant: 1, PublicID: "src_1"}); r.Outcome != Conflict || r.Count != 1 {
		t.Errorf("deleted with an event that waits: %+v", r)
	}
	enabled := *s
	enabled.Disabled, enabled.DisabledReason = false, ""
	if r := j.apply(0, PutSource{Source: enabled, IfRevision: s.Revision}); r.Outcome != OK {
		t.Fatalf("%+v", r)
	}
	if due := j.m.DueEvents(MaxStampMs, upTo(9)); len(due) != 1 {
		t.Errorf("not due: %v", due)
	}
	j.apply(0, UpdateTenant{Tenant: 1, SetSuspended: true, Suspended: true})
	if due := j.m.DueEvents(MaxStampMs, upTo(9)); len(due) != 0 {
		t.Errorf("due while suspended: %v", due)
	}
	j.apply(0, IgnoreEvents{Tenant: 1, Events: []EventID{{1, 7}}})
	if r := j.apply(0, DeleteSource{Tenant: 1, PublicID: "src_1"}); r.Outcome != OK {
		t.Errorf("deleted: %+v", r)
	}
}

// Payloads go before their events, what is settled after its time, and what is not settled never.
func TestSweepEvents(t *testing.T) {
	t.Parallel()
	j := connectedJournal(t, Plan{EventRetentionMs: 10 * dayMs, PayloadRetentionMs: 2 * dayMs})
	j.apply(noon2026, UpdateTenant{Tenant: 1, SetPayloadPolicy: true, PayloadPolicy: PayloadRawDebugWindow})
	for i := range 3 {
		j.apply(noon2026, anEvent(fmt.Sprint(i)))
	}
	j.apply(noon2026, report(j, 1, VerdictDelivered))
	j.apply(noon2026, report(j, 2, VerdictFailed))
	j.advance(noon2026 + 2*dayMs - 1)
	if e := eventBySeq(j.m, 1); e.Form != PayloadWhole {
		t.Errorf("dropped too early: %+v", e)
	}
	if due, ok := j.m.ReapDueMs(); !ok || due > noon2026+2*dayMs {
		t.Errorf("due at %d", due)
	}
	j.advance(noon2026 + 2*dayMs)
	if e := eventBySeq(j.m, 1); e.Form != PayloadNone || e.Payload != nil {
		t.Errorf("the payload was not dropped: %+v", e)
	}
	j.advance(noon2026 + 10*dayMs)
	if e := eventBySeq(j.m, 1); e != nil {
		t.Errorf("kept: %+v", e)
	}
	j.advance(noon2026 + 1_000*dayMs)
	for seq := uint64(2); seq <= 3; seq++ {
		if e := eventBySeq(j.m, seq); e == nil || e.Form != PayloadWhole {
			t.Errorf("what was not delivered is gone: %+v", e)
		}
	}
}

// The oldest settled event makes room; if none is settled, the new one is refused.
func TestRoomForEvents(t *testing.T) {
	t.Parallel()
	j := connectedJournal(t, Plan{})
	j.apply(noon2026, UpdateTenant{Tenant: 1, SetPayloadPolicy: true, PayloadPolicy: PayloadRawDebugWindow})
	big := make([]byte, MaxEventPayloadBytes)
	n := 0
	for ; ; n++ {
		c := anEvent(fmt.Sprint(n))
		c.Payload = big
		if r := j.apply(noon2026, c); r.Outcome == StorageFull {
			if r.Limit != MaxEventsPerTenant {
				t.Errorf("limit %d", r.Limit)
			}
			break
		}
	}
	if want := MaxEventBytesPerTenant / MaxEventPayloadBytes; n != want-1 {
		t.Errorf("%d events of a MiB kept, want %d", n, want-1)
	}
	j.apply(noon2026, report(j, 3, VerdictDelivered))
	j.apply(noon2026, report(j, 2, VerdictDelivered))
	c := anEvent("more")
	c.Payload = big
	if r := j.apply(noon2026, c); r.Outcome != EventAccepted || eventBySeq(j.m, 2) != nil || eventBySeq(j.m, 3) == nil {
		t.Errorf("%+v: the oldest one that is settled did not make room", r)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	j := connectedJournal(t, Plan{MonthlyEvents: 5, MonthlyClaims: 10})
	own := aSource()
	own.PublicID, own.Provider = "src_own", OwnProvider
	for i := range 6 {
		j.apply(noon2026, anEvent(fmt.Sprint(i)))
	}
	j.apply(noon2026, PutSource{Source: own})
	for i := range 12 {
		j.apply(noon2026, Claim{ID: recordID(fmt.Sprint(i)), Owner: "o", Token: tok(1), LeaseMs: 1_000, TTLMs: ttlMs})
	}
	var got []string
	j.m.events.all.Ascend(func(e *Event) bool {
		if e.Provider == OwnProvider {
			got = append(got, fmt.Sprintf("%s %s %s", e.Type, e.Status, e.Detail))
		}
		return true
	})
	want := []string{
		`usage.events.80_percent ignored {"meter":"events","month":"2026-11","count":4,"limit":5,"percent":80}`,
		`usage.events.100_percent ignored {"meter":"events","month":"2026-11","count":5,"limit":5,"percent":100}`,
		`usage.claims.80_percent queued {"meter":"claims","month":"2026-11","count":8,"limit":10,"percent":80}`,
		`usage.claims.100_percent queued {"meter":"claims","month":"2026-11","count":10,"limit":10,"percent":100}`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("warnings are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestListEvents(t *testing.T) {
	t.Parallel()
	j := connectedJournal(t, Plan{})
	for i := range 10 {
		c := anEvent(fmt.Sprint(i))
		if i%2 == 1 {
			c.Type = "refund.created"
		}
		j.apply(noon2026+int64(i), c)
	}
	j.apply(noon2026+10, repetition("3"))
	j.apply(noon2026+11, report(j, 5, VerdictDelivered))
	seqs := func(p EventPage) (list []uint64) {
		for _, e := range p.Events {
			list = append(list, e.ID.Seq)
		}
		return list
	}
	for _, tt := range []struct {
		name string
		q    EventQuery
		want string
	}{
		{"all", EventQuery{Limit: 99}, "[10 9 8 7 6 5 4 3 2 1] 0"},
		{"a page", EventQuery{Limit: 4}, "[10 9 8 7] 7"},
		{"the next", EventQuery{Limit: 4, Before: 7}, "[6 5 4 3] 3"},
		{"the last", EventQuery{Limit: 2, Before: 3}, "[2 1] 0"},
		{"a type", EventQuery{Limit: 9, Type: "refund.created"}, "[10 8 6 4 2] 0"},
		{"types", EventQuery{Limit: 2, Type: "payment.*"}, "[9 7] 7"},
		{"processed", EventQuery{Limit: 9, Status: EventProcessed}, "[5] 0"},
		{"repeated", EventQuery{Limit: 9, Repeated: true}, "[4] 0"},
		{"a time", EventQuery{Limit: 9, FromMs: noon2026 + 2, ToMs: noon2026 + 5}, "[5 4 3] 0"},
		{"a provider", EventQuery{Limit: 9, Provider: "github"}, "[] 0"},
		{"a source", EventQuery{Limit: 1, Source: DefaultSourceName}, "[10] 10"},
		{"another tenant", EventQuery{Tenant: 2, Limit: 9}, "[] 0"},
	} {
		if tt.q.Tenant == 0 {
			tt.q.Tenant = 1
		}
		page := j.m.EventLog().List(tt.q)
		if got := fmt.Sprint(seqs(page), page.Next); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	got := fmt.Sprint(j.m.EventLog().Count(EventQuery{Tenant: 1, Status: EventFailed, Before: 2, FromMs: noon2026 + 1}))
	if want := "[{stripe queued 8 1} {stripe processed 1 0}]"; got != want {
		t.Errorf("counts are %s, want %s", got, want)
	}
}

func TestEventIDs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		id := EventID{rapid.Uint64().Draw(rt, "seq"), rapid.Uint64().Draw(rt, "nonce")}
		if got, ok := ParseEventID(id.String()); !ok || got != id || len(id.String()) != 30 {
			rt.Fatalf("%s is %v, %t", id, got, ok)
		}
	})
	for _, bad := range []string{"", "evt_", "evt_1", "evt_" + strings.Repeat("0", 25) + "1", "evt_" + strings.Repeat("W", 26),
		"ev_" + strings.Repeat("0", 26), "evt_" + strings.Repeat("0", 27), "evt_" + strings.Repeat("0", 24) + "\n0"} {
		if id, ok := ParseEventID(bad); ok {
			t.Errorf("%q is taken for %v", bad, id)
		}
	}
}

// Whatever happens to events, the trees agree with each other, and a restored machine goes on as the one it was taken of.
func TestEventsProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		j := connectedJournal(t, Plan{MonthlyEvents: 12, HoldEvents: true, EventRetentionMs: 3 * dayMs, PayloadRetentionMs: dayMs})
		own := aSource()
		own.PublicID, own.Provider = "src_own", OwnProvider
		j.apply(noon2026, PutSource{Source: own})
		for range rapid.IntRange(1, 60).Draw(rt, "commands") {
			j.apply(j.m.ClockMs()+rapid.SampledFrom([]int64{0, 1, 5_000, dayMs}).Draw(rt, "later"), drawEventCommand(rt, j))
		}
		checkEventTrees(rt, j.m)
		m := mustRestore(t, written(t, j.m.Snapshot()))
		if dump(m) != dump(j.m) {
			rt.Fatalf("restored\n%s", diff(dump(m), dump(j.m)))
		}
		checkEventTrees(rt, m)
		for i := range 10 {
			entry := encodeEntry(j.m.ClockMs()+int64(i)*dayMs/2, drawEventCommand(rt, j))
			index := j.m.Index() + 1
			for _, x := range []*Machine{m, j.m} {
				if _, _, err := x.Apply(index, 1, entry); err != nil {
					rt.Fatal(err)
				}
			}
			if m.Digest() != j.m.Digest() || dump(m) != dump(j.m) {
				rt.Fatal("the restored machine goes on in another way")
			}
		}
	})
}

func drawEventCommand(rt *rapid.T, j *journal) Command {
	id := EventID{uint64(rapid.IntRange(1, int(j.m.acceptedEvents)+1).Draw(rt, "seq")), 7}
	number := uint32(1)
	if e := j.m.Event(1, id); e != nil {
		number = e.Attempts + 1
	}
	switch rapid.IntRange(0, 9).Draw(rt, "kind") {
	default:
		c := anEvent(fmt.Sprint(rapid.IntRange(0, 30).Draw(rt, "id")))
		c.Nonce = uint64(rapid.IntRange(7, 9).Draw(rt, "nonce"))
		return c
	case 0, 1, 2:
		verdict := Verdict(rapid.IntRange(1, int(verdictEnd)-1).Draw(rt, "verdict"))
		return ReportAttempt{Tenant: 1, Event: id, Number: number, Verdict: verdict, NextAtMs: j.m.ClockMs() + 5_000,
			SetPayload: rapid.Bool().Draw(rt, "set"), Form: PayloadPartial, Payload: []byte("x")}
	case 3:
		return ReplayEvents{Tenant: 1, Events: []EventID{id}, Nonce: "n"}
	case 4:
		return IgnoreEvents{Tenant: 1, Events: []EventID{id}}
	case 5:
		s := *j.m.Directory().SourceByID(1)
		s.Disabled = rapid.Bool().Draw(rt, "disabled")
		return PutSource{Source: s, IfRevision: s.Revision}
	case 6:
		return roll(j, "src_1", rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "secret"),
			rapid.SampledFrom([]int64{0, 1, 5_000, dayMs, MaxSigningOverlapMs}).Draw(rt, "overlap"))
	}
}

// checkEventTrees compares what is kept beside the first tree with what follows from it.
func checkEventTrees(rt *rapid.T, m *Machine) {
	want := newEventStore()
	m.events.all.Ascend(func(e *Event) bool {
		want.put(e, nil)
		return true
	})
	got := m.events
	for name, pair := range map[string][2]*eventTree{
		"queued": {got.queued, want.queued}, "settled": {got.settled, want.settled}, "sweeps": {got.sweeps, want.sweeps},
	} {
		var a, b bytes.Buffer
		for i, tree := range pair {
			tree.Ascend(func(e *Event) bool {
				fmt.Fprintf([]*bytes.Buffer{&a, &b}[i], "%p ", e)
				return true
			})
		}
		if a.String() != b.String() {
			rt.Fatalf("%s: %s, want %s", name, a.String(), b.String())
		}
	}
	checkOverlaps(rt, m)
	if got.byStatus != want.byStatus {
		rt.Fatalf("statuses %v, want %v", got.byStatus, want.byStatus)
	}
	if fmt.Sprint(got.sources) != fmt.Sprint(want.sources) || fmt.Sprint(got.tenants) != fmt.Sprint(want.tenants) {
		rt.Fatalf("counts %v %v, want %v %v", got.sources, got.tenants, want.sources, want.tenants)
	}
}

func TestSourceQueue(t *testing.T) {
	t.Parallel()
	j := connectedJournal(t, Plan{MonthlyEvents: 3, HoldEvents: true})
	other := aSource()
	other.PublicID, other.Name = "src_2", "other"
	j.apply(noon2026, PutSource{Source: other})
	queue := func(what string, id SourceID, queued, dueMs int64) {
		t.Helper()
		if n, at := j.m.SourceQueue(id); n != queued || at != dueMs {
			t.Errorf("%s: %d queued, due at %d; want %d at %d", what, n, at-noon2026, queued, dueMs-noon2026)
		}
	}
	queue("nothing came", 1, 0, 0)
	for i := range 4 { // the last is held for the plan's limit
		j.apply(noon2026+int64(i), anEvent(fmt.Sprint("e", i)))
	}
	queue("three came", 1, 3, noon2026)
	queue("the other source", 2, 0, 0)
	j.apply(0, report(j, 1, VerdictRetry)) // comes again in 5 s
	queue("the first is put off", 1, 3, noon2026+1)
	j.apply(0, report(j, 2, VerdictDelivered))
	j.apply(0, report(j, 3, VerdictFailed))
	queue("the others are done", 1, 1, eventBySeq(j.m, 1).NextAtMs)
	if r := j.apply(0, DeleteSource{Tenant: 1, PublicID: "src_1"}); r.Outcome != Conflict || r.Count != 3 {
		t.Errorf("deleted while one is queued, one failed and one held: %+v", r)
	}
	j.apply(0, UpdateTenant{Tenant: 1, SetSuspended: true, Suspended: true})
	queue("the tenant is suspended", 1, 1, 0)
	queue("there is no such source", 9, 0, 0)
}

// The audit log has neither the ciphertext of a source's secrets nor the query of its callback.
func TestSourcesInTheAuditLog(t *testing.T) {
	t.Parallel()
	j := connectedJournal(t, Plan{})
	s := *j.m.Directory().SourceByID(1)
	s.CallbackURL = "https://example.com/hook?token=canary"
	s.Secrets = []SourceSecret{{PublicID: "sec_1", Sealed: []byte("canary"), Hint: "nary"}}
	s.SigningSecret = []byte("canary")
	s.Options = bytes.Repeat([]byte("x"), MaxSourceOptionsBytes)
	if r := j.apply(noon2026, Audited{ada, PutSource{Source: s, IfRevision: s.Revision}}); r.Outcome != OK {
		t.Fatal(r)
	}
	entries := entriesOf(j.m)
	text := fmt.Sprintf("%+v", entries[len(entries)-1])
	for _, want := range []string{"source.update", "https://example.com/hook?sha256:", "sec_1", "options"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if strings.Contains(text, "canary") {
		t.Errorf("it tells too much: %s", text)
	}
	mustRestore(t, written(t, j.m.Snapshot()))
}
