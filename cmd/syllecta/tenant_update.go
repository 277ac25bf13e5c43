package main

import (
	"context"

	"github.com/spf13/cobra"
)

func newTenantUpdate(f *adminFlags) *cobra.Command {
	var name, plan string
	var monthlyClaims int64
	cmd := &cobra.Command{
		Use:   "update SLUG",
		Short: "Change a tenant's name, plan or limit",
		Long:  "Change a tenant's name, plan or limit: what is given changes, the rest stays. It is in force at once.",
		Example: `  syllecta tenant update shop --plan gold
  syllecta tenant update shop --monthly-claims 0      # that of the plan
  syllecta tenant update shop --name "The Shop" --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: onlyOne(completeTenants(f)),
	}
	cmd.Flags().StringVar(&name, "name", "", "name for people")
	cmd.Flags().StringVar(&plan, "plan", "", "`name` of its plan; "+unlimitedPlan+" takes away the one it has")
	cmd.Flags().Int64Var(&monthlyClaims, "monthly-claims", 0, monthlyClaimsUsage)
	completeFlag(cmd, "plan", completePlans(f))
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		if err := checkTenant(cmd, plan, monthlyClaims); err != nil {
			return err
		}
		var change tenantChange
		if cmd.Flags().Changed("name") {
			change.Name = &name
		}
		if cmd.Flags().Changed("plan") {
			change.Plan = &plan
		}
		if cmd.Flags().Changed("monthly-claims") {
			change.MonthlyClaims = &monthlyClaims
		}
		if change == (tenantChange{}) {
			return usageErrorf("nothing is to change: give --name, --plan or --monthly-claims")
		}
		return f.changeTenant(cmd.Context(), args[0], change)
	})
	return cmd
}

func newTenantSuspend(f *adminFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "suspend SLUG",
		Short: "Grant a tenant no more locks",
		Long: "Grant a tenant no more locks, at once and on every node. Its records and keys stay, and what it has locked\n" +
			"it can complete. Resume ends it.",
		Example: `  syllecta tenant suspend shop
  syllecta tenant suspend shop --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: onlyOne(completeTenants(f)),
	}
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		status := tenantSuspended
		return f.changeTenant(cmd.Context(), args[0], tenantChange{Status: &status})
	})
	return cmd
}

func newTenantResume(f *adminFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resume SLUG",
		Short: "Grant a suspended tenant locks again",
		Example: `  syllecta tenant resume shop
  syllecta tenant resume shop --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: onlyOne(completeTenants(f)),
	}
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		status := tenantActive
		return f.changeTenant(cmd.Context(), args[0], tenantChange{Status: &status})
	})
	return cmd
}

// changeTenant changes a tenant, and shows what it is now.
func (f *adminFlags) changeTenant(ctx context.Context, slug string, change tenantChange) error {
	a, err := f.admin()
	if err != nil {
		return err
	}
	changed, err := a.changeTenant(ctx, slug, change)
	if err != nil {
		return tenantAdvised(err, slug)
	}
	if f.json {
		return f.t.printJSON(changed)
	}
	return f.t.printTenants(changed.value)
}
