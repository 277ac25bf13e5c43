package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/syllecta/syllecta/fsm"
)

// keyScopes are what an API key may be good for. One without any is good for everything.
var keyScopes = fsm.AllScopes.Names()

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
	unscoped := len(spec.Scopes) > 0 && (len(made.Scopes) == 0 || slices.Contains(made.Scopes, "*"))
	if err != nil || !unscoped && (spec.ExpiresAt == "" || made.ExpiresAt != "") {
		return made, err
	}
	// It would be good for everything, for ever. Its secret was told to nobody.
	err = fmt.Errorf("%w scopes and ends of keys", errOlderLeader)
	if _, failed := a.revokeKey(ctx, slug, made.ID); failed != nil {
		return newAPIKey{}, errors.Join(err, fmt.Errorf("revoke the key %s that it has made: %w", made.ID, failed))
	}
	return newAPIKey{}, fmt.Errorf("%w: the key %s that it has made was revoked", err, made.ID)
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
