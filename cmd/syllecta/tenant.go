package main

import (
	"fmt"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/syllecta/syllecta/fsm"
)

func newTenant(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tenant",
		Short: "Create, show, change and suspend tenants",
		Example: `  syllecta tenant create shop --admin-token-file token
  syllecta tenant update shop --plan starter
  syllecta tenant list --json`,
		Args: knownCommand,
		RunE: showHelp,
	}
	flags := &adminFlags{t: t}
	flags.addTo(cmd)
	cmd.AddCommand(newTenantCreate(flags), newTenantList(flags), newTenantShow(flags), newTenantUpdate(flags),
		newTenantSuspend(flags), newTenantResume(flags))
	return cmd
}

const monthlyClaimsUsage = "`number` of locks granted per calendar month (UTC); 0 leaves it to the plan"

func newTenantCreate(f *adminFlags) *cobra.Command {
	var spec tenantSpec
	cmd := &cobra.Command{
		Use:   "create SLUG",
		Short: "Create a tenant",
		Long:  "Create a tenant. Its slug is its name in commands and webhook addresses, and cannot be changed.",
		Example: `  syllecta tenant create shop
  syllecta tenant create shop --name "The Shop" --plan starter
  syllecta tenant create shop --monthly-claims 100000 --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions, // the slug is a new one
	}
	cmd.Flags().StringVar(&spec.Name, "name", "", "name for people")
	cmd.Flags().StringVar(&spec.Plan, "plan", "", "`name` of its plan (default "+unlimitedPlan+")")
	cmd.Flags().Int64Var(&spec.MonthlyClaims, "monthly-claims", 0, monthlyClaimsUsage)
	completeFlag(cmd, "plan", completePlans(f))
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		if err := checkTenant(cmd, spec.Plan, spec.MonthlyClaims); err != nil {
			return err
		}
		a, err := f.admin()
		if err != nil {
			return err
		}
		spec.Slug = args[0]
		made, err := a.createTenant(cmd.Context(), spec)
		if err != nil {
			return tenantAdvised(err, args[0])
		}
		if f.json {
			return f.t.printJSON(made)
		}
		return f.t.printTenants(made)
	})
	return cmd
}

// checkTenant refuses values of the flags plan and monthly-claims that cannot be.
func checkTenant(cmd *cobra.Command, plan string, monthlyClaims int64) error {
	if cmd.Flags().Changed("plan") && plan == "" {
		return usageErrorf("--plan: it must be the name of a plan, such as %s", unlimitedPlan)
	}
	return checkLimit("monthly-claims", monthlyClaims, fsm.MaxMonthlyClaims)
}

// tenantAdvised adds the next step to an error about a tenant, if there is one.
func tenantAdvised(err error, slug string) error {
	switch codeOf(err) {
	case "unknown_tenant":
		return fmt.Errorf("%w; see the tenants with: syllecta tenant list", err)
	case codeOutcomeUnknown:
		return fmt.Errorf("%w; see whether it was done with: syllecta tenant show %s", err, slug)
	default:
		return advised(err)
	}
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

func newTenantShow(f *adminFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show SLUG",
		Short: "Show a tenant, and what it has used of its month",
		Example: `  syllecta tenant show shop
  syllecta tenant show shop --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: onlyOne(completeTenants(f)),
	}
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		a, err := f.admin()
		if err != nil {
			return err
		}
		found, err := a.tenant(cmd.Context(), args[0])
		if err != nil {
			return tenantAdvised(err, args[0])
		}
		if f.json {
			return f.t.printJSON(found)
		}
		if err := f.t.printTenants(found.value); err != nil || found.value.Usage == nil {
			return err
		}
		return f.t.printMonth(*found.value.Usage)
	})
	return cmd
}

func (t *terminal) printTenants(tenants ...tenant) error {
	w := t.newTable("ID", "SLUG", "NAME", "PLAN", "STATUS", "CLAIMS PER MONTH", "PAYLOADS", "CREATED")
	for _, n := range tenants {
		r := row(n.ID, n.Slug, n.Name, n.Plan, n.Status, n.limit(), n.PayloadPolicy, n.CreatedAt)
		if n.Status == tenantSuspended {
			r[4] = t.paint(text.FgRed, n.Status)
		}
		w.AppendRow(r)
	}
	return t.printTable(w)
}

// limit is the tenant's own limit in words, or where else it comes from.
func (n tenant) limit() string {
	if n.Plan == "" || n.Plan == unlimitedPlan {
		return orNone(n.MonthlyClaims, "no limit")
	}
	return orNone(n.MonthlyClaims, "by plan")
}
