package test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// The two calls of the guide as it prints them.
const (
	guideHost  = "https://cloud.syllecta.example"
	guideClaim = `curl -X POST https://cloud.syllecta.example/v1/record \
  -H "Authorization: Bearer <API_KEY>" \
  -H "Content-Type: application/json" \
  -d '{
    "scope": "orders",
    "key": "order-2001"
  }'`
	guidePut = `curl -X PUT https://cloud.syllecta.example/v1/record \
  -H "Authorization: Bearer <API_KEY>" \
  -H "Content-Type: application/json" \
  -d '{
    "scope": "orders",
    "key": "order-2001",
    "body": {
      "status": "paid"
    }
  }'`
	guideBody = `{
      "status": "paid"
    }`
)

// TestGuide runs the calls of the guide in a shell, against every node of a cluster, and compares the answers with
// those the guide shows.
func TestGuide(t *testing.T) {
	t.Parallel()
	needs(t, "curl")
	c := newCluster(t, 3)
	for _, n := range c.nodes {
		paying := c.newTenant("paying-"+n.name, 0)
		limited := c.newTenant("limited-"+n.name, 1)
		t.Run(n.name, func(t *testing.T) {
			wantShown(t, curl(t, n, paying.key, guideClaim), `{"locked": true}`)
			inProgress := curl(t, n, paying.key, guideClaim)
			wantShown(t, inProgress, `{"locked": false}`)
			wantRetryAfter(t, inProgress)
			wantShown(t, curl(t, n, paying.key, guidePut), `{"ok": true}`)
			cached := curl(t, n, paying.key, guideClaim)
			wantShown(t, cached, `{"cached": true}`)
			wantBody(t, cached, guideBody)
			wantShown(t, curl(t, n, paying.key, guidePut), `{"ok": true}`) // a retry

			wantShown(t, curl(t, n, limited.key, guideClaim), `{"locked": true}`)
			another := strings.Replace(guideClaim, "order-2001", "order-2002", 1)
			wantShown(t, curl(t, n, limited.key, another), `{"status": 429}`)
			// What is free stays free.
			wantShown(t, curl(t, n, limited.key, guideClaim), `{"locked": false}`)
			wantShown(t, curl(t, n, limited.key, guidePut), `{"ok": true}`)
			wantShown(t, curl(t, n, limited.key, guideClaim), `{"cached": true}`)
		})
	}
}

// needs skips a test on a machine without that program.
func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not installed, so what it does is not tested: %v", program, err)
	}
}

// curl runs one of the guide's calls by a shell, with the host and the key filled in and -L added. It is made again while
// there is no leader, which proves that nothing was done.
func curl(t *testing.T, n *node, key, call string) (out string) {
	t.Helper()
	eventually(t, "there is a leader", func() bool {
		out = curlOnce(t, n, key, call)
		return !strings.Contains(out, `"no_leader"`)
	}, func() string { return out })
	return out
}

func curlOnce(t *testing.T, n *node, key, call string) string {
	t.Helper()
	call = strings.Replace(call, "curl ", "curl -L ", 1)
	call = strings.Replace(call, guideHost, n.url(), 1)
	call = strings.Replace(call, "<API_KEY>", key, 1)
	cmd := exec.Command("sh", "-c", call)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s\n%v\n%s", call, err, stderr.String())
	}
	return string(out)
}

// wantShown checks that every member of the JSON that the guide shows is in the answer, with that value.
func wantShown(t *testing.T, answer, shown string) {
	t.Helper()
	got, want := members(t, answer), members(t, shown)
	for name, value := range want {
		if string(got[name]) != string(value) {
			t.Errorf("the answer %s has not the %q that the guide shows: %s", answer, name, shown)
		}
	}
}

// wantRetryAfter checks the suggested delay, which shrinks with what is left of the lease.
func wantRetryAfter(t *testing.T, answer string) {
	t.Helper()
	var ms int
	if err := json.Unmarshal(members(t, answer)["retryAfterMs"], &ms); err != nil || ms < 1 || ms > 1500 {
		t.Errorf("retryAfterMs in %s is not between 1 and 1500", answer)
	}
}

// wantBody checks that the record's body comes back byte for byte.
func wantBody(t *testing.T, answer, want string) {
	t.Helper()
	record := members(t, string(members(t, answer)["record"]))
	if got := string(record["body"]); got != want {
		t.Errorf("body is %q, want %q", got, want)
	}
}

func members(t *testing.T, object string) map[string]json.RawMessage {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &m); err != nil {
		t.Fatalf("not a JSON object: %v: %s", err, object)
	}
	return m
}
