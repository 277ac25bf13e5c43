package api

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/syllecta/syllecta/api/envelope"
	"github.com/syllecta/syllecta/api/webhook"
	"github.com/syllecta/syllecta/api/webhook/redact"
	"github.com/syllecta/syllecta/fsm"
)

// appendPayload writes what is left of what an event's provider has sent. What is sensitive is masked unless raw is asked
// for and the tenant's policy is to show it. A payload that cannot be shown is no failure of the request.
func (x *exchange) appendPayload(b []byte, t *fsm.Tenant, e *fsm.Event, raw bool) []byte {
	if e.Detail != "" {
		return append(appendName(b, "payload"), e.Detail...)
	}
	if e.Form == fsm.PayloadNone {
		return b
	}
	stored, fault := x.openPayload(t, e)
	if fault != "" {
		return appendStringMember(b, "payloadError", fault)
	}
	masked := !raw || t.PayloadPolicy != fsm.PayloadRawDebugWindow
	if masked {
		stored.Payload, stored.Headers, stored.Raw = redact.JSON(stored.Payload), redact.Header(stored.Headers), nil
	}
	b = appendBoolMember(b, "masked", masked)
	if json.Valid(stored.Payload) && utf8.Valid(stored.Payload) {
		b = append(appendName(b, "payload"), stored.Payload...)
	} else {
		b = appendStringMember(b, "payload", string(stored.Payload))
	}
	b = appendHeaders(b, stored.Headers)
	if len(stored.Raw) > 0 {
		b = append(appendName(b, "rawBody"), '"')
		b = append(base64.StdEncoding.AppendEncode(b, stored.Raw), '"')
	}
	return b
}

// openPayload decrypts what is kept of an event's request; fault says in words why it cannot.
func (x *exchange) openPayload(t *fsm.Tenant, e *fsm.Event) (stored webhook.Stored, fault string) {
	source := x.node.Directory().SourceByID(e.Source)
	if source == nil {
		return stored, "the event's source was deleted, and with it what opens the payload"
	}
	key, err := x.s.cfg.Vault.DataKey(t.PublicID, []byte(t.DataKey))
	if missing := (*envelope.MissingKEKError)(nil); errors.As(err, &missing) {
		return stored, "this node does not have the key-encryption key " + missing.ID + " that opens the payload"
	}
	if _, any := x.s.cfg.Vault.Current(); !any {
		return stored, "this node does not have the key-encryption key that opens the payload"
	}
	var plain []byte
	if err == nil {
		plain, err = key.Open(eventPurpose(source.PublicID), e.Payload)
	}
	if err == nil {
		stored, err = webhook.DecodeStored(plain)
	}
	if err != nil {
		x.s.log.Error("the payload of an event cannot be opened", "requestId", x.id, "event", e.ID.String(), "error", err)
		return stored, "the payload cannot be opened; the node's log tells more"
	}
	return stored, ""
}

// appendHeaders writes headers by their names, each with all of its values.
func appendHeaders(b []byte, h http.Header) []byte {
	b = append(appendName(b, "headers"), '{')
	for _, name := range slices.Sorted(maps.Keys(h)) {
		b = append(appendQuoted(appendName(b, ""), name), ':', '[')
		for _, value := range h[name] {
			b = appendQuoted(appendName(b, ""), value)
		}
		b = append(b, ']')
	}
	return append(b, '}')
}
