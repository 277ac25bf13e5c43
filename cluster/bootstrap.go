package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// formEvery is how often a node that has no cluster yet looks whether one can be formed.
	formEvery        = 50 * time.Millisecond
	agreementTimeout = 2 * time.Second
)

// formation is how a node comes into a cluster.
type formation struct {
	gossip *gossip

	mu sync.Mutex
	// promised is the set of founders this node has agreed to. It agrees to one set only, so two sets that overlap
	// cannot both be founded.
	promised []raft.ServerID
	waiting  string // why no cluster is formed yet
}

func (f *formation) wait(reason string) (changed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed = f.waiting != reason
	f.waiting = reason
	return changed
}

func (f *formation) reason() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waiting
}

// hasState reports whether this node is, or has been, a member of a formed cluster.
func (n *Node) hasState() bool { return n.raft.LastIndex() > 0 || len(n.servers()) > 0 }

// form founds a new cluster as soon as exactly the expected number of nodes see each other and agree. Only the one
// with the lowest id acts; the others learn the configuration from it.
func (n *Node) form(ctx context.Context) {
	ticker := time.NewTicker(formEvery)
	defer ticker.Stop()
	for !n.hasState() {
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
	if n.formation.gossip != nil {
		n.formation.gossip.announce()
	}
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
	n.log.Info("founding a new cluster", "founders", ids(founders))
	if err := n.raft.BootstrapCluster(raft.Configuration{Servers: founders}).Error(); err != nil {
		return fmt.Sprintf("raft refused to found the cluster: %v", err)
	}
	return ""
}

// founders returns the nodes that would found a cluster, in order of their ids, or why there are none.
func (n *Node) founders() (founders []raft.Server, reason string) {
	expect := n.cfg.BootstrapExpect
	if n.formation.gossip == nil {
		return []raft.Server{{ID: n.id, Address: raft.ServerAddress(n.cfg.RaftAdvertise)}}, ""
	}
	for id, meta := range n.formation.gossip.members() {
		switch {
		case meta.HasState:
			return nil, fmt.Sprintf("%s is a member of a cluster already; this node waits to be added to it", id)
		case meta.Expect != expect:
			return nil, fmt.Sprintf("%s expects %d nodes, this one %d: set the same number on all", id, meta.Expect, expect)
		}
		founders = append(founders, raft.Server{ID: id, Address: raft.ServerAddress(meta.RaftAddr)})
	}
	if len(founders) != expect {
		reason := fmt.Sprintf("%d of %d expected nodes are here", len(founders), expect)
		if refused := n.formation.gossip.refusals(); refused != "" {
			reason += "; not counted: " + refused
		}
		return nil, reason
	}
	slices.SortFunc(founders, func(a, b raft.Server) int { return cmp.Compare(a.ID, b.ID) })
	return founders, ""
}

// agree asks every founder whether it sees the same founders.
func (n *Node) agree(ctx context.Context, founders []raft.Server) (reason string) {
	ctx, cancel := context.WithTimeout(ctx, agreementTimeout)
	defer cancel()
	for _, f := range founders {
		var reply BootstrapReply
		if f.ID == n.id {
			reply = n.founding(ids(founders))
		} else if err := n.peers.ask.call(ctx, f.Address, methodBootstrap,
			BootstrapRequest{ids(founders)}, &reply); err != nil {
			return fmt.Sprintf("%s does not answer: %v", f.ID, err)
		}
		if !reply.Agreed {
			return fmt.Sprintf("%s does not agree: %s", f.ID, reply.Reason)
		}
	}
	return ""
}

// founding answers whether this node would found a cluster with exactly these nodes, and holds it to a yes.
func (n *Node) founding(proposed []raft.ServerID) BootstrapReply {
	if n.hasState() {
		return BootstrapReply{Reason: "it is a member of a cluster already"}
	}
	own, reason := n.founders()
	if reason != "" {
		return BootstrapReply{Reason: reason}
	}
	if !slices.Equal(ids(own), proposed) {
		return BootstrapReply{Reason: fmt.Sprintf("it sees %v", ids(own))}
	}
	n.formation.mu.Lock()
	defer n.formation.mu.Unlock()
	if n.formation.promised != nil && !slices.Equal(n.formation.promised, proposed) {
		return BootstrapReply{Reason: fmt.Sprintf("it has agreed to %v", n.formation.promised)}
	}
	n.formation.promised = slices.Clone(proposed)
	return BootstrapReply{Agreed: true}
}

func ids(servers []raft.Server) []raft.ServerID {
	all := make([]raft.ServerID, len(servers))
	for i, s := range servers {
		all[i] = s.ID
	}
	return all
}
