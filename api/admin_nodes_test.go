package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/cluster"
)

const (
	nodesPath  = "/v1/admin/nodes"
	leaderPath = "/v1/admin/leader"
	planned    = `{"nodeId":"n3","removed":false,"voter":true,"voters":2,"healthyVoters":2,"quorum":2,"safe":true,` +
		`"consequence":"2 are left"}`
)

func TestMembers(t *testing.T) {
	t.Parallel()
	removed := strings.Replace(planned, `"removed":false`, `"removed":true`, 1)
	const led = `{"leaderId":"n2"}`
	for _, c := range []struct {
		method, target, body string
		asked                string // of the node
		status               int
		answer               string
	}{
		{"POST", nodesPath, `{"raftAddr":"10.0.0.4:4100"}`, "add 10.0.0.4:4100 false", 201, fakeMemberJSON},
		{"POST", nodesPath, `{"raftAddr":"[::1]:1","nonVoter":true}`, "add [::1]:1 true", 201, fakeMemberJSON},
		{"POST", nodesPath, `{"raftAddr":"n.example:9","nonVoter":false}`, "add n.example:9 false", 201, fakeMemberJSON},
		{"POST", nodesPath, `{"nonVoter":null,"raftAddr":"h:1","later":[]}`, "add h:1 false", 201, fakeMemberJSON},
		{"DELETE", nodesPath + "/n3", "", "remove n3 false", 200, removed},
		{"DELETE", nodesPath + "/n3?force=true", "", "remove n3 true", 200, removed},
		{"DELETE", nodesPath + "/n3?force=false&dryRun=false", "", "remove n3 false", 200, removed},
		{"DELETE", nodesPath + "/n3?dryRun=true", "", "plan n3", 200, planned},
		{"DELETE", nodesPath + "/n3?force=true&dryRun=true", "", "plan n3", 200, planned},
		{"POST", nodesPath + "/n3/promote", "", "promote n3", 200, fakeMemberJSON},
		{"POST", leaderPath, "", `transfer ""`, 200, led},
		{"POST", leaderPath, "{}", `transfer ""`, 200, led},
		{"POST", leaderPath, `{"nodeId":"n2"}`, `transfer "n2"`, 200, led},
	} {
		n, _ := newFakeNode(t, "n1")
		s := newTestServer(t, n, nil)
		w := call(t, s, c.method, c.target, c.body, asAdmin)
		if w.Code != c.status || w.Body.String() != c.answer || !slices.Equal(n.changes, []string{c.asked}) {
			t.Errorf("%s %s %s: asked for %q\ngot  %d %s\nwant %d %s", c.method, c.target, c.body, n.changes,
				w.Code, w.Body, c.status, c.answer)
		}
	}
}

