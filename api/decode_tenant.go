package api

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/syllecta/syllecta/fsm"
)

// maxMonthlyClaims is the largest number that is exact in every JSON reader.
const maxMonthlyClaims = 1<<53 - 1

// tenantFields are the members by which a tenant is created or changed.
type tenantFields struct {
	slug          string
	name          optionalText
	monthlyClaims optionalInt
}

// optionalText is a string member that may be absent, or empty.
type optionalText struct {
	value string
	set   bool
}

// decodeTenant reads the body of POST and PATCH for tenants.
func decodeTenant(body []byte) (tenantFields, *problem) {
	var f tenantFields
	p := decodeObject(body, func(d *decoder, name []byte) *problem {
		switch string(name) {
		case "slug":
			return d.slug(&f.slug)
		case "name":
			return d.displayName(&f.name)
		case "monthlyClaims":
			return d.integer(&f.monthlyClaims, "monthlyClaims", 0, maxMonthlyClaims)
		default:
			return d.skip()
		}
	})
	return f, p
}

// decodeKeyName reads the body of a request for a new key, which may be empty.
func decodeKeyName(body []byte) (string, *problem) {
	if len(body) == 0 {
		return "", nil
	}
	var name optionalText
	p := decodeObject(body, func(d *decoder, member []byte) *problem {
		if string(member) == "name" {
			return d.displayName(&name)
		}
		return d.skip()
	})
	return name.value, p
}

func (d *decoder) slug(dst *string) *problem {
	if p := d.text(dst, "slug", fsm.MaxSlugBytes); p != nil {
		return p
	}
	for _, c := range []byte(*dst) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return d.invalid("slug", "has a character that is not a-z, 0-9 or -")
		}
	}
	return nil
}

// displayName reads a name for people: at most fsm.MaxNameBytes, and it may be empty.
func (d *decoder) displayName(dst *optionalText) *problem {
	raw, p := d.value("name", jsontext.KindString, "a string")
	if raw == nil || p != nil {
		return p
	}
	s := string(unquote(raw))
	if len(s) > fsm.MaxNameBytes {
		return d.invalid("name", "is longer than "+strconv.Itoa(fsm.MaxNameBytes)+" bytes")
	}
	if s != "" {
		if fault := textFault(s, fsm.MaxNameBytes); fault != "" {
			return d.invalid("name", fault)
		}
	}
	*dst = optionalText{s, true}
	return nil
}
