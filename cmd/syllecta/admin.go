package main

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/spf13/cobra"
)

// defaultServer is the address of a node with default settings.
const defaultServer = "http://127.0.0.1:4000"

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
	token, err := f.token()
	if err != nil {
		return admin{}, err
	}
	c, err := f.clientWith(token)
	return admin{c}, err
}

// clientWith returns a client that shows that token.
func (f *adminFlags) clientWith(token string) (*client, error) {
	c, err := newClient(cmp.Or(f.server, f.t.env("SYLLECTA_SERVER"), defaultServer), token)
	if err != nil {
		return nil, err
	}
	if file := cmp.Or(f.caFile, f.t.env("SYLLECTA_CA_FILE")); file != "" {
		err = c.trustOnly(file)
	}
	return c, err
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
