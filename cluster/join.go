package cluster

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sync/errgroup"

	"github.com/syllecta/syllecta/fsm"
)

const (
	// lookRetry is the pause between two looks for other nodes while none has answered, or this node is in no cluster;
	// lookEvery afterwards: gossip forgets dead nodes and does not find them again by itself after a long partition
	// (memberlist #222).
	lookRetry = 200 * time.Millisecond
	lookEvery = 10 * time.Second
	// lookLeaderless is the pause of a member that knows no leader: it, or the others, may be somewhere else by now.
	lookLeaderless = time.Second
	// greetTimeout bounds getting to know one node; maxGreets is how many are greeted at once.
	greetTimeout = 2 * time.Second
	maxGreets    = 8
	// maxStrangers and maxSeeds bound what is remembered of other nodes.
	maxStrangers = 64
	maxSeeds     = 64
	// admitTimeout bounds taking a node into the cluster.
	admitTimeout = 10 * time.Second
)

// join starts gossip, if it is configured, and the ways into a cluster.
func (n *Node) join(ctx context.Context) error {
	if err := n.adoptCluster(); err != nil {
		return err
	}
	if n.cfg.GossipAddr != "" {
		g, err := newGossip(n)
		if err != nil {
			return err
		}
		n.formation.gossip.Store(g)
		n.closers = append(n.closers, g.close)
		n.loops.start(func() { n.lookAround(n.ctx, g) })
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if n.cfg.BootstrapExpect > 0 && !n.hasState() {
		n.formation.wait("looking for the other nodes")
		n.loops.start(func() { n.form(n.ctx) })
	}
	return nil
}

// adoptCluster finds out to which cluster a data directory belongs that was written before it was kept in a file.
func (n *Node) adoptCluster() error {
	a := n.passport.affiliation
	if a.clusterID() != "" || !n.hasState() {
		return nil
	}
	id := n.Directory().ClusterID
	if id == "" {
		id = clusterIDInLog(n.logs)
	}
	if id == "" {
		return fmt.Errorf("%s is missing beside an existing log: restore it, the node must know its cluster", affiliationFile)
	}
	return a.join(n.cfg.ClusterName, id)
}

// clusterIDInLog looks for the entry that gave the cluster its identity; "" if it is not there.
func clusterIDInLog(logs raft.LogStore) string {
	first, err := logs.FirstIndex()
	last, lastErr := logs.LastIndex()
	if err != nil || lastErr != nil {
		return ""
	}
	for index := first; index <= last; index++ {
		var log raft.Log
		if logs.GetLog(index, &log) != nil || log.Type != raft.LogCommand {
			continue
		}
		e, err := fsm.DecodeEntry(log.Data)
		if err != nil {
			return ""
		}
		for _, cmd := range e.Commands {
			if init, ok := cmd.(fsm.Init); ok {
				return init.ClusterID
			}
		}
	}
	return ""
}

// lookAround meets the nodes at the known addresses, again and again until ctx ends.
func (n *Node) lookAround(ctx context.Context, g *gossip) {
	for {
		if g.relabel(n.gossipLabel()) {
			n.log.Debug("gossip has changed its label", "label", n.gossipLabel())
		}
		met := n.meetAll(ctx, g)
		pause := lookRetry
		if met && n.belongs() {
			pause = lookEvery
			if n.LeaderlessFor() > 0 {
				pause = lookLeaderless
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-n.formation.look:
		case <-time.After(pause):
		}
	}
}

// lookAgain wakes lookAround.
func (n *Node) lookAgain() {
	select {
	case n.formation.look <- struct{}{}:
	default:
	}
}

// belongs reports whether this node is a member of a cluster, or bound to become one of a cluster that exists.
func (n *Node) belongs() bool { return n.hasState() || n.passport.affiliation.joined() }

// gossipLabel keeps the gossip of clusters apart from each other, and from nodes that have none yet.
func (n *Node) gossipLabel() string {
	label := "syllecta/" + n.cfg.ClusterName
	if n.belongs() {
		label += "/" + n.passport.affiliation.clusterID()
	}
	return label
}

// meetAll meets the nodes at all addresses worth a try, and reports whether there was one that this node belongs with, or
// there was nobody to look for.
func (n *Node) meetAll(ctx context.Context, g *gossip) (met bool) {
	addresses := n.addressesToTry()
	found := make([]bool, len(addresses))
	var group errgroup.Group
	group.SetLimit(maxGreets)
	for i, at := range addresses {
		group.Go(func() error {
			found[i] = n.meet(ctx, g, at)
			return nil
		})
	}
	_ = group.Wait() // no meeting fails
	if ctx.Err() == nil {
		n.formation.mu.Lock()
		n.formation.surveyed = true
		n.formation.mu.Unlock()
	}
	return len(addresses) == 0 || slices.Contains(found, true)
}

// addressesToTry are the configured ones and those of members that gossip does not see.
func (n *Node) addressesToTry() []string {
	n.formation.mu.Lock()
	all := slices.Concat(n.cfg.Join, n.formation.seeds)
	n.formation.mu.Unlock()
	alive := n.gossiped()
	for _, s := range n.servers() {
		if _, ok := alive[s.ID]; !ok {
			all = append(all, string(s.Address))
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return slices.DeleteFunc(all, func(at string) bool { return at == n.cfg.RaftAdvertise })
}

// meet gets to know the node at an address and does what fits: gossip with it, or ask to be taken into its cluster.
func (n *Node) meet(ctx context.Context, g *gossip, at string) (met bool) {
	ctx, cancel := context.WithTimeout(ctx, greetTimeout+admitTimeout)
	defer cancel()
	greeting, done := context.WithTimeout(ctx, greetTimeout)
	who, err := n.passport.greet(greeting, at)
	done()
	if err != nil {
		n.noteStranger(at, who, err)
		return false
	}
	n.formation.noteFormed(at, who)
	own := n.passport.affiliation.clusterID()
	switch {
	case who.NodeID == n.id && who.DiskID == n.passport.diskID:
		return false
	case who.NodeID == n.id:
		n.noteStranger(at, who, fmt.Errorf("it calls itself %s, as this node does: ids must differ", who.NodeID))
		return false
	case n.belongs() && (!who.Formed || who.ClusterID != own):
		if who.Formed {
			n.noteStranger(at, who, fmt.Errorf("it belongs to another cluster of the same name, %s", who.ClusterID))
		}
		return false
	case !n.hasState() && who.Formed && (own == "" || own == who.ClusterID):
		// Also when it is bound to that cluster already: whoever invited it may not have come to admitting it, and a
		// founder that was away may have been removed.
		n.askToJoin(ctx, at, who)
		if own == "" {
			return false // gossip with that cluster comes next, under its label
		}
	case !n.belongs() && who.Formed && who.ClusterID != own:
		n.askToJoin(ctx, at, who) // which says why not
		return false
	}
	n.noteFriend(at)
	return g.contact(who.GossipAddr)
}

// noteStranger remembers why the node at an address is no peer. That nobody answers there is no news.
func (n *Node) noteStranger(at string, who hello, err error) {
	if who.NodeID == "" && !isDenial(err) {
		n.log.Debug("no node to be met at an address", "address", at, "error", err)
		return
	}
	f := &n.formation
	reason := err.Error()
	if r, refused := refusalOf(err); refused {
		reason = r.Detail
	}
	reason = fmt.Sprintf("%s at %s (%s)", cmp.Or(who.NodeID, "a node"), at, reason)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.strangers[at] == reason || len(f.strangers) >= maxStrangers {
		return
	}
	if f.strangers == nil {
		f.strangers = make(map[string]string)
	}
	f.strangers[at] = reason
	n.log.Warn("a node is not taken for a peer", "peer", who.NodeID, "address", at, "reason", err)
}

// isDenial reports whether err shows that somebody answers at an address and does not want to talk, or not like this: by
// TLS, by its absence, or by another protocol.
func isDenial(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return false // it may just be slow
	}
	var alert tls.AlertError // of TLS 1.3, a server's opinion of a certificate comes after the handshake
	return errors.Is(err, errNotOurs) || errors.Is(err, errHandshake) || errors.As(err, &alert)
}

// noteFormed remembers whether the node at an address belongs to a formed cluster.
func (f *formation) noteFormed(at string, who hello) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !who.Formed {
		delete(f.formed, at)
		return
	}
	if f.formed == nil {
		f.formed = make(map[string]hello)
	}
	if _, known := f.formed[at]; known || len(f.formed) < maxStrangers {
		f.formed[at] = who
	}
}

// anyFormed returns one of the nodes that noteFormed has noted.
func (f *formation) anyFormed() (who hello, met bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, at := range slices.Sorted(maps.Keys(f.formed)) {
		return f.formed[at], true
	}
	return hello{}, false
}

func (n *Node) noteFriend(at string) {
	n.formation.mu.Lock()
	defer n.formation.mu.Unlock()
	delete(n.formation.strangers, at)
}

func (f *formation) strangersInWords() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Values(f.strangers)), ", ")
}

