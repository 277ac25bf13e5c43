package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/syllecta/syllecta/fsm"
)

// maxSourceTries bounds how often a change of a source is tried that others change at the same time.
const maxSourceTries = 4

// changeSource has the source in the path changed as edit says, and tries again if it was changed by somebody else
// meanwhile. edit gets a command with a copy of the source as it is, and reports what is in the way. If the result is
// nil, the answer is written.
func (x *exchange) changeSource(ctx context.Context, edit func(*fsm.Tenant, *fsm.PutSource) *problem,
) (*fsm.Tenant, *fsm.Source) {
	if !x.upgradedAnywhere(ctx, fsm.LevelWebhooks) {
		return nil, nil
	}
	for range maxSourceTries {
		t, s := x.namedSource(ctx)
		if s == nil {
			return nil, nil
		}
		next := fsm.PutSource{Source: *s, IfRevision: s.Revision}
		next.Source.Secrets = slices.Clone(s.Secrets)
		if p := edit(t, &next); p != nil {
			x.refuse(p)
			return nil, nil
		}
		r := x.decideChange(ctx, next)
		switch {
		case r == nil:
			return nil, nil
		case r.Outcome == fsm.OK:
			return t, r.Source
		case r.Outcome != fsm.Conflict: // of the revisions: provider and name never change
			x.refuse(problemOfSource(r))
			return nil, nil
		}
	}
	x.refuse(busy.problem("the source is being changed by others all the time; nothing was changed"))
	return nil, nil
}

// updateSource answers PATCH /v1/sources/:source: what is named changes.
func updateSource(x *exchange) {
	f, p := decodeSourceChange(x.body)
	if p == nil {
		p = x.s.checkCallback(f.callbackURL.value)
	}
	if p != nil {
		x.refuse(p)
		return
	}
	ctx, cancel := x.deadline(0)
	defer cancel()
	t, s := x.changeSource(ctx, func(t *fsm.Tenant, next *fsm.PutSource) *problem {
		f.applyTo(&next.Source)
		if !f.options.set {
			return nil
		}
		return x.checkChangedOptions(t, &next.Source)
	})
	if s != nil {
		x.out.b = x.appendSource(x.out.b[:0], t, s, "")
		x.ok("source_updated")
	}
}

// addSourceSecret answers POST /v1/sources/:source/secrets: one more secret that is good, beside those that are.
func addSourceSecret(x *exchange) {
	secret, p := decodeSourceSecret(x.body)
	if p != nil {
		x.refuse(p)
		return
	}
	ctx, cancel := x.deadline(0)
	defer cancel()
	id := newPublicID(secretIDPrefix)
	_, s := x.changeSource(ctx, func(t *fsm.Tenant, next *fsm.PutSource) *problem {
		s := &next.Source
		if len(s.Secrets) >= fsm.MaxSourceSecrets {
			return sourcesFull("the source's secrets have reached their limit of %d; remove one first", fsm.MaxSourceSecrets)
		}
		if p := checkSecret(s, secret, "secret"); p != nil {
			return p
		}
		key, p := x.dataKey(t)
		if p != nil {
			return p
		}
		s.Secrets = append(s.Secrets, sealSecret(key, s.PublicID, id, secret))
		return nil
	})
	if s == nil {
		return
	}
	for _, kept := range s.Secrets {
		if kept.PublicID == id {
			x.out.b = appendSourceSecret(x.out.b[:0], kept)
		}
	}
	x.send(http.StatusCreated, "source_secret_added", jsonType)
}

// removeSourceSecret answers DELETE /v1/sources/:source/secrets/:secret. Without any, the source takes no webhooks.
func removeSourceSecret(x *exchange) {
	ctx, cancel := x.deadline(0)
	defer cancel()
	id := x.params.ByName("secret")
	_, s := x.changeSource(ctx, func(_ *fsm.Tenant, next *fsm.PutSource) *problem {
		s := &next.Source
		others := slices.DeleteFunc(s.Secrets, func(kept fsm.SourceSecret) bool { return kept.PublicID == id })
		if len(others) == len(s.Secrets) {
			return notFound.problem("the source has no secret with that id")
		}
		s.Secrets = others
		return nil
	})
	if s != nil {
		x.out.b = append(x.out.b[:0], `{"ok":true}`...)
		x.ok("source_secret_removed")
	}
}

// rollSigningSecret answers POST /v1/sources/:source/signing-secret: deliveries that begin from now on are signed with
// another key, and for a while with the one before, too. The new one is in this answer, and nowhere else ever.
func rollSigningSecret(x *exchange) {
	overlapMs, p := decodeSigningRoll(x.body)
	if p != nil {
		x.refuse(p)
		return
	}
	ctx, cancel := x.deadline(0)
	defer cancel()
	secret := newSigningSecret()
	t, s := x.changeSource(ctx, func(t *fsm.Tenant, next *fsm.PutSource) *problem {
		key, p := x.dataKey(t)
		if p != nil {
			return p
		}
		next.Source.SigningSecret = key.Seal(signingPurpose(next.Source.PublicID), []byte(secret))
		next.OverlapMs = overlapMs
		return nil
	})
	if s != nil {
		x.out.b = x.appendSource(x.out.b[:0], t, s, secret)
		x.ok("signing_secret_rolled")
	}
}
