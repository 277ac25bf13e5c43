package delivery

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/syllecta/syllecta/api/webhook"
	"github.com/syllecta/syllecta/fsm"
)

// order is an event on its way to where its source says, and what else the request is made of. Nothing of it changes.
type order struct {
	event  *fsm.Event
	source *fsm.Source
	tenant *fsm.Tenant
}

// number is the attempt's, counted from 1 over all of the event's.
func (o order) number() uint32 { return o.event.Attempts + 1 }

// own reports whether the cluster itself made the event, which then has no provider's payload.
func (o order) own() bool { return o.event.Provider == fsm.OwnProvider }

// normalised is the documented JSON. The members after headers are our additions.
type normalised struct {
	ID              string            `json:"id"`
	Provider        string            `json:"provider"`
	ProviderRawType string            `json:"providerRawType"`
	Type            string            `json:"type"`
	TenantID        string            `json:"tenantId"`
	OccurredAt      string            `json:"occurredAt"` // by the provider, or when it came if that does not say
	ReceivedAt      string            `json:"receivedAt"`
	Payload         json.RawMessage   `json:"payload"`
	Headers         map[string]string `json:"headers"` // by their names in lower case
	EventID         string            `json:"eventId"`
	Source          string            `json:"source"`
	Synthetic       bool              `json:"synthetic,omitempty"`
}

// body returns what is sent, its content type, and those of the provider's headers that go with it.
func (o order) body(stored webhook.Stored) (body []byte, contentType string, headers http.Header, err error) {
	if o.source.Raw && len(stored.Raw) > 0 && !o.own() {
		return stored.Raw, stored.ContentType, stored.Headers, nil
	}
	body, err = o.normalise(stored)
	return body, jsonContentType, nil, err
}

// normalise makes the documented JSON of an event.
func (o order) normalise(stored webhook.Stored) ([]byte, error) {
	e := o.event
	n := normalised{
		ID: e.ProviderID, Provider: e.Provider, ProviderRawType: e.RawType, Type: e.Type, TenantID: o.tenant.PublicID,
		OccurredAt: instant(cmp.Or(e.OccurredAtMs, e.ReceivedAtMs)), ReceivedAt: instant(e.ReceivedAtMs),
		Payload: stored.Payload, Headers: flatten(stored.Headers),
		EventID: e.ID.String(), Source: e.SourceName, Synthetic: e.Synthetic,
	}
	if o.own() {
		n.Payload = json.RawMessage(e.Detail)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // the payload's strings stay as the provider spelled them
	if err := encoder.Encode(n); err != nil {
		return nil, fmt.Errorf("%w: making its JSON: %w", errUnreadable, err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// instant is ISO 8601 in UTC, with milliseconds.
func instant(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

// flatten gives each header one value, under its name in lower case.
func flatten(h http.Header) map[string]string {
	flat := make(map[string]string, len(h))
	for name, values := range h {
		flat[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	return flat
}

// request makes the request of an attempt.
func (o order) request(ctx context.Context, l letter, now time.Time, agent string) (*http.Request, error) {
	to, err := parseURL(o.source.CallbackURL)
	if err != nil {
		return nil, err
	}
	body, contentType, headers, err := o.body(l.stored)
	if err != nil {
		return nil, err
	}
	return newRequest(ctx, to, o.headers(headers, body, contentType, l.signing, now, agent), body), nil
}

// newRequest makes a POST that the transport may send again on another connection if one that it had kept breaks before
// there is an answer: to the receiver, the Idempotency-Key and webhook-id make it the same request.
func newRequest(ctx context.Context, to *url.URL, h http.Header, body []byte) *http.Request {
	reader := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	first, _ := reader() // never fails
	r := &http.Request{
		Method: http.MethodPost, URL: to, Host: to.Host, Header: h,
		Body: first, GetBody: reader, ContentLength: int64(len(body)),
	}
	return r.WithContext(ctx)
}
