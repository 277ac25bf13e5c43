package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/julienschmidt/httprouter"

	"github.com/syllecta/syllecta/fsm"
)

// Body limits of routes beside the one for a record's result.
const (
	smallBodyBytes = 16 << 10
	batchBodyBytes = 1 << 20
	// webhookBodyBytes is also about as much as can be kept of a webhook.
	webhookBodyBytes = 1 << 20
	// sourceBodyBytes is room for a source with as many secrets, and as long options, as there may be.
	sourceBodyBytes = 64 << 10
	// putOverheadBytes is room for what surrounds a record's body in a PUT: its name, headers, spaces.
	putOverheadBytes = 32 << 10
)

// providerPath is where a provider sends a tenant's webhooks to, tenantsProviderPath where whoever has the tenant's key
// does.
const (
	providerPath        = "/v1/t/:tenant/webhooks/:provider"
	tenantsProviderPath = "/v1/webhooks/:provider"
)

// underIngress reports whether a path is one of those that providers call, or begins like one and is misspelt further
// on.
func underIngress(path string) bool {
	for _, ingress := range []string{providerPath, tenantsProviderPath} {
		before, _, _ := strings.Cut(ingress, ":")
		if strings.HasPrefix(path, before) {
			return true
		}
	}
	return false
}

// route is one line of the table of routes.
type route struct {
	method, path string
	label        string // the route's name in metrics and logs
	role         role
	// scope is what an API key must be good for, of a tenant's route.
	scope fsm.Scopes
	limit int64 // largest request body in bytes; 0 if none is read
	// since is the feature level that came with the route: a leader of a cluster below it may be of a release without it.
	since uint32
	// claims marks routes whose commands may be sent again under the same owner, or as the same event, when an answer was
	// lost.
	claims bool
	// stream marks routes whose handler reads a body of any length itself; limit is 0. They are never forwarded.
	stream bool
	// ingress marks routes that providers call, who follow no redirect: they are always forwarded, with all that was sent.
	ingress bool
	handle  handler

	metrics *routeMetrics
}

