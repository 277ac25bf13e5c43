package fsm

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// What contradicts itself in sources and events is refused, by whoever reads the snapshot.
func TestRestoreRefusesOfForm4(t *testing.T) {
	t.Parallel()
	good := sectionsOf(t, connected(t).m)
	const state, tenants, plans, sources, events, stored = 0, 1, 7, 10, 11, 12
	source := func(change func(*Source)) func(s []rawSection) []rawSection {
		x := aSource()
		x.ID = 1
		change(&x)
		return func(s []rawSection) []rawSection {
			s[sources].records[0] = appendSource(nil, &x)
			return s
		}
	}
	event := func(at int, change func(*Event)) func(s []rawSection) []rawSection {
		return func(s []rawSection) []rawSection {
			d := decoder{b: s[events].records[at]}
			e := d.event()
			change(e)
			s[events].records[at] = appendEvent(nil, e)
			return s
		}
	}
	tests := []struct {
		name   string
		change func(s []rawSection) []rawSection
		want   error
	}{
		{"newer sources", func(s []rawSection) []rawSection { s[sources].version = 2; return s }, ErrUnsupported},
		{"newer stored bytes", func(s []rawSection) []rawSection { s[stored].version = 2; return s }, ErrUnsupported},
		{"stored bytes twice", twice(stored), ErrMalformed},
		{"stored bytes of no tenant", func(s []rawSection) []rawSection {
			s[stored].records[0] = append([]byte{9}, s[stored].records[0][1:]...)
			return s
		}, ErrMalformed},
		{"stored bytes of an hour that is over", func(s []rawSection) []rawSection {
			s[stored].records[0] = encodeStored(1, tenantBytes{hours: []hourBytes{{1, 1}}}, 0)
			return s
		}, ErrMalformed},
		{"stored bytes in another order", func(s []rawSection) []rawSection {
			s[stored].records[0] = encodeStored(1, tenantBytes{hours: []hourBytes{{800_000, 1}, {700_000, 1}}}, 0)
			return s
		}, ErrMalformed},
		{"no stored bytes", func(s []rawSection) []rawSection {
			s[stored].records[0] = encodeStored(1, tenantBytes{hours: []hourBytes{{800_000, 0}}}, 0)
			return s
		}, ErrMalformed},
		{"newer events", func(s []rawSection) []rawSection { s[events].version = 2; return s }, ErrUnsupported},
		{"newer tenants", func(s []rawSection) []rawSection { s[tenants].version = 4; return s }, ErrUnsupported},
		{"tenants of version 2", func(s []rawSection) []rawSection { s[tenants].version = 2; return s }, ErrMalformed},
		{"plans of version 1", func(s []rawSection) []rawSection { s[plans].version = 1; return s }, ErrMalformed},
		{"no events", func(s []rawSection) []rawSection { return s[:events] }, ErrMalformed},
		{"no section of stored bytes", func(s []rawSection) []rawSection { return s[:stored] }, ErrMalformed},
		{"a source twice", func(s []rawSection) []rawSection {
			s[sources].records = append(s[sources].records, s[sources].records[0])
			return s
		}, ErrMalformed},
		{"a source's number", source(func(x *Source) { x.ID = 0 }), ErrMalformed},
		{"a number that was never assigned", source(func(x *Source) { x.ID = 9 }), ErrMalformed},
		{"a source of no tenant", source(func(x *Source) { x.Tenant = 9 }), ErrMalformed},
		{"a window", source(func(x *Source) { x.DedupeWindowMs = 1 }), ErrMalformed},
		{"too many delays", source(func(x *Source) { x.RetryDelaysMs = make([]int64, MaxRetryDelays+1) }), ErrMalformed},
		{"a previous secret without an end", source(func(x *Source) { x.Previous.Sealed = []byte("k") }), ErrMalformed},
		{"an end without a previous secret", source(func(x *Source) { x.Previous.EndsAtMs = 1 }), ErrMalformed},
		{"the end of a previous secret", source(func(x *Source) { x.Previous = PreviousSecret{[]byte("k"), -1} }), ErrMalformed},
		{"a previous secret too long", source(func(x *Source) {
			x.Previous = PreviousSecret{make([]byte, MaxSealedSecretBytes+1), 1}
		}), ErrMalformed},
		{"an event of no tenant", event(0, func(e *Event) { e.Tenant = 9 }), ErrMalformed},
		{"an event that was never accepted", event(3, func(e *Event) { e.ID.Seq = 99 }), ErrMalformed},
		{"an event without a number", event(0, func(e *Event) { e.ID.Seq = 0 }), ErrMalformed},
		{"an event's status", event(0, func(e *Event) { e.Status = eventStatusEnd }), ErrMalformed},
		{"an event's payload", event(0, func(e *Event) { e.Form = payloadFormsEnd }), ErrMalformed},
		{"a queued event of no source", event(2, func(e *Event) { e.Source = 0 }), ErrMalformed},
		{"events in another order", func(s []rawSection) []rawSection {
			slices.Reverse(s[events].records)
			return s
		}, ErrMalformed},
		{"an event twice", func(s []rawSection) []rawSection {
			s[events].records = slices.Insert(s[events].records, 0, s[events].records[0])
			return s
		}, ErrMalformed},
	}
	for _, i := range []int{state, sources, events, stored} {
		for n := range good[i].records {
			for size := range good[i].records[n] {
				tests = append(tests, struct {
					name   string
					change func(s []rawSection) []rawSection
					want   error
				}{fmt.Sprintf("record %d of section %d cut to %d bytes", n+1, i+1, size), func(s []rawSection) []rawSection {
					s[i].records[n] = s[i].records[n][:size]
					return s
				}, ErrMalformed})
			}
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { wantRefused(t, assembled(t, tt.change(copyOf(good))), tt.want, false) })
	}
	if _, err := restore(assembled(t, good)); err != nil {
		t.Errorf("nothing changed: %v", err)
	}
}

// A node that does not know sources and events yet is sent nothing of them: the form is that of the cluster's level.
func TestNewLevelNewForm(t *testing.T) {
	t.Parallel()
	j := governed(t)
	if f, _ := formOf(t, written(t, j.m.Snapshot())); f != form3 {
		t.Errorf("form %d before the level", f)
	}
	j.apply(0, RaiseFeatureLevel{Level: LevelWebhooks, Version: "v4"})
	if f, _ := formOf(t, written(t, j.m.Snapshot())); f != form4 {
		t.Errorf("form %d at the level", f)
	}
	for _, cmd := range []Command{
		PutPlan{Plan{Name: "p", MonthlyEvents: 1}}, UpdateTenant{Tenant: 1, SetPayloadPolicy: true},
	} {
		if versionOf(cmd) == commandVersion1 {
			t.Errorf("%T is said in the words of an older release", cmd)
		}
	}
	if err := Validate(AcceptEvent{Tenant: 1, Source: 1, ProviderID: "x"}); !errors.Is(err, ErrMalformed) {
		t.Errorf("an event without a nonce: %v", err)
	}
}
