package main

import (
	"cmp"
	"errors"

	"github.com/spf13/cobra"
)

// callerFlags are the flags of verbs that a tenant's API key is good for as well as the admin token.
type callerFlags struct {
	adminFlags
	apiKeyFile string
	tenant     string
}

var errNoCaller = errors.New("no admin token and no API key: name a file with --admin-token-file, " +
	"SYLLECTA_ADMIN_TOKEN_FILE or --api-key-file, or give a key in SYLLECTA_API_KEY")

// oneTenantUsage describes --tenant for verbs that are about one tenant.
const oneTenantUsage = "`slug` of the tenant; required with the admin token"

// addTo gives a verb, or a group of them, the flags.
func (f *callerFlags) addTo(cmd *cobra.Command, tenantUsage string) {
	f.adminFlags.addTo(cmd)
	flags := cmd.PersistentFlags()
	flags.StringVar(&f.apiKeyFile, "api-key-file", "",
		"`file` with an API key, which is used instead of the admin token [SYLLECTA_API_KEY with the key itself]")
	flags.StringVar(&f.tenant, "tenant", "", tenantUsage)
	completeFlag(cmd, "tenant", completeTenants(&f.adminFlags))
}

// checkCaller refuses flags that make no sense.
func (f *callerFlags) checkCaller() error {
	switch {
	case f.apiKeyFile != "" && f.tokenFile != "":
		return usageErrorf("--api-key-file and --admin-token-file are not given together")
	case f.apiKeyFile != "" && f.tenant != "":
		return usageErrorf("--tenant needs the admin token; with --api-key-file it is the tenant of the key")
	}
	return nil
}

// checkTenant refuses a tenant without a name, which would be taken for none.
func (f *callerFlags) checkTenant(cmd *cobra.Command) error {
	if cmd.Flags().Changed("tenant") && f.tenant == "" {
		return usageErrorf("--tenant: it must be the slug of a tenant")
	}
	return nil
}

// apiKey returns the API key to ask with, or "" if it is the admin who asks: whoever is named by a flag comes first, then the
// admin.
func (f *callerFlags) apiKey() (string, error) {
	if err := f.checkCaller(); err != nil {
		return "", err
	}
	key := f.t.env("SYLLECTA_API_KEY")
	isAdmin := cmp.Or(f.tokenFile, f.t.env("SYLLECTA_ADMIN_TOKEN"), f.t.env("SYLLECTA_ADMIN_TOKEN_FILE")) != ""
	switch {
	case f.apiKeyFile != "":
		return readSecret("API key", f.apiKeyFile)
	case isAdmin || f.tenant != "":
		return "", nil
	case key != "":
		return key, nil
	default:
		return "", &failure{code: exitNotAuthorised, err: errNoCaller}
	}
}

// ofTenant returns a client that may speak about one tenant, and the path under which it does.
func (f *callerFlags) ofTenant() (c *client, path string, err error) {
	key, err := f.apiKey()
	switch {
	case err != nil:
		return nil, "", err
	case key != "":
		c, err = f.clientWith(key)
		return c, "/v1", err
	case f.tenant == "":
		return nil, "", usageErrorf("--tenant is required with the admin token: the slug of the tenant")
	default:
		a, err := f.admin()
		return a.client, tenantPath(f.tenant), err
	}
}
