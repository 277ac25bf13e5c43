package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/syllecta/syllecta/api/envelope"
	"github.com/syllecta/syllecta/fsm"
)

const rewrapPath = "/v1/admin/kek/rewrap"

// rewrapAnswer is what was done about the data keys.
type rewrapAnswer struct {
	KEK                                  string
	Rewrapped, Remaining, MoreUnreadable int
	Unreadable                           []struct{ Tenant, Detail string }
}

func callRewrap(t *testing.T, s *Server) (a rewrapAnswer) {
	t.Helper()
	w := call(t, s, "POST", rewrapPath, "", asAdmin)
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return a
}

// kekLines draws keys and returns the lines of a file of them, and their ids.
func kekLines(n int) (lines, ids []string) {
	for range n {
		id, line := envelope.NewKEK()
		lines, ids = append(lines, line), append(ids, id)
	}
	return lines, ids
}

func vaultOf(t *testing.T, lines ...string) *envelope.Vault {
	t.Helper()
	keks, err := envelope.ParseKEKs([]byte(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return envelope.NewVault(keks)
}

// giveDataKey gives a tenant of a fake node a data key that the vault makes.
func (n *fakeNode) giveDataKey(t *testing.T, vault *envelope.Vault, tenant fsm.TenantID) {
	t.Helper()
	wrapped, err := vault.NewDataKey(n.Directory().Tenant(tenant).PublicID)
	if err != nil {
		t.Fatal(err)
	}
	n.apply(fsm.PutDataKey{Tenant: tenant, Wrapped: wrapped})
}

func TestRewrap(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	lines, ids := kekLines(2)
	before, both, after := vaultOf(t, lines[1]), vaultOf(t, lines...), vaultOf(t, lines[0])
	const more = maxRewraps + 5
	for i := range more {
		n.apply(fsm.CreateTenant{PublicID: fmt.Sprint("ten_x", i), Slug: fmt.Sprint("x", i)})
		n.giveDataKey(t, before, fsm.TenantID(i+2))
	}
	tenant := n.Directory().Tenant(2)
	key, err := before.DataKey(tenant.PublicID, []byte(tenant.DataKey))
	if err != nil {
		t.Fatal(err)
	}
	sealed := key.Seal("p", []byte("plain"))

	s := newTestServer(t, n, func(c *Config) { c.Vault = both })
	for _, want := range []rewrapAnswer{
		{ids[0], maxRewraps, 5, 0, nil}, {ids[0], 5, 0, 0, nil}, {ids[0], 0, 0, 0, nil},
	} {
		if a := callRewrap(t, s); a.KEK != want.KEK || a.Rewrapped != want.Rewrapped || a.Remaining != want.Remaining || len(a.Unreadable) != 0 {
			t.Errorf("got %+v, want %+v", a, want)
		}
	}
	for _, tenant := range n.Directory().Tenants()[1:] {
		if under, err := envelope.WrappedUnder([]byte(tenant.DataKey)); err != nil || under != ids[0] {
			t.Errorf("%s: under %q, %v", tenant.Slug, under, err)
		}
	}
	if n.Directory().Tenant(1).DataKey != "" {
		t.Error("a tenant without a data key has one now")
	}
	tenant = n.Directory().Tenant(2)
	if key, err = after.DataKey(tenant.PublicID, []byte(tenant.DataKey)); err != nil {
		t.Fatal(err)
	}
	if plain, err := key.Open("p", sealed); err != nil || string(plain) != "plain" {
		t.Errorf("what was sealed before: %q, %v", plain, err)
	}
	audit := call(t, s, "GET", "/v1/admin/audit?limit=1000", "", asAdmin).Body.String()
	if got := strings.Count(audit, `"actor":"admin"`); got != more {
		t.Errorf("%d changes are in the audit log, want %d", got, more)
	}
	for _, line := range lines {
		if _, secret, _ := strings.Cut(line, ":"); strings.Contains(audit, secret) {
			t.Error("the audit log shows a key")
		}
	}
}

// TestRewrapOfLostKeys: data keys that cannot be read keep nobody from wrapping the others.
func TestRewrapOfLostKeys(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	lines, ids := kekLines(3)
	for i := range maxUnreadable + 2 {
		n.apply(fsm.CreateTenant{PublicID: fmt.Sprint("ten_x", i), Slug: fmt.Sprint("x", i)})
		n.giveDataKey(t, vaultOf(t, lines[2]), fsm.TenantID(i+2))
	}
	n.giveDataKey(t, vaultOf(t, lines[1]), 1)
	s := newTestServer(t, n, func(c *Config) { c.Vault = vaultOf(t, lines[0], lines[1]) })
	a := callRewrap(t, s)
	if a.Rewrapped != 1 || a.Remaining != 0 || len(a.Unreadable) != maxUnreadable || a.MoreUnreadable != 2 {
		t.Fatalf("got %d, %d, %d and %d more", a.Rewrapped, a.Remaining, len(a.Unreadable), a.MoreUnreadable)
	}
	if u := a.Unreadable[0]; u.Tenant != "x0" || !strings.Contains(u.Detail, "lacks "+ids[2]) {
		t.Errorf("got %+v", u)
	}
}

func TestRewrapRefuses(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	doc := wantProblem(t, call(t, newTestServer(t, n, nil), "POST", rewrapPath, "", asAdmin), noKEK)
	if !strings.Contains(doc, "syllecta kek generate") {
		t.Error(doc)
	}
	// Somebody else gives the tenant another key between the look at it and the entry.
	lines, _ := kekLines(2)
	both := vaultOf(t, lines...)
	n.giveDataKey(t, vaultOf(t, lines[1]), 1)
	old := []byte(n.Directory().Tenant(1).DataKey)
	rival, _, err := both.Rewrap("ten_1", old)
	if err != nil {
		t.Fatal(err)
	}
	n.rivals = []fsm.Command{fsm.PutDataKey{Tenant: 1, Wrapped: rival, Replace: true, Old: old}}
	s := newTestServer(t, n, func(c *Config) { c.Vault = both })
	if a := callRewrap(t, s); a.Rewrapped != 0 || a.Remaining != 1 {
		t.Errorf("got %+v", a)
	}
	if got := n.Directory().Tenant(1).DataKey; got != string(rival) {
		t.Error("the rival's key was overwritten")
	}
	if a := callRewrap(t, s); a.Rewrapped != 0 || a.Remaining != 0 {
		t.Errorf("once more: got %+v", a)
	}
}
