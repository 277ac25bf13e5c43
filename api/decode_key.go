package api

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/syllecta/syllecta/fsm"
)

// keyFields are the members by which an API key is created.
type keyFields struct {
	name        optionalText
	scopes      fsm.Scopes // 0 if absent
	expiresAtMs int64      // 0 if absent
}

// scopesOfWebhooks are those that no release knows which does not know fsm.LevelWebhooks.
const scopesOfWebhooks = fsm.ScopeEventsRead | fsm.ScopeWebhooksWrite | fsm.ScopeAdminTenant

// level is the feature level that a cluster must have to do what is asked; 0 for any.
func (f *keyFields) level() uint32 {
	switch {
	case f.scopes&scopesOfWebhooks != 0:
		return fsm.LevelWebhooks
	case f.scopes != 0 || f.expiresAtMs != 0:
		return fsm.LevelControl
	default:
		return 0
	}
}

// decodeKey reads the body of a request for a new key, which may be empty.
func decodeKey(body []byte, now time.Time) (keyFields, *problem) {
	var f keyFields
	if len(body) == 0 {
		return f, nil
	}
	p := decodeObject(body, func(d *decoder, name []byte) *problem {
		switch string(name) {
		case "name":
			return d.displayName(&f.name)
		case "scopes":
			return d.scopes(&f.scopes)
		case "expiresAt":
			return d.future(&f.expiresAtMs, "expiresAt", now)
		default:
			return d.skip()
		}
	})
	return f, p
}

// scopes reads an array of the names of scopes. An empty one is refused: a key that is good for nothing is a mistake, and
// 0 would be one that is good for everything.
func (d *decoder) scopes(dst *fsm.Scopes) *problem {
	if isNull, p := d.null(); isNull || p != nil {
		return p
	}
	if p := d.expect("scopes", jsontext.KindBeginArray, "an array"); p != nil {
		return p
	}
	if _, err := d.json.ReadToken(); err != nil {
		return d.syntax(err)
	}
	var all fsm.Scopes
	for i := 0; d.json.PeekKind() != jsontext.KindEndArray; i++ {
		s, p := d.scope("scopes[" + strconv.Itoa(i) + "]")
		if p != nil {
			return p
		}
		if all&s != 0 {
			return d.invalid("scopes", "has an element twice")
		}
		all |= s
	}
	if _, err := d.json.ReadToken(); err != nil {
		return d.syntax(err)
	}
	if all == 0 {
		return d.invalid("scopes", "is empty; leave it out for a key that is good for everything")
	}
	*dst = all
	return nil
}

func (d *decoder) scope(name string) (fsm.Scopes, *problem) {
	if p := d.expect(name, jsontext.KindString, "a string"); p != nil {
		return 0, p
	}
	raw, err := d.json.ReadValue()
	if err != nil {
		return 0, d.syntax(err)
	}
	s, ok := fsm.ScopeNamed(string(unquote(raw)))
	if !ok {
		return 0, d.invalid(name, "is none of "+strings.Join(fsm.AllScopes.Names(), ", "))
	}
	return s, nil
}

// instantForm is RFC 3339, which time.Parse is too lenient with: it takes hours of one digit, commas, and offsets of a day.
var instantForm = regexp.MustCompile(
	`^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// future reads an instant that is still to come.
func (d *decoder) future(dst *int64, name string, now time.Time) *problem {
	raw, p := d.value(name, jsontext.KindString, "a string")
	if raw == nil || p != nil {
		return p
	}
	text := string(unquote(raw))
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || !instantForm.MatchString(text) {
		return d.invalid(name, "is not an instant such as 2030-12-31T23:59:59Z")
	}
	if ms := t.UnixMilli(); ms > now.UnixMilli() && ms <= fsm.MaxStampMs {
		*dst = ms
		return nil
	}
	return d.invalid(name, "is not in the future, or too far away")
}
