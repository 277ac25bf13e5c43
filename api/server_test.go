package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/syllecta/syllecta/cluster"
)

// openNode starts a cluster of one node, on real files and sockets.
func openNode(t testing.TB) *cluster.Node { return openNodeIn(t, t.TempDir()) }

// openNodeIn is openNode with its data in that directory.
func openNodeIn(t testing.TB, dir string) *cluster.Node {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	n, err := cluster.Open(context.Background(), cluster.Config{
		NodeID: "n1", DataDir: dir, RaftAddr: addr, HTTPURL: "http://" + addr, BootstrapExpect: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := n.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, ok := n.WaitLeader(ctx); !ok {
		t.Fatal("no leader")
	}
	return n
}

// client talks to a server over the network.
type client struct {
	t   testing.TB
	url string
	key string
}

func (c *client) do(method, path, body, secret string) (int, string) {
	c.t.Helper()
	req, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Error(err)
	}
	return resp.StatusCode, string(b)
}

// newClient serves a node and makes a tenant with a key.
func newClient(t *testing.T, s *Server) (*client, *serving) {
	t.Helper()
	v := serve(t, s)
	c := &client{t: t, url: "http://" + v.addr}
	if status, body := c.do("POST", "/v1/admin/tenants", `{"slug":"acme"}`, testAdminToken); status != 201 {
		t.Fatalf("%d %s", status, body)
	}
	status, body := c.do("POST", "/v1/admin/tenants/acme/keys", ``, testAdminToken)
	var made struct{ Secret string }
	if err := json.Unmarshal([]byte(body), &made); err != nil || status != 201 {
		t.Fatalf("%d %s", status, body)
	}
	c.key = made.Secret
	return c, v
}

func TestRealNode(t *testing.T) {
	t.Parallel()
	n := openNode(t)
	s := newTestServer(t, nil, nil)
	s.Attach(n)
	c, _ := newClient(t, s)
	id := `{"scope":"s","key":"k"}`
	if status, body := c.do("POST", "/v1/record", id, c.key); status != 200 || !strings.Contains(body, `"locked":true`) {
		t.Fatalf("%d %s", status, body)
	}
	waited := make(chan string, 1)
	go func() {
		_, body := c.do("POST", "/v1/record", `{"scope":"s","key":"k","waitMs":20000}`, c.key)
		waited <- body
	}()
	waitFor(t, "the claim to wait", func() bool { return inFlight(s) == 1 })
	put := `{"scope":"s","key":"k","body": {"b":1.0,"a":[]} }`
	if status, body := c.do("PUT", "/v1/record", put, c.key); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if body := <-waited; !strings.Contains(body, `"cached":true`) || !strings.Contains(body, `"body":{"b":1.0,"a":[]}`) {
		t.Errorf("whoever waited got %s", body)
	}
	if status, body := c.do("GET", "/v1/record?scope=s&key=k", "", c.key); !strings.Contains(body, `"state":"completed"`) {
		t.Errorf("%d %s", status, body)
	}
	if status, body := c.do("GET", "/v1/admin/tenants/acme", "", testAdminToken); !strings.Contains(body, `"claims":1,"limit":0,`) {
		t.Errorf("%d %s", status, body)
	}
	if status, body := c.do("GET", "/v1/admin/status", "", testAdminToken); !strings.Contains(body, `"role":"leader"`) {
		t.Errorf("%d %s", status, body)
	}
	if status, body := c.do("GET", "/readyz", "", ""); status != 200 || !strings.Contains(body, "[+]leader ok\n") {
		t.Errorf("%d %s", status, body)
	}
	var batch bytes.Buffer
	for i := range maxBatch {
		fmt.Fprintf(&batch, `,{"scope":"batch","key":"%d"}`, i)
	}
	status, body := c.do("POST", "/v1/records", `{"records":[`+batch.String()[1:]+`]}`, c.key)
	if status != 200 || strings.Count(body, `"locked":true`) != maxBatch {
		t.Errorf("%d %.300s", status, body)
	}
}

// TestOneGrant has many callers ask for one lock at a time.
func TestOneGrant(t *testing.T) {
	t.Parallel()
	n := openNode(t)
	s := newTestServer(t, nil, nil)
	s.Attach(n)
	c, _ := newClient(t, s)
	const callers, rounds = 16, 10
	for round := range rounds {
		var mu sync.Mutex
		var grants int
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				_, body := c.do("POST", "/v1/record", fmt.Sprintf(`{"scope":"s","key":"%d"}`, round), c.key)
				if strings.Contains(body, `"locked":true`) {
					mu.Lock()
					grants++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if grants != 1 {
			t.Errorf("round %d: %d grants", round, grants)
		}
	}
}

func TestRealNodeDrains(t *testing.T) {
	t.Parallel()
	n := openNode(t)
	s := newTestServer(t, nil, nil)
	s.Attach(n)
	c, v := newClient(t, s)
	c.do("POST", "/v1/record", `{"scope":"s","key":"k"}`, c.key)
	type answer struct {
		status int
		body   string
	}
	waited := make(chan answer, 1)
	go func() {
		status, body := c.do("POST", "/v1/record", `{"scope":"s","key":"k","waitMs":30000}`, c.key)
		waited <- answer{status, body}
	}()
	waitFor(t, "the claim to wait", func() bool { return inFlight(s) == 1 })
	v.stop()
	if err := <-v.done; err != nil {
		t.Error(err)
	}
	if got := <-waited; got.status != 503 && !strings.Contains(got.body, `"locked":false`) {
		t.Errorf("the claim that waited was told %d %s", got.status, got.body)
	}
}
