package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/rpc"
	"os"
	"strings"
	"sync"
	"syscall"
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

// waitingRoom counts the connections that have not said yet who they are.
type waitingRoom struct {
	mu     sync.Mutex
	total  int
	byHost map[string]int
}

// enter reports whether there is room for one more from that host.
func (r *waitingRoom) enter(from net.Addr) bool {
	host := hostOf(from)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.total >= maxUnknownConns || r.byHost[host] >= maxUnknownFromHost {
		return false
	}
	if r.byHost == nil {
		r.byHost = make(map[string]int)
	}
	r.total++
	r.byHost[host]++
	return true
}

func (r *waitingRoom) leave(from net.Addr) {
	host := hostOf(from)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total--
	if r.byHost[host]--; r.byHost[host] == 0 {
		delete(r.byHost, host)
	}
}

func (r *waitingRoom) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total
}

func hostOf(a net.Addr) string {
	host, _, _ := net.SplitHostPort(a.String())
	return host
}

// refusalLog says once why a host is turned away, not each time it comes again.
type refusalLog struct {
	mu   sync.Mutex
	told map[string]bool
}

// maxRefusalsTold bounds what a refusalLog remembers; then it starts over.
const maxRefusalsTold = 64

func (l *refusalLog) note(log *slog.Logger, from net.Addr, err error) {
	host, level := hostOf(from), slog.LevelWarn
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, os.ErrDeadlineExceeded) {
		level = slog.LevelDebug // it only looked whether the port is open
	}
	if broken, ok := errors.AsType[*net.OpError](err); ok {
		err = broken.Err // without the ports, which are others each time
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	told := host + " " + err.Error()
	if l.told[told] {
		return
	}
	if l.told == nil || len(l.told) == maxRefusalsTold {
		l.told = make(map[string]bool)
	}
	l.told[told] = true
	log.Log(context.Background(), level, "a connection from another node is refused", "from", host, "reason", err)
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
	ctx, cancel := context.WithTimeout(context.Background(), min(timeout, dialTimeout))
	defer cancel()
	conn, _, err := w.passport.dial(ctx, to, streamRaft)
	return conn, err
}

// located joins a node's id and its address, so that whoever dials knows whom to expect there.
func located(id raft.ServerID, at raft.ServerAddress) raft.ServerAddress {
	return raft.ServerAddress(id) + "@" + at
}

// locate is the reverse of located; without an id, whoever answers is meant.
func locate(to raft.ServerAddress) (id raft.ServerID, at string) {
	if id, at, ok := strings.Cut(string(to), "@"); ok {
		return raft.ServerID(id), at
	}
	return "", string(to)
}

// dial opens a stream to another node: to names its address, and may name its id before it (see located).
func (p *passport) dial(ctx context.Context, to raft.ServerAddress, kind stream) (net.Conn, hello, error) {
	id, at := locate(to)
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, hello{}, err
	}
	// The handshake ends with ctx, whichever end it waits for.
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	secured, answer, err := p.shakeHands(ctx, conn, id, kind)
	if err != nil {
		conn.Close()
		return nil, answer, fmt.Errorf("open a stream to %s: %w", to, err)
	}
	if ctx.Err() != nil {
		secured.Close()
		return nil, answer, fmt.Errorf("open a stream to %s: %w", to, ctx.Err())
	}
	return secured, answer, nil
}

