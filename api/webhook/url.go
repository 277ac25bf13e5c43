package webhook

import (
	"net/url"
	"strings"
)

// beforeQuery returns a URL up to its first question mark.
func beforeQuery(u string) string {
	base, _, _ := strings.Cut(u, "?")
	return base
}

// portVariants returns a URL as it is, without its port, and with the default port of its scheme: a proxy in front of
// the receiver may have added or taken away what the provider signed. The order tells nothing about which is right.
func portVariants(u string) []string {
	variants := []string{u}
	parsed, err := url.Parse(u)
	if err != nil || parsed.Host == "" {
		return variants
	}
	scheme, rest, _ := strings.Cut(u, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	if port := parsed.Port(); port != "" {
		return append(variants, scheme+"://"+strings.TrimSuffix(authority, ":"+port)+tail)
	}
	switch parsed.Scheme {
	case "https":
		return append(variants, scheme+"://"+authority+":443"+tail)
	case "http":
		return append(variants, scheme+"://"+authority+":80"+tail)
	}
	return variants
}
