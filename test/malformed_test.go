package test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// request is one that must be refused, and how.
type request struct {
	name   string
	method string // default POST
	target string // path and query; default /v1/record
	header string // whole lines, with CRLF; it replaces what is sent otherwise under the same names
	body   string
	key    string // bearer token; default the tenant's key, none sends no Authorization

	status int
	code   string // of the problem document; "" if the answer is not ours: net/http refused it
	raw    string // instead of all above: the bytes to send, with HOST and KEY filled in
}

const (
	// none stands for a request without credentials.
	none = "none"
	// asAdmin, asLimited and asRevoked stand for credentials that are known when the test runs.
	asAdmin, asLimited, asRevoked = "admin", "limited", "revoked"

	// malformedWorkers send at a time; malformedWait bounds one answer.
	malformedWorkers = 8
	malformedWait    = 40 * time.Second
	minMalformed     = 150
)

// fixture is the state that malformed requests find and must leave alone.
type fixture struct {
	c    *cluster
	keys map[string]string // credentials by what stands for them; "" is the tenant's
}

// The records of the fixture, all in the scope "fixture".
const (
	fixtureScope = "fixture"
	completedKey = "completed"
	lockedKey    = "locked"
	completedIs  = `{"n": 1.0}`
)

// TestMalformed sends a table of requests that must be refused, to the leader and to a follower, and wants exactly the
// answers of the contract, nothing that takes for ever, and no change of anything.
func TestMalformed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	table := malformedTable()
	if len(table) < minMalformed {
		t.Fatalf("the table has %d rows, want at least %d", len(table), minMalformed)
	}
	before := f.state()
	t.Logf("%d requests; state is %s", len(table), before)
	leader := f.c.leader()
	t.Run("leader", func(t *testing.T) { f.sendAll(t, leader, table) })
	t.Run("follower", func(t *testing.T) { f.sendAll(t, f.c.followers()[0], table) })
	if after := f.state(); after != before {
		t.Errorf("malformed requests changed the state from\n%s to\n%s", before, after)
	}
	f.c.waitConverged()
}

func newFixture(t *testing.T) *fixture {
	c := newCluster(t, 3, "--failed-auth-per-second=1000") // the table has more wrong keys than the default takes at once
	c.waitLevel(3)                                         // below, what needs it would be refused for that
	tenant, limited := c.newTenant("fixture", 0), c.newTenant("limited", 1)
	f := &fixture{c: c, keys: map[string]string{"": tenant.key, asAdmin: adminToken, asLimited: limited.key}}

	var revoked struct{ ID, Secret string }
	c.admin(http.MethodPost, "/v1/admin/tenants/fixture/keys", map[string]any{}, &revoked)
	c.admin(http.MethodDelete, "/v1/admin/tenants/fixture/keys/"+revoked.ID, nil, &struct{}{})
	f.keys[asRevoked] = revoked.Secret

	own := newClient(c.leader().url(), tenant.key)
	endless := int64(0)
	for _, a := range []answer{
		own.claim(claimRequest{Scope: fixtureScope, Key: completedKey, Fingerprint: "f1"}).answer,
		own.call(http.MethodPut, "/v1/record",
			[]byte(fmt.Sprintf(`{"scope":%q,"key":%q,"body":%s}`, fixtureScope, completedKey, completedIs))),
		own.claim(claimRequest{Scope: fixtureScope, Key: lockedKey, Fingerprint: "f1", LockMs: &endless}).answer,
		newClient(c.leader().url(), limited.key).claim(claimRequest{Scope: "s", Key: "first", LockMs: &endless}).answer,
	} {
		if a.outcome != ok {
			t.Fatal(a)
		}
	}
	c.waitConverged()
	return f
}

// state is everything that a malformed request might have changed.
func (f *fixture) state() string {
	f.c.t.Helper()
	leader := f.c.leader()
	own := newClient(leader.url(), f.keys[""])
	var tenants struct{ Tenants []json.RawMessage }
	f.c.admin(http.MethodGet, "/v1/admin/tenants", nil, &tenants)
	return fmt.Sprintf("records %v, locks %v, usage %d and %d, tenants %s, k %s, completed %s, locked %s",
		leader.metric("syllecta_fsm_records"), leader.metric("syllecta_fsm_locks"),
		f.c.usage("fixture"), f.c.usage("limited"), tenants.Tenants,
		own.get("s", "k").body, own.get(fixtureScope, completedKey).body, own.get(fixtureScope, lockedKey).body)
}

