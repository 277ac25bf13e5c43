package api

import "github.com/syllecta/syllecta/fsm"

// allScopes is how an answer writes the scopes of a key that is good for everything, also for what later releases add.
const allScopes = "*"

// authorize lets a request pass whose API key is good for what the route does, however its caller was authenticated.
// The node that decides the request also notes that the key was used.
func authorize(next handler) handler {
	return func(x *exchange) {
		if key := x.caller.key; key != nil {
			x.node.NoteKeyUse(key)
			if wanted := x.route.scope; !key.Scopes.Allows(wanted) {
				x.refuse(forbidden.problem("this call needs an API key with the scope %s; nothing was changed", wanted))
				return
			}
		}
		next(x)
	}
}

// appendScopes writes what a key is good for.
func appendScopes(b []byte, s fsm.Scopes) []byte {
	b = append(appendName(b, "scopes"), '[')
	if s == 0 {
		b = appendQuoted(b, allScopes)
	}
	for _, name := range s.Names() {
		b = appendQuoted(appendName(b, ""), name)
	}
	return append(b, ']')
}
