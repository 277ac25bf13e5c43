package test

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// ports are a node's addresses, host:port.
type ports struct{ http, raft, gossip string }

// seed is the address by which other nodes find this one.
func (p ports) seed() string { return p.raft }

// Ports are taken from below the range that the kernel draws from for outgoing connections, so that a node which was
// killed finds its own free when it comes back, and from above those that other packages' tests take.
const (
	firstPort = 21_000
	lastPort  = 32_000
)

var (
	portsMu   sync.Mutex
	portsUsed = make(map[int]bool) // by this test binary
)

// freePort returns a port that is free for TCP and UDP on all the hosts. Another program may still take it before it is
// used: see newCluster, which then tries again.
func freePort(t testing.TB, hosts ...string) string {
	t.Helper()
	portsMu.Lock()
	defer portsMu.Unlock()
	for range lastPort - firstPort {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if !portsUsed[port] && isFree(port, hosts) {
			portsUsed[port] = true
			return strconv.Itoa(port)
		}
	}
	t.Fatal("there is no free port")
	return ""
}

func isFree(port int, hosts []string) bool {
	for _, host := range hosts {
		address := net.JoinHostPort(host, strconv.Itoa(port))
		tcp, err := net.Listen("tcp", address)
		if err != nil {
			return false
		}
		defer tcp.Close()
		udp, err := net.ListenPacket("udp", address)
		if err != nil {
			return false
		}
		defer udp.Close()
	}
	return true
}

const loopback = "127.0.0.1"

// freePorts returns addresses for a node on loopback.
func freePorts(t testing.TB) ports {
	t.Helper()
	address := func() string { return net.JoinHostPort(loopback, freePort(t, loopback)) }
	return ports{http: address(), raft: address(), gossip: address()}
}
