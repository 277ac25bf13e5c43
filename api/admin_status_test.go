package api

import (
	"strings"
	"testing"
)

const (
	fakeMemberJSON = `{"id":"n2","self":false,"voter":true,"nonVoter":false,"raftAddr":"127.0.0.1:1","reachable":true,` +
		`"healthy":true,"lastSeenMs":1500,"role":"follower","term":7,"appliedIndex":3,"lag":1,"lastContactMs":80,` +
		`"clockOffsetMs":-20,"diskFreeBytes":1073741824,"diskTotalBytes":4294967296,"version":"1","featureLevel":2,` +
		`"httpUrl":"http://n2","gossipKey":"k"}`
	fakeClusterJSON = `"clusterId":"test","clusterName":"blue","nodeId":"n1","version":"test","featureLevel":2,` +
		`"role":"leader","term":7,"leaderId":"n1","leaderUrl":"http://leader","appliedIndex":4,"commitIndex":4,"voters":1,` +
		`"healthyVoters":1,"failureTolerance":0,"clock":"2026-11-20T12:00:00.000Z","nodes":[` + fakeMemberJSON +
		`,{"id":"n3","self":false,"voter":false,"nonVoter":true,"raftAddr":"127.0.0.1:2","reachable":false,"healthy":false}]`
)

func TestCluster(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	wantBody(t, call(t, s, "GET", "/v1/admin/cluster", "", asAdmin), 200, `{`+fakeClusterJSON+`}`)
	wantBody(t, call(t, s, "GET", "/v1/admin/status", "", asAdmin), 200, `{`+fakeClusterJSON+
		`,"digest":"8000000000000000","records":0,"locks":0}`)
}

// TestClusterWithoutALeader wants a node's own view from one that knows no leader, at once.
func TestClusterWithoutALeader(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	n.follow(nil)
	s := newTestServer(t, n, nil)
	for _, path := range []string{"/v1/admin/cluster", "/v1/admin/status"} {
		if w := call(t, s, "GET", path, "", asAdmin); w.Code != 200 || !strings.Contains(w.Body.String(), fakeClusterJSON) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if n.asked != 0 {
		t.Error("the leader was looked for")
	}
}

// TestNodeThatSaysLittle wants members left out that mean nothing, instead of numbers that look like facts.
func TestNodeThatSaysLittle(t *testing.T) {
	t.Parallel()
	quiet := fakeMember
	quiet.LastContact, quiet.DiskTotal, quiet.DiskFree = -1, 0, 0
	got := string(appendNode(nil, &quiet))
	want := strings.Replace(fakeMemberJSON, `"lastContactMs":80,`, ``, 1)
	want = strings.Replace(want, `"diskFreeBytes":1073741824,"diskTotalBytes":4294967296,`, ``, 1)
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
