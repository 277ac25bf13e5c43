package api

import "net/netip"

// sourceBits is how much of an IPv6 address tells one source from another: whoever has one address of such a network
// usually has them all.
const sourceBits = 64

// source is whom a limit per address counts a request for: the connection's IPv4 address, or the /64 of its IPv6
// address. What a header says about the way of a request, anybody could write; so callers behind one proxy are one
// source. An address that cannot be read, as that of a Unix socket, is the zero Addr.
func (x *exchange) source() netip.Addr { return sourceOf(x.r.RemoteAddr) }

func sourceOf(remote string) netip.Addr {
	hostPort, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	addr := hostPort.Addr().Unmap()
	if addr.Is4() {
		return addr
	}
	network, _ := addr.Prefix(sourceBits) // fails for more bits than an address has
	return network.Addr()
}
