package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/rpc"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// testCluster is the cluster that the passports of these tests are for.
const testCluster = "c1"

// newTestPassport is that of a member of testCluster.
func newTestPassport(id raft.ServerID, at string) *passport {
	cfg := Config{RaftAddr: at}.withDefaults()
	member := &affiliation{kept: allegiance{ClusterName: cfg.ClusterName, ClusterID: testCluster}}
	return newPassport(cfg, id, "disk-of-"+string(id), member)
}

// openWire serves n's answers on a free port, or on one that was used before.
func openWire(t *testing.T, n *Node, at string) *wire {
	t.Helper()
	return openPatientWire(t, n, at, 200*time.Millisecond)
}

// openPatientWire is openWire with another patience for callers that have not said who they are.
func openPatientWire(t *testing.T, n *Node, at string, preamble time.Duration) *wire {
	t.Helper()
	if at == "" {
		at = freeAddr(t)
	}
	w, err := listenWire(newTestPassport("n0", at), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w.preamble = preamble
	if err := w.serve(&peerService{n}, &lobbyService{n}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func (w *wire) address() raft.ServerAddress { return raft.ServerAddress(w.Addr().String()) }

func newCaller(t *testing.T) *netCaller {
	t.Helper()
	c := newNetCaller(newTestPassport("n9", "127.0.0.1:1"))
	t.Cleanup(func() { c.close() })
	return c
}

// dialStream opens a stream as a member of testCluster.
func dialStream(t *testing.T, to raft.ServerAddress, kind stream) net.Conn {
	t.Helper()
	conn, _, err := newTestPassport("n9", "127.0.0.1:1").dial(t.Context(), to, kind)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func connected(c *netCaller, to raft.ServerAddress) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clients[to] != nil
}

func dialRaw(t *testing.T, to raft.ServerAddress) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", string(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// closedByPeer waits until the other side closes the connection without having said anything.
func closedByPeer(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	n, err := conn.Read(make([]byte, 1))
	var timeout net.Error
	if n != 0 || err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatalf("the connection is still open: %d, %v", n, err)
	}
}

func TestUnknownStreams(t *testing.T) {
	t.Parallel()
	w := openWire(t, nil, "")
	for name, say := range map[string]string{
		"garbage": "\x00\x00\x00\x00\x00\x00\x00\x00", "a browser": "GET / HTTP/1.1\r\n\r\n", "TLS": "\x16\x03\x01", "silence": "",
	} {
		t.Run(name, func(t *testing.T) {
			conn := dialRaw(t, w.address())
			if _, err := io.WriteString(conn, say); err != nil {
				t.Fatal(err)
			}
			closedByPeer(t, conn)
		})
	}
	waitFor(t, "the slots to be free", func() bool { return w.unknown.count()+len(w.slots) == 0 && openConns(w) == 0 })
}

func openConns(w *wire) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.conns)
}

// TestConnectionCap fills every slot with raft's and peers' connections. One more is closed; when one ends there is
// room again.
func TestConnectionCap(t *testing.T) {
	t.Parallel()
	w := openWire(t, nil, "")
	var taken []net.Conn
	for i := range maxInboundConns {
		kind := streamPeer
		if i%2 == 0 {
			kind = streamRaft
		}
		conn := dialStream(t, w.address(), kind)
		taken = append(taken, conn)
		if kind == streamRaft {
			accepted, err := w.Accept()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { accepted.Close() })
			if i == 0 {
				// As raft does at the end of a stream.
				go func() { _, _ = io.Copy(io.Discard, accepted); accepted.Close(); accepted.Close() }()
			}
		}
	}
	waitFor(t, "all slots to be taken", func() bool { return len(w.slots) == maxInboundConns })
	pass := newTestPassport("n9", "127.0.0.1:1")
	if _, _, err := pass.dial(t.Context(), w.address(), streamPeer); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("one more: %v", err)
	}
	for _, i := range []int{0, 1} { // one of raft's, one of a peer's
		taken[i].Close()
		waitFor(t, "a slot to be free", func() bool { return len(w.slots) == maxInboundConns-1 })
		dialStream(t, w.address(), streamPeer)
		waitFor(t, "the slot to be taken", func() bool { return len(w.slots) == maxInboundConns })
	}
}

