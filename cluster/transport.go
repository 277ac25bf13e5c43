package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Raft and the service between nodes share one port: the first byte of a connection says which it is for.
const (
	streamRaft byte = 'R'
	streamPeer byte = 'P'
)

const (
	// preambleDeadline bounds how long a new connection may take to say what it is for.
	preambleDeadline = 5 * time.Second
	// maxInboundConns bounds the connections of other nodes, raft's included: a handful each is normal.
	maxInboundConns = 256
	dialTimeout     = 2 * time.Second
)

var errWireClosed = errors.New("the wire is closed")

// wire is the listener that other nodes connect to. It hands raft its connections as a raft.StreamLayer and serves the
// others itself.
type wire struct {
	listener  net.Listener
	advertise addr
	raftConns chan net.Conn
	server    *rpc.Server
	slots     chan struct{}
	done      chan struct{}
	wg        sync.WaitGroup
	preamble  time.Duration // preambleDeadline, unless a test is in a hurry

	mu    sync.Mutex
	conns map[net.Conn]bool // inbound connections, closed on shutdown
}

// addr is an address as it was configured, which may hold a name where net.TCPAddr wants an IP.
type addr string

func (a addr) Network() string { return "tcp" }
func (a addr) String() string  { return string(a) }

func listenWire(listenAddr, advertise string) (*wire, error) {
	l, err := net.Listen("tcp", listenAddr)
	if err != nil {
		return nil, fmt.Errorf("listen for other nodes: %w", err)
	}
	w := &wire{
		listener:  l,
		advertise: addr(advertise),
		raftConns: make(chan net.Conn),
		server:    rpc.NewServer(),
		slots:     make(chan struct{}, maxInboundConns),
		done:      make(chan struct{}),
		preamble:  preambleDeadline,
		conns:     make(map[net.Conn]bool),
	}
	return w, nil
}

// serve accepts connections and answers peers with the service until the wire is closed.
func (w *wire) serve(service *peerService) error {
	if err := w.server.RegisterName("Peer", service); err != nil {
		return fmt.Errorf("register the peer service: %w", err)
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
		select {
		case w.slots <- struct{}{}:
			w.wg.Go(func() { w.route(conn) })
		default:
			conn.Close()
		}
	}
}

// route reads what a connection is for and passes it on.
func (w *wire) route(conn net.Conn) {
	in := &inboundConn{Conn: conn, release: sync.OnceFunc(func() {
		w.untrack(conn)
		<-w.slots
	})}
	if !w.track(conn) {
		in.Close()
		return
	}
	var kind [1]byte
	_ = conn.SetReadDeadline(time.Now().Add(w.preamble))
	_, err := io.ReadFull(conn, kind[:])
	_ = conn.SetReadDeadline(time.Time{})
	switch {
	case err == nil && kind[0] == streamPeer:
		w.server.ServeConn(in) // closes it
	case err == nil && kind[0] == streamRaft:
		select {
		case w.raftConns <- in:
		case <-w.done:
			in.Close()
		}
	default:
		in.Close()
	}
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
func (w *wire) Addr() net.Addr { return w.advertise }

// Dial implements raft.StreamLayer.
func (w *wire) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return dialWire(ctx, to, streamRaft)
}

func dialWire(ctx context.Context, to raft.ServerAddress, kind byte) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", string(to))
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetWriteDeadline(deadline)
	}
	if _, err := conn.Write([]byte{kind}); err != nil {
		conn.Close()
		return nil, fmt.Errorf("open a stream to %s: %w", to, err)
	}
	_ = conn.SetWriteDeadline(time.Time{})
	return conn, nil
}

// netCaller keeps one connection to each peer.
type netCaller struct {
	mu      sync.Mutex
	clients map[raft.ServerAddress]*rpc.Client // nil once closed
}

func newNetCaller() *netCaller {
	return &netCaller{clients: make(map[raft.ServerAddress]*rpc.Client)}
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
	conn, err := dialWire(ctx, to, streamPeer)
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