// routes is the table of everything this server answers.
func (s *Server) routes() []route {
	const small, batch = smallBodyBytes, batchBodyBytes
	const read, write, usage = fsm.ScopeRecordsRead, fsm.ScopeRecordsWrite, fsm.ScopeUsageRead
	put := int64(s.cfg.MaxRecordBodyBytes + putOverheadBytes)
	const (
		record    = "/v1/record"
		tenants   = "/v1/admin/tenants"
		oneTenant = tenants + "/:tenant"
		keys      = oneTenant + "/keys"
		oneKey    = keys + "/:key"
		plans     = "/v1/admin/plans"
		onePlan   = plans + "/:plan"
		nodes     = "/v1/admin/nodes"
		oneNode   = nodes + "/:node"
	)
	return slices.Concat([]route{
		{method: "POST", path: record, role: roleTenant, scope: write, limit: small, claims: true, handle: keyed(postRecord)},
		{method: "PUT", path: record, role: roleTenant, scope: write, limit: put, handle: keyed(putRecord)},
		{method: "GET", path: record, role: roleTenant, scope: read, handle: keyed(getRecord)},
		{method: "DELETE", path: record, role: roleTenant, scope: write, limit: small, handle: keyed(deleteRecord)},
		{method: "POST", path: record + "/renew", role: roleTenant, scope: write, limit: small, handle: keyed(renewLock)},
		{method: "POST", path: record + "/release", role: roleTenant, scope: write, limit: small, handle: keyed(releaseLock)},
		{method: "POST", path: "/v1/records", role: roleTenant, scope: write, limit: batch, claims: true, handle: postRecords},
		{method: "GET", path: "/v1/records", role: roleTenant, scope: read, handle: listRecords},
		{method: "GET", path: "/v1/usage", role: roleTenant, scope: usage, handle: showUsage},

		{method: "POST", path: tenants, role: roleAdmin, limit: small, handle: createTenant},
		{method: "GET", path: tenants, role: roleAdmin, handle: listTenants},
		{method: "GET", path: oneTenant, role: roleAdmin, handle: showTenant},
		{method: "PATCH", path: oneTenant, role: roleAdmin, limit: small, handle: updateTenant},
		{method: "POST", path: keys, role: roleAdmin, limit: small, handle: createKey},
		{method: "GET", path: keys, role: roleAdmin, handle: listKeys},
		{method: "DELETE", path: oneKey, role: roleAdmin, handle: revokeKey},
		{method: "GET", path: oneTenant + "/usage", role: roleAdmin, handle: showTenantUsage},
		{method: "GET", path: "/v1/admin/usage", role: roleAdmin, handle: listUsage},
		{method: "GET", path: "/v1/admin/audit", role: roleAdmin, handle: showAudit},

		{method: "GET", path: plans, role: roleAdmin, handle: listPlans},
		{method: "GET", path: onePlan, role: roleAdmin, handle: showPlan},
		{method: "PUT", path: onePlan, role: roleAdmin, limit: small, handle: putPlan},
		{method: "DELETE", path: onePlan, role: roleAdmin, handle: deletePlan},

		{method: "GET", path: "/v1/admin/status", role: roleAdmin, handle: showStatus},
		{method: "GET", path: "/v1/admin/cluster", role: roleAdmin, handle: showCluster},
		{method: "POST", path: nodes, role: roleAdmin, limit: small, handle: addNode},
		{method: "DELETE", path: oneNode, role: roleAdmin, handle: removeNode},
		{method: "POST", path: oneNode + "/promote", role: roleAdmin, limit: small, handle: promoteNode},
		{method: "POST", path: "/v1/admin/leader", role: roleAdmin, limit: small, handle: transferLeadership},
		{method: "GET", path: "/v1/admin/snapshot", role: roleAdmin, handle: saveSnapshot},
		{method: "POST", path: "/v1/admin/snapshot", role: roleAdmin, stream: true, handle: restoreSnapshot},

		{method: "GET", path: "/livez", role: rolePublic, handle: showLive},
		{method: "GET", path: "/healthz", role: rolePublic, handle: showLive},
		{method: "GET", path: "/readyz", role: rolePublic, handle: showReady},
		{method: "GET", path: "/metrics", role: rolePublic, handle: s.newMetricsPage()},
	},
		since(fsm.LevelWebhooks, slices.Concat(
			webhookRoutes(),
			ownRoutes(),
			sourceRoutes("/v1", roleTenant, fsm.ScopeWebhooksWrite),
			sourceRoutes(oneTenant, roleAdmin, 0),
			eventRoutes("/v1", roleTenant, fsm.ScopeEventsRead, fsm.ScopeWebhooksWrite),
			eventRoutes(oneTenant, roleAdmin, 0, 0),
		)),
	)
}

// since returns routes that came with a feature level.
func since(level uint32, routes []route) []route {
	for i := range routes {
		routes[i].since = level
	}
	return routes
}

// webhookRoutes are those on which events come in, and that of the keys under which they are kept.
func webhookRoutes() []route {
	return []route{
		{method: "POST", path: tenantsProviderPath, role: roleTenant, scope: fsm.ScopeWebhooksWrite,
			limit: webhookBodyBytes, claims: true, ingress: true, handle: receiveAsTenant},
		{method: "POST", path: providerPath, role: roleProvider,
			limit: webhookBodyBytes, claims: true, ingress: true, handle: receiveFromProvider},
		{method: "GET", path: providerPath, role: roleProvider, claims: true, ingress: true, handle: receiveFromProvider},
		{method: "POST", path: "/v1/simulate/chargeback", role: roleTenant, scope: fsm.ScopeWebhooksWrite,
			limit: smallBodyBytes, handle: simulateChargeback},
		{method: "POST", path: "/v1/admin/kek/rewrap", role: roleAdmin, limit: smallBodyBytes, handle: rewrapDataKeys},
	}
}

// ownRoutes are the calls of a tenant's keys about the tenant and its keys.
func ownRoutes() []route {
	const small = smallBodyBytes
	return []route{
		{method: "GET", path: "/v1/tenant", role: roleTenant, scope: fsm.ScopeAdminTenant, handle: showOwnTenant},
		{method: "PATCH", path: "/v1/tenant", role: roleTenant, scope: fsm.ScopeAdminTenant, limit: small, handle: updateOwnTenant},
		{method: "GET", path: "/v1/keys", role: roleTenant, scope: fsm.ScopeAdminTenant, handle: listKeys},
		{method: "POST", path: "/v1/keys", role: roleTenant, scope: fsm.ScopeAdminTenant, limit: small, handle: createKey},
		{method: "DELETE", path: "/v1/keys/:key", role: roleTenant, scope: fsm.ScopeAdminTenant, handle: revokeKey},
	}
}