// TestWireClose closes a wire with connections of every kind on it, and one on its way to raft.
func TestWireClose(t *testing.T) {
	t.Parallel()
	w := openPatientWire(t, nil, "", time.Minute)
	var conns []net.Conn
	conns = append(conns, dialRaw(t, w.address()))
	for _, kind := range []stream{streamPeer, streamLobby, streamRaft, streamRaft} {
		conns = append(conns, dialStream(t, w.address(), kind))
	}
	if _, err := w.Accept(); err != nil { // one of raft's is with raft
		t.Fatal(err)
	}
	waitFor(t, "the connections", func() bool { return openConns(w) == len(conns) })
	w.Close()
	for _, conn := range conns {
		closedByPeer(t, conn)
	}
	if _, err := w.Accept(); !errors.Is(err, errWireClosed) {
		t.Errorf("Accept: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
	if _, err := net.Dial("tcp", string(w.address())); err == nil {
		t.Error("still listening")
	}
}

// TestRaftStream: raft gets a connection with nothing missing and nothing left on it.
func TestRaftStream(t *testing.T) {
	t.Parallel()
	w, other := openWire(t, nil, ""), openWire(t, nil, "")
	out, err := other.Dial(w.address(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := w.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	fmt.Fprintln(out, "over")
	fmt.Fprintln(in, "back")
	for conn, want := range map[net.Conn]string{in: "over\n", out: "back\n"} {
		if got, err := bufio.NewReader(conn).ReadString('\n'); err != nil || got != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	if got := w.Addr(); got.Network() != "tcp" || got.String() != string(w.address()) {
		t.Errorf("address %v", got)
	}
}

// TestPeerService asks a node over TCP what there is to be asked, many at once over one connection.
func TestPeerService(t *testing.T) {
	t.Parallel()
	n := openNode(t, Config{NodeID: "n0", BootstrapExpect: 1, HTTPURL: "http://n0.example", Version: "v9"})
	waitForLeader(t, n)
	c, to := newCaller(t), raft.ServerAddress(n.cfg.RaftAdvertise)
	c.passport.affiliation.kept.ClusterID = n.Status().ClusterID
	var term TermReply
	if err := c.call(t.Context(), to, methodTerm, TermRequest{}, &term); err != nil || term.Term != n.raft.CurrentTerm() {
		t.Errorf("term %d, %v", term.Term, err)
	}
	first := c.clients[to]
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			var ping PingReply
			if err := c.call(t.Context(), to, methodPing, PingRequest{From: "n1"}, &ping); err != nil {
				t.Error(err)
			}
			if ping.ID != "n0" || !ping.Leading || ping.HTTPURL != "http://n0.example" || ping.Version != "v9" ||
				!ping.ClockSure || ping.Applied == 0 || string(ping.TicketKey) != string(n.TicketKey()) {
				t.Errorf("%+v", ping)
			}
		})
	}
	wg.Wait()
	if c.clients[to] != first {
		t.Error("another connection was opened")
	}
	var found FoundReply
	err := c.passport.ask(t.Context(), to, methodFound, FoundRequest{Founders: []raft.ServerID{"n0", "n1"}}, &found)
	if err != nil || found.Agreed || found.Reason != "it is a member of a cluster already" {
		t.Errorf("%+v, %v", found, err)
	}
	// A mistake of the caller's does not cost the connection.
	if err := c.call(t.Context(), to, "Peer.Unknown", TermRequest{}, &term); err == nil || c.clients[to] != first {
		t.Errorf("unknown method: %v", err)
	}
}

// deafPeer accepts connections as a member of testCluster, reads at most so much, and never answers. It returns how
// many came.
func deafPeer(t *testing.T, reads int64) (raft.ServerAddress, *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var came atomic.Int32
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			came.Add(1)
			t.Cleanup(func() { conn.Close() })
			go func() {
				if _, _, err := readHello(conn); err == nil {
					_ = writeHello(conn, streamPeer, newTestPassport("n0", "127.0.0.1:1").introduce(streamPeer, ""))
				}
				_, _ = io.CopyN(io.Discard, conn, reads)
			}()
		}
	}()
	t.Cleanup(func() { l.Close() })
	return raft.ServerAddress(l.Addr().String()), &came
}

