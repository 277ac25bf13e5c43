package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/raft"
)

const (
	// rejoinEvery is how often a node contacts its seeds again: memberlist forgets dead nodes and does not find them
	// by itself after a long partition (memberlist #222).
	rejoinEvery = 10 * time.Second
	// joinRetry is the pause while no seed has answered yet.
	joinRetry = 200 * time.Millisecond
	// joinTimeout bounds the talk with one seed.
	joinTimeout = 2 * time.Second
	// maxRefused bounds how many nodes are remembered that are not taken for peers.
	maxRefused = 64
	// reclaimAfter lets a node come back under its name from another address (memberlist #157).
	reclaimAfter = 2 * time.Second
)

// gossipMeta is what a node says of itself in gossip; memberlist allows 512 bytes.
type gossipMeta struct {
	Cluster  string `json:"c"`
	RaftAddr string `json:"r"`
	Expect   int    `json:"e"`
	HasState bool   `json:"s"` // is, or has been, a member of a formed cluster
	Version  string `json:"v"`
}

// gossip finds the other nodes. It never decides who votes.
type gossip struct {
	node *Node
	list *memberlist.Memberlist
	// seeds are the configured addresses to join through.
	seeds []string

	mu sync.Mutex
	// alive holds the nodes that gossip shows. memberlist's own list cannot be read without a race: it changes the
	// metadata of the nodes it has handed out.
	alive   map[raft.ServerID]gossipMeta
	refused map[string]string // by node name: why it is not taken for a peer
}

