package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/rpc"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// preambleDeadline bounds how long a new connection may take for its TLS handshake and hello.
	preambleDeadline = 5 * time.Second
	// maxUnknownConns bounds the connections that have not said yet who they are; maxInboundConns those that have, raft's
	// included: a handful for each node is normal.
	maxUnknownConns = 64
	maxInboundConns = 256
	// maxUnknownFromHost is how many of maxUnknownConns one host may take, so that it cannot keep the others out.
	maxUnknownFromHost = 16
	// dialTimeout bounds connecting to another node. A member that has moved leaves an address behind that nobody
	// answers, and one that was cut off is found again only when the next attempt begins.
	dialTimeout = time.Second
)

// errHandshake is TLS failing on a connection to another node, for want of a certificate that both accept.
var errHandshake = errors.New("TLS")

var errWireClosed = errors.New("the wire is closed")

// wire is the listener that other nodes connect to. It hands raft its connections as a raft.StreamLayer and serves the
// others itself.
type wire struct {
	listener  net.Listener
	passport  *passport
	log       *slog.Logger
	raftConns chan net.Conn
	services  map[stream]*rpc.Server
	unknown   waitingRoom
	slots     chan struct{}
	visitors  chan struct{} // the slots of the lobby
	done      chan struct{}
	wg        sync.WaitGroup
	preamble  time.Duration // preambleDeadline, unless a test is in a hurry
	visit     time.Duration // visitDeadline, likewise
	refused   refusalLog

	mu    sync.Mutex
	conns map[net.Conn]bool // inbound connections, closed on shutdown
}

// addr is an address as it was configured, which may hold a name where net.TCPAddr wants an IP.
type addr string

func (a addr) Network() string { return "tcp" }
func (a addr) String() string  { return string(a) }

func listenWire(p *passport, log *slog.Logger) (*wire, error) {
	l, err := net.Listen("tcp", p.cfg.RaftAddr)
	if err != nil {
		return nil, fmt.Errorf("listen for other nodes: %w", err)
	}
	return &wire{
		listener:  l,
		passport:  p,
		log:       log,
		raftConns: make(chan net.Conn),
		services:  map[stream]*rpc.Server{streamPeer: rpc.NewServer(), streamLobby: rpc.NewServer()},
		slots:     make(chan struct{}, maxInboundConns),
		visitors:  make(chan struct{}, maxVisitors),
		visit:     visitDeadline,
		done:      make(chan struct{}),
		preamble:  preambleDeadline,
		conns:     make(map[net.Conn]bool),
	}, nil
}

// serve accepts connections and answers members and strangers until the wire is closed.
func (w *wire) serve(peers *peerService, lobby *lobbyService) error {
	err := errors.Join(w.services[streamPeer].RegisterName("Peer", peers),
		w.services[streamLobby].RegisterName("Lobby", lobby))
	if err != nil {
		return fmt.Errorf("register the services between nodes: %w", err)
	}
	w.wg.Go(w.acceptLoop)
	return nil
}

func (w *wire) acceptLoop() {
	for {
		conn, err := w.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of file descriptors, say: wait for some to come back instead of spinning.
			select {
			case <-w.done:
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		if !w.unknown.enter(conn.RemoteAddr()) {
			conn.Close()
			continue
		}
		w.wg.Go(func() { w.route(conn) })
	}
}

// route finds out who calls and what for, and passes the connection on.
func (w *wire) route(conn net.Conn) {
	known := sync.OnceFunc(func() { w.unknown.leave(conn.RemoteAddr()) })
	defer known()
	if !w.track(conn) {
		conn.Close()
		return
	}
	secured, kind, err := w.receive(conn)
	if err != nil {
		w.refused.note(w.log, conn.RemoteAddr(), err)
		w.untrack(conn)
		conn.Close()
		return
	}
	in := &inboundConn{Conn: secured, release: sync.OnceFunc(func() {
		w.untrack(conn)
		<-w.slotsOf(kind)
	})}
	known()
	if kind == streamLobby {
		in.Conn = &visit{Conn: secured, left: maxVisitBytes}
	}
	if kind != streamRaft {
		w.services[kind].ServeConn(in) // closes it
		return
	}
	select {
	case w.raftConns <- in:
	case <-w.done:
		in.Close()
	}
}

// receive shakes hands with a caller. On success one of the slots is taken.
func (w *wire) receive(conn net.Conn) (net.Conn, stream, error) {
	_ = conn.SetDeadline(time.Now().Add(w.preamble))
	var certified raft.ServerID
	if certs := w.passport.certificates; certs != nil {
		secured := tls.Server(conn, certs.server())
		if err := secured.Handshake(); err != nil {
			return nil, 0, fmt.Errorf("TLS: %w", err)
		}
		id, err := certs.peer(secured.ConnectionState())
		if err != nil {
			return nil, 0, fmt.Errorf("TLS: %w", err)
		}
		conn, certified = secured, id
	}
	kind, caller, err := readHello(conn)
	if err != nil {
		return nil, 0, err
	}
	answer := w.passport.introduce(streamLobby, "")
	refusal := w.passport.judge(kind, caller, certified)
	if refusal == nil {
		select {
		case w.slotsOf(kind) <- struct{}{}:
		default:
			refusal = &Refusal{ReasonUnreachable, "too many connections from other nodes"}
		}
	}
	if refusal != nil {
		answer.Refused, answer.Detail = refusal.Reason, refusal.Detail
		return nil, 0, errors.Join(fmt.Errorf("%s: %w", caller.NodeID, refusal), writeHello(conn, kind, answer))
	}
	if err := writeHello(conn, kind, answer); err != nil {
		<-w.slotsOf(kind)
		return nil, 0, err
	}
	if kind == streamLobby {
		_ = conn.SetDeadline(time.Now().Add(w.visit))
	} else {
		_ = conn.SetDeadline(time.Time{})
	}
	w.passport.welcome(caller)
	return conn, kind, nil
}

func (w *wire) slotsOf(kind stream) chan struct{} {
	if kind == streamLobby {
		return w.visitors
	}
	return w.slots
}

// inboundConn is a connection that counts until it is closed, by whomever it was passed to.
type inboundConn struct {
	net.Conn
	release func()
}

func (c *inboundConn) Close() error {
	err := c.Conn.Close()
	c.release()
	return err
}

func (w *wire) track(conn net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conns == nil {
		return false
	}
	w.conns[conn] = true
	return true
}

func (w *wire) untrack(conn net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, conn)
}

// Accept implements net.Listener for raft.
func (w *wire) Accept() (net.Conn, error) {
	select {
	case conn := <-w.raftConns:
		return conn, nil
	case <-w.done:
		return nil, errWireClosed
	}
}

// Close implements net.Listener. It ends every connection, and waits for the goroutines of those that are not raft's.
func (w *wire) Close() error {
	w.mu.Lock()
	conns := w.conns
	w.conns = nil
	w.mu.Unlock()
	if conns == nil {
		return nil
	}
	close(w.done)
	err := w.listener.Close()
	for conn := range conns {
		conn.Close()
	}
	w.wg.Wait()
	return err
}

// Addr implements net.Listener: the address at which others reach this node.
func (w *wire) Addr() net.Addr { return addr(w.passport.cfg.RaftAdvertise) }

// Dial implements raft.StreamLayer.
func (w *wire) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), min(timeout, preambleDeadline))
	defer cancel()
	conn, _, err := w.passport.dial(ctx, to, streamRaft)
	return conn, err
}
