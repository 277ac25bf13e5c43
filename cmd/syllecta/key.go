package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// keyFlags are the flags of the key verbs.
type keyFlags struct {
	adminFlags
	tenant string
}

func newKey(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Create, list and revoke API keys",
		Example: `  syllecta key create --tenant shop --name checkout
  syllecta key revoke --tenant shop key_2Qx…`,
		Args: knownCommand,
		RunE: showHelp,
	}
	flags := &keyFlags{adminFlags: adminFlags{t: t}}
	flags.addTo(cmd)
	cmd.PersistentFlags().StringVar(&flags.tenant, "tenant", "", "`slug` of the tenant (required)")
	completeFlag(cmd, "tenant", completeTenants(&flags.adminFlags))
	cmd.AddCommand(newKeyCreate(flags), newKeyList(flags), newKeyRevoke(flags))
	return cmd
}

// admin returns the client, if the tenant is named.
func (f *keyFlags) admin() (admin, error) {
	if f.tenant == "" {
		return admin{}, usageErrorf("--tenant is required: the slug of the tenant")
	}
	return f.adminFlags.admin()
}

func newKeyList(f *keyFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List a tenant's API keys, the revoked ones included",
		Example: `  syllecta key list --tenant shop
  syllecta key list --tenant shop --json`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = verb(func(cmd *cobra.Command, _ []string) error {
		a, err := f.admin()
		if err != nil {
			return err
		}
		all, err := a.keys(cmd.Context(), f.tenant)
		if err != nil {
			return err
		}
		if f.json {
			return f.t.printJSON(map[string][]apiKey{"keys": orEmpty(all)})
		}
		return f.t.printKeys(all...)
	})
	return cmd
}

func newKeyRevoke(f *keyFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke KEYID",
		Short: "End an API key at once",
		Long:  "End an API key at once, on every node. The tenant's records stay, and its other keys go on working.",
		Example: `  syllecta key revoke --tenant shop key_2Qx…
  syllecta key revoke --tenant shop key_2Qx… --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeKeys(f),
	}
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		a, err := f.admin()
		if err != nil {
			return err
		}
		revoked, err := a.revokeKey(cmd.Context(), f.tenant, args[0])
		if err != nil {
			return err
		}
		if f.json {
			return f.t.printJSON(revoked)
		}
		return f.t.printKeys(revoked)
	})
	return cmd
}

func (t *terminal) printKeys(keys ...apiKey) error {
	w := t.newTable("ID", "NAME", "ENDS IN", "SCOPES", "CREATED", "EXPIRES", "LAST USED", "REVOKED")
	for _, k := range keys {
		w.AppendRow(row(k.ID, k.Name, k.Hint, k.scopes(), k.CreatedAt, k.ExpiresAt, k.LastUsedAt, k.RevokedAt))
	}
	return t.printTable(w)
}

// scopes are what a key is good for, in words.
func (k apiKey) scopes() string {
	if slices.Equal(k.Scopes, []string{"*"}) {
		return "all"
	}
	return strings.Join(k.Scopes, " ")
}
