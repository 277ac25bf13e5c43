package cluster

import (
	"fmt"
	"net"
	"sync"

	"github.com/hashicorp/memberlist"
)

// cappedTransport is memberlist's own transport with a bound on the connections that others may have open: memberlist
// reads from each in a goroutine of its own before it knows who is there.
type cappedTransport struct {
	*memberlist.NetTransport
	streams chan net.Conn
	slots   chan struct{}
	done    chan struct{}
	wg      sync.WaitGroup
	stop    sync.Once
}

func newCappedTransport(c *memberlist.Config) (*cappedTransport, error) {
	inner, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
		BindAddrs: []string{c.BindAddr}, BindPort: c.BindPort, Logger: c.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("listen for gossip: %w", err)
	}
	t := &cappedTransport{
		NetTransport: inner,
		streams:      make(chan net.Conn),
		slots:        make(chan struct{}, maxGossipStreams),
		done:         make(chan struct{}),
	}
	t.wg.Go(t.pass)
	return t, nil
}

// pass hands connections on while there is room for them.
func (t *cappedTransport) pass() {
	for {
		select {
		case <-t.done:
			return
		case conn := <-t.NetTransport.StreamCh():
			select {
			case t.slots <- struct{}{}:
			default:
				conn.Close()
				continue
			}
			in := &inboundConn{Conn: conn, release: sync.OnceFunc(func() { <-t.slots })}
			select {
			case t.streams <- in:
			case <-t.done:
				in.Close()
				return
			}
		}
	}
}

// StreamCh implements memberlist.Transport.
func (t *cappedTransport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown implements memberlist.Transport. Connections are passed on until the listener is down: it waits for a taker
// of each.
func (t *cappedTransport) Shutdown() error {
	err := t.NetTransport.Shutdown()
	t.stop.Do(func() { close(t.done) })
	t.wg.Wait()
	return err
}
