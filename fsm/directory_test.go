package fsm

import (
	"fmt"
	"testing"
)

func TestInitOnce(t *testing.T) {
	t.Parallel()
	j := &journal{tb: t, m: New(testConfig())}
	wantResult(t, "first", j.apply(noon2026, Init{ClusterID: "one", KeyHashSecret: [32]byte{1}}), Result{Outcome: OK})
	got := j.apply(noon2026, Init{ClusterID: "two", KeyHashSecret: [32]byte{2}})
	wantResult(t, "second", got, Result{Outcome: Conflict})
	if d := j.m.Directory(); d.ClusterID != "one" || d.KeyHashSecret != [32]byte{1} {
		t.Errorf("identity is %q %x, want that of the first Init", d.ClusterID, d.KeyHashSecret)
	}
}

func TestCreateTenant(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	want := Tenant{ID: 2, PublicID: "ten_2", Slug: "umbrella", Name: "U", MonthlyClaims: 9, CreatedAtMs: noon2026 + 1}
	got := j.apply(noon2026+1, CreateTenant{PublicID: "ten_2", Slug: "umbrella", Name: "U", MonthlyClaims: 9})
	wantResult(t, "create", got, Result{Outcome: TenantCreated, Tenant: &want})
	for _, taken := range []CreateTenant{
		{PublicID: "ten_3", Slug: "umbrella"},
		{PublicID: "ten_2", Slug: "other"},
		{PublicID: "umbrella", Slug: "other"}, // slugs and public ids name tenants in the same places
		{PublicID: "ten_3", Slug: "ten_2"},
	} {
		wantResult(t, fmt.Sprint(taken), j.apply(noon2026+1, taken), Result{Outcome: Conflict})
	}
	d := j.m.Directory()
	if len(d.Tenants()) != 2 {
		t.Errorf("%d tenants, want 2", len(d.Tenants()))
	}
	for _, found := range []*Tenant{d.Tenant(2), d.TenantByName("umbrella"), d.TenantByName("ten_2"), d.Tenants()[1]} {
		if found == nil || *found != want {
			t.Errorf("found %+v, want %+v", found, want)
		}
	}
	if d.Tenant(0) != nil || d.Tenant(3) != nil || d.TenantByName("") != nil || d.TenantByName("other") != nil {
		t.Error("found a tenant that does not exist")
	}
}

func TestUpdateTenant(t *testing.T) {
	t.Parallel()
	created := Tenant{ID: 1, PublicID: "ten_1", Slug: "acme", Name: "Acme", CreatedAtMs: noon2026}
	renamed, limited := created, created
	renamed.Name, limited.MonthlyClaims = "New", 5
	tests := []struct {
		name string
		cmd  UpdateTenant
		want Tenant
	}{
		{"nothing", UpdateTenant{Tenant: 1, Name: "New", MonthlyClaims: 5}, created},
		{"name", UpdateTenant{Tenant: 1, SetName: true, Name: "New", MonthlyClaims: 5}, renamed},
		{"limit", UpdateTenant{Tenant: 1, Name: "New", SetMonthlyClaims: true, MonthlyClaims: 5}, limited},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := newJournal(t)
			before := j.m.Directory()
			wantResult(t, tt.name, j.apply(noon2026+9, tt.cmd), Result{Outcome: OK, Tenant: &tt.want})
			for _, found := range []*Tenant{j.m.Directory().Tenant(1), j.m.Directory().TenantByName("acme")} {
				if *found != tt.want {
					t.Errorf("found %+v, want %+v", *found, tt.want)
				}
			}
			if *before.Tenant(1) != created || *before.TenantByName("ten_1") != created {
				t.Error("a Directory handed out before has changed")
			}
		})
	}
	j := newJournal(t)
	wantResult(t, "unknown", j.apply(noon2026, UpdateTenant{Tenant: 2, SetName: true}), Result{Outcome: NotFound})
}

func TestKeys(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	create := CreateKey{Tenant: 1, PublicID: "key_1", Name: "ci", Hash: [32]byte{1}, Hint: "wxyz"}
	want := APIKey{Tenant: 1, PublicID: "key_1", Name: "ci", Hash: [32]byte{1}, Hint: "wxyz", CreatedAtMs: noon2026 + 1}
	wantResult(t, "create", j.apply(noon2026+1, create), Result{Outcome: KeyCreated, Key: &want})
	before := j.m.Directory()

	sameHash, sameID := create, create
	sameHash.PublicID, sameID.Hash = "key_2", [32]byte{2}
	wantResult(t, "hash taken", j.apply(noon2026+1, sameHash), Result{Outcome: Conflict})
	wantResult(t, "id taken", j.apply(noon2026+1, sameID), Result{Outcome: Conflict})
	wantResult(t, "no tenant", j.apply(0, CreateKey{Tenant: 2, PublicID: "key_3"}), Result{Outcome: NotFound})
	wantResult(t, "no key", j.apply(0, RevokeKey{Tenant: 1, PublicID: "key_9"}), Result{Outcome: NotFound})
	wantResult(t, "not its key", j.apply(0, RevokeKey{Tenant: 2, PublicID: "key_1"}), Result{Outcome: NotFound})

	revoke := RevokeKey{Tenant: 1, PublicID: "key_1"}
	revoked := want
	revoked.RevokedAtMs = noon2026 + 5
	wantResult(t, "revoke", j.apply(noon2026+5, revoke), Result{Outcome: OK, Key: &revoked, Existed: true})
	wantResult(t, "again", j.apply(noon2026+9, revoke), Result{Outcome: OK, Key: &revoked})
	wantResult(t, "hash of a revoked key", j.apply(noon2026+9, sameHash), Result{Outcome: Conflict})

	if found := j.m.Directory().KeyByHash([32]byte{1}); *found != revoked {
		t.Errorf("found %+v, want it revoked", *found)
	}
	if found := before.KeyByHash([32]byte{1}); *found != want || len(before.Keys(1)) != 1 || *before.Keys(1)[0] != want {
		t.Error("a Directory handed out before has changed")
	}
}

