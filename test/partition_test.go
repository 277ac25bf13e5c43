package test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"
)

const (
	partitionWorkers = 8
	partitionScope   = "partition"
	// lossPercent of what the leader sends is a network that nobody would call working.
	lossPercent = 10
)

// TestPartition cuts nodes off from each other in all the ways a network does, under load. The side without a majority
// acknowledges nothing and says so, the other one goes on, and when the network heals, so does the cluster.
func TestPartition(t *testing.T) {
	t.Parallel()
	w := newNetwork(t)
	p := &partition{faults: newFaults(t, newClusterOn(t, w, 3)), net: w}
	stop := p.work(partitionWorkers)
	defer stop()
	p.cutOff("a leader", func(leader, _, _ *node) *node { return leader })
	p.cutOff("a follower", func(_, follower, _ *node) *node { return follower })
	p.muffle("a leader that cannot send", func(leader, other *host) { w.cutOneWay(t, leader, other) })
	p.muffle("a leader that cannot hear", func(leader, other *host) { w.cutOneWay(t, other, leader) })
	p.bridge("no link between the leader and a follower", func(leader, follower *host) { w.cut(t, leader, follower) })
	p.bridge("a leader that a follower cannot hear", func(leader, follower *host) { w.cutOneWay(t, leader, follower) })
	p.bridge("a bad network", func(leader, _ *host) { w.lose(t, leader, lossPercent) })
	stop()
	p.verify()
}

// partition is a cluster under load in a network that comes apart.
type partition struct {
	*faults
	net    *network
	writes int
}

// cast waits until there is a leader and everybody is ready.
func (p *partition) cast() (leader, follower, other *node) {
	p.t.Helper()
	for _, n := range p.c.nodes {
		n.waitReady()
	}
	p.awaitAcks(acksBetween)
	leader = p.c.leader()
	for _, n := range p.c.nodes {
		switch {
		case n == leader:
		case follower == nil:
			follower = n
		default:
			other = n
		}
	}
	return leader, follower, other
}

// during reports what a fault did to the cluster as a whole, and ends it.
func (p *partition) during(what string, begin, fault func()) {
	p.t.Helper()
	term, from := p.c.term(), p.history.now()
	begin()
	fault()
	broken := p.history.now()
	p.net.heal(p.t)
	p.cast()
	p.wantGossip(len(p.c.nodes), p.c.nodes...)
	p.t.Logf("%s: no write was acknowledged for at most %s meanwhile and %s while it healed; terms %d to %d", what,
		p.history.longestGap(from, broken).Round(time.Millisecond),
		p.history.longestGap(broken, p.history.now()).Round(time.Millisecond), term, p.c.term())
}

// cutOff isolates one node for long.
func (p *partition) cutOff(what string, choose func(leader, follower, other *node) *node) {
	p.t.Helper()
	leader, follower, other := p.cast()
	lonely := choose(leader, follower, other)
	witness := other // on the other side
	p.during(what+" was cut off", func() { p.net.isolate(p.t, lonely.host) }, func() {
		eventually(p.t, "the lonely node says that it is not ready", func() bool {
			status, _, err := lonely.readyz()
			return err == nil && status == http.StatusServiceUnavailable
		})
		eventually(p.t, "another node leads", func() bool {
			leader := p.c.currentLeader()
			return leader != nil && leader != lonely
		}, p.c.logTails)
		var refusals stopwatch
		var ages []int
		for end := time.Now().Add(*cutFlag); time.Now().Before(end); {
			p.awaitAcks(1)
			p.wantRefusal(lonely, &refusals)
			ages = append(ages, p.wantHonestAge(lonely, witness))
		}
		if *cutFlag >= gossipForgets {
			p.wantGossip(1, lonely)
			p.wantGossip(2, witness)
		}
		p.t.Logf("%s said no_leader %s; its stale reads were %d to %d ms old", lonely.name, &refusals, ages[0],
			ages[len(ages)-1])
	})
}

// gossipForgets is longer than it takes gossip to find a node dead and to forget it.
const gossipForgets = time.Minute

