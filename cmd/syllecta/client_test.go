package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// testNode starts an HTTP server for a test.
func testNode(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	node := httptest.NewServer(handler)
	t.Cleanup(node.Close)
	return node
}

func testClient(t *testing.T, node *httptest.Server) *client {
	t.Helper()
	c, err := newClient(node.URL, testToken)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// bodyOf reads what a test server was sent.
func bodyOf(t *testing.T, r *http.Request) string {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	return string(body)
}

func TestRedirectKeepsTheTokenAtHome(t *testing.T) {
	t.Parallel()
	var leaderSaw, leaderToken string
	leader := testNode(t, func(w http.ResponseWriter, r *http.Request) {
		leaderSaw, leaderToken = r.Method+" "+r.URL.RequestURI()+" "+bodyOf(t, r), r.Header.Get("Authorization")
		w.Write([]byte(`{"ok":true}`))
	})
	follower := testNode(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+testToken {
			t.Errorf("the first node got %q", r.Header.Get("Authorization"))
		}
		if r.URL.Path == "/here" {
			http.Redirect(w, r, "/x?y=1", http.StatusTemporaryRedirect)
			return
		}
		http.Redirect(w, r, leader.URL+r.URL.RequestURI()+"&ticket=t", http.StatusTemporaryRedirect)
	})
	var out struct{ OK bool }
	in := map[string]string{"a": "b"}
	for _, path := range []string{"/x?y=1", "/here"} {
		leaderSaw = ""
		if err := testClient(t, follower).call(t.Context(), http.MethodPost, path, in, &out); err != nil || !out.OK {
			t.Fatalf("%s: got %+v, %v", path, out, err)
		}
		if want := `POST /x?y=1&ticket=t {"a":"b"}`; leaderSaw != want {
			t.Errorf("%s: the leader got %q, want %q", path, leaderSaw, want)
		}
		if leaderToken != "" {
			t.Errorf("%s: the token was shown to another host: %q", path, leaderToken)
		}
	}
}

func TestRedirectLimits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		location string
		want     string
		hops     int32
	}{
		"loop":           {"/again", "more than 3 redirects", maxRedirects + 1},
		"nowhere":        {"", "leads nowhere", 1},
		"another scheme": {"ftp://h/x", "is not followed", 1},
	} {
		var hops atomic.Int32
		node := testNode(t, func(w http.ResponseWriter, _ *http.Request) {
			hops.Add(1)
			w.Header().Set("Location", c.location)
			w.WriteHeader(http.StatusTemporaryRedirect)
		})
		err := testClient(t, node).call(t.Context(), http.MethodGet, "/x", nil, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || hops.Load() != c.hops {
			t.Errorf("%s: got %v after %d requests, want %q after %d", name, err, hops.Load(), c.want, c.hops)
		}
	}
	from, err := newClient("https://h", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := redirectTarget(from.base, "http://h/x"); err == nil {
		t.Error("a redirect out of TLS was followed")
	}
}

func TestRetries(t *testing.T) {
	t.Parallel()
	const busy = `{"title":"Busy","status":503,"code":"busy"}`
	const unknown = `{"title":"Unknown","status":503,"code":"outcome_unknown"}`
	for _, c := range []struct {
		name, method, problem, retryAfter string
		failures, wantRequests            int32
		ok                                bool
	}{
		{"busy is repeated", http.MethodPost, busy, "0", 2, 3, true},
		{"an unknown outcome of POST is not", http.MethodPost, unknown, "0", 1, 1, false},
		{"an unknown outcome of DELETE is", http.MethodDelete, unknown, "0", 1, 2, true},
		{"a long wait is left to the caller", http.MethodGet, busy, "3600", 1, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			node := testNode(t, func(w http.ResponseWriter, _ *http.Request) {
				if requests.Add(1) <= c.failures {
					w.Header().Set("Retry-After", c.retryAfter)
					w.WriteHeader(http.StatusServiceUnavailable)
					w.Write([]byte(c.problem))
					return
				}
				w.Write([]byte(`{}`))
			})
			err := testClient(t, node).call(t.Context(), c.method, "/x", nil, nil)
			if (err == nil) != c.ok || requests.Load() != c.wantRequests {
				t.Errorf("got %v after %d requests, want %d", err, requests.Load(), c.wantRequests)
			}
			if err != nil && exitCode(err) != exitUnreachable {
				t.Errorf("got exit code %d, want %d", exitCode(err), exitUnreachable)
			}
		})
	}
}

func TestRetryEndsWithTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	node := testNode(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "4")
		w.WriteHeader(http.StatusServiceUnavailable)
		cancel()
	})
	if err := testClient(t, node).call(ctx, http.MethodGet, "/x", nil, nil); err == nil {
		t.Error("got no error")
	}
}

func TestStrangeAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"an error that is no problem": {502, "<html>", " answered 502 Bad Gateway"},
		"an error without words":      {500, "{}", " answered 500 Internal Server Error"},
		"no JSON":                     {200, "<html>", "something else than the expected JSON"},
		"too much":                    {200, strings.Repeat(" ", maxAnswerBytes+1), "larger than"},
	} {
		node := testNode(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			w.Write([]byte(c.body))
		})
		var out struct{}
		err := testClient(t, node).call(t.Context(), http.MethodGet, "/x", nil, &out)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", name, err, c.want)
		}
	}
}

func TestErrorsHideTheTicket(t *testing.T) {
	t.Parallel()
	dead := httptest.NewServer(nil)
	dead.Close()
	follower := testNode(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, dead.URL+"/x?ticket=secret", http.StatusTemporaryRedirect)
	})
	err := testClient(t, follower).call(t.Context(), http.MethodGet, "/x", nil, nil)
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want an error without the ticket", err)
	}
	if exitCode(err) != exitUnreachable {
		t.Errorf("got exit code %d, want %d", exitCode(err), exitUnreachable)
	}
}
