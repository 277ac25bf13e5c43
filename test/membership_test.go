package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	membershipWorkers = 4
	// exitRemoved is how the process of a node ends that was removed from its cluster.
	exitRemoved = 8
)

// clusterView is a node's view of the members.
type clusterView struct {
	LeaderID         string        `json:"leaderId"`
	Voters           int           `json:"voters"`
	HealthyVoters    int           `json:"healthyVoters"`
	FailureTolerance int           `json:"failureTolerance"`
	FeatureLevel     int           `json:"featureLevel"`
	Nodes            []memberState `json:"nodes"`
}

type memberState struct {
	ID       string `json:"id"`
	Voter    bool   `json:"voter"`
	NonVoter bool   `json:"nonVoter"`
	Healthy  bool   `json:"healthy"`
}

func (v clusterView) member(id string) (m memberState, ok bool) {
	i := slices.IndexFunc(v.Nodes, func(m memberState) bool { return m.ID == id })
	if i < 0 {
		return memberState{}, false
	}
	return v.Nodes[i], true
}

// view asks the node how it sees the members.
func (n *node) view() (v clusterView, err error) {
	c := newClient(n.url(), adminToken)
	c.timeout = probeTimeout
	a := c.call(http.MethodGet, "/v1/admin/cluster", nil)
	if a.outcome != ok {
		return v, fmt.Errorf("cluster by %s: %v", n.name, a)
	}
	err = json.Unmarshal(a.body, &v)
	return v, err
}

// awaitView waits until the leader sees the members so.
func (c *cluster) awaitView(what string, holds func(v clusterView) bool) {
	c.t.Helper()
	var v clusterView
	eventually(c.t, what, func() (so bool) {
		leader := c.currentLeader()
		if leader == nil {
			return false
		}
		var err error
		v, err = leader.view()
		return err == nil && holds(v)
	}, func() string { return fmt.Sprintf("%+v\n%s", v, c.logTails()) })
}

// awaitSettled waits until all members are healthy, and have told each other that all know how to lose one.
func (c *cluster) awaitSettled() {
	c.t.Helper()
	c.awaitView("a new cluster has settled", func(v clusterView) bool {
		return v.HealthyVoters == len(c.nodes) && v.FeatureLevel >= 2
	})
}

// awaitVote waits until a member is healthy and votes.
func (c *cluster) awaitVote(id string) {
	c.t.Helper()
	c.awaitView(id+" votes", func(v clusterView) bool {
		m, _ := v.member(id)
		return m.Voter && m.Healthy
	})
}

// verb runs `syllecta cluster …` against a node, and returns what it printed and its exit code.
func (n *node) verb(args ...string) (out string, code int) {
	n.t.Helper()
	cmd := exec.CommandContext(n.t.Context(), binary, append([]string{"cluster"}, args...)...)
	cmd.Env = append(plainEnvironment(), "SYLLECTA_SERVER="+n.url(), "SYLLECTA_ADMIN_TOKEN="+adminToken)
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		n.t.Fatalf("running %v: %v", args, err)
	}
	n.t.Logf("cluster %s, at %s:\n%s", strings.Join(args, " "), n.name, text)
	return string(text), cmd.ProcessState.ExitCode()
}

// mustVerb is verb that succeeds and prints that.
func (n *node) mustVerb(want string, args ...string) {
	n.t.Helper()
	if out, code := n.verb(args...); code != 0 || !strings.Contains(out, want) {
		n.t.Fatalf("cluster %v: exit code %d, %q; want %q", args, code, out, want)
	}
}

// newcomer starts one more node, which expects nobody.
func (c *cluster) newcomer(name string, seeds []string, args ...string) *node {
	c.t.Helper()
	dir := filepath.Dir(c.nodes[0].dir)
	n := newNode(c.t, name, dir, freePorts(c.t),
		append([]string{"--admin-token-file=" + filepath.Join(dir, "admin-token")}, args...)...)
	n.seeds = seeds
	c.nodes = append(c.nodes, n)
	n.start()
	return n
}

// drop forgets a node that is no member any more. It ends with the test at the latest.
func (c *cluster) drop(gone *node) {
	c.nodes = slices.DeleteFunc(slices.Clone(c.nodes), func(n *node) bool { return n == gone })
	c.t.Cleanup(func() {
		gone.process.kill9()
		if c.t.Failed() {
			c.t.Logf("--- end of the log of %s\n%s", gone.name, gone.logTail())
		}
	})
}

// farewell watches a node that is about to be removed.
type farewell struct {
	node *node
	said chan bool // whether its readiness report said it, once the process has ended
}

