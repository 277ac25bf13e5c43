package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

const (
	// tendEvery is how often a leader looks after the members.
	tendEvery = 500 * time.Millisecond
	// changeTimeout bounds one change of raft's configuration.
	changeTimeout = 5 * time.Second
)

// steward is what the leader keeps to look after the members.
type steward struct {
	changing chan struct{} // holds a value while members are changed; made by newSteward
	// healthySince tells since when members without a vote have been fit for one. It belongs to tend.
	healthySince map[raft.ServerID]time.Time
	lost         []string // see retireLost
}

func newSteward() steward { return steward{changing: make(chan struct{}, 1)} }

// begin waits until no other change of the members is under way. The caller ends its own with release.
func (s *steward) begin(ctx context.Context) (release func(), err error) {
	select {
	case s.changing <- struct{}{}:
		return func() { <-s.changing }, nil
	case <-ctx.Done():
		return nil, refuse(ReasonChangePending, "another change of the members is still under way")
	}
}

// tend looks after the members until ctx ends: it raises the feature level when all know the next, completes what the
// state machine has to know of them, follows them to new addresses, gives votes to those who earned them, and finishes
// removals that were interrupted.
func (n *Node) tend(ctx context.Context) {
	n.steward.healthySince = make(map[raft.ServerID]time.Time)
	ticker := time.NewTicker(tendEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, duty := range []func(context.Context) error{
			n.raiseFeatureLevel, n.recordMembers, n.retireLost, n.finishRemovals, n.followAddresses, n.promoteHealthy,
		} {
			working, done := context.WithTimeout(ctx, changeTimeout)
			if err := duty(working); err != nil && ctx.Err() == nil {
				n.log.Debug("looking after the members", "error", err)
			}
			done()
		}
	}
}

// decide commits a command whose outcome must be OK.
func (n *Node) decide(ctx context.Context, cmd fsm.Command) error {
	results, _, err := n.proposer.propose(ctx, []Call{{Command: cmd}})
	if err != nil {
		return err
	}
	switch results[0].Outcome {
	case fsm.OK:
		return nil
	case fsm.LimitReached:
		return refuse(ReasonTooManyMembers, "the cluster has %d members already", fsm.MaxMembers)
	default:
		return refuse(ReasonDifferentDisk, "the members have changed meanwhile: look at them again")
	}
}

// settled waits for a change that raft makes.
func settled(ctx context.Context, f raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- f.Error() }() // ends with the future, which raft settles at the latest when it shuts down
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// requireFeature refuses what members of an older release could not follow.
func (n *Node) requireFeature(level uint32) error {
	if have := n.Directory().FeatureLevel; have < level {
		return refuse(ReasonChangePending, "the cluster is at feature level %d and this needs %d: "+
			"bring every node to the newest release first", have, level)
	}
	return nil
}

// raiseFeatureLevel lets the log hold what every member understands, once all have said that they do.
func (n *Node) raiseFeatureLevel(ctx context.Context) error {
	level := uint32(fsm.FeatureLevel)
	for _, s := range n.servers() {
		if s.ID == n.id {
			continue
		}
		h, ok := n.peers.get(s.ID)
		if !ok {
			return nil
		}
		level = min(level, h.reply.Feature)
	}
	if level <= n.Directory().FeatureLevel {
		return nil
	}
	n.log.Info("raising the feature level", "level", level)
	return n.decide(ctx, fsm.RaiseFeatureLevel{Level: level, Version: featureVersion(level)})
}

// featureVersion is the oldest release that knows a level.
func featureVersion(level uint32) string { return fmt.Sprintf("0.%d.0", level) }

// recordMembers has the state machine know every member and its disk: the founders were never admitted.
func (n *Node) recordMembers(ctx context.Context) error {
	if n.Directory().FeatureLevel < 2 {
		return nil
	}
	for _, s := range n.servers() {
		disk := n.passport.diskID
		if s.ID != n.id {
			h, _ := n.peers.get(s.ID)
			disk = h.reply.DiskID
		}
		m := n.Directory().Member(string(s.ID))
		if disk == "" || m != nil && (m.Retired() || m.DiskID != "") {
			continue
		}
		admit := fsm.AdmitMember{NodeID: string(s.ID), DiskID: disk, NonVoter: m != nil && m.NonVoter}
		if err := n.decide(ctx, admit); err != nil {
			return err
		}
	}
	return nil
}

