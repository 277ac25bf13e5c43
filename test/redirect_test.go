package test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"
)

// TestRedirect lets plain clients, who drop their credentials on the way, write through a follower, and tries what else
// a redirect's ticket might open. With --followers=forward nobody sees a redirect.
func TestRedirect(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	owner, other := c.newTenant("owner", 0), c.newTenant("other", 0)
	t.Run("curl", func(t *testing.T) {
		needs(t, "curl")
		testPlainClient(t, c, owner.key, curlClient)
	})
	t.Run("fetch", func(t *testing.T) {
		needs(t, "node")
		testPlainClient(t, c, owner.key, fetchClient)
	})
	t.Run("ticket", func(t *testing.T) { testTicket(t, c, owner, other) })
	t.Run("admin", func(t *testing.T) { testAdminRedirect(t, c) })
}

// plainClient sends a request and returns the body of the answer it ends up with.
type plainClient func(method, url, key, body string) *exec.Cmd

func curlClient(method, url, key, body string) *exec.Cmd {
	return exec.Command("curl", "-sSL", "-X", method, "-H", "Authorization: Bearer "+key,
		"-H", "Content-Type: application/json", "-d", body, url)
}

const fetchScript = `
const [method, url, key, body] = process.argv.slice(1);
const headers = {Authorization: "Bearer " + key, "Content-Type": "application/json"};
const answer = await fetch(url, {method, headers, body});
process.stdout.write(await answer.text());`

func fetchClient(method, url, key, body string) *exec.Cmd {
	return exec.Command("node", "--input-type=module", "-e", fetchScript, "--", method, url, key, body)
}

// testPlainClient has a client go through the flow at every follower, knowing nothing but that one's address.
func testPlainClient(t *testing.T, c *cluster, key string, client plainClient) {
	for _, n := range c.followers() {
		call := func(method, body string) string {
			t.Helper()
			cmd := client(method, n.url()+"/v1/record", key, body)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%s: %v\n%s", cmd.Path, err, stderr.Bytes())
			}
			return string(out)
		}
		const body = `{"tür": "läuft",  "n": 1.10}`
		id := fmt.Sprintf(`"scope": "redirect", "key": "%s at %s"`, t.Name(), n.name)
		wantShown(t, call(http.MethodPost, "{"+id+"}"), `{"locked": true}`)
		wantShown(t, call(http.MethodPut, "{"+id+`, "body": `+body+"}"), `{"ok": true}`)
		cached := call(http.MethodPost, "{"+id+"}")
		wantShown(t, cached, `{"cached": true}`)
		wantBody(t, cached, body)
	}
}

// redirectOf asks a follower and returns where it points.
func redirectOf(t *testing.T, n *node, method, path, key string, body []byte, fields ...string) *url.URL {
	t.Helper()
	a := newClient(n.url(), key).call(method, path, body, fields...)
	if a.status != http.StatusTemporaryRedirect || a.code != "not_leader" {
		t.Fatalf("%s %s at a follower: %v, want 307 not_leader", method, path, a)
	}
	to, err := url.Parse(a.header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	if a.header.Get("Syllecta-Leader") != "http://"+to.Host {
		t.Errorf("Syllecta-Leader is %q, and Location leads to %s", a.header.Get("Syllecta-Leader"), to.Host)
	}
	return to
}

// testTicket uses the ticket of one request for others, beside somebody else's key, and late.
func testTicket(t *testing.T, c *cluster, owner, other tenant) {
	follower := c.followers()[0]
	body := encode(claimRequest{Scope: "ticket", Key: "mine", Owner: "me"})
	to := redirectOf(t, follower, http.MethodPost, "/v1/record", owner.key, body)
	leader := newClient("http://"+to.Host, "")
	for _, use := range ticketMisuses(t, to.Query().Get("ticket"), body) {
		l := *leader
		l.key = use.key
		a := l.call(orDefault(use.method, http.MethodPost), use.path, use.body, use.fields...)
		if a.status != http.StatusForbidden {
			t.Errorf("a ticket with %s: %v, want 403", use.what, a)
		}
	}
	a := newClient(follower.url(), "").call(http.MethodPost, to.RequestURI(), body)
	if a.status != http.StatusForbidden {
		t.Errorf("a ticket at another node: %v, want 403", a)
	}
	// Somebody else's key beside the ticket counts as if there were no ticket: it opens that tenant's records only.
	theirs := newClient(leader.base, other.key)
	if a := theirs.call(http.MethodPost, to.RequestURI(), body); a.outcome != ok {
		t.Errorf("a good key beside a ticket: %v", a)
	}
	if v := newClient(leader.base, owner.key).get("ticket", "mine"); v.outcome != ok || v.State != "absent" {
		t.Errorf("the owner's record after all that: %v, want it absent", v.answer)
	}
	if v := theirs.get("ticket", "mine"); v.outcome != ok || v.State != "locked" {
		t.Errorf("the other tenant's record: %v, want it locked", v.answer)
	}
	testTicketExpires(t, leader, to.RequestURI(), body)
}

// ticketUse is a request that presents a ticket.
type ticketUse struct {
	what         string
	method, path string // the path with its query
	body         []byte
	key          string
	fields       []string
}

// ticketMisuses are requests that a ticket for POST /v1/record with that body must not open.
func ticketMisuses(t *testing.T, ticket string, body []byte) []ticketUse {
	with := "?ticket=" + ticket
	another := encode(claimRequest{Scope: "ticket", Key: "yours", Owner: "me"})
	header := []string{"Idempotency-Key", "yours"}
	forged := func(at int) string { return "/v1/record?ticket=" + url.QueryEscape(withFlippedBit(t, ticket, at)) }
	return []ticketUse{
		{what: "another body", path: "/v1/record" + with, body: another},
		{what: "no body", path: "/v1/record" + with},
		{what: "a longer body", path: "/v1/record" + with, body: append(bytes.Clone(body), ' ')},
		{what: "another path", path: "/v1/record/release" + with, body: body},
		{what: "the path of another role", path: "/v1/admin/tenants" + with, body: body},
		{what: "another method", method: http.MethodPut, path: "/v1/record" + with, body: body},
		{what: "another query", path: "/v1/record" + with + "&scope=x", body: body},
		{what: "another key in a header", path: "/v1/record" + with, body: body, fields: header},
		{what: "a later end", path: forged(8), body: body},
		{what: "another role", path: forged(9), body: body},
		{what: "another tenant", path: forged(13), body: body},
		{what: "another key", path: forged(20), body: body},
		{what: "another MAC", path: forged(-1), body: body},
		{what: "a wrong key beside it", path: "/v1/record" + with, body: body, key: "ck_wrong"},
	}
}

// testTicketExpires makes the request that the ticket is for, again and again: first it is good, later it is not.
func testTicketExpires(t *testing.T, leader *client, target string, body []byte) {
	t.Helper()
	var granted claimed
	first := leader.call(http.MethodPost, target, body)
	if granted.answer = decode(first, &granted); !granted.Locked {
		t.Fatalf("the ticket of this very request: %v", first)
	}
	accepted := 1
	eventually(t, "the ticket is refused", func() bool {
		a := leader.call(http.MethodPost, target, body)
		if a.outcome == ok {
			accepted++
		}
		return a.status == http.StatusForbidden
	})
	t.Logf("the ticket was accepted %d times before it expired", accepted)
}

// withFlippedBit changes a bit of a ticket; at counts bytes from the end if it is negative.
func withFlippedBit(t *testing.T, ticket string, at int) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(ticket)
	if err != nil {
		t.Fatal(err)
	}
	if at < 0 {
		at += len(raw)
	}
	raw[at] ^= 1
	return base64.RawURLEncoding.EncodeToString(raw)
}

