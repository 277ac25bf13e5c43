package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// catchUpWait bounds the question to the leader for a key that this node does not know.
const catchUpWait = 2 * time.Second

// role is what a route asks of its caller.
type role uint8

const (
	// rolePublic routes answer everybody.
	rolePublic role = iota + 1
	// roleTenant routes ask for a tenant's API key.
	roleTenant
	// roleAdmin routes ask for the admin token.
	roleAdmin
	// roleProvider routes are called by providers of webhooks, whom the handler knows by their signature.
	roleProvider
)

func (r role) String() string {
	switch r {
	case rolePublic:
		return "public"
	case roleTenant:
		return "tenant"
	case roleAdmin:
		return "admin"
	case roleProvider:
		return "provider"
	default:
		return "none"
	}
}

// caller is who was authenticated.
type caller struct {
	role   role
	tenant *fsm.Tenant // with roleTenant
	key    *fsm.APIKey // with roleTenant
}

// adminToken is the admin's secret, of which only the hash is kept.
type adminToken struct {
	hash [sha256.Size]byte
	set  bool
}

func newAdminToken(secret string) adminToken {
	return adminToken{sha256.Sum256([]byte(secret)), secret != ""}
}

// matches takes the same time whatever is presented.
func (t adminToken) matches(presented string) bool {
	hash := sha256.Sum256([]byte(presented))
	return subtle.ConstantTimeCompare(hash[:], t.hash[:]) == 1 && t.set
}

// refusedKey is the one answer to a key that is missing, malformed, unknown, revoked or expired.
func refusedKey() *problem {
	return invalidAPIKey.problem("send a valid key as Authorization: Bearer ck_…")
}

// authenticate lets a request pass whose caller has the route's role.
func authenticate(next handler) handler {
	return func(x *exchange) {
		p := x.identify()
		if over := x.limitUnproven(); over != nil {
			p = over
		}
		if p != nil {
			x.refuse(p)
			return
		}
		next(x)
	}
}

// identify finds out who calls. Credentials that are refused count against their source.
func (x *exchange) identify() *problem {
	if x.route.role == roleAdmin && !x.s.admin.set {
		return forbidden.problem("the admin API is off: the node has no admin token configured")
	}
	q, throttled := x.s.failedAuth.throttles(x)
	p := x.identifyByAny(throttled)
	switch {
	case p == nil || p.kind.status != http.StatusForbidden:
		return p
	case throttled:
		return x.throttled(q)
	default:
		x.s.failedAuth.count(x)
		return p
	}
}

// identifyByAny looks at what the caller presents. An Authorization header wins over a ticket.
func (x *exchange) identifyByAny(throttled bool) *problem {
	if x.route.role == roleProvider {
		return x.identifyProvider()
	}
	if _, present := x.r.Header["Authorization"]; !present {
		if ticketed, p := x.identifyByTicket(); ticketed || p != nil {
			return p
		}
	}
	secret, present := bearer(x.r.Header)
	if x.route.role == roleAdmin {
		return x.identifyAdmin(secret)
	}
	return x.identifyTenant(secret, present, throttled)
}

// identifyProvider knows nobody yet, but a node that forwards the request must show that it is one.
func (x *exchange) identifyProvider() *problem {
	if x.saysForwarded() {
		if ticketed, p := x.identifyByTicket(); ticketed || p != nil {
			return p
		}
	}
	x.caller = caller{role: roleProvider}
	return nil
}

func (x *exchange) identifyAdmin(secret string) *problem {
	if x.s.admin.matches(secret) {
		x.caller = caller{role: roleAdmin}
		return nil
	}
	dir := x.node.Directory()
	if key := dir.KeyByHash(x.s.hashKey(dir, secret)); key != nil && key.Good(x.s.now().UnixMilli()) {
		return forbidden.problem("a tenant's API key does not open the admin API")
	}
	return refusedKey()
}

// identifyTenant looks the key up. It computes one HMAC whatever was presented, so that time tells nothing. For a source
// that is throttled, what this node knows is all that counts.
func (x *exchange) identifyTenant(secret string, present, throttled bool) *problem {
	wellFormed := present && wellFormedAPIKey(secret)
	if !wellFormed {
		secret = ""
	}
	dir := x.node.Directory()
	hash := x.s.hashKey(dir, secret)
	key := dir.KeyByHash(hash)
	if (key == nil || !key.Good(x.s.now().UnixMilli())) && wellFormed && !throttled && !x.node.IsLeader() {
		// The key may have been made elsewhere a moment ago. One that is revoked or expired takes as long, so that time
		// tells nothing.
		ctx, cancel := context.WithTimeout(x.r.Context(), catchUpWait)
		defer cancel()
		if err := x.node.CatchUp(ctx); err != nil {
			x.err = err
			return withoutLeader()
		}
		dir = x.node.Directory()
		key = dir.KeyByHash(x.s.hashKey(dir, secret))
	}
	if key == nil || !wellFormed {
		return refusedKey()
	}
	return x.admit(dir, key)
}

// admit makes a key's tenant the caller, unless the key is revoked or expired.
func (x *exchange) admit(dir *fsm.Directory, key *fsm.APIKey) *problem {
	t := dir.Tenant(key.Tenant)
	if t == nil || !key.Good(x.s.now().UnixMilli()) {
		return refusedKey()
	}
	x.caller = caller{roleTenant, t, key}
	return nil
}

// identifyByTicket accepts the caller that another node vouches for. The ticket covers the body, so it is read here.
func (x *exchange) identifyByTicket() (ticketed bool, p *problem) {
	query, text, p := splitTicket(x.r.URL.RawQuery)
	if text == "" || p != nil {
		return false, p
	}
	if p := x.readBody(); p != nil {
		return true, p
	}
	return true, x.admitTicket(text, query)
}

// admitTicket makes the caller that the ticket names the caller of this request, if the ticket is good for it.
func (x *exchange) admitTicket(text, query string) *problem {
	use := x.ticketUse(x.node.ID(), query)
	use.forwardID = x.forwardID()
	t, ok := openTicket(text, x.node.TicketKey(), use, x.s.now())
	if !ok || t.role != x.route.role {
		return refusedKey()
	}
	if use.forwardID != "" {
		x.forwarded = true
		x.setRequestID(use.forwardID)
	}
	if t.role == roleAdmin || t.role == roleProvider {
		x.caller = caller{role: t.role}
		return nil
	}
	dir := x.node.Directory()
	key := keyNamed(dir, t.tenant, t.keyID)
	if key == nil {
		return refusedKey()
	}
	return x.admit(dir, key)
}

// keyNamed returns the tenant's API key with that public id, revoked or not, or nil.
func keyNamed(dir *fsm.Directory, id fsm.TenantID, publicID string) *fsm.APIKey {
	for _, key := range dir.Keys(id) {
		if key.PublicID == publicID {
			return key
		}
	}
	return nil
}

// ticketUse describes this request as a ticket for the node with that id covers it.
func (x *exchange) ticketUse(nodeID, query string) ticketUse {
	return ticketUse{
		node:      nodeID,
		method:    x.r.Method,
		path:      x.r.URL.Path,
		query:     query,
		headerKey: strings.Join(x.r.Header[idempotencyKeyHeader], "\n"),
		bodyHash:  sha256.Sum256(x.body),
	}
}