// finishRemovals takes those out of raft's configuration whom the state machine knows to be removed.
func (n *Node) finishRemovals(ctx context.Context) error {
	var errs []error
	for _, s := range n.servers() {
		if m := n.Directory().Member(string(s.ID)); m == nil || !m.Retired() {
			continue
		}
		if s.ID == n.id {
			n.handOver() // the next leader finishes it
			return nil
		}
		errs = append(errs, n.change(ctx, func() error { return n.expel(ctx, s.ID) }))
	}
	return errors.Join(errs...)
}

// change makes a change of the members while no other is under way.
func (n *Node) change(ctx context.Context, apply func() error) error {
	release, err := n.steward.begin(ctx)
	if err != nil {
		return err
	}
	defer release()
	return apply()
}

// followAddresses writes into raft's configuration where members have moved to: gossip finds them without, but a
// node that knows nothing yet but its log needs it.
func (n *Node) followAddresses(ctx context.Context) error {
	var errs []error
	for _, s := range n.servers() {
		if _, moved := n.movedTo(s.ID); moved {
			// Should one be where another was, that one has to be followed first.
			errs = append(errs, n.follow(ctx, s.ID))
		}
	}
	return errors.Join(errs...)
}

func (n *Node) follow(ctx context.Context, id raft.ServerID) error {
	return n.change(ctx, func() error {
		s, moved := n.movedTo(id) // it may have been removed while others changed the members
		if !moved {
			return nil
		}
		n.log.Info("a member has moved", "member", id, "to", s.Address)
		return n.configure(ctx, s)
	})
}

// movedTo returns a member with the address at which it is reached, if the configuration has another one.
func (n *Node) movedTo(id raft.ServerID) (s raft.Server, moved bool) {
	s, known := n.serverOf(id)
	if !known {
		return s, false
	}
	_, at := locate(n.addresses.at(s))
	h, heard := n.peers.get(id)
	answers := id == n.id || heard && time.Since(h.at) < peerFresh
	moved = answers && raft.ServerAddress(at) != s.Address
	s.Address = raft.ServerAddress(at)
	return s, moved
}

// configure puts a server into raft's configuration as it is given.
func (n *Node) configure(ctx context.Context, s raft.Server) error {
	add := n.raft.AddNonvoter
	if s.Suffrage == raft.Voter {
		add = n.raft.AddVoter
	}
	if err := settled(ctx, add(s.ID, s.Address, 0, changeTimeout)); err != nil {
		return n.changeError("put into the configuration", s.ID, err)
	}
	return nil
}

func (n *Node) changeError(what string, id raft.ServerID, err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrRaftShutdown):
		return ErrNotLeader
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, raft.ErrEnqueueTimeout):
		return refuse(ReasonChangePending, "%s was not %s in time: the change goes on, or an earlier one is not settled", id, what)
	default:
		return refuse(ReasonChangePending, "%s was not %s: %v", id, what, err)
	}
}

// promoteHealthy gives a vote to members that joined to get one and have been fit for it long enough.
func (n *Node) promoteHealthy(ctx context.Context) error {
	var errs []error
	for _, s := range n.Status().Nodes {
		m := n.Directory().Member(s.ID)
		id := raft.ServerID(s.ID)
		if s.Voter || !s.Healthy || m == nil || m.NonVoter || m.Retired() {
			delete(n.steward.healthySince, id)
			continue
		}
		since, seen := n.steward.healthySince[id]
		if !seen {
			n.steward.healthySince[id] = time.Now()
		}
		if seen && time.Since(since) >= n.cfg.PromoteAfter {
			errs = append(errs, n.change(ctx, func() error { return n.giveVote(ctx, id) }))
		}
	}
	return errors.Join(errs...)
}

// giveVote makes a member a voter.
func (n *Node) giveVote(ctx context.Context, id raft.ServerID) error {
	s, ok := n.serverOf(id)
	if !ok {
		return n.unknownNode(string(id))
	}
	s.Suffrage = raft.Voter
	if err := n.configure(ctx, s); err != nil {
		return err
	}
	n.log.Info("a member votes from now on", "member", id)
	return nil
}

func (n *Node) serverOf(id raft.ServerID) (raft.Server, bool) {
	for _, s := range n.servers() {
		if s.ID == id {
			return s, true
		}
	}
	return raft.Server{}, false
}