// TestDeafPeer: a call to a peer that never answers ends at its deadline, and the next one tries another connection;
// one that is cancelled leaves the connection to the others.
func TestDeafPeer(t *testing.T) {
	t.Parallel()
	to, came := deafPeer(t, 1<<40)
	c := newCaller(t)
	for i := range int32(3) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		err := c.call(ctx, to, methodTerm, TermRequest{}, &TermReply{})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, rpc.ErrShutdown) {
			t.Fatalf("got %v", err)
		}
		waitFor(t, "the peer to notice the connection", func() bool { return came.Load() == i+1 })
		waitFor(t, "the connection to be dropped", func() bool { return !connected(c, to) })
	}
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error)
		go func() { failed <- c.call(ctx, to, methodTerm, TermRequest{}, &TermReply{}) }()
		waitFor(t, "the connection", func() bool { return connected(c, to) })
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	}
	waitFor(t, "one more connection", func() bool { return came.Load() == 4 })
}

// announcedConn tells when it is written to.
type announcedConn struct {
	net.Conn
	announce func()
}

func (c *announcedConn) Write(b []byte) (int, error) {
	c.announce()
	return c.Conn.Write(b)
}

// TestFrozenPeer: a peer that does not even read holds no call up beyond its deadline, however much is on its way.
func TestFrozenPeer(t *testing.T) {
	t.Parallel()
	to, _ := deafPeer(t, 0)
	c := newCaller(t)
	writing := make(chan struct{})
	conn := &announcedConn{Conn: dialRaw(t, to), announce: sync.OnceFunc(func() { close(writing) })}
	client, err := c.keep(to, rpc.NewClient(conn))
	if err != nil {
		t.Fatal(err)
	}
	// More than any buffer holds: this call blocks while it is being sent.
	large := RemovedRequest{raft.ServerID(strings.Repeat("x", 32<<20))}
	sent := make(chan struct{})
	go func() { client.Go(methodRemoved, large, &RemovedReply{}, nil); close(sent) }()
	<-writing
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	failed := make(chan error)
	go func() { failed <- c.call(ctx, to, methodTerm, TermRequest{}, &TermReply{}) }()
	select {
	case err := <-failed:
		if err == nil {
			t.Error("answered")
		}
	case <-time.After(20 * time.Second):
		t.Error("the call hangs")
		client.Close()
		<-failed
	}
	<-sent
}

// TestPeerRestarts: calls fail while a peer is away, and succeed once it is back at its address.
func TestPeerRestarts(t *testing.T) {
	t.Parallel()
	n := openNode(t, Config{})
	w := openWire(t, n, "")
	to := w.address()
	c := newCaller(t)
	ask := func() error { return c.call(t.Context(), to, methodTerm, TermRequest{}, &TermReply{}) }
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	waitFor(t, "calls to fail", func() bool { return ask() != nil })
	if err := ask(); err == nil {
		t.Error("answered by nobody")
	}
	openWire(t, n, string(to))
	waitFor(t, "the first answer", func() bool { return ask() == nil })
	if err := ask(); err != nil {
		t.Errorf("and then: %v", err)
	}
}

func TestCallerClosed(t *testing.T) {
	t.Parallel()
	to, _ := deafPeer(t, 1<<40)
	c := newNetCaller(newTestPassport("n9", "127.0.0.1:1"))
	failed := make(chan error)
	go func() { failed <- c.call(t.Context(), to, methodTerm, TermRequest{}, &TermReply{}) }()
	waitFor(t, "the connection", func() bool { return connected(c, to) })
	if err := errors.Join(c.close(), c.close()); err != nil {
		t.Error(err)
	}
	if err := <-failed; err == nil {
		t.Error("answered")
	}
	if err := c.call(t.Context(), to, methodTerm, TermRequest{}, &TermReply{}); !errors.Is(err, errWireClosed) {
		t.Errorf("got %v", err)
	}
}
