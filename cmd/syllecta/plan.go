package main

import (
	"strconv"

	"github.com/spf13/cobra"
)

// starterPlan is the built-in plan that can be changed, but not deleted.
const starterPlan = "starter"

func newPlan(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Make, change and delete the plans of tenants",
		Long: "Make, change and delete plans: the limits that the tenants of a plan share. A change is in force at once,\n" +
			"on every node.\n\n" +
			"Two are built in: unlimited, which every tenant without another one has and which never changes, and starter,\n" +
			"an example to change or to copy.",
		Example: `  syllecta plan set gold --monthly-claims 1000000 --requests-per-second 200
  syllecta tenant update shop --plan gold
  syllecta plan list --json`,
		Args: knownCommand,
		RunE: showHelp,
	}
	f := &adminFlags{t: t}
	f.addTo(cmd)
	cmd.AddCommand(newPlanList(f), newPlanShow(f), newPlanSet(f), newPlanDelete(f))
	return cmd
}

func newPlanList(f *adminFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List all plans",
		Example: `  syllecta plan list
  syllecta plan list --server http://10.0.0.1:4000 --json`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = verb(func(cmd *cobra.Command, _ []string) error {
		a, err := f.admin()
		if err != nil {
			return err
		}
		all, err := a.plans(cmd.Context())
		if err != nil {
			return err
		}
		if f.json {
			return f.t.printJSON(all)
		}
		return f.t.printPlans(all.value.Plans...)
	})
	return cmd
}

func newPlanShow(f *adminFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show a plan",
		Example: `  syllecta plan show starter
  syllecta plan show gold --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: onlyOne(completePlans(f)),
	}
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		a, err := f.admin()
		if err != nil {
			return err
		}
		found, err := a.plan(cmd.Context(), args[0])
		if err != nil {
			return planAdvised(err)
		}
		if f.json {
			return f.t.printJSON(found)
		}
		return f.t.printPlans(found.value)
	})
	return cmd
}

func newPlanDelete(f *adminFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a plan that no tenant has",
		Long:  "Delete a plan that no tenant has. The built-in ones stay.",
		Example: `  syllecta plan delete gold
  syllecta plan delete gold --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: onlyOne(completePlans(f, unlimitedPlan, starterPlan)),
	}
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		a, err := f.admin()
		if err != nil {
			return err
		}
		done, err := a.deletePlan(cmd.Context(), args[0])
		if err != nil {
			return planAdvised(err)
		}
		if f.json {
			return f.t.printJSON(done)
		}
		return f.t.say("plan %s was deleted", args[0])
	})
	return cmd
}

func (t *terminal) printPlans(plans ...plan) error {
	w := t.newTable("NAME", "CLAIMS PER MONTH", "REQUESTS PER SECOND", "MAX TTL SECONDS", "MAX BODY BYTES",
		"EVENTS PER MONTH", "EVENT DAYS", "PAYLOAD DAYS", "STORED BYTES")
	for _, p := range plans {
		w.AppendRow(row(p.Name, orNone(p.MonthlyClaims, "no limit"), orNone(p.RequestsPerSecond, "no limit"),
			orNone(p.MaxTTLSeconds, "by node"), orNone(p.MaxBodyBytes, "by node"), p.events(),
			orNone(p.EventRetentionDays, "180"), orNone(p.PayloadRetentionDays, "30"), orNone(p.MaxStoredBytes, "no limit")))
	}
	return t.printTable(w)
}

// events is the limit of events, with what becomes of those beyond it if they are not refused.
func (p plan) events() string {
	limit := orNone(p.MonthlyEvents, "no limit")
	if p.MonthlyEvents > 0 && p.OnExceed == onExceedWords[1] {
		limit += ", then " + p.OnExceed
	}
	return limit
}

// inWords is the limit that people choose a plan by.
func (p plan) inWords() string {
	if p.MonthlyClaims == 0 {
		return "no limit"
	}
	return strconv.FormatInt(p.MonthlyClaims, 10) + " claims per month"
}

// orNone shows a limit, or what it means that there is none.
func orNone(limit int64, none string) string {
	if limit == 0 {
		return none
	}
	return strconv.FormatInt(limit, 10)
}