func (f *fixture) sendAll(t *testing.T, n *node, table []request) {
	var all errgroup.Group
	all.SetLimit(malformedWorkers)
	for _, r := range table {
		all.Go(func() error {
			if err := f.check(n.ports.http, r); err != nil {
				t.Errorf("%s: %v", r.name, err)
			}
			return nil
		})
	}
	_ = all.Wait()
}

// check sends a request, follows a redirect once as a plain client does, and compares the answer.
func (f *fixture) check(host string, r request) error {
	resp, body, err := exchange(host, f.bytes(host, r))
	if err != nil && (resp == nil || r.code != "") {
		return err
	}
	if location := resp.Header.Get("Location"); resp.StatusCode == http.StatusTemporaryRedirect && r.raw == "" {
		to, err := url.Parse(location)
		if err != nil {
			return err
		}
		r.target, r.key = to.RequestURI(), none
		if resp, body, err = exchange(to.Host, f.bytes(to.Host, r)); err != nil {
			return fmt.Errorf("after a redirect: %w", err)
		}
	}
	if resp.StatusCode != r.status {
		return fmt.Errorf("status %d, want %d: %s", resp.StatusCode, r.status, body)
	}
	if r.code == "" {
		return nil
	}
	return checkProblem(resp, body, r)
}

// bytes is the request as it goes over the wire.
func (f *fixture) bytes(host string, r request) string {
	if r.raw != "" {
		return strings.NewReplacer("HOST", host, "KEY", f.keys[""]).Replace(r.raw)
	}
	method, target := orDefault(r.method, http.MethodPost), orDefault(r.target, "/v1/record")
	lines := ""
	add := func(name, value string) {
		if !strings.Contains("\r\n"+strings.ToLower(r.header), "\r\n"+strings.ToLower(name)+":") {
			lines += name + ": " + value + "\r\n"
		}
	}
	add("Host", host)
	add("Connection", "close")
	if r.key != none {
		key, known := f.keys[r.key]
		if !known {
			key = r.key
		}
		add("Authorization", "Bearer "+key)
	}
	if r.body != "" || method == http.MethodPost || method == http.MethodPut {
		add("Content-Type", "application/json")
		if !strings.Contains(r.header, "Transfer-Encoding") {
			add("Content-Length", fmt.Sprint(len(r.body)))
		}
	}
	return method + " " + target + " HTTP/1.1\r\n" + lines + strings.ReplaceAll(r.header, "KEY",
		f.keys[""]) + "\r\n" + r.body
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// exchange sends bytes over a connection of their own and reads one answer. The sending may fail half-way when the
// answer comes before the end of the request; and what the server left unread may cut off the end of an answer that the
// HTTP library gave.
func exchange(host, request string) (*http.Response, []byte, error) {
	conn, err := net.Dial("tcp", host)
	if err != nil {
		return nil, nil, err
	}
	var sending sync.WaitGroup
	defer sending.Wait()
	defer conn.Close() // ends the sending
	if err := conn.SetDeadline(time.Now().Add(malformedWait)); err != nil {
		return nil, nil, err
	}
	sending.Go(func() { _, _ = io.WriteString(conn, request) })
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, nil, fmt.Errorf("there is no answer after %s", malformedWait)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("there is no answer: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp, body, fmt.Errorf("the answer breaks off: %w", err)
	}
	return resp, body, nil
}

// checkProblem wants a whole problem document, and the header fields that go with it.
func checkProblem(resp *http.Response, body []byte, r request) error {
	h := resp.Header
	switch {
	case h.Get("Content-Type") != "application/problem+json":
		return fmt.Errorf("Content-Type is %q", h.Get("Content-Type"))
	case h.Get("Syllecta-Request-Id") == "":
		return errors.New("there is no Syllecta-Request-Id")
	case r.status == http.StatusForbidden && h.Get("WWW-Authenticate") != "Bearer":
		return errors.New("a 403 without WWW-Authenticate: Bearer")
	case r.status == http.StatusMethodNotAllowed && h.Get("Allow") == "":
		return errors.New("a 405 without Allow")
	case r.status == http.StatusTooManyRequests && (h.Get("Retry-After") == "" || h.Get("RateLimit") == "" ||
		h.Get("RateLimit-Policy") == ""):
		return errors.New("a 429 without Retry-After, RateLimit or RateLimit-Policy")
	}
	if r.method == http.MethodHead {
		return nil
	}
	var p struct {
		Type, Title, Detail, Code string
		Status                    int
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return fmt.Errorf("no problem document: %w: %s", err, body)
	}
	if p.Type == "" || p.Title == "" || p.Detail == "" || p.Status != r.status {
		return fmt.Errorf("the problem document lacks something: %s", body)
	}
	if p.Code != r.code {
		return fmt.Errorf("code %q, want %q: %s", p.Code, r.code, body)
	}
	return nil
}
