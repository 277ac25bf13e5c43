package main

import (
	"strconv"

	"github.com/spf13/cobra"
)

func newTenant(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tenant",
		Short: "Create and list tenants",
		Example: `  syllecta tenant create shop --admin-token-file token
  syllecta tenant list --json`,
		Args: knownCommand,
		RunE: showHelp,
	}
	flags := &adminFlags{t: t}
	flags.addTo(cmd)
	cmd.AddCommand(newTenantCreate(flags), newTenantList(flags))
	return cmd
}

func newTenantCreate(f *adminFlags) *cobra.Command {
	var name string
	var monthlyClaims int64
	cmd := &cobra.Command{
		Use:   "create SLUG",
		Short: "Create a tenant",
		Long:  "Create a tenant. Its slug is its name in commands and webhook addresses, and cannot be changed.",
		Example: `  syllecta tenant create shop
  syllecta tenant create shop --name "The Shop" --monthly-claims 100000`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions, // the slug is a new one
	}
	cmd.Flags().StringVar(&name, "name", "", "name for people")
	cmd.Flags().Int64Var(&monthlyClaims, "monthly-claims", 0,
		"`number` of locks granted per calendar month (UTC); 0 is no limit")
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		if monthlyClaims < 0 {
			return usageErrorf("--monthly-claims: %d is not allowed; it must be 0 or more", monthlyClaims)
		}
		a, err := f.admin()
		if err != nil {
			return err
		}
		made, err := a.createTenant(cmd.Context(), args[0], name, monthlyClaims)
		if err != nil {
			return err
		}
		if f.json {
			return f.t.printJSON(made)
		}
		return f.t.printTenants(made)
	})
	return cmd
}

func newTenantList(f *adminFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List all tenants",
		Example: `  syllecta tenant list
  syllecta tenant list --server http://10.0.0.1:4000 --json`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = verb(func(cmd *cobra.Command, _ []string) error {
		a, err := f.admin()
		if err != nil {
			return err
		}
		all, err := a.tenants(cmd.Context())
		if err != nil {
			return err
		}
		if f.json {
			return f.t.printJSON(map[string][]tenant{"tenants": orEmpty(all)})
		}
		return f.t.printTenants(all...)
	})
	return cmd
}

func (t *terminal) printTenants(tenants ...tenant) error {
	w := t.newTable("ID", "SLUG", "NAME", "CLAIMS PER MONTH", "CREATED")
	for _, n := range tenants {
		limit := "no limit"
		if n.MonthlyClaims > 0 {
			limit = strconv.FormatInt(n.MonthlyClaims, 10)
		}
		w.AppendRow(row(n.ID, n.Slug, n.Name, limit, n.CreatedAt))
	}
	return t.printTable(w)
}
