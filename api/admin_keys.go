package api

import (
	"crypto/rand"
	"net/http"

	"github.com/syllecta/syllecta/fsm"
)

// createKey answers POST /v1/admin/tenants/:tenant/keys. The secret is in this answer and nowhere else, ever.
func createKey(x *exchange) {
	f, p := decodeKey(x.body, x.s.now())
	if p != nil {
		x.refuse(p)
		return
	}
	ctx, cancel := x.deadline(0)
	defer cancel()
	if !x.upgradedAnywhere(ctx, f.level()) {
		return
	}
	t := x.namedTenant(ctx)
	if t == nil {
		return
	}
	secret, hint := NewAPIKey(rand.Reader)
	r := x.change(ctx, fsm.CreateKey{
		Tenant:      t.ID,
		PublicID:    newPublicID("key_"),
		Name:        f.name.value,
		Hash:        HashKey(x.node.Directory().KeyHashSecret, secret),
		Hint:        hint,
		Scopes:      f.scopes,
		ExpiresAtMs: f.expiresAtMs,
	}, fsm.KeyCreated, problemOfTenant)
	if r != nil {
		x.out.b = appendKey(x.out.b[:0], r.Key, secret)
		x.send(http.StatusCreated, "key_created", jsonType)
	}
}

// listKeys answers GET /v1/admin/tenants/:tenant/keys, the revoked and expired ones included.
func listKeys(x *exchange) {
	ctx, cancel := x.deadline(0)
	defer cancel()
	t := x.namedTenant(ctx)
	if t == nil {
		return
	}
	b := append(x.out.b[:0], `{"keys":[`...)
	for _, k := range x.node.Directory().Keys(t.ID) {
		b = appendKey(appendName(b, ""), k, "")
	}
	x.out.b = append(b, `]}`...)
	x.ok("keys")
}

// revokeKey answers DELETE /v1/admin/tenants/:tenant/keys/:key. Revoking twice is the same as once.
func revokeKey(x *exchange) {
	ctx, cancel := x.deadline(0)
	defer cancel()
	t := x.namedTenant(ctx)
	if t == nil {
		return
	}
	id := x.params.ByName("key")
	if keyNamed(x.node.Directory(), t.ID, id) == nil {
		// Asked here and not only in the log, so that no text of the caller's choice gets there.
		x.refuse(notFound.problem("the tenant has no key with that id"))
		return
	}
	if r := x.change(ctx, fsm.RevokeKey{Tenant: t.ID, PublicID: id}, fsm.OK, problemOfTenant); r != nil {
		x.out.b = appendKey(x.out.b[:0], r.Key, "")
		x.ok("key_revoked")
	}
}

// appendKey writes a key, with its secret only when it was just made.
func appendKey(b []byte, k *fsm.APIKey, secret string) []byte {
	b = append(b, '{')
	b = appendStringMember(b, "id", k.PublicID)
	b = appendStringMember(b, "name", k.Name)
	b = appendStringMember(b, "hint", k.Hint)
	b = appendScopes(b, k.Scopes)
	b = appendTimeMember(b, "createdAt", k.CreatedAtMs)
	for _, instant := range []struct {
		name string
		ms   int64
	}{{"expiresAt", k.ExpiresAtMs}, {"lastUsedAt", k.LastUsedMs}, {"revokedAt", k.RevokedAtMs}} {
		if instant.ms != 0 {
			b = appendTimeMember(b, instant.name, instant.ms)
		}
	}
	if secret != "" {
		b = appendStringMember(b, "secret", secret)
	}
	return append(b, '}')
}
