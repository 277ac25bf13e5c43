package delivery

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/syllecta/syllecta/fsm"
)

// maxHostBytes bounds a name in the DNS (RFC 1035).
const maxHostBytes = 253

// CheckURL reports why a URL cannot be a callback, so that whoever configures it learns it at once. What it lets through
// is decided on again when it is dialled: a name is not resolved here.
func (g *Guard) CheckURL(raw string) error {
	if len(raw) > fsm.MaxURLBytes {
		return fmt.Errorf("the URL has %d bytes: at most %d", len(raw), fsm.MaxURLBytes)
	}
	u, err := parseURL(raw)
	if err != nil {
		return err
	}
	secure := u.Scheme == "https"
	if !secure && len(g.allowed) == 0 {
		return errors.New("the URL must begin with https://")
	}
	port, err := portOf(u)
	if err != nil {
		return err
	}
	a, isAddress, err := hostAddress(u)
	switch {
	case err != nil:
		return err
	case isAddress:
		if err := g.check(netip.AddrPortFrom(a, port), secure); err != nil {
			return fmt.Errorf("%w: %s", err, g.rule())
		}
		return nil
	case len(g.allowed) == 0 && g.check(netip.AddrPortFrom(anyPublic, port), secure) != nil:
		return fmt.Errorf("the URL's port %d is not allowed: %s", port, g.rule())
	}
	return nil
}

// rule is where callbacks may go, in words. Which ranges are allowed is the operator's to know.
func (g *Guard) rule() string {
	return fmt.Sprintf("callbacks go by https to public addresses, on the ports %s, and to the ranges of --callback-allow-cidr",
		strings.Trim(fmt.Sprint(g.ports), "[]"))
}

// anyPublic stands for a name of which it is not known yet what it means.
var anyPublic = netip.MustParseAddr("1.1.1.1")

// parseURL takes an absolute URL of http or https that names a host and nothing that a callback has no use for.
func parseURL(raw string) (*url.URL, error) {
	if strings.ContainsAny(raw, " \\") || strings.ContainsFunc(raw, func(r rune) bool { return r > '~' }) {
		return nil, errors.New("the URL has a space, a backslash or letters outside ASCII; write them as %xx, and a name in its xn-- form")
	}
	if strings.Contains(raw, "#") {
		return nil, errors.New("the URL has a fragment, which is never sent")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("the URL cannot be parsed") // the error would repeat what may be a secret
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("the URL must begin with https://")
	case u.User != nil:
		return nil, errors.New("the URL has a user or a password before the host")
	case u.Opaque != "" || u.Hostname() == "":
		return nil, errors.New("the URL names no host")
	}
	return u, nil
}

// portOf returns the port that is meant, named or not.
func portOf(u *url.URL) (uint16, error) {
	switch {
	case u.Port() != "":
		n, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil || n == 0 {
			return 0, errors.New("the URL's port is not a number from 1 to 65535")
		}
		return uint16(n), nil
	case strings.HasSuffix(u.Host, ":"):
		return 0, errors.New("the URL's port is empty")
	case u.Scheme == "http":
		return 80, nil
	}
	return DefaultPort, nil
}

var (
	hostPattern = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?$`)
	// numberPattern finds hosts that other readers of URLs take for IPv4 addresses, in the forms of inet_aton: 127.1,
	// 2130706433, 0x7f.1 (WHATWG URL, "ends in a number").
	numberPattern = regexp.MustCompile(`(^|\.)([0-9]+|0[xX][0-9A-Fa-f]*)\.?$`)
)

// hostAddress returns the address that the URL's host is written as, if it is no name.
func hostAddress(u *url.URL) (a netip.Addr, isAddress bool, err error) {
	host := u.Hostname()
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Zone() != "" {
			return a, true, errors.New("the URL's address has a zone")
		}
		return a, true, nil
	}
	switch {
	case len(host) > maxHostBytes || !hostPattern.MatchString(host):
		return a, false, errors.New("the URL's host is neither a name nor an address")
	case numberPattern.MatchString(host):
		return a, false, errors.New("the URL's host is a number; write an address as four decimal numbers")
	}
	return a, false, nil
}
