package api

import (
	"strings"
	"testing"

	"github.com/syllecta/syllecta/fsm"
)

// TestEveryRoute walks the table: a route without a role, a label or a limit that fits its method is a mistake.
func TestEveryRoute(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	seen := make(map[string]bool)
	for _, rt := range s.routes() {
		name := rt.method + " " + rt.path
		if seen[name] {
			t.Errorf("%s is registered twice", name)
		}
		seen[name] = true
		if rt.role != rolePublic && rt.role != roleTenant && rt.role != roleAdmin && rt.role != roleProvider {
			t.Errorf("%s has no role", name)
		}
		if known := rt.scope&fsm.AllScopes == rt.scope && rt.scope != 0; known != (rt.role == roleTenant) {
			t.Errorf("%s asks for the scope %q as %s", name, rt.scope, rt.role)
		}
		if rt.handle == nil {
			t.Errorf("%s has no handler", name)
		}
		if takesBody := rt.method == "POST" || rt.method == "PUT" || rt.method == "PATCH"; takesBody && rt.limit <= 0 && !rt.stream {
			t.Errorf("%s has no body limit", name)
		}
		if rt.ingress != strings.HasSuffix(rt.path, "/webhooks/:provider") || rt.role == roleProvider && !rt.ingress {
			t.Errorf("%s: ingress is %v", name, rt.ingress)
		}
		if rt.claims != (rt.ingress || rt.method == "POST" && (rt.path == "/v1/record" || rt.path == "/v1/records")) {
			t.Errorf("%s: claims is %v", name, rt.claims)
		}
		if rt.method == "GET" && rt.limit != 0 {
			t.Errorf("%s reads a body", name)
		}
		if strings.HasPrefix(rt.path, "/v1/admin") != (rt.role == roleAdmin) {
			t.Errorf("%s has role %s", name, rt.role)
		}
		if strings.HasPrefix(rt.path, "/v1/") == (rt.role == rolePublic) {
			t.Errorf("%s has role %s", name, rt.role)
		}
	}
	if len(seen) != 71 {
		t.Errorf("%d routes", len(seen))
	}
}

// TestEveryRouteAsksForItsRole calls each route with every kind of credentials.
func TestEveryRouteAsksForItsRole(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, func(c *Config) { c.FailedAuthPerSecond = NoLimit })
	for _, rt := range s.routes() {
		path := strings.NewReplacer(":tenant", testTenant, ":key", "key_9", ":node", "n9", ":plan", "gold").Replace(rt.path)
		for credentials, opens := range map[string]role{"": rolePublic, asTenant(key): roleTenant, asAdmin: roleAdmin} {
			var headers []string
			if credentials != "" {
				headers = append(headers, credentials)
			}
			w := call(t, s, rt.method, path, "", headers...)
			allowed := rt.role == rolePublic || rt.role == roleProvider || rt.role == opens
			if refused := w.Code == 403; refused == allowed {
				t.Errorf("%s %s as %s: %d %s", rt.method, rt.path, opens, w.Code, w.Body)
			}
			if w.Code == 403 && w.Header().Get("Www-Authenticate") != "Bearer" {
				t.Errorf("%s %s: no challenge", rt.method, rt.path)
			}
		}
	}
}