// A full list makes room only at the cost of its oldest revoked key.
func TestKeysAreBounded(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	create := func(i int) Result {
		return j.apply(noon2026, CreateKey{Tenant: 1, PublicID: fmt.Sprint("key_", i), Hash: [32]byte{byte(i), 1}})
	}
	for i := range MaxKeysPerTenant {
		if got := create(i); got.Outcome != KeyCreated {
			t.Fatalf("key %d: %+v", i, got)
		}
	}
	full := Result{Outcome: LimitReached, Limit: MaxKeysPerTenant}
	wantResult(t, "one above", create(MaxKeysPerTenant), full)
	j.apply(noon2026, RevokeKey{Tenant: 1, PublicID: "key_20"})
	j.apply(noon2026, RevokeKey{Tenant: 1, PublicID: "key_10"})
	before := j.m.Directory()
	for i := range 2 {
		if got := create(MaxKeysPerTenant + i); got.Outcome != KeyCreated {
			t.Fatalf("in place of a revoked key: %+v", got)
		}
		gone := [32]byte{byte(10 * (i + 1)), 1} // the oldest by creation first
		if j.m.Directory().KeyByHash(gone) != nil || before.KeyByHash(gone) == nil {
			t.Errorf("key %d was not the one that made room", 10*(i+1))
		}
	}
	wantResult(t, "full again", create(MaxKeysPerTenant+2), full)
	if n := len(j.m.Directory().Keys(1)); n != MaxKeysPerTenant || len(before.Keys(1)) != MaxKeysPerTenant {
		t.Errorf("%d keys listed, want %d", n, MaxKeysPerTenant)
	}
	if k := j.m.Directory().Keys(1)[MaxKeysPerTenant-1]; k.PublicID != fmt.Sprint("key_", MaxKeysPerTenant+1) {
		t.Errorf("the last key is %q", k.PublicID)
	}
}

func TestTenantsAreBounded(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	d := j.m.directory.clone() // filled by hand: each command copies the directory
	for i := 2; i <= MaxTenants; i++ {
		d.setTenant(&Tenant{ID: TenantID(i), PublicID: fmt.Sprint("ten_", i), Slug: fmt.Sprint("slug-", i)})
	}
	j.m.directory = d
	got := j.apply(noon2026, CreateTenant{PublicID: "ten_x", Slug: "x"})
	wantResult(t, "one above", got, Result{Outcome: LimitReached, Limit: MaxTenants})
	c := claimBy("a", tok(1))
	c.ID.Tenant = MaxTenants
	wantResult(t, "claim of the last", j.apply(noon2026, c), granted(tok(1), 1, noon2026+leaseMs))
	restored := mustRestore(t, written(t, j.m.Snapshot()))
	if dump(restored) != dump(j.m) {
		t.Error("a full directory does not survive a snapshot")
	}
}

// Keys that have expired make room as revoked ones do, those that were revoked first.
func TestExpiredKeysMakeRoom(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	create := func(i int, at int64) Result {
		return j.apply(at, CreateKey{Tenant: 1, PublicID: fmt.Sprint("key_", i), Hash: [32]byte{byte(i), 1}, ExpiresAtMs: noon2026 + 1000})
	}
	for i := range MaxKeysPerTenant {
		create(i, noon2026)
	}
	full := Result{Outcome: LimitReached, Limit: MaxKeysPerTenant}
	wantResult(t, "while all are good", create(MaxKeysPerTenant, noon2026+999), full)
	j.apply(noon2026+999, RevokeKey{Tenant: 1, PublicID: "key_7"})
	for i, gone := range []byte{7, 0, 1} {
		if got := create(MaxKeysPerTenant+i, noon2026+1000); got.Outcome != KeyCreated {
			t.Fatalf("in place of key %d: %+v", gone, got)
		}
		if j.m.Directory().KeyByHash([32]byte{gone, 1}) != nil {
			t.Errorf("key %d was not the one that made room", gone)
		}
	}
}
