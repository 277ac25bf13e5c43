package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

const (
	// formEvery is how often a node that has no cluster yet looks whether one can be formed.
	formEvery        = 50 * time.Millisecond
	agreementTimeout = 2 * time.Second
)

// formation is how a node comes into a cluster.
type formation struct {
	gossip atomic.Pointer[gossip] // nil for a node without
	// look wakes the loop that looks for other nodes.
	look chan struct{}

	mu      sync.Mutex
	forming string // why no cluster is formed yet
	joining string // why this node was not taken into one yet
	// seeds are addresses of nodes beside the configured ones; strangers says of which addresses the nodes are none of
	// this node's peers, and why.
	seeds     []string
	strangers map[string]string
	surveyed  bool // every seed was tried once
	// formed holds the nodes that were met and are members of a formed cluster of this name, by address: beside it, no
	// other is founded. One that is not met again stays, since its cluster may only be out of reach.
	formed map[string]hello
}

// wait notes why there is no cluster yet.
func (f *formation) wait(reason string) (changed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed = f.forming != reason
	f.forming = reason
	return changed
}

// waitToJoin notes why this node was not taken into a cluster yet.
func (f *formation) waitToJoin(reason string) (changed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed = f.joining != reason
	f.joining = reason
	return changed
}

func (f *formation) reason() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return cmp.Or(f.joining, f.forming)
}

// hasState reports whether this node is, or has been, a member of a formed cluster.
func (n *Node) hasState() bool { return n.raft.LastIndex() > 0 || len(n.servers()) > 0 }

// form founds a new cluster as soon as exactly the expected number of nodes see each other and agree. Only the one
// with the lowest id acts; the others learn the configuration from it.
func (n *Node) form(ctx context.Context) {
	ticker := time.NewTicker(formEvery)
	defer ticker.Stop()
	for !n.hasState() && !n.passport.affiliation.joined() {
		if reason := n.tryToForm(ctx); n.formation.wait(reason) && reason != "" {
			n.log.Info("no cluster yet", "reason", reason)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
	n.formation.wait("")
	n.lookAgain()
}

// tryToForm founds the cluster, or says why it cannot be founded yet.
func (n *Node) tryToForm(ctx context.Context) (reason string) {
	founders, reason := n.founders()
	if reason != "" {
		return reason
	}
	if founders[0].ID != n.id {
		return fmt.Sprintf("waiting for %s, which has the lowest id, to found the cluster", founders[0].ID)
	}
	if reason := n.agree(ctx, founders); reason != "" {
		return reason
	}
	n.log.Info("founding a new cluster", "founders", ids(founders), "cluster", n.passport.affiliation.clusterID())
	if err := n.raft.BootstrapCluster(raft.Configuration{Servers: founders}).Error(); err != nil {
		return fmt.Sprintf("raft refused to found the cluster: %v", err)
	}
	return ""
}

// founders returns the nodes that would found a cluster, in order of their ids, or why there are none.
func (n *Node) founders() (founders []raft.Server, reason string) {
	expect := n.cfg.BootstrapExpect
	if expect == 1 {
		return []raft.Server{{ID: n.id, Address: raft.ServerAddress(n.cfg.RaftAdvertise)}}, ""
	}
	for id, meta := range n.gossiped() {
		switch {
		case meta.HasState:
			return nil, fmt.Sprintf("%s is a member of a cluster already; waiting to join it", id)
		case meta.Expect == 0 || meta.NonVoter:
			continue // it waits to join what others found
		case meta.Expect != expect:
			return nil, fmt.Sprintf("%s expects %d nodes, this one %d: set the same number on all", id, meta.Expect, expect)
		}
		founders = append(founders, raft.Server{ID: id, Address: raft.ServerAddress(meta.RaftAddr)})
	}
	if len(founders) != expect {
		reason := fmt.Sprintf("%d of %d expected nodes are here", len(founders), expect)
		if len(founders) > expect {
			reason += ": start as many as expected first, and the others when these have formed a cluster"
		}
		if strangers := n.formation.strangersInWords(); strangers != "" {
			reason += "; not counted: " + strangers
		}
		return nil, reason
	}
	if !n.formation.hasSurveyed() {
		return nil, "looking for a cluster that exists already"
	}
	if who, met := n.formation.anyFormed(); met {
		return nil, fmt.Sprintf("waiting to be taken into cluster %s, which %s belongs to; if that is gone for good, restart "+
			"this node without its address", who.ClusterID, who.NodeID)
	}
	slices.SortFunc(founders, func(a, b raft.Server) int { return cmp.Compare(a.ID, b.ID) })
	return founders, ""
}

// agree asks every founder whether it sees the same founders, and binds it to the cluster that they are to found.
func (n *Node) agree(ctx context.Context, founders []raft.Server) (reason string) {
	ctx, cancel := context.WithTimeout(ctx, agreementTimeout)
	defer cancel()
	clusterID := n.clusterToFound()
	for _, bind := range []bool{false, true} {
		if reason := n.askFounders(ctx, founders, FoundRequest{clusterID, ids(founders), bind}); reason != "" {
			return reason
		}
	}
	return ""
}

// askFounders asks every founder, this node included, and returns why one of them does not agree.
func (n *Node) askFounders(ctx context.Context, founders []raft.Server, request FoundRequest) (reason string) {
	for _, f := range founders {
		var reply FoundReply
		if f.ID == n.id {
			reply = n.founding(request)
		} else if err := n.passport.ask(ctx, located(f.ID, f.Address), methodFound, request, &reply); err != nil {
			return fmt.Sprintf("%s does not answer: %v", f.ID, err)
		}
		if !reply.Agreed {
			return fmt.Sprintf("%s does not agree: %s", f.ID, reply.Reason)
		}
	}
	return ""
}

// clusterToFound is the id of the cluster this node has promised to found, or a new one.
func (n *Node) clusterToFound() string {
	if id, founders := n.passport.affiliation.founders(); founders != nil {
		return id
	}
	return newClusterIdentity("").ClusterID
}

// founding answers whether this node would found a cluster with exactly these nodes, and holds it to a yes.
func (n *Node) founding(request FoundRequest) FoundReply {
	if n.hasState() {
		return FoundReply{Reason: "it is a member of a cluster already"}
	}
	own, reason := n.founders()
	if reason != "" {
		return FoundReply{Reason: reason}
	}
	if !slices.Equal(ids(own), request.Founders) {
		return FoundReply{Reason: fmt.Sprintf("it sees %v", ids(own))}
	}
	if len(request.ClusterID) == 0 || len(request.ClusterID) > fsm.MaxNameBytes {
		return FoundReply{Reason: "it was not told which cluster"}
	}
	a := n.passport.affiliation
	err := a.wouldPromise(request.ClusterID, request.Founders)
	if err == nil && request.Bind {
		err = a.promise(n.cfg.ClusterName, request.ClusterID, request.Founders)
	}
	if err != nil {
		return FoundReply{Reason: err.Error()}
	}
	return FoundReply{Agreed: true}
}

func ids(servers []raft.Server) []raft.ServerID {
	all := make([]raft.ServerID, len(servers))
	for i, s := range servers {
		all[i] = s.ID
	}
	return all
}