func TestMembersMalformed(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	address := func(a string) string { return fmt.Sprintf(`{"raftAddr":%q}`, a) }
	type row struct {
		method, target, body string
		kind                 *errorKind
	}
	all := []row{
		{"POST", nodesPath, "", invalidJSON}, {"POST", nodesPath, "[]", invalidJSON},
		{"POST", nodesPath, "{", invalidJSON},
		{"POST", nodesPath, `{"raftAddr":"h:1","raftAddr":"h:1"}`, invalidJSON}, {"POST", nodesPath, "{}", missingField},
		{"POST", nodesPath, `{"raftAddr":null}`, missingField}, {"POST", nodesPath, `{"raftaddr":"h:1"}`, missingField},
		{"POST", nodesPath, `{"raftAddr":"h:1"} x`, invalidJSON},
		{"POST", leaderPath, "null", invalidJSON}, {"POST", leaderPath, `{"nodeId":"n2"`, invalidJSON},
	}
	for _, a := range []string{"", "h", "h:", ":1", "h:0", "h:65536", "h:-1", "h:x", "http://h:1", "a:b:1", "h\n:1",
		"h:1 ", strings.Repeat("h", maxAddressBytes-1) + ":1"} {
		all = append(all, row{"POST", nodesPath, address(a), invalidField})
	}
	for _, v := range []string{`"true"`, "1", "[]", "{}"} {
		all = append(all, row{"POST", nodesPath, `{"raftAddr":"h:1","nonVoter":` + v + `}`, invalidField})
	}
	for _, v := range []string{`""`, "1", "true", `["n2"]`, `"` + strings.Repeat("n", 64) + `"`, `"n\u0000"`} {
		all = append(all, row{"POST", leaderPath, `{"nodeId":` + v + `}`, invalidField})
	}
	for _, q := range []string{"force", "force=", "force=1", "force=yes", "force=TRUE", "force=true&force=true",
		"dryRun=no", "dryrun=true", "Force=true", "x=1", "force=%zz", "force=trueish"} {
		all = append(all, row{"DELETE", nodesPath + "/n3?" + q, "", invalidField})
	}
	for _, c := range all {
		w := call(t, s, c.method, c.target, c.body, asAdmin)
		if w.Code != c.kind.status || !strings.Contains(w.Body.String(), `"code":"`+c.kind.code+`"`) {
			t.Errorf("%s %s %s: %d %s, want %s", c.method, c.target, c.body, w.Code, w.Body, c.kind.code)
		}
	}
	if len(n.changes) != 0 {
		t.Errorf("what was refused reached the node: %q", n.changes)
	}
}

func TestMembersAreTheAdministrators(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	for _, c := range memberCalls {
		wantProblem(t, call(t, s, c.method, c.target, c.body, asTenant(key)), forbidden)
		wantProblem(t, call(t, s, c.method, c.target, c.body), invalidAPIKey)
	}
	if len(n.changes) != 0 {
		t.Errorf("what was refused reached the node: %q", n.changes)
	}
}

var memberCalls = []struct{ method, target, body string }{
	{"POST", nodesPath, `{"raftAddr":"h:1"}`},
	{"DELETE", nodesPath + "/n3?force=true", ""},
	{"DELETE", nodesPath + "/n3?dryRun=true", ""},
	{"POST", nodesPath + "/n3/promote", ""},
	{"POST", leaderPath, `{"nodeId":"n2"}`},
}

func TestMembersThroughAFollower(t *testing.T) {
	t.Parallel()
	for _, c := range memberCalls {
		p := newPair(t, FollowersRedirect)
		location := p.redirected(t, c.method, c.target, c.body, asAdmin)
		if w := call(t, p.leaderAPI, c.method, location, c.body); w.Code/100 != 2 || len(p.leader.changes) != 1 {
			t.Errorf("%s %s, redirected: %d %s", c.method, c.target, w.Code, w.Body)
		}
		p = newPair(t, FollowersForward)
		w := call(t, p.followerAPI, c.method, c.target, c.body, asAdmin)
		if w.Code/100 != 2 || len(p.leader.changes) != 1 || len(p.follower.changes) != 0 {
			t.Errorf("%s %s, forwarded: %d %s", c.method, c.target, w.Code, w.Body)
		}
	}
}

// handingOver is a leader that is told to remove itself.
type handingOver struct {
	*fakeNode
	next *fakeNode
	to   cluster.Peer // how the next leader is reached
}

func (n handingOver) RemoveNode(context.Context, string, cluster.RemoveOptions) (cluster.Removal, error) {
	n.follow(&n.to)
	n.next.lead()
	return cluster.Removal{}, cluster.ErrNotLeader
}

func TestLeaderThatRemovesItselfSendsTheCallerOn(t *testing.T) {
	t.Parallel()
	leader, _ := newFakeNode(t, "n1")
	next, _ := newFakeNode(t, "n2")
	to := cluster.Peer{ID: "n2", HTTPURL: "http://n2", TicketKey: next.ticket}
	s := newTestServer(t, handingOver{leader, next, to}, nil)
	s.now = func() time.Time { return time.UnixMilli(leader.nowMs) }
	w := call(t, s, "DELETE", nodesPath+"/n1?force=false", "", asAdmin)
	wantProblem(t, w, notLeader)
	location, ok := strings.CutPrefix(w.Header().Get("Location"), "http://n2")
	if !ok {
		t.Fatalf("Location: %s", w.Header().Get("Location"))
	}
	w = call(t, newTestServer(t, next, nil), "DELETE", location, "")
	if w.Code != 200 || !slices.Equal(next.changes, []string{"remove n1 false"}) {
		t.Errorf("%d %s, asked for %q", w.Code, w.Body, next.changes)
	}
}

