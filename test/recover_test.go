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

// survey is what `syllecta recover --json` says.
type survey struct {
	NodeID    string `json:"nodeId"`
	ClusterID string `json:"clusterId"`
	LastTerm  uint64 `json:"lastTerm"`
	LastIndex uint64 `json:"lastIndex"`
	Epoch     uint64 `json:"epoch"`
	NewEpoch  uint64 `json:"newEpoch"`
	Records   int    `json:"records"`
	Prepared  bool   `json:"prepared"`
	Members   []struct {
		ID    string `json:"id"`
		Voter bool   `json:"voter"`
	} `json:"members"`
}

// recover runs the verb on the node's directory.
func (n *node) recover(args ...string) (text string, err error) {
	cmd := exec.Command(binary, append([]string{"recover", "--data-dir", n.dir}, args...)...)
	cmd.Env = plainEnvironment()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// survey looks, and changes nothing unless the arguments say so.
func (n *node) survey(args ...string) (s survey) {
	n.t.Helper()
	out, err := n.recover(append([]string{"--json"}, args...)...)
	if err == nil {
		err = json.Unmarshal([]byte(out), &s)
	}
	if err != nil {
		n.t.Fatalf("recover on %s: %v\n%s", n.name, err, out)
	}
	return s
}

// recoverScope is that of the records that are written before the majority is lost.
const recoverScope = "recover"

// fence claims a key that is claimed only once, and returns the fence.
func (f *faults) fence(n *node, key string) uint64 {
	f.t.Helper()
	a := newClient(n.url(), f.apiKey).following().claim(claimRequest{Scope: recoverScope, Key: key})
	if !a.Locked {
		f.t.Fatalf("claim of %s through %s: %v", key, n.name, a.answer)
	}
	return a.Fence
}

// verifyRecovered wants everything acknowledged before to be there, and new fences to be above every earlier one.
func (f *faults) verifyRecovered(through *node, highest uint64) {
	f.t.Helper()
	fence := f.fence(through, "after")
	if fence <= highest || fence>>40 != highest>>40+1 {
		f.t.Errorf("fence %d of epoch %d after %d of epoch %d", fence, fence>>40, highest, highest>>40)
	}
	f.t.Logf("fence %d of epoch %d, before it was %d of epoch %d", fence, fence>>40, highest, highest>>40)
	if err := f.pulse.verify(); err != nil {
		f.t.Error(err)
	}
	f.t.Log(f.pulse)
	v := newClient(through.url(), f.apiKey).following().get(recoverScope, "held")
	if v.State != "locked" {
		f.t.Errorf("a lock that was held: %v", v.answer)
	}
}

// TestRecover is the drill for the worst day: of three nodes, two are destroyed for good under load. What the third one
// has goes on as a cluster of one, which new nodes join.
func TestRecover(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, "--snapshot-threshold=200")
	f := newFaults(t, c)
	stop := f.work(0)
	defer stop()
	f.awaitAcks(3 * acksBetween)
	survivor := c.leader() // it has everything that was acknowledged
	highest := f.fence(survivor, "held")
	lost := c.followers()[0].name
	f.destroyOthers(survivor)
	f.checkNoLeader(survivor)
	stop()

	if text, err := survivor.recover("--yes"); err == nil || !strings.Contains(text, "another process uses") {
		t.Errorf("recover of a node that runs: %v\n%s", err, text)
	}
	survivor.kill9()
	found := survivor.survey()
	if found.NodeID != survivor.name || len(found.Members) != 3 || found.Epoch != highest>>40 || found.Prepared ||
		found.Records < len(f.pulse.stored) {
		t.Errorf("%+v", found)
	}
	text, err := survivor.recover()
	if err != nil || !strings.Contains(text, "Nothing was changed") {
		t.Errorf("%v\n%s", err, text)
	}
	t.Logf("syllecta recover says:\n%s", text)
	if done := survivor.survey("--yes"); !done.Prepared || done.LastIndex != found.LastIndex {
		t.Errorf("%+v, before it was %+v", done, found)
	}

	c.nodes = []*node{survivor}
	c.seed()
	began := time.Now()
	survivor.restart()
	t.Logf("ready %s after the start", time.Since(began).Round(time.Millisecond))
	f.verifyRecovered(survivor, highest)

	survivor.kill9() // nothing of it is undone by a restart
	survivor.restart()
	if fence := f.fence(survivor, "later"); fence>>40 != highest>>40+1 {
		t.Errorf("fence %d of epoch %d after a restart", fence, fence>>40)
	}
	if err := f.pulse.verify(); err != nil {
		t.Error(err)
	}
	f.refill(survivor)
	f.refuseLost(survivor, lost)
}