// wantGossip waits until the nodes gossip with so many, themselves included.
func (p *partition) wantGossip(members int, nodes ...*node) {
	p.t.Helper()
	for _, n := range nodes {
		eventually(p.t, fmt.Sprintf("%s gossips with %d", n.name, members), func() bool {
			return int(n.metric("syllecta_gossip_members")) == members
		})
	}
}

// wantRefusal wants a write through the lonely node to be refused, for that reason and with a promise.
func (p *partition) wantRefusal(lonely *node, took *stopwatch) {
	p.t.Helper()
	p.writes++
	key := fmt.Sprint("lonely ", p.writes)
	start := time.Now()
	a := newClient(lonely.url(), p.apiKey).claim(claimRequest{Scope: partitionScope, Key: key})
	took.add(time.Since(start))
	if a.status != http.StatusServiceUnavailable || a.code != "no_leader" || a.header.Get("Retry-After") == "" {
		p.t.Errorf("a claim on the side without a majority: %v, want 503 no_leader", a.answer)
	}
}

// wantHonestAge stores a record on one side and reads it on the other, which cannot have it: it must say that what it
// has is at least as old as the record.
func (p *partition) wantHonestAge(lonely, witness *node) (ms int) {
	p.t.Helper()
	p.writes++
	key := fmt.Sprint("witness ", p.writes)
	var stored answer
	eventually(p.t, "a record is stored on the side with a majority", func() bool {
		stored = newClient(witness.url(), p.apiKey).following().
			put(putRequest{Scope: partitionScope, Key: key, Body: []byte(`1`)})
		return stored.outcome == ok
	}, func() string { return stored.String() })
	acknowledged := time.Now()
	time.Sleep(pollInterval) // so that the record has an age
	atLeast := time.Since(acknowledged).Milliseconds()
	v := newClient(lonely.url(), p.apiKey).getStale(partitionScope, key)
	if v.outcome != ok || v.State != "absent" {
		p.t.Errorf("a stale read on the side without a majority: %v", v.answer)
	}
	text := v.header.Get("Syllecta-Stale-Ms")
	age, err := strconv.Atoi(text)
	if text != "unbounded" && (err != nil || int64(age) < atLeast) {
		p.t.Errorf("a stale read says that it is %s ms old, and misses a record that is %d ms old", text, atLeast)
	}
	return age
}

// muffle cuts the leader off in one direction. No connection gets through that way, so another one must be found.
func (p *partition) muffle(what string, cut func(leader, other *host)) {
	p.t.Helper()
	leader, follower, other := p.cast()
	begin := func() {
		cut(leader.host, follower.host)
		cut(leader.host, other.host)
	}
	p.during(what, begin, func() {
		eventually(p.t, "another node leads", func() bool {
			now := p.c.currentLeader()
			return now != nil && now != leader
		}, p.c.logTails)
		p.goesOn()
	})
}

// bridge harms a single link. Whoever leads then, writes must go on.
func (p *partition) bridge(what string, harm func(leader, follower *host)) {
	p.t.Helper()
	leader, follower, _ := p.cast()
	p.during(what, func() { harm(leader.host, follower.host) }, p.goesOn)
}

// goesOn wants the cluster to serve again and again, for a while.
func (p *partition) goesOn() {
	p.t.Helper()
	for end := time.Now().Add(*cutFlag / 2); time.Now().Before(end); {
		p.awaitAcks(acksBetween)
	}
}

// stopwatch collects how long something took.
type stopwatch struct {
	times         int
	shortest, sum time.Duration
	longest       time.Duration
}

func (s *stopwatch) add(d time.Duration) {
	if s.times == 0 {
		s.shortest = d
	}
	s.times++
	s.sum += d
	s.shortest, s.longest = min(s.shortest, d), max(s.longest, d)
}

func (s *stopwatch) String() string {
	if s.times == 0 {
		return "never"
	}
	return fmt.Sprintf("%d times, after %s to %s, %s on average", s.times, s.shortest.Round(time.Millisecond),
		s.longest.Round(time.Millisecond), (s.sum / time.Duration(s.times)).Round(time.Millisecond))
}
