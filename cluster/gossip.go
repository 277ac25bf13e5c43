package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

const (
	// gossipTimeout bounds the talk with one node.
	gossipTimeout = 2 * time.Second
	// goodbyeTimeout bounds telling the others that this node stops gossiping.
	goodbyeTimeout = 300 * time.Millisecond
	// reclaimAfter lets a node come back under its name from another address (memberlist #157).
	reclaimAfter = 2 * time.Second
	// maxGossipStreams bounds the connections of others that are open at the same time.
	maxGossipStreams = 64
)

// gossipMeta is what a node says of itself in gossip; memberlist allows 512 bytes.
type gossipMeta struct {
	RaftAddr string `json:"r"`
	DiskID   string `json:"d"`
	Expect   int    `json:"e"`
	NonVoter bool   `json:"n,omitempty"`
	HasState bool   `json:"s"` // is, or has been, a member of a formed cluster
	Version  string `json:"v"`
	Feature  uint32 `json:"f"`
}

// gossip finds the other nodes and their addresses. It never decides who votes. Nodes of other clusters, and nodes
// without one, are kept out by the label that every packet carries.
type gossip struct {
	node *Node
	keys *gossipKeys // nil for gossip in plain text

	running sync.RWMutex           // held while list is used; locked while it is replaced
	list    *memberlist.Memberlist // nil if it could not be replaced
	label   string

	mu sync.Mutex
	// alive holds the nodes that gossip shows. memberlist's own list cannot be read without a race: it changes the
	// metadata of the nodes it has handed out.
	alive map[raft.ServerID]gossipMeta
}

func newGossip(n *Node) (*gossip, error) {
	g := &gossip{node: n, alive: make(map[raft.ServerID]gossipMeta)}
	if n.cfg.GossipKeyFile != "" {
		keys, err := loadGossipKeys(n.cfg.GossipKeyFile)
		if err != nil {
			return nil, err
		}
		g.keys = keys
	}
	return g, g.start(n.gossipLabel())
}

// start begins to gossip under a label. The caller holds running, unless nobody else knows g yet.
func (g *gossip) start(label string) error {
	c, err := g.config(label)
	if err != nil {
		return err
	}
	list, err := memberlist.Create(c)
	if err != nil {
		return errors.Join(fmt.Errorf("start gossip: %w", err), c.Transport.Shutdown())
	}
	g.list, g.label = list, label
	return nil
}

func (g *gossip) config(label string) (*memberlist.Config, error) {
	c := memberlist.DefaultLANConfig()
	c.Name = string(g.node.id)
	c.Label = label
	c.Logger = gossipLogger(g.node.log)
	c.Delegate = g
	c.Alive = g
	c.Events = g
	c.DeadNodeReclaimTime = reclaimAfter
	c.TCPTimeout = gossipTimeout
	if g.keys != nil {
		c.Keyring = g.keys.keyring()
	}
	var err error
	if c.BindAddr, c.BindPort, err = splitAddr(g.node.cfg.GossipAddr); err != nil {
		return nil, err
	}
	if c.AdvertiseAddr, c.AdvertisePort, err = splitAddr(g.node.cfg.GossipAdvertise); err != nil {
		return nil, err
	}
	c.Transport, err = newCappedTransport(c)
	return c, err
}

// relabel begins anew under another label, and reports whether it had to.
func (g *gossip) relabel(label string) bool {
	g.running.Lock()
	defer g.running.Unlock()
	if g.label == label {
		return false
	}
	if g.list != nil {
		_ = g.list.Shutdown() // fails only if it was shut down before
	}
	g.list = nil
	g.mu.Lock()
	clear(g.alive)
	g.mu.Unlock()
	if err := g.start(label); err != nil {
		g.node.fail(fmt.Errorf("gossip cannot go on under another label: %w", err))
	}
	return true
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

// contact gossips with the node at an address, and reports whether it answered.
func (g *gossip) contact(at string) bool {
	if at == "" {
		return false
	}
	g.running.RLock()
	defer g.running.RUnlock()
	if g.list == nil {
		return false
	}
	if _, err := g.list.Join([]string{at}); err != nil {
		g.node.log.Debug("a node does not gossip", "address", at, "error", err)
		return false
	}
	return true
}

func (g *gossip) close() {
	g.running.Lock()
	defer g.running.Unlock()
	if g.list == nil {
		return
	}
	// Said in gossip alone: the node stays a member. The others then take it back at once, even at another address.
	if err := g.list.Leave(goodbyeTimeout); err != nil {
		g.node.log.Debug("nobody to say goodbye to", "error", err)
	}
	_ = g.list.Shutdown()
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

// NotifyAlive implements memberlist.AliveDelegate.
func (g *gossip) NotifyAlive(peer *memberlist.Node) error {
	var meta gossipMeta
	if err := json.Unmarshal(peer.Meta, &meta); err != nil {
		return fmt.Errorf("%s does not gossip as this node does: %w", peer.Name, err)
	}
	return nil
}

// NodeMeta implements memberlist.Delegate.
func (g *gossip) NodeMeta(limit int) []byte {
	n := g.node
	meta, err := json.Marshal(gossipMeta{
		RaftAddr: n.cfg.RaftAdvertise,
		DiskID:   n.passport.diskID,
		Expect:   n.cfg.BootstrapExpect,
		NonVoter: n.cfg.NonVoter,
		HasState: n.hasState(),
		Version:  n.cfg.Version,
		Feature:  fsm.FeatureLevel,
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