func (f *formation) hasSurveyed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.surveyed
}

// addSeed remembers the address of a node to look for.
func (f *formation) addSeed(at string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Contains(f.seeds, at) && len(f.seeds) < maxSeeds {
		f.seeds = append(f.seeds, at)
	}
}

// askToJoin asks the node that was met at an address, and then the leader it names, to take this node into their cluster.
func (n *Node) askToJoin(ctx context.Context, at string, who hello) {
	promised, founders := n.passport.affiliation.founders()
	if founders != nil && promised != who.ClusterID {
		n.refusedToJoin(who, fmt.Sprintf("this node has agreed to found cluster %s with %v; empty its data directory to "+
			"have it join another", promised, founders))
		return
	}
	reply, err := n.requestMembership(ctx, located(who.NodeID, raft.ServerAddress(at)), who.ClusterID)
	switch {
	case err != nil:
		n.refusedToJoin(who, err.Error())
	case reply.Refused != "":
		n.refusedToJoin(who, reply.Detail)
	case !reply.Admitted && founders != nil: // it is being founded just now
	case !reply.Admitted:
		n.refusedToJoin(who, "it has no leader at the moment")
	default:
		n.formation.addSeed(who.RaftAddr)
		if err := n.acceptCluster(who.ClusterID); err != nil {
			n.refusedToJoin(who, err.Error())
			return
		}
		n.formation.waitToJoin("")
		n.log.Info("taken into a cluster", "cluster", who.ClusterID, "through", who.NodeID)
	}
}