// TestLeaderThatRemovesItselfBehindAForwarder has the very node take over that passed the request on.
func TestLeaderThatRemovesItselfBehindAForwarder(t *testing.T) {
	t.Parallel()
	p := newPair(t, FollowersForward)
	p.leaderAPI.attach(handingOver{p.leader, p.follower, cluster.Peer{ID: "n2", HTTPURL: "http://n2"}})
	w := call(t, p.followerAPI, "DELETE", nodesPath+"/n1", "", asAdmin)
	if w.Code != 200 || !slices.Equal(p.follower.changes, []string{"remove n1 false"}) {
		t.Errorf("%d %s, asked for %q", w.Code, w.Body, p.follower.changes)
	}
}

// TestRefusals wants each reason to be a code, with the cluster's own words.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for reason, status := range map[cluster.Reason]int{
		cluster.ReasonUnknownNode: 404, cluster.ReasonRetiredNode: 409, cluster.ReasonDifferentDisk: 409,
		cluster.ReasonOtherCluster: 409, cluster.ReasonUnreachable: 409, cluster.ReasonNotCaughtUp: 409,
		cluster.ReasonNoVote: 409, cluster.ReasonQuorumAtRisk: 409, cluster.ReasonChangePending: 409,
		cluster.ReasonTooManyMembers: 409, cluster.ReasonBadSnapshot: 422, cluster.ReasonNewerSnapshot: 422,
	} {
		kind := refusalKinds[reason]
		if kind == nil || kind.code != string(reason) || kind.status != status || !slices.Contains(errorKinds, kind) {
			t.Errorf("%s: %+v", reason, kind)
			continue
		}
		n, _ := newFakeNode(t, "n1")
		n.failure = []error{fmt.Errorf("wrapped: %w", &cluster.Refusal{Reason: reason, Detail: "n3 will not do"})}
		doc := wantProblem(t, call(t, newTestServer(t, n, nil), "DELETE", nodesPath+"/n3", "", asAdmin), kind)
		if !strings.Contains(doc, `"detail":"n3 will not do"`) {
			t.Error(doc)
		}
	}
}

func TestMembersFailures(t *testing.T) {
	t.Parallel()
	for err, kind := range map[error]*errorKind{
		cluster.ErrOutcomeUnknown: outcomeUnknown, cluster.ErrBusy: busy, cluster.ErrUnavailable: noLeader,
		context.DeadlineExceeded: outcomeUnknown,
	} {
		for _, c := range memberCalls {
			n, _ := newFakeNode(t, "n1")
			n.failure = []error{err}
			wantProblem(t, call(t, newTestServer(t, n, nil), c.method, c.target, c.body, asAdmin), kind)
			if len(n.changes) != 1 {
				t.Errorf("%s %s after %v was tried %d times", c.method, c.target, err, len(n.changes))
			}
		}
	}
}

// TestMembersHaveTheirOwnTime wants a change of members to get the time it needs, whatever others get.
func TestMembersHaveTheirOwnTime(t *testing.T) {
	t.Parallel()
	for configured, least := range map[time.Duration]time.Duration{
		time.Second: memberTimeout / 2, time.Minute: time.Minute / 2,
	} {
		n, _ := newFakeNode(t, "n1")
		s := newTestServer(t, n, func(c *Config) { c.RequestTimeout = configured })
		if w := call(t, s, http.MethodPost, nodesPath+"/n3/promote", "", asAdmin); w.Code != 200 || n.within < least {
			t.Errorf("with %s for others: %d, and it had %s", configured, w.Code, n.within)
		}
	}
}
