package api

import (
	"crypto/rand"
	"net/http"

	"github.com/syllecta/syllecta/fsm"
)

// The calls about keys are the same for an admin and, about the keys of its own tenant, for a key with the scope
// admin:tenant. Such a key gives nothing that it does not have.

// createKey answers POST /v1/admin/tenants/:tenant/keys and POST /v1/keys. The secret is in this answer and nowhere else,
// ever.
func createKey(x *exchange) {
	f, p := decodeKey(x.body, x.s.now())
	if p == nil {
		p = notMoreThan(x.caller.key, &f)
	}
	if p != nil {
		x.refuse(p)
		return
	}
	ctx, cancel := x.deadline(0)
	defer cancel()
	t := x.tenantToChange(ctx, max(f.level(), x.callersLevel()))
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

// notMoreThan refuses a new key that would be good for more, or for longer, than the tenant's key that makes it; nil is an
// admin, who may give anything.
func notMoreThan(by *fsm.APIKey, f *keyFields) *problem {
	switch {
	case by == nil:
		return nil
	case by.Scopes != 0 && (f.scopes == 0 || !by.Scopes.Allows(f.scopes)):
		return forbidden.problem("a key gives no more than it has: scopes must name some of %s", by.Scopes)
	case by.ExpiresAtMs != 0 && (f.expiresAtMs == 0 || f.expiresAtMs > by.ExpiresAtMs):
		return forbidden.problem("a key makes none that outlives it: expiresAt must not be later than its own")
	default:
		return nil
	}
}

// callersLevel is the feature level that a change of the control plane needs because of who asks for it: before
// fsm.LevelWebhooks only admins could.
func (x *exchange) callersLevel() uint32 {
	if x.caller.role == roleAdmin {
		return 0
	}
	return fsm.LevelWebhooks
}

// listKeys answers GET /v1/admin/tenants/:tenant/keys and GET /v1/keys, the revoked and expired ones included.
func listKeys(x *exchange) {
	ctx, cancel := x.deadline(0)
	defer cancel()
	t := x.subjectTenant(ctx)
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

// revokeKey answers DELETE /v1/admin/tenants/:tenant/keys/:key and DELETE /v1/keys/:key. Revoking twice is the same as
// once.
func revokeKey(x *exchange) {
	ctx, cancel := x.deadline(0)
	defer cancel()
	t := x.tenantToChange(ctx, x.callersLevel())
	if t == nil {
		return
	}
	id := x.params.ByName("key")
	if x.caller.key != nil && x.caller.key.PublicID == id {
		x.refuse(conflict.problem("a key does not revoke itself, so that nobody is locked out by accident: use another one"))
		return
	}
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
