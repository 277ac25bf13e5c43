package api

import (
	"context"
	"strings"

	"github.com/syllecta/syllecta/api/webhook"
	"github.com/syllecta/syllecta/fsm"
)

// ingress is a provider's request to one source.
type ingress struct {
	tenant  *fsm.Tenant
	source  *fsm.Source
	request webhook.Request
	// kept are the headers that are kept with the events.
	kept map[string][]string
	// synthetic tells a simulation.
	synthetic bool
	// seed is the request's own, and the same whenever this request is decided: its events are known by it.
	seed string
}

// receiveAsTenant answers POST /v1/webhooks/:provider.
func receiveAsTenant(x *exchange) {
	x.receiveWebhook(func(*fsm.Directory) (*fsm.Tenant, *problem) { return x.caller.tenant, nil })
}

// receiveFromProvider answers POST /v1/t/:tenant/webhooks/:provider, and GET for those who try a destination that way.
func receiveFromProvider(x *exchange) {
	x.receiveWebhook(func(dir *fsm.Directory) (*fsm.Tenant, *problem) {
		slug := x.params.ByName("tenant")
		if t := dir.TenantByName(slug); t != nil {
			return t, nil
		}
		return nil, unknownTenant.problem("there is no tenant %q", slug)
	})
}

// receiveWebhook has a webhook decided, and answers. All of it is the leader's to do: what another node knows of tenants,
// sources and secrets may be of yesterday.
func (x *exchange) receiveWebhook(tenant func(*fsm.Directory) (*fsm.Tenant, *problem)) {
	name, p := sourceParameter(x.r.URL.RawQuery)
	if p != nil {
		x.refuse(p)
		return
	}
	ctx, cancel := x.deadline(0)
	defer cancel()
	var got receivedEvents
	decided := x.onLeader(ctx, func() (err error) {
		got, p, err = x.decideWebhook(ctx, tenant, name)
		return err
	})
	switch {
	case !decided: // and answered
	case p != nil:
		x.refuse(p)
	default:
		x.answerWebhook(&got)
	}
}

func (x *exchange) decideWebhook(ctx context.Context, tenant func(*fsm.Directory) (*fsm.Tenant, *problem), name string,
) (receivedEvents, *problem, error) {
	dir := x.node.Directory()
	t, p := tenant(dir)
	if p != nil {
		return receivedEvents{}, p, nil
	}
	source, p := sourceFor(dir, t, x.params.ByName("provider"), name)
	if p != nil {
		return receivedEvents{}, p, nil
	}
	x.webhook = &ingress{
		tenant: t, source: source, request: x.webhookRequest(), kept: keptFields(x.r.Header), seed: x.id,
	}
	return x.receiveEvents(ctx, *x.webhook)
}

// sourceParameter returns the name of the source that a query is for.
func sourceParameter(query string) (name string, p *problem) {
	if !strings.Contains(query, "source") {
		return fsm.DefaultSourceName, nil
	}
	p = eachParameter(query, func(parameter, value string) *problem {
		if parameter != "source" {
			return nil
		}
		return once(&name, parameter, value, fsm.MaxSlugBytes)
	})
	if p == nil && name == "" {
		name = fsm.DefaultSourceName
	}
	return name, p
}

// sourceFor finds a tenant's source of a provider, which may be called by any of its names.
func sourceFor(dir *fsm.Directory, t *fsm.Tenant, provider, name string) (*fsm.Source, *problem) {
	if source := dir.SourceNamed(t.ID, provider, name); source != nil && provider != fsm.OwnProvider {
		return source, nil
	}
	if p, known := providerNamed(provider); known && p.Name != provider {
		if source := dir.SourceNamed(t.ID, p.Name, name); source != nil {
			return source, nil
		}
	}
	return nil, notFound.problem("the tenant has no source of %q named %q", provider, name)
}
