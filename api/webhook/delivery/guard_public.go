package delivery

import (
	"net/netip"
	"slices"
)

// The IPv4 addresses that are no host's on the public internet: IANA's registry of special-purpose addresses (RFC 6890)
// whole, also those of it that are reachable from everywhere, since no tenant's server is among them; and multicast.
var specialIPv4 = prefixes(
	"0.0.0.0/8",       // this network
	"10.0.0.0/8",      // private
	"100.64.0.0/10",   // shared by carriers, and by clouds for their own services
	"127.0.0.0/8",     // loopback
	"169.254.0.0/16",  // link-local: where clouds keep instance metadata
	"172.16.0.0/12",   // private
	"192.0.0.0/24",    // protocol assignments, the anycast of PCP and TURN among them
	"192.0.2.0/24",    // documentation
	"192.31.196.0/24", // AS112
	"192.52.193.0/24", // AMT
	"192.88.99.0/24",  // 6to4 relays
	"192.168.0.0/16",  // private
	"192.175.48.0/24", // AS112, by delegation
	"198.18.0.0/15",   // benchmarks
	"198.51.100.0/24", // documentation
	"203.0.113.0/24",  // documentation
	"224.0.0.0/4",     // multicast
	"240.0.0.0/4",     // reserved, broadcast among them
	// In the public range and in no registry: a cloud's machines reach the agent of their host there.
	"168.63.129.16/32",
)

// globalIPv6 is all of IPv6 that is assigned to hosts of the public internet; specialIPv6 is what is not theirs in it.
// Outside are loopback, mapped, translated (64:ff9b::/96), unique local, link-local and multicast addresses.
var (
	globalIPv6  = netip.MustParsePrefix("2000::/3")
	specialIPv6 = prefixes(
		"2001::/23",         // protocol assignments, Teredo among them, which carries IPv4 addresses
		"2001:db8::/32",     // documentation
		"2002::/16",         // 6to4, which carries IPv4 addresses
		"2620:4f:8000::/48", // AS112, by delegation
		"3fff::/20",         // documentation
	)
)

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// isPublic reports whether an address, unmapped, may be a server's on the public internet.
func isPublic(a netip.Addr) bool {
	contains := func(p netip.Prefix) bool { return p.Contains(a) }
	if a.Is4() {
		return !slices.ContainsFunc(specialIPv4, contains)
	}
	return globalIPv6.Contains(a) && !slices.ContainsFunc(specialIPv6, contains)
}
