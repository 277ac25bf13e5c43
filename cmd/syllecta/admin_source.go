package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// webhookSource is where a provider's webhooks come in, as the API shows it.
type webhookSource struct {
	ID                  string          `json:"id"`
	Provider            string          `json:"provider"`
	Name                string          `json:"name"`
	CallbackURL         string          `json:"callbackUrl"`
	Enabled             bool            `json:"enabled"`
	DisabledReason      string          `json:"disabledReason,omitempty"`
	Raw                 bool            `json:"raw"`
	Options             json.RawMessage `json:"options"`
	DedupeWindowSeconds int64           `json:"dedupeWindowSeconds"`
	RetryDelaysSeconds  []int64         `json:"retryDelaysSeconds"`
	MaxConcurrency      int64           `json:"maxConcurrency"`
	MaxPerSecond        int64           `json:"maxPerSecond"`
	Secrets             []sourceSecret  `json:"secrets"`
	IngressPath         string          `json:"ingressPath"`
	CreatedAt           string          `json:"createdAt"`
	UpdatedAt           string          `json:"updatedAt"`
	Delivery            sourceDelivery  `json:"delivery"`
	// PreviousSigningSecretEndsAt is there while deliveries are signed with two.
	PreviousSigningSecretEndsAt string `json:"previousSigningSecretEndsAt,omitempty"`
	// SigningSecret is in the answer that has made it only.
	SigningSecret string `json:"signingSecret,omitempty"`
}

// sourceSecret is a secret of a source without itself.
type sourceSecret struct {
	ID        string `json:"id"`
	Hint      string `json:"hint"` // its last characters
	CreatedAt string `json:"createdAt"`
}

// sourceSpec is what a new source is to be, or what of one is to change. Members that are nil, or "" or empty, stay as
// they are.
type sourceSpec struct {
	Provider            string          `json:"provider,omitempty"`
	Name                string          `json:"name,omitempty"`
	CallbackURL         *string         `json:"callbackUrl,omitempty"`
	Secrets             []string        `json:"secrets,omitempty"`
	Options             json.RawMessage `json:"options,omitempty"`
	Raw                 *bool           `json:"raw,omitempty"`
	Enabled             *bool           `json:"enabled,omitempty"`
	DedupeWindowSeconds *int64          `json:"dedupeWindowSeconds,omitempty"`
	RetryDelaysSeconds  *[]int64        `json:"retryDelaysSeconds,omitempty"`
	MaxConcurrency      *int64          `json:"maxConcurrency,omitempty"`
	MaxPerSecond        *int64          `json:"maxPerSecond,omitempty"`
}

// sourceList is the answer to asking for all sources.
type sourceList struct {
	Sources []webhookSource `json:"sources"`
}

// sourceClient speaks about the sources of one tenant: as the admin, or by the tenant's API key.
type sourceClient struct {
	*client
	path string // of the sources
}

func (s sourceClient) one(id string) string { return s.path + "/" + url.PathEscape(id) }

func (s sourceClient) list(ctx context.Context) (all told[sourceList], err error) {
	err = s.call(ctx, http.MethodGet, s.path, nil, &all)
	return all, err
}

func (s sourceClient) show(ctx context.Context, id string) (found told[webhookSource], err error) {
	err = s.call(ctx, http.MethodGet, s.one(id), nil, &found)
	return found, err
}

func (s sourceClient) create(ctx context.Context, spec sourceSpec) (made told[webhookSource], err error) {
	err = s.call(ctx, http.MethodPost, s.path, spec, &made)
	return made, err
}

func (s sourceClient) change(ctx context.Context, id string, change sourceSpec) (changed told[webhookSource], err error) {
	err = s.call(ctx, http.MethodPatch, s.one(id), change, &changed)
	return changed, err
}

func (s sourceClient) delete(ctx context.Context, id string) (done told[struct{}], err error) {
	err = s.call(ctx, http.MethodDelete, s.one(id), nil, &done)
	return done, err
}

func (s sourceClient) addSecret(ctx context.Context, id, secret string) (added told[sourceSecret], err error) {
	in := struct {
		Secret string `json:"secret"`
	}{secret}
	err = s.call(ctx, http.MethodPost, s.one(id)+"/secrets", in, &added)
	return added, err
}

func (s sourceClient) removeSecret(ctx context.Context, id, secretID string) (done told[struct{}], err error) {
	err = s.call(ctx, http.MethodDelete, s.one(id)+"/secrets/"+url.PathEscape(secretID), nil, &done)
	return done, err
}

// signingRoll is how a signing secret is rolled.
type signingRoll struct {
	OverlapSeconds int64 `json:"overlapSeconds"`
}

// rollSigningSecret rolls; how may be nil, for the overlap that is the default.
func (s sourceClient) rollSigningSecret(ctx context.Context, id string, how *signingRoll) (told[webhookSource], error) {
	var rolled told[webhookSource]
	var body any // a nil pointer would be sent as null
	if how != nil {
		body = how
	}
	err := s.call(ctx, http.MethodPost, s.one(id)+"/signing-secret", body, &rolled)
	return rolled, err
}

// sourceIDPrefix is what the id of a source begins with, and no name of one, which has no underscore.
const sourceIDPrefix = "src_"

// id returns the id of a source that is named by it, or by its provider, with a slash and the source's name unless that
// is the default one.
func (s sourceClient) id(ctx context.Context, named string) (string, error) {
	if strings.HasPrefix(named, sourceIDPrefix) {
		return named, nil
	}
	all, err := s.list(ctx)
	if err != nil {
		return "", err
	}
	list := all.value.Sources
	at := slices.IndexFunc(list, func(x webhookSource) bool { return x.title() == named || x.Provider+"/"+x.Name == named })
	if at < 0 {
		return "", &failure{code: exitNotFound, err: fmt.Errorf(
			"the tenant has no source %q; see its sources with: syllecta source list", shorten(named))}
	}
	return list[at].ID, nil
}

// title is what people call a source.
func (x webhookSource) title() string {
	if x.Name == "default" {
		return x.Provider
	}
	return x.Provider + "/" + x.Name
}
