package test

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
)

// network is a virtual network: hosts, each with a network namespace and an address of its own, around a switch. This
// process sits at the switch and reaches every host; what the hosts can send each other is up to the test.
type network struct {
	hub    *namespace
	prefix netip.Prefix
	last   netip.Addr // the newest host's address

	mu    sync.Mutex
	hosts []*host
}

// host is a machine on a network.
type host struct {
	network *network
	ns      *namespace
	ip      netip.Addr
}

const (
	// networkBits leaves room for 250 hosts, old addresses included.
	networkBits = 24
	hubHost     = 254
	hostLink    = "eth0"
)

var (
	networksMade atomic.Uint32
	// hubs finds the network of an address: namespaces by their prefix.
	hubs sync.Map
)

// hubOf returns the hub of the virtual network that an address, host:port, belongs to; nil if there is none.
func hubOf(address string) *namespace {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil
	}
	prefix, err := at.Addr().Prefix(networkBits)
	if err != nil {
		return nil
	}
	hub, _ := hubs.Load(prefix)
	ns, _ := hub.(*namespace)
	return ns
}

// switchRules drop what is cut, and some of what is lossy, on its way from host to host. What this process sends and
// gets does not pass there.
const switchRules = `table bridge faults {
	set cut { type ipv4_addr . ipv4_addr; }
	chain forward {
		type filter hook forward priority 0;
		ip saddr . ip daddr @cut drop
		jump loss
	}
	chain loss { }
}`

// newNetwork makes a network that ends with the test.
func newNetwork(t *testing.T) *network {
	t.Helper()
	needsNamespaces(t)
	w, err := buildNetwork()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return w
}

func buildNetwork() (*network, error) {
	hub, err := newNamespace()
	if err != nil {
		return nil, err
	}
	number := networksMade.Add(1)
	base := netip.AddrFrom4([4]byte{10, byte(100 + number/256), byte(number), 0})
	w := &network{hub: hub, prefix: netip.PrefixFrom(base, networkBits), last: base}
	own := netip.AddrFrom4([4]byte{10, base.As4()[1], base.As4()[2], hubHost})
	for _, args := range [][]string{
		{"link", "add", "br0", "type", "bridge", "forward_delay", "0"},
		{"addr", "add", netip.PrefixFrom(own, networkBits).String(), "dev", "br0"},
		{"link", "set", "br0", "up"},
		{"link", "set", "lo", "up"},
	} {
		if err := hub.command("", "ip", args...); err != nil {
			w.close()
			return nil, err
		}
	}
	if err := hub.command(switchRules, "nft", "-f", "-"); err != nil {
		w.close()
		return nil, err
	}
	hubs.Store(w.prefix, hub)
	return w, nil
}

func (w *network) close() {
	hubs.Delete(w.prefix)
	for _, h := range w.hosts {
		h.ns.close()
	}
	w.hub.close()
}

// newHost adds a machine.
func (w *network) newHost() (*host, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = w.last.Next()
	h := &host{network: w, ns: ns, ip: w.last}
	w.hosts = append(w.hosts, h)
	port := fmt.Sprintf("port%d", len(w.hosts))
	for _, args := range [][]string{
		{"link", "add", port, "type", "veth", "peer", "name", hostLink, "netns", ns.path()},
		{"link", "set", port, "master", "br0", "up"},
	} {
		if err := w.hub.command("", "ip", args...); err != nil {
			return nil, err
		}
	}
	for _, args := range [][]string{
		{"addr", "add", netip.PrefixFrom(h.ip, networkBits).String(), "dev", hostLink},
		{"link", "set", hostLink, "up"},
		{"link", "set", "lo", "up"},
	} {
		if err := ns.command("", "ip", args...); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// ports returns a node's addresses on the host. Nobody else listens there.
func (h *host) ports() ports {
	at := func(port string) string { return net.JoinHostPort(h.ip.String(), port) }
	return ports{http: at("4000"), raft: at("4100"), gossip: at("4200")}
}

// move gives the host an address that no other ever had. Its processes must be gone.
func (h *host) move(t *testing.T) {
	t.Helper()
	w := h.network
	w.mu.Lock()
	w.last = w.last.Next()
	h.ip = w.last
	w.mu.Unlock()
	for _, args := range [][]string{
		{"addr", "flush", "dev", hostLink, "scope", "global"},
		{"addr", "add", netip.PrefixFrom(h.ip, networkBits).String(), "dev", hostLink},
	} {
		h.network.must(t, h.ns, "ip", args...)
	}
}

func (w *network) must(t *testing.T, ns *namespace, name string, args ...string) {
	t.Helper()
	if err := ns.command("", name, args...); err != nil {
		t.Fatal(err)
	}
}

// cutOneWay drops what one host sends to another; answers still come through, if there is anything to answer.
func (w *network) cutOneWay(t *testing.T, from, to *host) {
	t.Helper()
	w.must(t, w.hub, "nft", fmt.Sprintf("add element bridge faults cut { %s . %s }", from.ip, to.ip))
}

// cut drops everything between two hosts.
func (w *network) cut(t *testing.T, a, b *host) {
	t.Helper()
	w.cutOneWay(t, a, b)
	w.cutOneWay(t, b, a)
}

// isolate cuts a host off from all others.
func (w *network) isolate(t *testing.T, h *host) {
	t.Helper()
	for _, other := range w.hosts {
		if other != h {
			w.cut(t, h, other)
		}
	}
}

// lose drops some of the packets that a host sends to others.
func (w *network) lose(t *testing.T, h *host, percent int) {
	t.Helper()
	w.must(t, w.hub, "nft", fmt.Sprintf("add rule bridge faults loss ip saddr %s numgen random mod 100 < %d drop",
		h.ip, percent))
}

// heal ends every cut and loss.
func (w *network) heal(t *testing.T) {
	t.Helper()
	w.must(t, w.hub, "nft", "flush set bridge faults cut; flush chain bridge faults loss")
}
