package fsm

import (
	"fmt"
	"reflect"
	"testing"
)

// The entry about a key names the one that went to make room for it, from the level on at which releases began to say
// so.
func TestAuditOfEvictedKeys(t *testing.T) {
	t.Parallel()
	for level := LevelControl; level <= FeatureLevel; level++ {
		t.Run(fmt.Sprint("level ", level), func(t *testing.T) {
			t.Parallel()
			j := newJournal(t)
			j.apply(noon2026, RaiseFeatureLevel{uint32(level), "v"})
			create := func(i int) AuditEntry {
				t.Helper()
				r := j.apply(noon2026, Audited{ada, CreateKey{Tenant: 1, PublicID: fmt.Sprint("key_", i), Hash: [32]byte{byte(i), 1}}})
				entries := entriesOf(j.m)
				last := entries[len(entries)-1]
				if r.Outcome != KeyCreated || last.Action != "key.create" || last.Target != fmt.Sprint("key_", i) || last.By != ada {
					t.Fatalf("%+v, audited as %+v", r, last)
				}
				return last
			}
			plain := create(0).Changes
			for i := 1; i < MaxKeysPerTenant; i++ {
				if got := create(i).Changes; !reflect.DeepEqual(got, plain) {
					t.Fatalf("with room left: %+v, want %+v", got, plain)
				}
			}
			j.apply(noon2026, RevokeKey{Tenant: 1, PublicID: "key_7"})
			want := plain
			if level >= LevelWebhooks {
				want = append(plain, AuditChange{Member: "evictedKey", Before: "key_7"})
			}
			if got := create(MaxKeysPerTenant).Changes; !reflect.DeepEqual(got, want) {
				t.Errorf("in place of a revoked key: %+v, want %+v", got, want)
			}
			if restored := mustRestore(t, written(t, j.m.Snapshot())); dump(restored) != dump(j.m) {
				t.Error("it does not survive a snapshot")
			}
		})
	}
}
