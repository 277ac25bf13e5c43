package main

import (
	"context"
	"net/http"
	"net/url"
)

// keyScopes are what an API key may be good for. One without any is good for everything.
var keyScopes = []string{"records:read", "records:write", "usage:read"}

// apiKey is an API key without its secret, as the admin API shows it.
type apiKey struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Hint       string   `json:"hint"`             // the last characters of the secret
	Scopes     []string `json:"scopes,omitempty"` // "*" is everything
	CreatedAt  string   `json:"createdAt"`
	ExpiresAt  string   `json:"expiresAt,omitempty"`
	LastUsedAt string   `json:"lastUsedAt,omitempty"`
	RevokedAt  string   `json:"revokedAt,omitempty"`
}

// newAPIKey is the answer to making one: the only time the secret can be seen.
type newAPIKey struct {
	apiKey
	Secret string `json:"secret"`
}

// keySpec is what a new key is to be.
type keySpec struct {
	Name      string   `json:"name,omitempty"`
	Scopes    []string `json:"scopes,omitempty"`    // none is everything
	ExpiresAt string   `json:"expiresAt,omitempty"` // "" is never
}

func keysPath(slug string) string { return tenantPath(slug) + "/keys" }

func (a admin) createKey(ctx context.Context, slug string, spec keySpec) (made newAPIKey, err error) {
	err = a.call(ctx, http.MethodPost, keysPath(slug), spec, &made)
	return made, err
}

func (a admin) keys(ctx context.Context, slug string) ([]apiKey, error) {
	var out struct {
		Keys []apiKey `json:"keys"`
	}
	err := a.call(ctx, http.MethodGet, keysPath(slug), nil, &out)
	return out.Keys, err
}

func (a admin) revokeKey(ctx context.Context, slug, id string) (revoked apiKey, err error) {
	err = a.call(ctx, http.MethodDelete, keysPath(slug)+"/"+url.PathEscape(id), nil, &revoked)
	return revoked, err
}
