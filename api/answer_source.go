package api

import (
	"strconv"

	"github.com/syllecta/syllecta/fsm"
)

// appendSource writes a source and how its deliveries go, with the key that it signs with only when that was just made.
// It is for the node that leads.
func (x *exchange) appendSource(b []byte, t *fsm.Tenant, s *fsm.Source, signingSecret string) []byte {
	b = appendSourceMembers(b, t, s)
	b = x.appendDelivery(appendName(b, "delivery"), s)
	if signingSecret != "" {
		b = appendStringMember(b, "signingSecret", signingSecret)
	}
	return append(b, '}')
}

// appendSourceMembers writes what is kept of a source, without its closing brace.
func appendSourceMembers(b []byte, t *fsm.Tenant, s *fsm.Source) []byte {
	b = append(b, '{')
	b = appendStringMember(b, "id", s.PublicID)
	b = appendStringMember(b, "provider", s.Provider)
	b = appendStringMember(b, "name", s.Name)
	b = appendStringMember(b, "callbackUrl", s.CallbackURL)
	b = appendBoolMember(b, "enabled", !s.Disabled)
	if s.DisabledReason != "" {
		b = appendStringMember(b, "disabledReason", s.DisabledReason)
	}
	b = appendBoolMember(b, "raw", s.Raw)
	b = appendSourceOptions(b, s.Options)
	b = appendIntMember(b, "dedupeWindowSeconds", s.DedupeWindowMs/1000)
	b = append(appendName(b, "retryDelaysSeconds"), '[')
	for _, ms := range s.RetryDelaysMs {
		b = strconv.AppendInt(appendName(b, ""), ms/1000, 10)
	}
	b = append(b, ']')
	b = appendIntMember(b, "maxConcurrency", s.MaxConcurrency)
	b = appendIntMember(b, "maxPerSecond", s.MaxPerSecond)
	b = append(appendName(b, "secrets"), '[')
	for _, secret := range s.Secrets {
		b = appendSourceSecret(appendName(b, ""), secret)
	}
	b = append(b, ']')
	if s.Previous.EndsAtMs > 0 {
		b = appendTimeMember(b, "previousSigningSecretEndsAt", s.Previous.EndsAtMs)
	}
	if s.Provider != fsm.OwnProvider {
		b = appendStringMember(b, "ingressPath", ingressPath(t, s))
	}
	b = appendTimeMember(b, "createdAt", s.CreatedAtMs)
	return appendTimeMember(b, "updatedAt", s.UpdatedAtMs)
}

// appendSourceOptions writes the options as they were sent, which were checked when they came.
func appendSourceOptions(b, options []byte) []byte {
	if len(options) == 0 {
		options = []byte(`{}`)
	}
	return append(appendName(b, "options"), options...)
}

func appendSourceSecret(b []byte, s fsm.SourceSecret) []byte {
	b = append(b, '{')
	b = appendStringMember(b, "id", s.PublicID)
	b = appendStringMember(b, "hint", s.Hint)
	b = appendTimeMember(b, "createdAt", s.CreatedAtMs)
	return append(b, '}')
}

// ingressPath is what the provider is pointed at, on any node's address.
func ingressPath(t *fsm.Tenant, s *fsm.Source) string {
	path := "/v1/t/" + t.Slug + "/webhooks/" + s.Provider
	if s.Name != fsm.DefaultSourceName {
		path += "?source=" + s.Name
	}
	return path
}
