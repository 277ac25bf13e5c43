package api

import (
	"net/url"
	"strings"

	"github.com/syllecta/syllecta/fsm"
)

// ticketParameter carries a ticket in a redirect's Location.
const ticketParameter = "ticket"

// eachParameter calls do for each parameter of a raw query, decoded.
func eachParameter(raw string, do func(name, value string) *problem) *problem {
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err == nil {
			value, err = url.QueryUnescape(value)
		}
		if err != nil {
			return invalidField.problem("the query is not percent-encoded correctly: %v", err)
		}
		if p := do(name, value); p != nil {
			return p
		}
	}
	return nil
}

// recordQuery are the parameters that name a record.
type recordQuery struct {
	scope, key, consistency string
}

// decodeQuery reads the parameters of GET and DELETE /v1/record. Parameters it does not know are ignored.
func decodeQuery(raw string) (recordQuery, *problem) {
	var q recordQuery
	p := eachParameter(raw, func(name, value string) *problem {
		switch name {
		case "scope":
			return once(&q.scope, name, value, fsm.MaxScopeBytes)
		case "key":
			return once(&q.key, name, value, fsm.MaxKeyBytes)
		case "consistency":
			return once(&q.consistency, name, value, len(consistencyStale))
		default:
			return nil
		}
	})
	if p == nil && q.consistency != "" && q.consistency != consistencyStale {
		p = invalidField.problem("consistency is not %q", consistencyStale)
	}
	return q, p
}

// consistencyStale asks any node for its own state.
const consistencyStale = "stale"

func once(dst *string, name, value string, limit int) *problem {
	if *dst != "" {
		return invalidField.problem("%s is given twice", name)
	}
	if fault := textFault(value, limit); fault != "" {
		return invalidField.problem("%s %s", name, fault)
	}
	*dst = value
	return nil
}

// splitTicket takes the ticket out of a raw query and puts the rest into one spelling, which both ends of a redirect
// arrive at however the client in between escapes it.
func splitTicket(raw string) (rest, ticket string, p *problem) {
	if raw == "" {
		return "", "", nil
	}
	var b strings.Builder
	p = eachParameter(raw, func(name, value string) *problem {
		if name == ticketParameter {
			if ticket != "" {
				return invalidField.problem("%s is given twice", name)
			}
			ticket = value
			return nil
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(name))
		b.WriteByte('=')
		b.WriteString(url.QueryEscape(value))
		return nil
	})
	return b.String(), ticket, p
}
