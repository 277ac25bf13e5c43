package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

const (
	// tendEvery is how often a leader looks after the members.
	tendEvery = 500 * time.Millisecond
	// changeTimeout bounds one change of raft's configuration.
	changeTimeout = 5 * time.Second
	// farewellTries is how often the leader tells a node that it was removed.
	farewellTries = 5
	// removedGrace is how long a removed node goes on saying so before it ends.
	removedGrace = 2 * time.Second
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
	for _, s := range n.servers() {
		if m := n.Directory().Member(string(s.ID)); m == nil || !m.Retired() {
			continue
		}
		if s.ID == n.id {
			n.handOver() // the next leader finishes it
			return nil
		}
		release, err := n.steward.begin(ctx)
		if err != nil {
			return err
		}
		err = n.expel(ctx, s.ID)
		release()
		if err != nil {
			return err
		}
	}
	return nil
}

// expel takes a node out of raft's configuration and tells it, for as long as it may not have learned it by itself.
func (n *Node) expel(ctx context.Context, id raft.ServerID) error {
	at, known := n.serverOf(id)
	if !known {
		return nil
	}
	if err := settled(ctx, n.raft.RemoveServer(id, 0, changeTimeout)); err != nil {
		return n.changeError("taken out of the configuration", id, err)
	}
	n.peers.forget(id)
	n.tasks.start(func() { n.sayFarewell(n.addresses.at(at)) })
	return nil
}

func (n *Node) sayFarewell(to raft.ServerAddress) {
	id, _ := locate(to)
	for range farewellTries {
		ctx, cancel := context.WithTimeout(n.ctx, pingTimeout)
		err := n.peers.ask.call(ctx, to, methodRemoved, RemovedRequest{id}, &RemovedReply{})
		cancel()
		if err == nil || n.ctx.Err() != nil {
			return
		}
		select {
		case <-n.ctx.Done():
		case <-time.After(pingTimeout):
		}
	}
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
	release, err := n.steward.begin(ctx)
	if err != nil {
		return err
	}
	defer release()
	s, moved := n.movedTo(id) // it may have been removed while others changed the members
	if !moved {
		return nil
	}
	n.log.Info("a member has moved", "member", id, "to", s.Address)
	return n.configure(ctx, s)
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
		if !seen || time.Since(since) < n.cfg.PromoteAfter {
			continue
		}
		release, err := n.steward.begin(ctx)
		if err != nil {
			return err
		}
		err = n.giveVote(ctx, id)
		release()
		if err != nil {
			return err
		}
	}
	return nil
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

// answerJoin answers a node that wants to become a member, or names the leader.
func (n *Node) answerJoin(ctx context.Context, request JoinRequest) JoinReply {
	if !n.IsLeader() {
		at, id := n.raft.LeaderWithID()
		if id == "" || id == n.id {
			return JoinReply{}
		}
		return JoinReply{Leader: string(n.addresses.at(raft.Server{ID: id, Address: at}))}
	}
	err := n.admissible(request)
	if err == nil {
		err = n.callBack(ctx, request)
	}
	if err == nil {
		err = n.admit(ctx, request)
	}
	var r *Refusal
	switch {
	case err == nil:
		return JoinReply{Admitted: true}
	case errors.As(err, &r):
		return JoinReply{Refused: r.Reason, Detail: r.Detail}
	default:
		return JoinReply{Refused: ReasonChangePending, Detail: err.Error()}
	}
}

