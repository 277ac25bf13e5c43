package cluster

import (
	"testing"

	"github.com/hashicorp/raft"
)

// TestAddressBook: what a member says of itself wins over gossip, gossip over the configuration, and news over what
// was known before.
func TestAddressBook(t *testing.T) {
	t.Parallel()
	b := newAddressBook("n0", "own:1")
	servers := []raft.Server{{ID: "n0", Address: "elsewhere:1"}, {ID: "n1", Address: "configured:1"}}
	gossip := func(at string) map[raft.ServerID]gossipMeta {
		return map[raft.ServerID]gossipMeta{"n1": {RaftAddr: at}}
	}
	want := func(when string, id raft.ServerID, address raft.ServerAddress) {
		t.Helper()
		if got, err := b.ServerAddr(id); err != nil || got != located(id, address) {
			t.Errorf("%s: %s, %v, want %s", when, got, err, address)
		}
	}
	if _, err := b.ServerAddr("n1"); err == nil {
		t.Error("found a node of which nothing is known")
	}
	if got := b.at(servers[1]); got != "n1@configured:1" {
		t.Errorf("falls back to %s", got)
	}
	b.update(servers, nil)
	want("own", "n0", "own:1")
	want("configured", "n1", "configured:1")
	b.update(servers, gossip("gossiped:1"))
	want("gossiped", "n1", "gossiped:1")
	b.learn(hello{NodeID: "n1", RaftAddr: "learned:1"})
	want("learned", "n1", "learned:1")
	b.update(servers, gossip("gossiped:1"))
	want("learned, and no news", "n1", "learned:1")
	b.update(servers, gossip("gossiped:2"))
	want("news", "n1", "gossiped:2")
	for i := range 2 * maxLearned {
		b.learn(hello{NodeID: raft.ServerID(rune('a' + i)), RaftAddr: "x:1"})
	}
	if len(b.learned) > maxLearned {
		t.Errorf("%d addresses are kept", len(b.learned))
	}
}
