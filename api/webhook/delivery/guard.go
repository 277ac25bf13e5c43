package delivery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// Bounds of a guard's settings.
const (
	MaxAllowedPrefixes = 64
	MaxPorts           = 64
)

// DefaultPort is the port of callbacks that is open unless the operator names others.
const DefaultPort = 443

// dialTimeout bounds the way to a connection, all addresses of a name together.
const dialTimeout = 10 * time.Second

// ErrNotAllowed is what a callback is refused with that would lead to where none may go. It names no address: whoever
// configures a callback is not told what a name means inside the operator's network.
var ErrNotAllowed = errors.New("the address is not allowed")

// Guard decides where callbacks may go: to public addresses by https, and to the ranges that the operator allows. It
// looks at the address that is about to be dialled, so whatever a name resolves to, and however often that changes,
// nothing else is reached.
type Guard struct {
	allowed []netip.Prefix
	ports   []uint16

	resolver *net.Resolver // nil is the system's; tests have their own
}

// NewGuard returns a guard. allowed are the ranges, at most MaxAllowedPrefixes, that are open though they are not public,
// on every port and without TLS too. ports, at most MaxPorts, are those that are open on public addresses; none is
// DefaultPort alone.
func NewGuard(allowed []netip.Prefix, ports []uint16) (*Guard, error) {
	if len(allowed) > MaxAllowedPrefixes {
		return nil, fmt.Errorf("%d allowed ranges: at most %d", len(allowed), MaxAllowedPrefixes)
	}
	if len(ports) > MaxPorts {
		return nil, fmt.Errorf("%d callback ports: at most %d", len(ports), MaxPorts)
	}
	g := &Guard{ports: slices.Clone(ports)}
	for _, p := range allowed {
		if !p.IsValid() || p.Addr().Is4In6() {
			return nil, fmt.Errorf("the allowed range %s is no range of IPv4 or IPv6 addresses", p)
		}
		g.allowed = append(g.allowed, p.Masked())
	}
	if slices.Contains(ports, 0) {
		return nil, errors.New("the callback port 0 is no port")
	}
	if len(ports) == 0 {
		g.ports = []uint16{DefaultPort}
	}
	return g, nil
}

// check decides on an address. Without TLS the operator must have allowed its range.
func (g *Guard) check(to netip.AddrPort, secure bool) error {
	a := to.Addr()
	if !a.IsValid() || a.Zone() != "" {
		return ErrNotAllowed
	}
	a = a.Unmap()
	if g.isAllowed(a) {
		return nil
	}
	if !secure || !isPublic(a) || !slices.Contains(g.ports, to.Port()) {
		return ErrNotAllowed
	}
	return nil
}

func (g *Guard) isAllowed(a netip.Addr) bool {
	return slices.ContainsFunc(g.allowed, func(p netip.Prefix) bool { return p.Contains(a) })
}

// dialer dials what the guard lets through. The decision is made when a socket has its address and before it is used,
// for each of the addresses of a name.
func (g *Guard) dialer(secure bool) *net.Dialer {
	return &net.Dialer{
		Timeout:  dialTimeout,
		Resolver: g.resolver,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return ErrNotAllowed
			}
			return g.check(to, secure)
		},
	}
}
