package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/rpc"
	"sync"

	"github.com/hashicorp/raft"
)

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
