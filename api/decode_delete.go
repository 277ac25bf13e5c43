package api

import "github.com/syllecta/syllecta/fsm"

// decodeDelete reads which record to forget: from the query, from a JSON body, or from both if they agree.
func decodeDelete(rawQuery string, body []byte, headerKey string) (fsm.Delete, *problem) {
	q, p := decodeQuery(rawQuery)
	if p != nil {
		return fsm.Delete{}, p
	}
	var sent struct{ scope, key string }
	if len(body) > 0 {
		p = decodeObject(body, func(d *decoder, name []byte) *problem {
			switch string(name) {
			case "scope":
				return d.text(&sent.scope, "scope", fsm.MaxScopeBytes)
			case "key":
				return d.text(&sent.key, "key", fsm.MaxKeyBytes)
			default:
				return d.skip()
			}
		})
	}
	if p == nil {
		p = agree(&sent.scope, q.scope, "scope")
	}
	if p == nil {
		p = agree(&sent.key, q.key, "key")
	}
	if p != nil {
		return fsm.Delete{}, p
	}
	id, p := identity("", sent.scope, sent.key, headerKey)
	return fsm.Delete{ID: id}, p
}

// agree fills *body from the query, unless they contradict each other.
func agree(body *string, query, name string) *problem {
	switch {
	case *body == "":
		*body = query
	case query != "" && query != *body:
		return invalidField.problem("%s in the body differs from the query", name)
	}
	return nil
}