func (p *passport) shakeHands(ctx context.Context, conn net.Conn, id raft.ServerID, kind stream) (net.Conn, hello, error) {
	var certified raft.ServerID
	if p.certificates != nil {
		secured := tls.Client(conn, p.certificates.client(id))
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, hello{}, fmt.Errorf("%w: %w", errHandshake, err)
		}
		conn = secured
		var err error
		if certified, err = p.certificates.peer(secured.ConnectionState()); err != nil {
			return nil, hello{}, fmt.Errorf("%w: %w", errHandshake, err)
		}
	}
	if err := writeHello(conn, kind, p.introduce(kind, id)); err != nil {
		return nil, hello{}, err
	}
	_, answer, err := readHello(conn)
	if p.certificates == nil && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) {
		err = errors.Join(errNotOurs, err) // as somebody does who expected TLS
	}
	if err != nil {
		return nil, hello{}, fmt.Errorf("its hello: %w", err)
	}
	if certified != "" && certified != answer.NodeID {
		return nil, answer, fmt.Errorf("%s shows the certificate of %s", answer.NodeID, certified)
	}
	return conn, answer, p.check(kind, id, answer)
}

// netCaller keeps one connection to each peer.
type netCaller struct {
	passport *passport

	mu      sync.Mutex
	clients map[raft.ServerAddress]*rpc.Client // nil once closed
}

func newNetCaller(p *passport) *netCaller {
	return &netCaller{passport: p, clients: make(map[raft.ServerAddress]*rpc.Client)}
}

// call asks once, and once more if all it learns is that the connection it had kept is dead: the peer may have been
// restarted since. Every question may be asked twice.
func (c *netCaller) call(ctx context.Context, to raft.ServerAddress, method string, request, reply any) error {
	client, fresh, err := c.client(ctx, to)
	if err != nil {
		return err
	}
	err = c.ask(ctx, to, client, method, request, reply)
	var answered rpc.ServerError
	if err == nil || fresh || ctx.Err() != nil || errors.As(err, &answered) {
		return err
	}
	if client, _, err = c.client(ctx, to); err != nil {
		return err
	}
	return c.ask(ctx, to, client, method, request, reply)
}

func (c *netCaller) ask(ctx context.Context, to raft.ServerAddress, client *rpc.Client,
	method string, request, reply any) error {
	giveUp := func() {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			c.drop(to, client) // the peer may be frozen or gone; a new connection finds out
		}
	}
	// Sending may block, too, once the buffers on the way to a frozen peer are full. Without the connection it ends.
	defer context.AfterFunc(ctx, giveUp)()
	call := client.Go(method, request, reply, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
		if call.Error != nil {
			var answered rpc.ServerError
			if !errors.As(call.Error, &answered) {
				c.drop(to, client)
			}
			return fmt.Errorf("ask %s: %w", to, call.Error)
		}
		return nil
	case <-ctx.Done():
		giveUp()
		return fmt.Errorf("ask %s: %w", to, ctx.Err())
	}
}

// client returns the connection to a peer, and whether it was made just now.
func (c *netCaller) client(ctx context.Context, to raft.ServerAddress) (client *rpc.Client, fresh bool, err error) {
	c.mu.Lock()
	client, open := c.clients[to], c.clients != nil
	c.mu.Unlock()
	if client != nil {
		return client, false, nil
	}
	if !open {
		return nil, false, errWireClosed
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, _, err := c.passport.dial(ctx, to, streamPeer)
	if err != nil {
		return nil, false, err
	}
	client, err = c.keep(to, rpc.NewClient(conn))
	return client, true, err
}

// keep makes client the one for that address, unless another caller was faster.
func (c *netCaller) keep(to raft.ServerAddress, client *rpc.Client) (*rpc.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.clients == nil {
		client.Close()
		return nil, errWireClosed
	}
	if other := c.clients[to]; other != nil {
		client.Close()
		return other, nil
	}
	c.clients[to] = client
	return client, nil
}

func (c *netCaller) drop(to raft.ServerAddress, client *rpc.Client) {
	c.mu.Lock()
	if c.clients[to] == client {
		delete(c.clients, to)
	}
	c.mu.Unlock()
	client.Close()
}

func (c *netCaller) close() error {
	c.mu.Lock()
	clients := c.clients
	c.clients = nil
	c.mu.Unlock()
	for _, client := range clients {
		client.Close()
	}
	return nil
}
