package main

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// field says where in settings a value of type T goes.
type field[T any] func(*settings) *T

// maxTextBytes bounds a setting that is free text, such as a path.
const maxTextBytes = 4096

func freeText(name, unit, def, allowed, usage string, to field[string]) setting {
	return setting{name: name, unit: unit, def: def, allowed: allowed, usage: usage,
		set: func(s *settings, value string) bool {
			*to(s) = value
			return len(value) <= maxTextBytes && !strings.ContainsRune(value, 0)
		}}
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// identifier is a setting that names a node or a cluster. Without a default it may be empty.
func identifier(flag, def, usage string, to field[string]) setting {
	return setting{name: flag, unit: "name", def: def, usage: usage,
		allowed: "1 to 63 letters, digits, dots, dashes or underscores, a letter or digit first",
		set: func(s *settings, value string) bool {
			*to(s) = value
			return namePattern.MatchString(value) || value == "" && def == ""
		}}
}

func choice(name, def string, choices []string, usage string, to field[string]) setting {
	return setting{name: name, unit: "word", def: def, usage: usage, choices: choices, allowed: oneOf(choices),
		set: func(s *settings, value string) bool {
			*to(s) = value
			return slices.Contains(choices, value)
		}}
}

// oneOf lists the words that are allowed.
func oneOf(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// whole are the types a whole number may have in settings.
type whole interface{ ~int | ~int64 | ~uint64 }

func integer[T whole](name, unit, def string, low, high int64, usage string, to field[T]) setting {
	return setting{name: name, unit: unit, def: def, usage: usage, allowed: wholeNumber(low, high),
		set: func(s *settings, value string) bool {
			n, ok := parseWhole(value, low, high)
			*to(s) = T(n)
			return ok
		}}
}

// span is a length of time given as a whole number of units, low to high of them.
func span(name, units, def string, unit time.Duration, low, high int64, usage string, to field[time.Duration]) setting {
	return setting{name: name, unit: units, def: def, usage: usage, allowed: wholeNumber(low, high),
		set: func(s *settings, value string) bool {
			n, ok := parseWhole(value, low, high)
			*to(s) = time.Duration(n) * unit
			return ok
		}}
}

func wholeNumber(low, high int64) string {
	return fmt.Sprintf("a whole number from %d to %d", low, high)
}

func parseWhole(value string, low, high int64) (int64, bool) {
	n, err := strconv.ParseInt(value, 10, 64)
	return n, err == nil && low <= n && n <= high
}

// duration is a length of time in Go's notation.
func duration(name, def string, low, high time.Duration, usage string, to field[time.Duration]) setting {
	return setting{name: name, unit: "duration", def: def, usage: usage,
		allowed: fmt.Sprintf("a time from %v to %v such as 1500ms or 10s", low, high),
		set: func(s *settings, value string) bool {
			d, err := time.ParseDuration(value)
			*to(s) = d
			return err == nil && low <= d && d <= high
		}}
}

// toggle is off unless it is given.
func toggle(name, usage string, to field[bool]) setting {
	return setting{name: name, unit: "bool", def: "false", usage: usage, allowed: "true or false",
		choices: []string{"true", "false"}, boolean: true,
		set: func(s *settings, value string) bool {
			*to(s) = value == "true"
			return value == "true" || value == "false"
		}}
}

// address is a host:port; if it is optional, it may be empty.
func address(name, def string, optional bool, usage string, to field[string]) setting {
	return setting{name: name, unit: "host:port", def: def, usage: usage,
		allowed: "a host or IP address, a colon and a port from 1 to 65535",
		set: func(s *settings, value string) bool {
			*to(s) = value
			return isHostPort(value) || value == "" && optional
		}}
}

func withAlias(env string, s setting) setting {
	s.alias = env
	return s
}

// maxJoin bounds the list of nodes to join.
const maxJoin = 64

func setJoin(s *settings, value string) bool {
	s.Join = nil
	for part := range strings.SplitSeq(value, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		if !isHostPort(part) || isWildcard(part) {
			return false
		}
		s.Join = append(s.Join, part)
	}
	return len(s.Join) <= maxJoin
}

// setHTTPAdvertise takes a base URL, or a host:port that gets its scheme in reconcile.
func setHTTPAdvertise(s *settings, value string) bool {
	if value == "" || isHostPort(value) {
		s.HTTPAdvertise = value
		return value == "" || !isWildcard(value)
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return false
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return false
	}
	s.HTTPAdvertise = u.Scheme + "://" + u.Host
	return !isWildcardHost(u.Hostname())
}

func isHostPort(value string) bool {
	host, port, err := net.SplitHostPort(value)
	if err != nil || strings.ContainsAny(host, " /@\x00") {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// isWildcard reports whether a host:port stands for all addresses of the machine, which nobody can dial.
func isWildcard(hostPort string) bool {
	host, _, _ := net.SplitHostPort(hostPort)
	return isWildcardHost(host)
}

func isWildcardHost(host string) bool {
	if host == "" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsUnspecified()
}

// isLoopback reports whether a host:port can be reached from this machine only.
func isLoopback(hostPort string) bool {
	host, _, _ := net.SplitHostPort(hostPort)
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
