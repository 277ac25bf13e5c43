package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

const (
	// establishTimeout bounds one step of taking over; establishRetry is the pause before it is tried again.
	establishTimeout = 5 * time.Second
	establishRetry   = 50 * time.Millisecond
	// tickEvery is how often an idle leader looks whether something has expired that an entry should remove.
	tickEvery = time.Second
)

// monitorLeadership follows raft's word on whether this node leads, and has exactly one reign running while it does.
func (n *Node) monitorLeadership(ctx context.Context) {
	end := func() {}
	defer func() { end() }()
	for {
		select {
		case <-ctx.Done():
			return
		case leads := <-n.notify:
			end() // also before a second true: raft lost and won the leadership in between
			end = func() {}
			if leads {
				end = n.startReign(ctx)
			}
			n.peers.notify()
		}
	}
}

// startReign runs a reign and returns what ends it and waits for it.
func (n *Node) startReign(ctx context.Context) (end func()) {
	ctx, stop := context.WithCancel(ctx)
	var running tasks
	running.start(func() { n.reign(ctx) })
	return func() {
		stop()
		running.close()
	}
}

// reign is everything a leader does, from taking over until ctx ends.
func (n *Node) reign(ctx context.Context) {
	defer n.clock.coast()
	if !n.takeOver(ctx) {
		return
	}
	defer n.revoke()
	var work tasks
	defer work.close()
	work.start(func() { n.proposer.run(ctx) })
	work.start(func() { n.tend(ctx) })
	if n.cfg.Lead != nil {
		work.start(func() { n.cfg.Lead(ctx, n) })
	}
	n.lead(ctx)
}

// takeOver establishes the leadership, or hands it on and tries again should nobody take it. It reports false when
// ctx ended first.
func (n *Node) takeOver(ctx context.Context) bool {
	for {
		err := n.establish(ctx, n.raft.CurrentTerm())
		if err == nil {
			return true
		}
		if ctx.Err() == nil {
			n.log.Error("cannot take over the leadership; handing it on", "error", err)
			n.handOver()
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(establishRetry):
		}
	}
}

// establish makes this node ready to serve as leader: every earlier entry is applied, the clock is carried on, and
// the first entry of the term tells the state machine.
func (n *Node) establish(ctx context.Context, term uint64) error {
	if err := n.raft.Barrier(establishTimeout).Error(); err != nil {
		return fmt.Errorf("barrier: %w", err)
	}
	start, err := n.startClock(ctx)
	if err != nil {
		return err
	}
	if err := n.proposeFirstEntry(ctx, start); err != nil {
		return err
	}
	n.clock.set(start.now.Add(time.Since(start.at)))
	if n.raft.CurrentTerm() != term {
		return errors.New("another term began meanwhile")
	}
	n.proposer.lead()
	n.readyTerm.Store(term)
	n.peers.notify()
	n.log.Info("leading", "term", term)
	return nil
}

// foundingLevel is the lowest feature level of a new cluster: every release that can take part in founding one knows it.
const foundingLevel = 2

// levelAtFounding returns the feature level with which a new cluster begins: the highest that all founders know, if all
// of them say so now. Otherwise it rises when they have, see raiseFeatureLevel.
func (n *Node) levelAtFounding(ctx context.Context) uint32 {
	voters := n.voters()
	replies := n.pingAll(ctx, voters)
	if len(replies)+1 < len(voters) {
		return foundingLevel
	}
	level := uint32(fsm.FeatureLevel)
	for _, r := range replies {
		level = min(level, r.Feature)
	}
	return max(level, foundingLevel)
}

func (n *Node) proposeFirstEntry(ctx context.Context, start clockStart) error {
	var frames [][]byte
	if n.Directory().ClusterID == "" {
		level := n.levelAtFounding(ctx)
		frames = append(frames, fsm.Encode(newClusterIdentity(n.passport.affiliation.clusterID())),
			fsm.Encode(fsm.RaiseFeatureLevel{Level: level, Version: featureVersion(level)}))
	}
	first := fsm.Establish{GraceMs: n.cfg.electionTimeout().Milliseconds()}
	stamp := start.now.UnixMilli()
	if start.guessed {
		first.ClockMs, stamp = stamp, start.appliedMs
	}
	frames = append(frames, fsm.Encode(first))
	if err := n.raft.Apply(fsm.EncodeEntry(stamp, fsm.BatchID{}, frames...), establishTimeout).Error(); err != nil {
		return fmt.Errorf("first entry of the term: %w", err)
	}
	return nil
}