// refill has two new machines join with empty disks and new ids, until the cluster does without the survivor.
func (f *faults) refill(survivor *node) {
	f.t.Helper()
	for _, name := range []string{"node4", "node5"} {
		n := newNode(f.t, name, filepath.Dir(survivor.dir), freePorts(f.t),
			append(slices.Clone(survivor.args), "--bootstrap-expect=0", "--promote-after=500ms")...)
		n.seeds = []string{survivor.ports.seed()}
		f.c.nodes = append(f.c.nodes, n)
	}
	began := time.Now()
	f.c.restartAll()
	eventually(f.t, "the new nodes vote", func() bool {
		return survivor.metric("syllecta_raft_voters") == 3
	}, f.c.logTails)
	f.t.Logf("three voters %s after the start of two empty nodes", time.Since(began).Round(time.Millisecond))
	f.c.waitConverged()
	survivor.kill9()
	f.fence(f.c.leader(), "without the survivor")
	if err := f.pulse.verify(); err != nil {
		f.t.Error(err)
	}
	survivor.restart()
	f.c.waitConverged()
}

// refuseLost wants a node that was left out to stay out, also with an empty disk.
func (f *faults) refuseLost(survivor *node, name string) {
	f.t.Helper()
	lost := newNode(f.t, name, filepath.Dir(survivor.dir), freePorts(f.t),
		append(slices.Clone(survivor.args), "--bootstrap-expect=0")...)
	lost.seeds = []string{survivor.ports.seed()}
	lost.start()
	defer lost.kill9()
	eventually(f.t, lost.name+" is told that its id is never used again", func() bool {
		return strings.Contains(lost.logText(), "never used again")
	}, lost.logTail)
	if voters := survivor.metric("syllecta_raft_voters"); voters != 3 {
		f.t.Errorf("%v voters", voters)
	}
}

// destroyOthers kills all other nodes at once, under load, and their disks with them.
func (f *faults) destroyOthers(survivor *node) {
	f.t.Helper()
	for _, n := range f.c.nodes {
		if n == survivor {
			continue
		}
		n.kill9()
		if err := os.RemoveAll(n.dir); err != nil {
			f.t.Fatal(err)
		}
	}
}

// checkNoLeader wants claims to be answered with 503 no_leader, and tells how fast.
func (f *faults) checkNoLeader(n *node) {
	f.t.Helper()
	var took time.Duration
	eventually(f.t, "claims are refused", func() bool {
		began := time.Now()
		a := newClient(n.url(), f.apiKey).claim(claimRequest{Scope: recoverScope, Key: "refused"})
		took = time.Since(began)
		return a.status == http.StatusServiceUnavailable && a.code == "no_leader"
	})
	f.t.Logf("503 no_leader after %s", took.Round(time.Millisecond))
}

// TestRecoverTwo recovers two of five nodes with the same list of peers, so that they go on as a cluster of two. The
// one that had more leads.
func TestRecoverTwo(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 5, "--snapshot-threshold=500")
	f := newFaults(t, c)
	stop := f.work(0)
	defer stop()
	f.awaitAcks(3 * acksBetween)
	behind := c.followers()[0]
	behind.kill9()
	f.awaitAcks(acksBetween)
	ahead := c.leader()
	highest := f.fence(ahead, "held")
	stop()
	c.killAll()
	lost := []*node{}
	survivors := []*node{ahead, behind}
	for _, n := range c.nodes {
		if n != ahead && n != behind {
			lost = append(lost, n)
		}
	}
	for _, n := range lost {
		if err := os.RemoveAll(n.dir); err != nil {
			t.Fatal(err)
		}
	}

	var peers []string
	for _, n := range survivors {
		peers = append(peers, fmt.Sprintf("--peer=%s=%s", n.name, n.ports.raft))
	}
	first, second := ahead.survey(), behind.survey()
	if first.LastIndex <= second.LastIndex {
		t.Errorf("ahead: %+v, behind: %+v", first, second)
	}
	t.Logf("one log ends at index %d of term %d, the other at %d of %d",
		first.LastIndex, first.LastTerm, second.LastIndex, second.LastTerm)
	for _, n := range survivors {
		n.survey(append(peers, "--yes")...)
	}
	c.nodes = survivors
	c.seed()
	c.restartAll()
	if leader := c.leader(); leader != ahead {
		t.Errorf("%s leads, which has less than %s", leader.name, ahead.name)
	}
	f.verifyRecovered(behind, highest)
	c.waitConverged()
	for _, n := range survivors {
		if _, err := os.Stat(filepath.Join(n.dir, "peers.applied.json")); err != nil {
			t.Error(err)
		}
	}
}
