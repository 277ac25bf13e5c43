package api

import (
	"net/url"
	"path"
	"strings"
	"unicode/utf8"
)

// pathFault refuses a path that is not in its plain form. Whoever checks paths in front of us, and the router, must see
// the same one: an escaped slash, an empty or dotted segment or a NUL makes them differ.
func pathFault(u *url.URL) *problem {
	p := u.Path
	plain := u.RawPath == "" && strings.HasPrefix(p, "/") && utf8.ValidString(p) && !strings.ContainsFunc(p, isControl)
	if plain {
		// Clean drops a trailing slash, which is no disguise: such a path just has no route.
		clean := path.Clean(p)
		plain = p == clean || p == clean+"/"
	}
	if !plain {
		return notFound.problem("the path is not in its plain form")
	}
	return nil
}
