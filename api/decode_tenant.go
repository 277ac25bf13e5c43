package api

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/syllecta/syllecta/fsm"
)

// What the member status of a tenant can be.
const (
	statusActive    = "active"
	statusSuspended = "suspended"
)

// tenantFields are the members by which a tenant is created or changed.
type tenantFields struct {
	slug          string
	name          optionalText
	monthlyClaims optionalInt
	plan          string // "" if absent
	status        string // "" if absent
	payloadPolicy optionalPolicy
}

// level is the feature level that a cluster must have to do what is asked; 0 for any.
func (f *tenantFields) level() uint32 {
	switch {
	case f.payloadPolicy.set:
		return fsm.LevelWebhooks
	case f.plan != "" || f.status != "":
		return fsm.LevelControl
	default:
		return 0
	}
}

// optionalPolicy is a payload policy that may be absent.
type optionalPolicy struct {
	value fsm.PayloadPolicy
	set   bool
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
			return d.slug(&f.slug, "slug")
		case "name":
			return d.displayName(&f.name)
		case "monthlyClaims":
			return d.integer(&f.monthlyClaims, "monthlyClaims", 0, fsm.MaxMonthlyClaims)
		case "plan":
			return d.slug(&f.plan, "plan")
		case "status":
			return d.tenantStatus(&f.status)
		case "payloadPolicy":
			return d.payloadPolicy(&f.payloadPolicy)
		default:
			return d.skip()
		}
	})
	return f, p
}

// decodeNewTenant reads the body of POST /v1/admin/tenants.
func decodeNewTenant(body []byte) (tenantFields, *problem) {
	f, p := decodeTenant(body)
	switch {
	case p != nil:
	case f.slug == "":
		p = missingField.problem("slug is missing")
	case f.status != "":
		p = invalidField.problem("status is not chosen for a new tenant, which is active")
	case f.payloadPolicy.set:
		p = invalidField.problem("payloadPolicy is not chosen for a new tenant, which has %s", fsm.PayloadMetadataOnly)
	}
	return f, p
}

// decodeTenantChange reads the body of PATCH /v1/admin/tenants/:tenant.
func decodeTenantChange(body []byte) (tenantFields, *problem) {
	f, p := decodeTenant(body)
	if p == nil && f.slug != "" {
		p = invalidField.problem("slug cannot be changed")
	}
	return f, p
}

func (d *decoder) tenantStatus(dst *string) *problem {
	raw, p := d.value("status", jsontext.KindString, "a string")
	if raw == nil || p != nil {
		return p
	}
	switch s := string(unquote(raw)); s {
	case statusActive, statusSuspended:
		*dst = s
		return nil
	default:
		return d.invalid("status", "is neither active nor suspended")
	}
}

func (d *decoder) payloadPolicy(dst *optionalPolicy) *problem {
	raw, p := d.value("payloadPolicy", jsontext.KindString, "a string")
	if raw == nil || p != nil {
		return p
	}
	policy, ok := fsm.PayloadPolicyNamed(string(unquote(raw)))
	if !ok {
		return d.invalid("payloadPolicy", "is none of metadata_only, redacted_payload and raw_debug_window")
	}
	*dst = optionalPolicy{policy, true}
	return nil
}

// slug reads a name that stands in paths.
func (d *decoder) slug(dst *string, name string) *problem {
	if p := d.text(dst, name, fsm.MaxSlugBytes); p != nil || *dst == "" {
		return p
	}
	if fault := slugFault(*dst); fault != "" {
		return d.invalid(name, fault)
	}
	return nil
}

// slugFault says what is wrong with a name that stands in paths; "" if nothing.
func slugFault(s string) string {
	if fault := textFault(s, fsm.MaxSlugBytes); fault != "" {
		return fault
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return "has a character that is not a-z, 0-9 or -"
		}
	}
	return ""
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
