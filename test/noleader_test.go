package test

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestNoLeader kills two of three nodes and looks at what the third one still says and does.
func TestNoLeader(t *testing.T) {
	t.Parallel()
	t.Run("a follower is left", func(t *testing.T) {
		t.Parallel()
		c := newCluster(t, 3)
		testLonely(t, c, c.followers()[0], true)
	})
	t.Run("the leader is left", func(t *testing.T) {
		t.Parallel()
		c := newCluster(t, 3)
		testLonely(t, c, c.leader(), false)
	})
}

func testLonely(t *testing.T, c *cluster, survivor *node, knowsAge bool) {
	key := c.newTenant("lonely", 0).key
	any := newClient(survivor.url(), key).following()
	granted := any.claim(claimRequest{Scope: "s", Key: "held"})
	if stored := any.put(putRequest{Scope: "s", Key: "done",
		Body: []byte(`"kept"`)}); !granted.Locked || stored.outcome != ok {
		t.Fatalf("claim: %v, put: %v", granted.answer, stored)
	}
	c.waitConverged()
	for _, n := range c.nodes {
		if n != survivor {
			n.kill9()
		}
	}
	eventually(t, "the survivor says that it is not ready", func() bool {
		status, _, err := survivor.readyz()
		return err == nil && status == http.StatusServiceUnavailable
	})
	testLonelyHealth(t, survivor)
	testLonelyCalls(t, newClient(survivor.url(), key), granted.Token)
	testLonelyStaleRead(t, newClient(survivor.url(), key), knowsAge)

	c.restartAll()
	if a := any.put(putRequest{Scope: "s", Key: "held", Token: granted.Token, Body: []byte(`1`)}); a.outcome != ok {
		t.Errorf("a lock granted before is not good afterwards: %v", a)
	}
	if v := any.get("s", "done"); string(v.Record.Body) != `"kept"` {
		t.Errorf("the record stored before: %v", v.answer)
	}
	for _, what := range []string{"new", "changed", "gone"} {
		if v := any.get("s", what); v.State != "absent" {
			t.Errorf("what was refused has been done: %s is %v", what, v.answer)
		}
	}
	if v := any.claim(claimRequest{Scope: "s", Key: "new"}); !v.Locked {
		t.Errorf("a claim after the recovery: %v", v.answer)
	}
	c.waitConverged()
}

func testLonelyHealth(t *testing.T, n *node) {
	t.Helper()
	if status, text, err := n.page("/livez"); err != nil || status != http.StatusOK {
		t.Errorf("/livez: %d %s %v", status, text, err)
	}
	status, report, err := n.readyz()
	if err != nil || status != http.StatusServiceUnavailable || !strings.Contains(report, "[-]leader failed: ") {
		t.Errorf("/readyz gives no reason: %d %q %v", status, report, err)
	}
	if s, err := n.status(); err != nil || s.LeaderID != "" || s.Role == "leader" {
		t.Errorf("status: %+v %v", s, err)
	}
	if n.metric("syllecta_raft_has_leader") != 0 {
		t.Error("the metrics say that there is a leader")
	}
}

// testLonelyCalls wants every call that needs a leader to be refused, soon, and with the promise that nothing was done.
func testLonelyCalls(t *testing.T, client *client, token string) {
	t.Helper()
	lock := lockRequest{Scope: "s", Key: "held", Token: token}
	var calls sync.WaitGroup
	for _, call := range []struct {
		what string
		send func() answer
	}{
		{"claim", func() answer { return client.claim(claimRequest{Scope: "s", Key: "new"}).answer }},
		{"claim that would wait", func() answer {
			return client.claim(claimRequest{Scope: "s", Key: "held",
				WaitMs: 1000}).answer
		}},
		{"put", func() answer { return client.put(putRequest{Scope: "s", Key: "changed", Body: []byte(`2`)}) }},
		{"get", func() answer { return client.get("s", "done").answer }},
		{"delete", func() answer { return client.delete("s", "done").answer }},
		{"renew", func() answer { return client.renew(lock) }},
		{"release", func() answer { return client.release(lock) }},
		{"batch", func() answer {
			return client.call(http.MethodPost, "/v1/records", []byte(`{"records":[{"scope":"s","key":"gone"}]}`))
		}},
	} {
		calls.Go(func() {
			start := time.Now()
			a := call.send()
			if a.status != http.StatusServiceUnavailable || a.code != "no_leader" {
				t.Errorf("%s: %v, want 503 no_leader", call.what, a)
			}
			if seconds, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || seconds < 1 {
				t.Errorf("%s: Retry-After is %q", call.what, a.header.Get("Retry-After"))
			}
			t.Logf("%s was refused after %s", call.what, time.Since(start).Round(time.Millisecond))
		})
	}
	calls.Wait()
}

// testLonelyStaleRead wants what the node has, and how old that may be. A node that led until now never heard from a
// leader, and may say that it does not know.
func testLonelyStaleRead(t *testing.T, client *client, knowsAge bool) {
	t.Helper()
	v := client.getStale("s", "done")
	if v.outcome != ok || string(v.Record.Body) != `"kept"` {
		t.Errorf("stale read: %v", v.answer)
	}
	if !knowsAge && v.header.Get("Syllecta-Stale-Ms") == "unbounded" {
		return
	}
	age, err := strconv.Atoi(v.header.Get("Syllecta-Stale-Ms"))
	if err != nil || age < 1 {
		t.Errorf("a stale read says that it is %q ms old", v.header.Get("Syllecta-Stale-Ms"))
	}
	eventually(t, "a stale read says that it got older", func() bool {
		later, _ := strconv.Atoi(client.getStale("s", "done").header.Get("Syllecta-Stale-Ms"))
		return later > age
	})
}
