package fsm

import "testing"

// TestEventThatIsSentAgain: a proposer that lost the answer sends the same command, which is no repetition by the provider.
func TestEventThatIsSentAgain(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	j.apply(noon2026, RaiseFeatureLevel{Level: FeatureLevel, Version: "test"})
	put := j.apply(noon2026, PutSource{Source: Source{
		Tenant: 1, PublicID: "src_1", Provider: "stripe", Name: DefaultSourceName, CallbackURL: "https://a.example/",
		DedupeWindowMs: DefaultDedupeWindowMs,
	}})
	if put.Outcome != OK {
		t.Fatalf("%+v", put)
	}
	accept := AcceptEvent{Tenant: 1, Source: put.Source.ID, Nonce: 7, ProviderID: "evt_1", Payload: []byte("sealed")}
	first := j.apply(noon2026, accept)
	again := j.apply(noon2026+1, accept)
	if first.Outcome != EventAccepted || again.Outcome != EventAccepted || again.Event != first.Event {
		t.Errorf("first %+v, again %+v", first, again)
	}
	accept.Nonce = 8
	repeated := j.apply(noon2026+2, accept)
	if repeated.Outcome != EventDuplicate || repeated.Event.ID != first.Event.ID || repeated.Event.Duplicates != 1 {
		t.Errorf("repeated: %+v", repeated)
	}
	if _, events := j.m.EventUsage(1); events != 1 {
		t.Errorf("%d events are counted", events)
	}
}