func (n *Node) refusedToJoin(who hello, reason string) {
	reason = fmt.Sprintf("not taken into cluster %s, which %s belongs to: %s", who.ClusterID, who.NodeID, reason)
	if n.formation.waitToJoin(reason) {
		n.log.Warn("this node is in no cluster", "reason", reason)
	}
}

// requestMembership asks one node, and the leader instead if that is another one.
func (n *Node) requestMembership(ctx context.Context, at raft.ServerAddress, clusterID string) (JoinReply, error) {
	request := JoinRequest{
		ClusterID: clusterID,
		NodeID:    n.id,
		DiskID:    n.passport.diskID,
		RaftAddr:  n.cfg.RaftAdvertise,
		NonVoter:  n.cfg.NonVoter,
		Version:   n.cfg.Version,
		Feature:   fsm.FeatureLevel,
	}
	reply, err := n.passport.requestMembership(ctx, at, request)
	if err != nil || reply.Leader == "" {
		return reply, err
	}
	reply, err = n.passport.requestMembership(ctx, raft.ServerAddress(reply.Leader), request)
	reply.Leader = ""
	return reply, err
}

// requestMembership asks one node. An answer that comes too late may still be being read, so none is returned then.
func (p *passport) requestMembership(ctx context.Context, at raft.ServerAddress, request JoinRequest) (JoinReply, error) {
	var reply JoinReply
	if err := p.ask(ctx, at, methodJoin, request, &reply); err != nil {
		return JoinReply{}, err
	}
	return reply, nil
}

var errHasCluster = errors.New("it is a member of a cluster already")

// acceptCluster binds this node to a cluster that takes it in.
func (n *Node) acceptCluster(clusterID string) error {
	if len(clusterID) == 0 || len(clusterID) > fsm.MaxNameBytes {
		return errors.New("it was not told which cluster")
	}
	a := n.passport.affiliation
	if n.hasState() && a.clusterID() != clusterID {
		return errHasCluster
	}
	if promised, founders := a.founders(); founders != nil && promised != clusterID && !n.hasState() {
		return fmt.Errorf("it has agreed to found a cluster with %v; empty its data directory to have it join another", founders)
	}
	if err := a.join(n.cfg.ClusterName, clusterID); err != nil {
		return err
	}
	n.lookAgain()
	return nil
}