func watchFarewell(n *node) farewell {
	f := farewell{n, make(chan bool, 1)}
	go func() {
		said := false
		for !n.process.hasExited() && !said {
			status, report, err := n.readyz()
			said = err == nil && status == http.StatusServiceUnavailable &&
				strings.Contains(report, "this node was removed from the cluster")
			time.Sleep(pollInterval)
		}
		f.said <- said
	}()
	return f
}

// check waits until the node has ended, which it must have announced.
func (f farewell) check() {
	n := f.node
	n.t.Helper()
	if !n.process.awaitExit(patience) {
		n.t.Fatalf("%s was removed and goes on", n.name)
	}
	if code := n.process.exitCode(); code != exitRemoved {
		n.t.Errorf("%s ended with code %d, want %d", n.name, code, exitRemoved)
	}
	if !<-f.said {
		n.t.Errorf("the readiness of %s did not say that it was removed", n.name)
	}
	if !strings.Contains(n.logText(), "this node was removed from") {
		n.t.Errorf("the log of %s does not say that it was removed", n.name)
	}
}

// TestMembership grows a cluster from three nodes to six, by every way there is, and shrinks it again, under load.
func TestMembership(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, "--promote-after=1s")
	f := newFaults(t, &cluster{t: t, nodes: slices.Clone(c.nodes)}) // which knows no others while there is load
	c.keys = append(c.keys, f.apiKey)
	stop := f.work(membershipWorkers)
	defer stop()
	f.awaitAcks(acksBetween)

	seeds := c.nodes[0].seeds
	c.newcomer("node4", seeds)
	c.awaitVote("node4")
	reader := c.newcomer("reader", seeds, "--non-voter")
	c.awaitView("the non-voter is healthy", func(v clusterView) bool {
		m, _ := v.member("reader")
		return m.Healthy && m.NonVoter && !m.Voter
	})
	testInvitation(t, c)
	f.awaitAcks(acksBetween)
	testReader(t, c, reader, f.apiKey)

	testTransfer(c, c.nodes[3])
	testRemoveFollower(t, c, c.nodes[1])
	f.awaitAcks(acksBetween)
	testLeaderLeaves(c)
	f.awaitAcks(acksBetween)
	testRemoveLeader(c)
	f.awaitAcks(acksBetween)
	stop()
	f.c.nodes = c.nodes
	f.verify()
}

// testInvitation has a node wait that knows nobody, until it is invited. By when it votes, the reader has been healthy
// for long enough to vote as well, if it were to.
func testInvitation(t *testing.T, c *cluster) {
	t.Helper()
	n := c.newcomer("node5", nil)
	wantReason(t, n, "this node is in no cluster")
	c.nodes[0].mustVerb("node5 is a member", "join", n.ports.raft)
	c.awaitVote("node5")
	c.awaitView("5 of 5 voters are healthy, and the reader has no vote", func(v clusterView) bool {
		m, _ := v.member("reader")
		return v.Voters == 5 && v.HealthyVoters == 5 && v.FailureTolerance == 2 && m.Healthy && !m.Voter
	})
	c.leader().mustVerb("5 of 5 voters healthy: 2 more nodes may fail", "status")
}

// testReader has the node that never votes answer reads on its own, and then promotes it after all.
func testReader(t *testing.T, c *cluster, reader *node, key string) {
	t.Helper()
	put := newClient(reader.url(), key).following().put(putRequest{Scope: "reader", Key: "k", Body: []byte("1")})
	if put.outcome != ok {
		t.Errorf("a write through the non-voter: %v", put)
	}
	eventually(t, "the non-voter has it", func() bool {
		return newClient(reader.url(), key).getStale("reader", "k").State == "completed"
	})
	reader.mustVerb("reader votes now", "promote", "reader")
	c.awaitVote("reader")
}

func testTransfer(c *cluster, to *node) {
	c.t.Helper()
	c.nodes[0].mustVerb(to.name+" leads now", "transfer", to.name)
	eventually(c.t, to.name+" leads", func() bool { return c.currentLeader() == to }, c.logTails)
}

// testRemoveFollower removes a node that runs, and shows that it cannot come back: not with its old disk, and not
// under its old name with an empty one.
func testRemoveFollower(t *testing.T, c *cluster, gone *node) {
	t.Helper()
	watched := watchFarewell(gone)
	c.drop(gone)
	c.nodes[0].mustVerb("without "+gone.name, "remove", gone.name, "--dry-run")
	c.nodes[0].mustVerb(gone.name+" was removed", "remove", gone.name, "--yes")
	watched.check()
	out, code := c.nodes[0].verb("remove", gone.name, "--yes")
	if code != 5 || !strings.Contains(out, "was removed already") {
		t.Errorf("removing it again: exit code %d, %q", code, out)
	}

	gone.start()
	if !gone.process.awaitExit(patience) || gone.process.exitCode() != exitRemoved {
		t.Errorf("%s came back with its old disk", gone.name)
	}
	if tail := gone.logTail(); !strings.Contains(tail, "to use this machine again, empty") {
		t.Errorf("%s does not say why it does not start:\n%s", gone.name, tail)
	}
	if err := os.RemoveAll(gone.dir); err != nil {
		t.Fatal(err)
	}
	gone.start()
	wantReason(t, gone, "its id is never used again")
	gone.kill9()
}

