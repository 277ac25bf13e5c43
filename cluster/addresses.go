package cluster

import (
	"fmt"
	"maps"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

// addressBook knows where members are to be reached. Ids are identities, addresses are found: what a member says when
// it calls wins over what gossip says, which learns of a move late, and gossip over raft's configuration. So nodes that
// come back elsewhere need no operator (consul #1580). It is a raft.ServerAddressProvider.
type addressBook struct {
	self    raft.ServerID
	address raft.ServerAddress // this node's own

	mu                            sync.Mutex
	learned, gossiped, configured map[raft.ServerID]raft.ServerAddress
	// shown is what gossip said last, also of members that it shows no more.
	shown map[raft.ServerID]raft.ServerAddress
}

func newAddressBook(self raft.ServerID, address string) *addressBook {
	return &addressBook{self: self, address: raft.ServerAddress(address), learned: make(map[raft.ServerID]raft.ServerAddress)}
}

// maxLearned bounds what is remembered of callers. Members are fewer.
const maxLearned = 2 * fsm.MaxMembers

// learn notes where a member that called says it is.
func (b *addressBook) learn(h hello) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.learned[h.NodeID]; h.RaftAddr != "" && (known || len(b.learned) < maxLearned) {
		b.learned[h.NodeID] = raft.ServerAddress(h.RaftAddr)
	}
}

// update replaces what raft's configuration and gossip say. News in gossip are newer than what was learned before.
func (b *addressBook) update(servers []raft.Server, alive map[raft.ServerID]gossipMeta) {
	configured := make(map[raft.ServerID]raft.ServerAddress, len(servers))
	gossiped := make(map[raft.ServerID]raft.ServerAddress, len(alive))
	for _, s := range servers {
		configured[s.ID] = s.Address
	}
	for id, meta := range alive {
		if meta.RaftAddr != "" {
			gossiped[id] = raft.ServerAddress(meta.RaftAddr)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	shown := maps.Clone(gossiped)
	for id, before := range b.shown {
		at, alive := gossiped[id]
		if _, member := configured[id]; member && !alive {
			shown[id] = before
		}
		if alive && before != at {
			delete(b.learned, id)
		}
	}
	b.configured, b.gossiped, b.shown = configured, gossiped, shown
}

// at is the address of a member, or what it falls back to; with its id, so that whoever dials knows whom to expect.
func (b *addressBook) at(s raft.Server) raft.ServerAddress {
	if to, err := b.ServerAddr(s.ID); err == nil {
		return to
	}
	return located(s.ID, s.Address)
}

// ServerAddr implements raft.ServerAddressProvider.
func (b *addressBook) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if id == b.self {
		return located(id, b.address), nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, source := range []map[raft.ServerID]raft.ServerAddress{b.learned, b.gossiped, b.configured} {
		if at, ok := source[id]; ok {
			return located(id, at), nil
		}
	}
	return "", fmt.Errorf("the address of %s is not known", id)
}