// newClusterIdentity draws what identifies a new cluster, but for the id if its founders have agreed on one.
func newClusterIdentity(agreed string) fsm.Init {
	init := fsm.Init{ClusterID: cmp.Or(agreed, randomHex(16))}
	_, _ = rand.Read(init.KeyHashSecret[:]) // never fails (crypto/rand)
	return init
}

// clockStart is what a leader's clock begins with.
type clockStart struct {
	now       time.Time
	at        time.Time // when it was now
	appliedMs int64     // the committed clock
	guessed   bool      // nobody carried the clock on from appliedMs: now is what wall clocks say
}

// startClock finds out what time it is for the cluster. Nothing depends on it before it is committed.
func (n *Node) startClock(ctx context.Context) (start clockStart, err error) {
	n.applier.read(func(m *fsm.Machine) { start.appliedMs = m.ClockMs() })
	now, carried := n.clock.reading()
	if !carried {
		if now, carried, err = n.coldClock(ctx); err != nil {
			return clockStart{}, err
		}
	}
	start.now, start.at = now, time.Now()
	if applied := time.UnixMilli(start.appliedMs); applied.After(now) {
		start.now = applied
	}
	start.guessed = !carried && start.appliedMs > 0
	if start.now.UnixMilli() > fsm.MaxStampMs {
		return clockStart{}, fmt.Errorf("the clocks say %s, which no log entry can carry", start.now)
	}
	return start, nil
}

// coldClock is the time for a node that never heard from a leader since it started: what another voter carries, or
// else the median of the wall clocks. It waits for a majority to answer.
func (n *Node) coldClock(ctx context.Context) (now time.Time, carried bool, err error) {
	for {
		voters := n.voters()
		replies := n.pingAll(ctx, voters)
		if len(replies)+1 > len(voters)/2 {
			now, carried = chooseColdClock(n.wall(), replies)
			return now, carried, nil
		}
		select {
		case <-ctx.Done():
			return time.Time{}, false, fmt.Errorf("set the clock: %w", ctx.Err())
		case <-time.After(establishRetry):
		}
	}
}

func chooseColdClock(wall time.Time, replies []PingReply) (now time.Time, carried bool) {
	walls := []time.Time{wall}
	var latest time.Time
	for _, r := range replies {
		walls = append(walls, r.Wall)
		if r.ClockSure && r.Clock.After(latest) {
			latest = r.Clock // errors of a carried clock are delays, so the latest is the best
		}
	}
	if !latest.IsZero() {
		return latest, true
	}
	return medianTime(walls), false
}

// pingAll asks the voters besides this node how they are, at once.
func (n *Node) pingAll(ctx context.Context, voters []raft.Server) []PingReply {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.electionTimeout())
	defer cancel()
	replies := make([]*PingReply, len(voters))
	var asking tasks
	for i, s := range voters {
		if s.ID == n.id {
			continue
		}
		asking.start(func() {
			var reply PingReply
			if n.peers.ask.call(ctx, n.addresses.at(s), methodPing, PingRequest{From: n.id}, &reply) == nil {
				replies[i] = &reply
			}
		})
	}
	asking.close()
	var answered []PingReply
	for _, r := range slices.DeleteFunc(replies, func(r *PingReply) bool { return r == nil }) {
		answered = append(answered, *r)
	}
	return answered
}

// lead does a leader's periodic work until ctx ends: it steers the clock, and commits an empty entry when something
// has expired, or was counted, and nobody else brings one. An idle cluster with nothing to expire writes nothing.
func (n *Node) lead(ctx context.Context) {
	steer := time.NewTicker(pingEvery)
	defer steer.Stop()
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-steer.C:
			n.steerClock()
			if at, ok := n.quorumTime(); ok {
				n.lastQuorum = at
			}
		case <-tick.C:
			n.reapWhenIdle(ctx)
		}
	}
}

// steerClock slews the cluster clock towards the median wall clock of a majority of the voters.
func (n *Node) steerClock() {
	voters := n.voters()
	walls := []time.Time{n.wall()}
	for _, h := range n.peers.fresh() {
		walls = append(walls, h.reply.Wall.Add(time.Since(h.at)))
	}
	if len(walls) <= len(voters)/2 {
		walls = nil
	}
	n.metrics.clockOffset.Set(n.clock.steer(walls).Seconds())
}