// admissible says why a node cannot become a member, or nil.
func (n *Node) admissible(request JoinRequest) error {
	d := n.Directory()
	switch {
	case request.ClusterID != n.passport.affiliation.clusterID():
		return refuse(ReasonOtherCluster, "this is cluster %s", n.passport.affiliation.clusterID())
	case !namePattern.MatchString(string(request.NodeID)) || request.RaftAddr == "":
		return refuse(ReasonUnknownNode, "it does not say who and where it is")
	case request.Feature < d.FeatureLevel:
		return refuse(ReasonOldRelease, "the cluster is at feature level %d, which needs syllecta %s or newer; %s runs %s",
			d.FeatureLevel, d.FeatureVersion, request.NodeID, request.Version)
	}
	if m := d.Member(string(request.NodeID)); m != nil {
		if m.Retired() {
			return refuse(ReasonRetiredNode, "%s was removed from the cluster at %s; its id is never used again: give the node a "+
				"new id and an empty data directory", m.NodeID, time.UnixMilli(m.RetiredAtMs).UTC().Format(time.RFC3339))
		}
		if m.DiskID != "" && m.DiskID != request.DiskID {
			return refuse(ReasonDifferentDisk, "%s", differentDisk(request.NodeID))
		}
	}
	for _, s := range n.servers() {
		if s.ID != request.NodeID && string(s.Address) == request.RaftAddr {
			return refuse(ReasonUnreachable, "%s is the address of %s: remove that member, or give the new node another address",
				request.RaftAddr, s.ID)
		}
	}
	return n.requireFeature(2)
}

// callBack finds out whether a node that wants to join is who it says it is, and can be reached where it says: a member
// that cannot is of no use to anybody, and what it says in the lobby need not be true.
func (n *Node) callBack(ctx context.Context, request JoinRequest) error {
	if _, member := n.serverOf(request.NodeID); member {
		return nil
	}
	ctx, done := context.WithTimeout(ctx, greetTimeout)
	defer done()
	who, err := n.passport.greet(ctx, string(located(request.NodeID, raft.ServerAddress(request.RaftAddr))))
	switch {
	case err != nil:
		return refuse(ReasonUnreachable, "the leader, %s, does not reach %s at its address: %v", n.id, request.NodeID, err)
	case who.DiskID != request.DiskID:
		return refuse(ReasonDifferentDisk, "another %s answers at %s", request.NodeID, request.RaftAddr)
	}
	return nil
}

// admit takes a node into the cluster without a vote. Repeating it changes nothing.
func (n *Node) admit(ctx context.Context, request JoinRequest) error {
	if _, member := n.serverOf(request.NodeID); member {
		return nil
	}
	release, err := n.steward.begin(ctx)
	if err != nil {
		return err
	}
	defer release()
	err = n.decide(ctx, fsm.AdmitMember{
		NodeID: string(request.NodeID), DiskID: request.DiskID, NonVoter: request.NonVoter,
	})
	if err != nil {
		return err
	}
	n.log.Info("a node joins", "member", request.NodeID, "address", request.RaftAddr, "nonVoter", request.NonVoter)
	return n.configure(ctx, raft.Server{
		Suffrage: raft.Nonvoter, ID: request.NodeID, Address: raft.ServerAddress(request.RaftAddr),
	})
}

// checkRemoved notices that the log says this node was removed.
func (n *Node) checkRemoved() {
	if n.isOut(n.id) {
		n.leaveForGood()
	}
}

// isOut reports whether a node was removed and has no part in raft's configuration any more. Until then the others may
// need its vote, if only to take it out.
func (n *Node) isOut(id raft.ServerID) bool {
	m := n.Directory().Member(string(id))
	if m == nil || !m.Retired() {
		return false
	}
	_, there := n.serverOf(id)
	return !there
}

// leaveForGood ends a node that was removed from its cluster: it says so, is ready no more, and marks its data
// directory so that it does not come back.
func (n *Node) leaveForGood() {
	if !n.removed.CompareAndSwap(false, true) {
		return
	}
	mark := removal{documentHead{documentVersion}, string(n.id), n.passport.affiliation.clusterID(), n.wall()}
	if err := writeDocument(filepath.Join(n.cfg.DataDir, removedFile), mark); err != nil {
		n.log.Error("the data directory could not be marked as removed", "error", err)
	}
	n.log.Warn("this node was removed from the cluster and ends", "after", removedGrace)
	n.tasks.start(func() {
		select {
		case <-n.ctx.Done():
		case <-time.After(removedGrace):
			n.fail(fmt.Errorf("%w: its id is never used again; to use this machine, empty %s and give the node a new id",
				ErrRemoved, n.cfg.DataDir))
		}
	})
}
