package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"
)

func newTenantUpdate(f *adminFlags) *cobra.Command {
	var name, plan, policy string
	var monthlyClaims int64
	cmd := &cobra.Command{
		Use:   "update SLUG",
		Short: "Change a tenant's name, plan, limit or payload policy",
		Long: "Change a tenant's name, plan, limit or payload policy: what is given changes, the rest stays. It is in force\n" +
			"at once, a payload policy for all events that are delivered from then on.",
		Example: `  syllecta tenant update shop --plan gold
  syllecta tenant update shop --monthly-claims 0      # that of the plan
  syllecta tenant update shop --payload-policy redacted_payload --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: onlyOne(completeTenants(f)),
	}
	cmd.Flags().StringVar(&name, "name", "", "name for people")
	cmd.Flags().StringVar(&plan, "plan", "", "`name` of its plan; "+unlimitedPlan+" takes away the one it has")
	cmd.Flags().Int64Var(&monthlyClaims, "monthly-claims", 0, monthlyClaimsUsage)
	cmd.Flags().StringVar(&policy, "payload-policy", "",
		"what is kept of an event's payload once it was delivered: "+oneOf(payloadPolicies))
	completeFlag(cmd, "plan", completePlans(f))
	completeFlag(cmd, "payload-policy", cobra.FixedCompletions(payloadPolicies, cobra.ShellCompDirectiveNoFileComp))
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
		if cmd.Flags().Changed("payload-policy") {
			if !slices.Contains(payloadPolicies, policy) {
				return usageErrorf("--payload-policy: %q is not allowed; it must be %s", shorten(policy), oneOf(payloadPolicies))
			}
			change.PayloadPolicy = &policy
		}
		if change == (tenantChange{}) {
			return usageErrorf("nothing is to change: give --name, --plan, --monthly-claims or --payload-policy")
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