// testAdminRedirect has the admin API written through a follower.
func testAdminRedirect(t *testing.T, c *cluster) {
	follower := c.followers()[0]
	a := newClient(follower.url(), adminToken).following().
		call(http.MethodPost, "/v1/admin/tenants", []byte(`{"slug":"by-redirect"}`))
	if a.status != http.StatusCreated {
		t.Errorf("a tenant through a follower: %v", a)
	}
}

// TestForward has clients that follow no redirects use every node of a cluster that forwards.
func TestForward(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, "--followers=forward")
	key := c.newTenant("forward", 0).key
	for _, n := range c.nodes {
		testForwarding(t, newClient(n.url(), key), n.name)
	}
	follower := c.followers()[0]
	// That a node forwards is proved by its ticket: a client that says so gains nothing, not even a refusal.
	claim := encode(claimRequest{Scope: "forward", Key: "twice"})
	id := strings.Repeat("0", 32)
	a := newClient(follower.url(), key).call(http.MethodPost, "/v1/record", claim,
		"Syllecta-Hops", "1", "Syllecta-Request-Id", id)
	if a.status != http.StatusOK || a.header.Get("Syllecta-Request-Id") == id {
		t.Errorf("a client that says it forwards: %v", a)
	}
}

// testForwarding goes through all calls at one node.
func testForwarding(t *testing.T, client *client, key string) {
	t.Helper()
	const scope = "forward"
	granted := client.claim(claimRequest{Scope: scope, Key: key})
	lock := lockRequest{Scope: scope, Key: key, Token: granted.Token}
	for _, step := range []struct {
		what string
		answer
		want string
	}{
		{"claim", granted.answer, `{"locked":true}`},
		{"claim again", client.claim(claimRequest{Scope: scope, Key: key}).answer, `{"locked":false}`},
		{"renew", client.renew(lock), `{"ok":true,"leaseMs":60000}`},
		{"put", client.put(putRequest{Scope: scope, Key: key, Token: granted.Token, Body: json.RawMessage(`{"a":[1]}`)}),
			`{"ok":true}`},
		{"get", client.get(scope, key).answer, `{"cached":true,"state":"completed"}`},
		{"stale get", client.getStale(scope, key+" not there").answer, `{"cached":false,"state":"absent"}`},
		{"release", client.release(lock), `{"ok":true}`},
		{"delete", client.delete(scope, key).answer, `{"ok":true,"existed":true}`},
		{"delete again", client.delete(scope, key).answer, `{"ok":true,"existed":false}`},
		{"batch", client.call(http.MethodPost, "/v1/records", []byte(strings.ReplaceAll(
			`{"records":[{"scope":"forward","key":"b1 K"},{"scope":"forward","key":"b2 K"}]}`, "K", key))), `{}`},
	} {
		if step.outcome != ok {
			t.Errorf("%s at %s: %v", step.what, key, step.answer)
			continue
		}
		wantShown(t, string(step.body), step.want)
	}
}
