package test

import (
	"testing"
	"time"
)

const rollingWorkers = 8

// TestRollingRestart restarts the nodes one after the other under load, as an upgrade does: the followers first, the
// leader last. A node that ends in good order hands over what it has, so nobody has to wait for an election.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	f := newFaults(t, newCluster(t, 3))
	stop := f.work(rollingWorkers)
	defer stop()
	var leaders, followers []outage
	for range *roundsFlag {
		led := f.c.leader()
		for _, n := range f.c.followers() {
			followers = append(followers, f.restartInOrder(n))
		}
		leaders = append(leaders, f.restartInOrder(led))
	}
	stop()
	f.verify()
	f.outages = followers
	f.reportOutages("a follower was restarted")
	f.outages = leaders
	f.reportOutages("a leader was restarted")
}

// restartInOrder ends a node with SIGTERM and starts it again.
func (f *faults) restartInOrder(n *node) outage {
	f.t.Helper()
	f.awaitAcks(acksBetween)
	o := outage{from: f.history.now()}
	began := time.Now()
	n.term()
	if code := n.process.exitCode(); code != 0 {
		f.t.Errorf("%s ended with code %d after SIGTERM", n.name, code)
	}
	ended := time.Now()
	n.restart()
	f.t.Logf("%s ended in %s and was ready again %s later", n.name, ended.Sub(began).Round(time.Millisecond),
		time.Since(ended).Round(time.Millisecond))
	f.awaitAcks(acksBetween)
	o.to = f.history.now()
	return o
}
