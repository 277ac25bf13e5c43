package cluster

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

// TestLobbyLeavesRoom: however many visitors sit in the lobby, members get their connections.
func TestLobbyLeavesRoom(t *testing.T) {
	t.Parallel()
	w := openWire(t, nil, "")
	visitor := newTestPassport("n9", "127.0.0.1:1")
	for range maxInboundConns {
		conn, _, err := visitor.dial(t.Context(), w.address(), streamLobby)
		if err != nil {
			break // the lobby is full
		}
		defer conn.Close()
	}
	for _, kind := range []stream{streamPeer, streamRaft} {
		dialStream(t, w.address(), kind)
	}
}

// TestLongVisit: a visitor that says nothing, and one that never comes to an end, are shown the door.
func TestLongVisit(t *testing.T) {
	t.Parallel()
	w := openWire(t, nil, "")
	w.visit = 200 * time.Millisecond
	closedByPeer(t, dialStream(t, w.address(), streamLobby))

	patient := openWire(t, nil, "")
	conn := dialStream(t, patient.address(), streamLobby)
	// As gob says that a message of a GiB follows.
	head := binary.BigEndian.AppendUint32([]byte{0xfc}, 1<<30)
	if _, err := conn.Write(head); err != nil {
		t.Fatal(err)
	}
	sent, err := io.Copy(conn, io.LimitReader(zeros{}, 1<<30))
	if err == nil {
		t.Errorf("it took %d bytes", sent)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestGossipCannotRestart: a node whose gossip cannot go on under its new label says so, and can be shut down.
func TestGossipCannotRestart(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	at := freeAddr(t)
	n := openNode(t, Config{NodeID: "n0", BootstrapExpect: 1})
	waitForLeader(t, n)
	n.cfg.GossipAddr, n.cfg.GossipAdvertise = at, at
	g, err := newGossip(n)
	if err != nil {
		t.Fatal(err)
	}
	n.cfg.GossipAddr = taken.Addr().String()
	g.relabel("another")
	if err := <-n.Fatal(); err == nil {
		t.Error("it does not say so")
	}
	if g.contact(at) {
		t.Error("it gossips")
	}
	g.relabel("a third")
	g.close()
}

// TestJoinFromNowhere: a node that cannot be reached where it says it is, or is another one there, does not become a
// member.
func TestJoinFromNowhere(t *testing.T) {
	t.Parallel()
	n := openNode(t, Config{NodeID: "n0", BootstrapExpect: 1})
	waitForLeader(t, n)
	waitFor(t, "the member to be known", func() bool { return len(n.Directory().Members()) == 1 })
	other := openNode(t, Config{NodeID: "other"})
	ask := func(id raft.ServerID, at string) JoinReply {
		return n.answerJoin(t.Context(), JoinRequest{
			ClusterID: n.Status().ClusterID, NodeID: id, DiskID: "0011223344556677", RaftAddr: at, Feature: fsm.FeatureLevel,
		})
	}
	for what, reply := range map[string]JoinReply{
		"nobody there":       ask("ghost", freeAddr(t)),
		"another node there": ask("ghost", other.cfg.RaftAddr),
		"another disk there": ask("other", other.cfg.RaftAddr),
	} {
		if reply.Admitted || reply.Refused == "" {
			t.Errorf("%s: %+v", what, reply)
		}
	}
	if got := n.servers(); len(got) != 1 {
		t.Errorf("%+v", got)
	}
}

// TestFullAddressBook: strangers that were met do not keep members from being followed.
func TestFullAddressBook(t *testing.T) {
	t.Parallel()
	b := newAddressBook("n0", "127.0.0.1:1")
	b.learn(hello{NodeID: "n1", RaftAddr: "127.0.0.1:2"})
	for i := range 2 * maxLearned {
		b.learn(hello{NodeID: raft.ServerID(randomHex(4 + i%2)), RaftAddr: "127.0.0.1:3"})
	}
	b.learn(hello{NodeID: "n1", RaftAddr: "127.0.0.1:4"})
	if at, err := b.ServerAddr("n1"); err != nil || at != "n1@127.0.0.1:4" {
		t.Errorf("%q, %v", at, err)
	}
}

// TestGossipKnowsBetter: where gossip shows a member again, after it was gone, is newer than what it said before.
func TestGossipKnowsBetter(t *testing.T) {
	t.Parallel()
	b := newAddressBook("n0", "127.0.0.1:1")
	at := func(addr string) map[raft.ServerID]gossipMeta {
		return map[raft.ServerID]gossipMeta{"n1": {RaftAddr: addr}}
	}
	members := []raft.Server{{ID: "n1", Address: "127.0.0.1:2"}}
	b.learn(hello{NodeID: "n1", RaftAddr: "127.0.0.1:2"})
	b.update(members, at("127.0.0.1:2"))
	b.update(members, nil)
	b.update(members, at("127.0.0.1:3"))
	if got, err := b.ServerAddr("n1"); err != nil || got != "n1@127.0.0.1:3" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestReasonIsOneLine: what a stranger says cannot pass for a line of the readiness report.
func TestReasonIsOneLine(t *testing.T) {
	t.Parallel()
	n := openNode(t, Config{NodeID: "n0"})
	n.formation.waitToJoin("refused: \x1b[2J\n[+]member ok\n" + strings.Repeat("x", 1<<20))
	if got := why(n); strings.ContainsAny(got, "\n\x1b") || len(got) > 4<<10 {
		t.Errorf("%d bytes: %.200q", len(got), got)
	}
}

// TestSlowHandshake: a node that takes its time to answer, as on a slow or distant machine, is still a peer.
func TestSlowHandshake(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if _, _, err := readHello(conn); err != nil {
			return
		}
		time.Sleep(dialTimeout + 300*time.Millisecond)
		_ = writeHello(conn, streamRaft, newTestPassport("n1", "127.0.0.1:1").introduce(streamLobby, ""))
		_, _ = io.Copy(io.Discard, conn)
	}()
	w := openWire(t, nil, "")
	conn, err := w.Dial(raft.ServerAddress(l.Addr().String()), raftIOTimeout)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