// testLeaderLeaves has the leader itself asked to go.
func testLeaderLeaves(c *cluster) {
	c.t.Helper()
	leader := c.leader()
	watched := watchFarewell(leader)
	leader.mustVerb(leader.name+" was removed", "leave", "--yes")
	watched.check()
	c.drop(leader)
}

func testRemoveLeader(c *cluster) {
	c.t.Helper()
	leader := c.leader()
	watched := watchFarewell(leader)
	c.followers()[0].mustVerb(leader.name+" was removed", "remove", leader.name, "--yes")
	watched.check()
	c.drop(leader)
	c.awaitView("3 of 3 voters are left", func(v clusterView) bool {
		_, there := v.member(leader.name)
		return v.Voters == 3 && v.HealthyVoters == 3 && !there
	})
}

// TestRemovalAtRisk removes a voter of which the quorum depends: refused, and then forced.
func TestRemovalAtRisk(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.awaitSettled()
	key := c.newTenant("risk", 0).key
	leader, others := c.leader(), c.followers()
	down, gone := others[0], others[1]
	down.kill9()
	c.awaitView(down.name+" is missed", func(v clusterView) bool {
		return v.HealthyVoters == 2 && v.FailureTolerance == 0
	})
	a := newClient(leader.url(), adminToken).following().call(http.MethodDelete, "/v1/admin/nodes/"+gone.name, nil)
	if a.status != http.StatusConflict || a.code != "quorum_at_risk" || !strings.Contains(string(a.body), "2 are needed") {
		t.Errorf("a removal that costs the quorum: %v", a)
	}
	out, code := leader.verb("remove", gone.name, "--yes")
	if code != 5 || !strings.Contains(out, "nothing will be acknowledged") || !strings.Contains(out, "--force") {
		t.Errorf("exit code %d, %q", code, out)
	}
	if v, err := leader.view(); err != nil || v.Voters != 3 {
		t.Errorf("what was refused has changed something: %+v, %v", v, err)
	}

	watched := watchFarewell(gone)
	out, code = leader.verb("remove", gone.name, "--yes", "--force")
	if code != 0 && strings.Contains(out, "nothing was changed") {
		t.Errorf("forced: exit code %d, %q, but it is decided", code, out)
	}
	c.drop(gone)
	if a := newClient(leader.url(), key).claim(claimRequest{Scope: "s", Key: "no quorum"}); a.outcome == ok {
		t.Errorf("a claim without a quorum: %v", a.answer)
	}
	down.restart()
	leader.waitReady()
	c.awaitView("2 of 2 voters are left", func(v clusterView) bool { return v.Voters == 2 && v.HealthyVoters == 2 })
	watched.check()
	if claimed := newClient(leader.url(), key).following().claim(claimRequest{Scope: "s", Key: "k"}); !claimed.Locked {
		t.Errorf("a claim after it: %v", claimed.answer)
	}
}

// TestRemoveWhileDown removes a node that is down, which learns it when it is started again.
func TestRemoveWhileDown(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.awaitSettled()
	gone := c.followers()[0]
	gone.kill9()
	c.leader().mustVerb("without "+gone.name+" there are 2 voters, 2 of them healthy", "remove", gone.name, "--dry-run")
	c.leader().mustVerb(gone.name+" was removed", "remove", gone.name, "--yes")
	c.drop(gone)
	c.awaitView("2 of 2 voters are left", func(v clusterView) bool { return v.Voters == 2 && v.HealthyVoters == 2 })
	gone.start()
	watchFarewell(gone).check()
}

// TestLastVoterStays asks a cluster of one to remove itself.
func TestLastVoterStays(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	n := c.leader()
	a := newClient(n.url(), adminToken).call(http.MethodDelete, "/v1/admin/nodes/"+n.name+"?force=true", nil)
	if a.status != http.StatusConflict || a.code != "quorum_at_risk" {
		t.Errorf("got %v", a)
	}
	if out, code := n.verb("leave", "--yes"); code != 5 || !strings.Contains(out, "let another node join first") {
		t.Errorf("exit code %d, %q", code, out)
	}
	n.mustVerb("1 of 1 voter healthy: it must not fail", "status")
}
