package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/syllecta/syllecta/fsm"
)

// limitFlag is a flag with a limit of a plan.
type limitFlag struct {
	name  string
	high  int64
	value int64
	of    func(*plan) *int64
}

const maxRetentionDays = fsm.MaxRetentionMs / 86_400_000

// limitFlags returns the flags of all limits of a plan, registered.
func limitFlags(cmd *cobra.Command) []*limitFlag {
	flags := cmd.Flags()
	var all []*limitFlag
	add := func(name string, high int64, usage string, of func(*plan) *int64) {
		l := &limitFlag{name: name, high: high, of: of}
		flags.Int64Var(&l.value, name, 0, usage)
		all = append(all, l)
	}
	add("monthly-claims", fsm.MaxMonthlyClaims, "`number` of locks granted per calendar month (UTC); 0 is no limit",
		func(p *plan) *int64 { return &p.MonthlyClaims })
	add("requests-per-second", fsm.MaxRequestsPerSecond,
		"`number` of claims per second of one API key; 0 is no limit",
		func(p *plan) *int64 { return &p.RequestsPerSecond })
	add("max-ttl-seconds", maxTTLSeconds,
		"longest life, in `seconds`, that a request may ask for a record; 0 leaves it to the nodes' settings",
		func(p *plan) *int64 { return &p.MaxTTLSeconds })
	add("max-body-bytes", fsm.MaxBodyBytes,
		"largest body, in `bytes`, that a record may store; 0 leaves it to the nodes' settings",
		func(p *plan) *int64 { return &p.MaxBodyBytes })
	add("monthly-events", fsm.MaxMonthlyClaims,
		"`number` of webhook events accepted per calendar month (UTC); 0 is no limit",
		func(p *plan) *int64 { return &p.MonthlyEvents })
	add("event-retention", maxRetentionDays, "`days` for which events are kept; 0 is 180",
		func(p *plan) *int64 { return &p.EventRetentionDays })
	add("payload-retention", maxRetentionDays,
		"`days` for which the payloads of events are kept, as the tenant's payload policy has them; 0 is 30",
		func(p *plan) *int64 { return &p.PayloadRetentionDays })
	add("max-stored-bytes", fsm.MaxMonthlyClaims,
		"`bytes` that may be kept of results and events before no lock is granted and no event accepted; 0 is no limit",
		func(p *plan) *int64 { return &p.MaxStoredBytes })
	return all
}

func newPlanSet(f *adminFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Make a plan, or change limits of one",
		Long: "Make a plan, or change limits of one. Only those that are given change: the plan is read first, and then\n" +
			"put as a whole, so two who change one plan at the same time may undo each other's change. A new plan has\n" +
			"no limits but those that are given.",
		Example: `  syllecta plan set gold --monthly-claims 1000000 --max-ttl-seconds 604800
  syllecta plan set gold --monthly-events 50000 --on-exceed hold --payload-retention 7
  syllecta plan set gold --requests-per-second 0 --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: onlyOne(completePlans(f, unlimitedPlan)),
	}
	limits := limitFlags(cmd)
	var onExceed string
	cmd.Flags().StringVar(&onExceed, "on-exceed", "",
		"what becomes of events beyond --monthly-events: "+oneOf(onExceedWords)+" them until they are replayed")
	completeFlag(cmd, "on-exceed", cobra.FixedCompletions(onExceedWords, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		for _, l := range limits {
			if err := checkLimit(l.name, l.value, l.high); err != nil {
				return err
			}
		}
		if cmd.Flags().Changed("on-exceed") && !slices.Contains(onExceedWords, onExceed) {
			return usageErrorf("--on-exceed: %q is not allowed; it must be %s", shorten(onExceed), oneOf(onExceedWords))
		}
		a, err := f.admin()
		if err != nil {
			return err
		}
		before, isNew, err := planOrNew(cmd.Context(), a, args[0])
		if err != nil {
			return err
		}
		after := before
		for _, l := range limits {
			if cmd.Flags().Changed(l.name) {
				*l.of(&after) = l.value
			}
		}
		after.OnExceed = cmp.Or(onExceed, before.OnExceed)
		kept, err := a.putPlan(cmd.Context(), args[0], after.limits())
		if err != nil {
			return planAdvised(err)
		}
		if f.json {
			return f.t.printJSON(kept)
		}
		if err := f.t.printPlans(kept.value); err != nil {
			return err
		}
		return f.t.say("%s", whatWasSet(before, after, isNew, limits))
	})
	return cmd
}

// checkLimit refuses what no limit can be.
func checkLimit(flag string, value, high int64) error {
	if value < 0 || value > high {
		return usageErrorf("--%s: %d is not allowed; it must be %s", flag, value, wholeNumber(0, high))
	}
	return nil
}

// planOrNew returns the plan of that name, or a new one without limits if there is none.
func planOrNew(ctx context.Context, a admin, name string) (p plan, isNew bool, err error) {
	found, err := a.plan(ctx, name)
	var refused *problem
	if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
		return plan{Name: name}, true, nil
	}
	return found.value, false, err
}

// whatWasSet says what has become of a plan.
func whatWasSet(before, after plan, isNew bool, limits []*limitFlag) string {
	if isNew {
		return fmt.Sprintf("plan %s is new", after.Name)
	}
	var changes []string
	for _, l := range limits {
		if was, is := *l.of(&before), *l.of(&after); was != is {
			changes = append(changes, fmt.Sprintf("%s from %d to %d", l.name, was, is))
		}
	}
	if before.OnExceed != after.OnExceed {
		changes = append(changes, fmt.Sprintf("on-exceed from %s to %s", cmp.Or(before.OnExceed, onExceedWords[0]),
			after.OnExceed))
	}
	if len(changes) == 0 {
		return fmt.Sprintf("plan %s had these limits before", after.Name)
	}
	return fmt.Sprintf("plan %s was changed: %s", after.Name, strings.Join(changes, ", "))
}

// planAdvised adds the next step to an error about a plan, if there is one.
func planAdvised(err error) error {
	var p *problem
	switch {
	case !errors.As(err, &p):
		return err
	case p.Status == http.StatusNotFound:
		return fmt.Errorf("%w; see the plans with: syllecta plan list", err)
	case p.Code == codeOutcomeUnknown:
		return fmt.Errorf("%w; see whether it was done with: syllecta plan list", err)
	default:
		return advised(err)
	}
}
