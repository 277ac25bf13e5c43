package api

import (
	"context"
	"net/http"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// The calls about sources are the same for a tenant's own key and, under a tenant's path, for an admin.

// subjectTenant returns the tenant that a request is about: the caller's own, or the one in the path of an admin's. If it
// is nil, the answer is written.
func (x *exchange) subjectTenant(ctx context.Context) *fsm.Tenant {
	if x.caller.role == roleAdmin {
		return x.namedTenant(ctx)
	}
	if !x.catchUp(ctx) {
		return nil
	}
	return x.node.Directory().Tenant(x.caller.tenant.ID)
}

// tenantToChange is subjectTenant for a change that needs a feature level.
func (x *exchange) tenantToChange(ctx context.Context, needed uint32) *fsm.Tenant {
	if !x.upgradedAnywhere(ctx, needed) {
		return nil
	}
	return x.subjectTenant(ctx)
}

// namedSource returns the source in the path, and whose it is. If it is nil, the answer is written: the same for a source
// of another tenant as for none.
func (x *exchange) namedSource(ctx context.Context) (*fsm.Tenant, *fsm.Source) {
	t := x.subjectTenant(ctx)
	if t == nil {
		return nil, nil
	}
	// Asked here and not only in the log, so that no text of the caller's choice gets there.
	s := x.node.Directory().Source(t.ID, x.params.ByName("source"))
	if s == nil {
		x.refuse(noSuchSource())
	}
	return t, s
}

func noSuchSource() *problem { return notFound.problem("the tenant has no source with that id") }

// listSources answers GET /v1/sources, in order of creation.
func listSources(x *exchange) {
	ctx, cancel := x.deadline(0)
	defer cancel()
	t := x.subjectTenant(ctx)
	if t == nil {
		return
	}
	b := append(x.out.b[:0], `{"sources":[`...)
	for _, s := range x.node.Directory().Sources(t.ID) {
		b = x.appendSource(appendName(b, ""), t, s, "")
	}
	x.out.b = append(b, `]}`...)
	x.ok("sources")
}

// showSource answers GET /v1/sources/:source.
func showSource(x *exchange) {
	ctx, cancel := x.deadline(0)
	defer cancel()
	t, s := x.namedSource(ctx)
	if s == nil {
		return
	}
	x.out.b = x.appendSource(x.out.b[:0], t, s, "")
	x.ok("source")
}

// createSource answers POST /v1/sources. The key that its deliveries are signed with is in this answer, and nowhere else
// ever.
func createSource(x *exchange) {
	f, p := decodeNewSource(x.body)
	if p == nil {
		p = x.s.checkSource(&f)
	}
	if p != nil {
		x.refuse(p)
		return
	}
	ctx, cancel := x.deadline(0)
	defer cancel()
	t := x.tenantToChange(ctx, fsm.LevelWebhooks)
	if t == nil {
		return
	}
	src := fsm.Source{Tenant: t.ID, PublicID: newPublicID(sourceIDPrefix), Provider: f.provider, Name: f.name}
	f.applyTo(&src)
	signingSecret := x.sealNewSource(ctx, t, &src, f.secrets)
	if signingSecret == "" {
		return
	}
	if r := x.change(ctx, fsm.PutSource{Source: src}, fsm.OK, problemOfSource); r != nil {
		x.out.b = x.appendSource(x.out.b[:0], t, r.Source, signingSecret)
		x.send(http.StatusCreated, "source_created", jsonType)
	}
}

// deleteSource answers DELETE /v1/sources/:source. Its events stay, so none of them may be waiting for it.
func deleteSource(x *exchange) {
	ctx, cancel := x.deadline(0)
	defer cancel()
	if !x.upgradedAnywhere(ctx, fsm.LevelWebhooks) {
		return
	}
	t, s := x.namedSource(ctx)
	if s == nil {
		return
	}
	cmd := fsm.DeleteSource{Tenant: t.ID, PublicID: s.PublicID}
	if r := x.change(ctx, cmd, fsm.OK, problemOfDeletion); r != nil {
		x.out.b = append(x.out.b[:0], `{"ok":true}`...)
		x.ok("source_deleted")
	}
}

func problemOfDeletion(r *fsm.Result) *problem {
	if r.Outcome == fsm.Conflict {
		return conflict.problem("events of the source wait to be delivered, %d of them; have them delivered, or ignore them, first", r.Count)
	}
	return problemOfSource(r)
}

// problemOfSource says why a source was not created or changed.
func problemOfSource(r *fsm.Result) *problem {
	switch r.Outcome {
	case fsm.NotFound:
		return noSuchSource()
	case fsm.Conflict:
		return conflict.problem("the tenant has a source of that provider and name already")
	case fsm.LimitReached:
		if r.Source != nil {
			return rolledTwice(r)
		}
		return sourcesFull("the tenant's sources have reached their limit of %d", fsm.MaxSourcesPerTenant)
	default:
		return internalError.problem("the command had an outcome that does not belong to it")
	}
}

// rolledTwice is the answer where a previous signing secret would have to end before its time.
func rolledTwice(r *fsm.Result) *problem {
	ends := time.UnixMilli(r.Source.Previous.EndsAtMs).UTC().Format(instant)
	p := limitReached.problem("the signing secret was rolled before, and the previous one is good until %s: wait until then, "+
		"or roll with overlapSeconds 0, which ends that and the present one at once; nothing was changed", ends)
	p.limit = r.Limit
	return p
}

// sourcesFull is the answer where no more can be kept.
func sourcesFull(format string, limit int64) *problem {
	p := limitReached.problem(format, limit)
	p.limit = limit
	return p
}