// join starts gossip, if it is configured, and the forming of a new cluster.
func (n *Node) join(ctx context.Context) error {
	if n.cfg.GossipAddr != "" {
		g, err := newGossip(n)
		if err != nil {
			return err
		}
		n.formation.gossip = g
		n.closers = append(n.closers, g.close)
		n.loops.start(func() { g.keepJoined(n.ctx) })
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if n.cfg.BootstrapExpect > 0 && !n.hasState() {
		n.loops.start(func() { n.form(n.ctx) })
	}
	return nil
}

func newGossip(n *Node) (*gossip, error) {
	g := &gossip{
		node:    n,
		seeds:   n.cfg.Join,
		alive:   make(map[raft.ServerID]gossipMeta),
		refused: make(map[string]string),
	}
	c := memberlist.DefaultLANConfig()
	c.Name = string(n.id)
	c.Logger = gossipLogger(n.log)
	c.Delegate = g
	c.Alive = g
	c.Events = g
	c.DeadNodeReclaimTime = reclaimAfter
	c.TCPTimeout = joinTimeout
	var err error
	if c.BindAddr, c.BindPort, err = splitAddr(n.cfg.GossipAddr); err != nil {
		return nil, err
	}
	if c.AdvertiseAddr, c.AdvertisePort, err = splitAddr(n.cfg.GossipAdvertise); err != nil {
		return nil, err
	}
	if g.list, err = memberlist.Create(c); err != nil {
		return nil, fmt.Errorf("start gossip: %w", err)
	}
	return g, nil
}

// splitAddr splits host:port and looks the host up, since memberlist wants an IP.
func splitAddr(hostport string) (ip string, port int, err error) {
	host, p, err := net.SplitHostPort(hostport)
	if err != nil {
		return "", 0, fmt.Errorf("gossip address %q: %w", hostport, err)
	}
	port, err = strconv.Atoi(p)
	if err != nil {
		return "", 0, fmt.Errorf("gossip address %q: %w", hostport, err)
	}
	resolved, err := net.ResolveIPAddr("ip", host)
	if err != nil {
		return "", 0, fmt.Errorf("gossip address %q: %w", hostport, err)
	}
	return resolved.String(), port, nil
}

// keepJoined contacts the seeds until one answers, and again from time to time.
func (g *gossip) keepJoined(ctx context.Context) {
	if len(g.seeds) == 0 {
		return
	}
	pause := joinRetry
	for {
		if g.joinSeeds(ctx) {
			pause = rejoinEvery
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// joinSeeds contacts one seed after the other, so that it can end in between, and reports whether any answered.
func (g *gossip) joinSeeds(ctx context.Context) (joined bool) {
	for _, seed := range g.seeds {
		if ctx.Err() != nil {
			break
		}
		if _, err := g.list.Join([]string{seed}); err != nil {
			g.node.log.Debug("a seed does not answer yet", "seed", seed, "error", err)
			continue
		}
		joined = true
	}
	return joined
}

func (g *gossip) close() { _ = g.list.Shutdown() }

// announce tells the others that what this node says of itself has changed.
func (g *gossip) announce() {
	if err := g.list.UpdateNode(joinRetry); err != nil {
		g.node.log.Debug("gossip did not take an update", "error", err)
	}
}

// members returns what the nodes that are alive say of themselves, this one included.
func (g *gossip) members() map[raft.ServerID]gossipMeta {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.alive)
}

// NotifyJoin implements memberlist.EventDelegate. NotifyAlive has approved the node.
func (g *gossip) NotifyJoin(peer *memberlist.Node) {
	var meta gossipMeta
	if json.Unmarshal(peer.Meta, &meta) != nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.alive[raft.ServerID(peer.Name)] = meta
}

// NotifyUpdate implements memberlist.EventDelegate.
func (g *gossip) NotifyUpdate(peer *memberlist.Node) { g.NotifyJoin(peer) }

// NotifyLeave implements memberlist.EventDelegate. It is told of nodes that died, too.
func (g *gossip) NotifyLeave(peer *memberlist.Node) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.alive, raft.ServerID(peer.Name))
}

// NotifyAlive implements memberlist.AliveDelegate: nodes of another cluster are not taken for peers.
func (g *gossip) NotifyAlive(peer *memberlist.Node) error {
	var meta gossipMeta
	reason := ""
	if err := json.Unmarshal(peer.Meta, &meta); err != nil {
		reason = "it does not speak this cluster's language"
	} else if meta.Cluster != g.node.cfg.ClusterName {
		reason = fmt.Sprintf("it belongs to cluster %q, this node to %q", meta.Cluster, g.node.cfg.ClusterName)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if reason == "" {
		delete(g.refused, peer.Name)
		return nil
	}
	if g.refused[peer.Name] != reason && len(g.refused) < maxRefused {
		g.refused[peer.Name] = reason
		g.node.log.Warn("a node that gossips here is not taken for a peer",
			"peer", peer.Name, "address", peer.Address(), "reason", reason)
	}
	return errors.New(reason)
}

// refusals says which nodes are not taken for peers, and why; "" if there are none.
func (g *gossip) refusals() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []string
	for _, name := range slices.Sorted(maps.Keys(g.refused)) {
		all = append(all, name+" ("+g.refused[name]+")")
	}
	return strings.Join(all, ", ")
}

// NodeMeta implements memberlist.Delegate.
func (g *gossip) NodeMeta(limit int) []byte {
	n := g.node
	meta, err := json.Marshal(gossipMeta{
		n.cfg.ClusterName, n.cfg.RaftAdvertise, n.cfg.BootstrapExpect, n.hasState(), n.cfg.Version,
	})
	if err != nil || len(meta) > limit {
		n.log.Error("this node cannot introduce itself in gossip", "bytes", len(meta), "error", err)
		return nil
	}
	return meta
}

// NotifyMsg, GetBroadcasts, LocalState and MergeRemoteState implement memberlist.Delegate: nothing but metadata
// travels.
func (g *gossip) NotifyMsg([]byte)                {}
func (g *gossip) GetBroadcasts(int, int) [][]byte { return nil }
func (g *gossip) LocalState(bool) []byte          { return nil }
func (g *gossip) MergeRemoteState([]byte, bool)   {}