// eventRoutes are the calls about the events of one tenant.
func eventRoutes(under string, as role, read, write fsm.Scopes) []route {
	const small = smallBodyBytes
	events, oneEvent := under+"/events", under+"/events/:event"
	return []route{
		{method: "GET", path: events, role: as, scope: read, handle: listEvents},
		{method: "GET", path: oneEvent, role: as, scope: read, handle: showEvent},
		{method: "POST", path: oneEvent + "/replay", role: as, scope: write, limit: small, handle: replayEvent},
		{method: "POST", path: oneEvent + "/ignore", role: as, scope: write, limit: small, handle: ignoreEvent},
		{method: "POST", path: under + "/replays", role: as, scope: write, limit: small, handle: replayEvents},
	}
}

// sourceRoutes are the calls about the sources of one tenant.
func sourceRoutes(under string, as role, scope fsm.Scopes) []route {
	const small = smallBodyBytes
	var (
		sources   = under + "/sources"
		oneSource = sources + "/:source"
		secrets   = oneSource + "/secrets"
	)
	return []route{
		{method: "GET", path: sources, role: as, scope: scope, handle: listSources},
		{method: "POST", path: sources, role: as, scope: scope, limit: sourceBodyBytes, handle: createSource},
		{method: "GET", path: oneSource, role: as, scope: scope, handle: showSource},
		{method: "PATCH", path: oneSource, role: as, scope: scope, limit: small, handle: updateSource},
		{method: "DELETE", path: oneSource, role: as, scope: scope, handle: deleteSource},
		{method: "POST", path: secrets, role: as, scope: scope, limit: small, handle: addSourceSecret},
		{method: "DELETE", path: secrets + "/:secret", role: as, scope: scope, handle: removeSourceSecret},
		{method: "POST", path: oneSource + "/signing-secret", role: as, scope: scope, limit: small, handle: rollSigningSecret},
	}
}

// newRouter registers the table. What the router would do on its own, redirecting and answering OPTIONS, is off.
func (s *Server) newRouter() *httprouter.Router {
	r := httprouter.New()
	r.RedirectTrailingSlash = false
	r.RedirectFixedPath = false
	r.HandleOPTIONS = false
	r.NotFound = http.HandlerFunc(answerNotFound)
	r.MethodNotAllowed = http.HandlerFunc(answerMethodNotAllowed)
	r.PanicHandler = answerPanic
	for _, rt := range s.routes() {
		s.register(r, rt)
	}
	return r
}

// register adds one route with what its role and limit ask for. It is the only way in.
func (s *Server) register(r *httprouter.Router, rt route) {
	if rt.label == "" {
		rt.label = rt.path
	}
	rt.metrics = s.metrics.route(rt.method, rt.label)
	handle := rt.handle
	if rt.role != rolePublic {
		handle = limitAddress(requireNode(checkContent(authenticate(authorize(readBody(handle))))))
	}
	r.Handle(rt.method, rt.path, func(w http.ResponseWriter, _ *http.Request, params httprouter.Params) {
		x := w.(*exchange)
		x.route, x.params = &rt, params
		handle(x)
	})
}

func answerNotFound(w http.ResponseWriter, _ *http.Request) {
	w.(*exchange).refuse(notFound.problem("there is no such path"))
}

// answerMethodNotAllowed corrects the Allow header: the router lists OPTIONS there, though it is
// told not to handle it.
func answerMethodNotAllowed(w http.ResponseWriter, _ *http.Request) {
	methods := strings.Split(w.Header().Get("Allow"), ", ")
	methods = slices.DeleteFunc(methods, func(m string) bool { return m == http.MethodOptions })
	allow := strings.Join(methods, ", ")
	w.Header()["Allow"] = []string{allow}
	w.(*exchange).refuse(methodNotAllowed.problem("this path takes %s", allow))
}
