package main

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

// defaultServer is the address of a node with default settings.
const defaultServer = "http://127.0.0.1:4000"

// tenant is a customer of the cluster, as the admin API shows it.
type tenant struct {
	ID            string `json:"id"`
	Slug          string `json:"slug"`
	Name          string `json:"name"`
	MonthlyClaims int64  `json:"monthlyClaims"` // 0 is no limit
	CreatedAt     string `json:"createdAt"`
}

// apiKey is an API key without its secret, as the admin API shows it.
type apiKey struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Hint      string `json:"hint"` // the last characters of the secret
	CreatedAt string `json:"createdAt"`
	RevokedAt string `json:"revokedAt,omitempty"`
}

// newAPIKey is the answer to making one: the only time the secret can be seen.
type newAPIKey struct {
	apiKey
	Secret string `json:"secret"`
}

// nodeStatus is the part of a node's status that this program looks at.
type nodeStatus struct {
	NodeID   string `json:"nodeId"`
	Role     string `json:"role"`
	Term     uint64 `json:"term"`
	LeaderID string `json:"leaderId"`
}

var errNoAdminToken = errors.New("no admin token: name its file with --admin-token-file or SYLLECTA_ADMIN_TOKEN_FILE")

// admin is a client of the admin API.
type admin struct{ *client }

func (a admin) createTenant(ctx context.Context, slug, name string, monthlyClaims int64) (tenant, error) {
	in := struct {
		Slug          string `json:"slug"`
		Name          string `json:"name,omitempty"`
		MonthlyClaims int64  `json:"monthlyClaims,omitempty"`
	}{slug, name, monthlyClaims}
	var out tenant
	err := a.call(ctx, http.MethodPost, "/v1/admin/tenants", in, &out)
	return out, err
}

func (a admin) tenants(ctx context.Context) ([]tenant, error) {
	var out struct {
		Tenants []tenant `json:"tenants"`
	}
	err := a.call(ctx, http.MethodGet, "/v1/admin/tenants", nil, &out)
	return out.Tenants, err
}

func keysPath(slug string) string { return "/v1/admin/tenants/" + url.PathEscape(slug) + "/keys" }

func (a admin) createKey(ctx context.Context, slug, name string) (newAPIKey, error) {
	in := struct {
		Name string `json:"name,omitempty"`
	}{name}
	var out newAPIKey
	err := a.call(ctx, http.MethodPost, keysPath(slug), in, &out)
	return out, err
}

func (a admin) keys(ctx context.Context, slug string) ([]apiKey, error) {
	var out struct {
		Keys []apiKey `json:"keys"`
	}
	err := a.call(ctx, http.MethodGet, keysPath(slug), nil, &out)
	return out.Keys, err
}

func (a admin) revokeKey(ctx context.Context, slug, id string) (apiKey, error) {
	var out apiKey
	err := a.call(ctx, http.MethodDelete, keysPath(slug)+"/"+url.PathEscape(id), nil, &out)
	return out, err
}

func (a admin) status(ctx context.Context) (nodeStatus, error) {
	var out nodeStatus
	err := a.call(ctx, http.MethodGet, "/v1/admin/status", nil, &out)
	return out, err
}

// adminFlags are the flags that all verbs of the admin API share.
type adminFlags struct {
	t         *terminal
	server    string
	tokenFile string
	caFile    string
	json      bool
}

// addTo gives a group of verbs the flags.
func (f *adminFlags) addTo(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&f.server, "server", "", "`url` of any node (default "+defaultServer+") [SYLLECTA_SERVER]")
	flags.StringVar(&f.tokenFile, "admin-token-file", "",
		"`file` with the admin token [SYLLECTA_ADMIN_TOKEN_FILE, or SYLLECTA_ADMIN_TOKEN with the token itself]")
	flags.StringVar(&f.caFile, "ca-file", "",
		"`file` with the CAs, in PEM, that alone may sign a node's certificate; none takes the system's [SYLLECTA_CA_FILE]")
	flags.BoolVar(&f.json, "json", false, "print a JSON object")
}

// admin returns the client that the flags and the environment describe.
func (f *adminFlags) admin() (admin, error) {
	server := cmp.Or(f.server, f.t.env("SYLLECTA_SERVER"), defaultServer)
	token, err := f.token()
	if err != nil {
		return admin{}, err
	}
	c, err := newClient(server, token)
	if err != nil {
		return admin{}, err
	}
	if file := cmp.Or(f.caFile, f.t.env("SYLLECTA_CA_FILE")); file != "" {
		err = c.trustOnly(file)
	}
	return admin{c}, err
}

// token finds the admin token. A token is never a flag: command lines can be seen by other users.
func (f *adminFlags) token() (string, error) {
	if f.tokenFile == "" {
		if token := f.t.env("SYLLECTA_ADMIN_TOKEN"); token != "" {
			return token, nil
		}
	}
	file := cmp.Or(f.tokenFile, f.t.env("SYLLECTA_ADMIN_TOKEN_FILE"))
	if file == "" {
		return "", &failure{code: exitNotAuthorised, err: errNoAdminToken}
	}
	return readAdminToken(file)
}
