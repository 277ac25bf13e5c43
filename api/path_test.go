package api

import (
	"net/http"
	"testing"
)

func TestPathsInDisguiseAreRefused(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	body := `{"scope":"s","key":"k"}`
	for _, path := range []string{
		"/v1%2Frecord", "/v1%2frecord", "//v1/record", "/v1//record", "/v1/./record", "/v1/../v1/record", "/%76%31/record",
		"/v1/record%00", "/v1/record%0a", "/v1/record%7f", "/v1/%2e%2e/v1/record", "/v1/record/",
		"/V1/record", "/v1/record/.",
		"/v1/record%ff", "/.env", "/.git/config", "/wp-login.php", "/", "http://host//v1/record",
	} {
		wantProblem(t, call(t, s, "POST", path, body, asTenant(key)), notFound)
	}
	if len(n.proposed()) != 0 {
		t.Error("a refused request reached the node")
	}
	if w := call(t, s, "POST", "/v1/record", body, asTenant(key)); w.Code != http.StatusOK {
		t.Errorf("the plain path: %d %s", w.Code, w.Body)
	}
}

func TestMethodNotAllowed(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, nil, nil)
	w := call(t, s, "PATCH", "/v1/record", "")
	wantProblem(t, w, methodNotAllowed)
	if got := w.Header().Get("Allow"); got != "DELETE, GET, POST, PUT" {
		t.Errorf("Allow: %q", got)
	}
	wantProblem(t, call(t, s, "OPTIONS", "/v1/record", ""), methodNotAllowed)
	wantProblem(t, call(t, s, "OPTIONS", "*", ""), notFound)
	wantProblem(t, call(t, s, "CONNECT", "example.com:443", ""), notFound)
}