// reapWhenIdle commits empty entries until nothing that has expired or was counted is left, or calls bring entries of
// their own.
func (n *Node) reapWhenIdle(ctx context.Context) {
	for ctx.Err() == nil && (n.reapDue() || n.proposer.tally.due(tallyDelay)) {
		if calls, _ := n.proposer.queued(); calls > 0 {
			return
		}
		proposing, cancel := context.WithTimeout(ctx, establishTimeout)
		_, _, err := n.proposer.propose(proposing, nil)
		cancel()
		if err != nil {
			n.log.Debug("could not commit an empty entry", "error", err)
			return
		}
	}
}

// reapDue reports whether an entry stamped now would remove something.
func (n *Node) reapDue() bool {
	var due int64
	var any bool
	n.applier.read(func(m *fsm.Machine) { due, any = m.ReapDueMs() })
	return any && due <= n.clock.nowMs()
}

// revoke ends what establish began.
func (n *Node) revoke() {
	n.readyTerm.Store(0)
	n.staleness.led(n.lastQuorum)
	n.proposer.revoke()
	n.peers.notify()
	n.log.Info("no longer leading")
}

// IsLeader reports whether this node leads and is ready to serve: in this term, not only in an earlier one of its own.
func (n *Node) IsLeader() bool {
	term := n.readyTerm.Load()
	return term != 0 && n.raft.State() == raft.Leader && n.raft.CurrentTerm() == term && !n.restoring.replacing.Load()
}

// Leader returns the current leader as this node knows it; ok is false while there is none that is ready to serve and
// whose URL is known.
func (n *Node) Leader() (leader Peer, ok bool) {
	if leader, ok = n.knownLeader(); ok {
		n.leaderSeen.Store(int64(time.Since(n.opened)))
	}
	return leader, ok
}

func (n *Node) knownLeader() (Peer, bool) {
	if n.IsLeader() {
		return Peer{ID: string(n.id), HTTPURL: n.cfg.HTTPURL, TicketKey: n.ticketKey}, true
	}
	_, id := n.raft.LeaderWithID()
	h, ok := n.peers.get(id)
	// What it said in an earlier term may be from before it was restarted.
	current := ok && h.reply.Leading && h.reply.Term == n.raft.CurrentTerm() && time.Since(h.at) < peerFresh
	if id == n.id || !current || h.reply.HTTPURL == "" {
		return Peer{}, false
	}
	return Peer{ID: string(id), HTTPURL: h.reply.HTTPURL, TicketKey: h.reply.TicketKey}, true
}

// LeaderlessFor is for how long this node has known no leader, or since it was opened; 0 while it knows one.
func (n *Node) LeaderlessFor() time.Duration {
	if _, ok := n.Leader(); ok {
		return 0
	}
	return time.Since(n.opened) - time.Duration(n.leaderSeen.Load())
}

// WaitLeader is Leader, but waits for one until ctx ends.
func (n *Node) WaitLeader(ctx context.Context) (Peer, bool) {
	for {
		changed := n.peers.changes()
		if p, ok := n.Leader(); ok {
			return p, true
		}
		select {
		case <-ctx.Done():
			return Peer{}, false
		case <-changed:
		case <-time.After(pingEvery): // what a peer said grows old without an event
		}
	}
}

// handOver gives the leadership to the voter that is best prepared, if there is one.
func (n *Node) handOver() {
	if n.raft.State() != raft.Leader {
		return
	}
	to, ok := n.successor(context.Background())
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), establishTimeout)
	n.bringTally(ctx)
	cancel()
	if err := n.raft.LeadershipTransferToServer(to.ID, to.Address).Error(); err != nil {
		n.log.Warn("the leadership could not be handed over", "to", to.ID, "error", err)
	}
}

// successor is the voter that answers now and has applied most. Raft itself would choose by what it sent last, and
// wait for many seconds for a node that is gone (raft 1.8.0).
func (n *Node) successor(ctx context.Context) (best raft.Server, ok bool) {
	var applied uint64
	for _, reply := range n.pingAll(ctx, n.voters()) {
		s, voter := n.serverOf(reply.ID)
		if !voter || reply.Draining || ok && reply.Applied <= applied {
			continue
		}
		best, applied, ok = s, reply.Applied, true
	}
	return best, ok
}
