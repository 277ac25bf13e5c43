package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// replayableStatuses are those of events that can be delivered again.
var replayableStatuses = []string{"delivery_failed", "held", "processed", "ignored"}

// replayFlags are the flags of the replay verb.
type replayFlags struct {
	*callerFlags
	filter      eventFilter
	limit       int
	dryRun, yes bool
}

func newEventsReplay(f *callerFlags) *cobra.Command {
	r := &replayFlags{callerFlags: f}
	cmd := &cobra.Command{
		Use:   "replay [EVENT]",
		Short: "Deliver events again: one, or all that a filter finds",
		Long: "Deliver events again, by a new schedule: one, or of those that the flags describe the newest. Of these it is the\n" +
			"failed ones unless --status says otherwise. Events that are queued anyway or whose payload is not kept any more are\n" +
			"passed over. More than one is replayed only after a confirmation, or with --yes.",
		Example: `  syllecta events replay evt_0000000000001c9n6bq1v3k2fg --tenant shop
  syllecta events replay --tenant shop --status delivery_failed --from 2026-11-01 --dry-run
  syllecta events replay --api-key-file key --provider stripe --yes --json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: onlyOne(completeEvents(f)),
	}
	r.filter.addTo(cmd, replayableStatuses)
	cmd.Flags().IntVar(&r.limit, "limit", maxEventsLimit, "largest `number` of events")
	cmd.Flags().BoolVar(&r.dryRun, "dry-run", false, "say how many events it would be, and change nothing")
	cmd.Flags().BoolVar(&r.yes, "yes", false, "do not ask")
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		if err := r.check(cmd, args); err != nil {
			return err
		}
		events, err := f.events(cmd)
		if err != nil {
			return err
		}
		if len(args) == 1 {
			return r.replayOne(cmd.Context(), events, args[0])
		}
		return r.replayMany(cmd.Context(), events)
	})
	return cmd
}

// manyFlags are the flags that make no sense where an event is named.
var manyFlags = []string{"provider", "source", "type", "status", "from", "to", "limit", "dry-run"}

func (r *replayFlags) check(cmd *cobra.Command, args []string) error {
	given := ""
	for _, name := range manyFlags {
		if cmd.Flags().Changed(name) {
			given = name
		}
	}
	switch {
	case len(args) == 1 && given != "":
		return usageErrorf("--%s is for events that are not named", given)
	case len(args) == 0 && given == "":
		return usageErrorf("name an event, or say which ones: with --status, --provider, --source, --type, --from or --to")
	case r.limit < 1 || r.limit > maxEventsLimit:
		return usageErrorf("--limit: %d is not allowed; it must be %s", r.limit, wholeNumber(1, maxEventsLimit))
	}
	return r.filter.check(cmd, replayableStatuses)
}

func (r *replayFlags) replayOne(ctx context.Context, events eventClient, id string) error {
	done, err := events.replay(ctx, id)
	if err != nil {
		return eventAdvised(err, r.callerFlags)
	}
	if r.json {
		return r.t.printJSON(done)
	}
	return r.t.say("%s is delivered again", id)
}

// replayMany looks how many events it is, asks, and has them replayed.
func (r *replayFlags) replayMany(ctx context.Context, events eventClient) error {
	if r.dryRun || !r.yes {
		plan, err := events.replayMany(ctx, r.filter, r.limit, true)
		if err != nil {
			return eventAdvised(err, r.callerFlags)
		}
		if r.dryRun || plan.value.Matched == 0 {
			return r.printReplayed(plan)
		}
		if err := r.confirm(ctx, plan.value); err != nil {
			return err
		}
	}
	done, err := events.replayMany(ctx, r.filter, r.limit, false)
	if err != nil {
		return eventAdvised(err, r.callerFlags)
	}
	return r.printReplayed(done)
}

func (r *replayFlags) printReplayed(done told[replayed]) error {
	if r.json {
		return r.t.printJSON(done)
	}
	more := ""
	if done.value.More {
		more = ", and there are more"
	}
	if n := done.value.PassedOver; n > 0 {
		more += fmt.Sprintf("; %s passed over: queued anyway, or without a payload or a source any more", wereCounted(n))
	}
	if done.value.DryRun {
		return r.t.say("%s would be delivered again%s", countOf(done.value.Matched, "event"), more)
	}
	return r.t.say("%s will be delivered again%s", countOf(done.value.Replayed, "event"), more)
}

// wereCounted spells how many events were.
func wereCounted(n int) string {
	if n == 1 {
		return "1 was"
	}
	return fmt.Sprintf("%d were", n)
}

// confirm asks before more than one event is replayed.
func (r *replayFlags) confirm(ctx context.Context, plan replayed) error {
	if plan.Matched <= 1 {
		return nil
	}
	words := countOf(plan.Matched, "event")
	if !isTerminal(r.t.in) {
		return usageErrorf("%s would be delivered again, and nobody is here to confirm it; say --yes", words)
	}
	fmt.Fprintf(r.t.err, "%s will be delivered again. Go on? [y/N] ", words)
	typed, err := readLine(ctx, r.t.in)
	if err != nil {
		return fmt.Errorf("nothing is replayed: %w", err)
	}
	if answer := strings.ToLower(typed); answer != "y" && answer != "yes" {
		return fmt.Errorf("nothing is replayed: %q was typed", typed)
	}
	return nil
}

func newEventsIgnore(f *callerFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ignore EVENT",
		Short: "Do not deliver an event that waits, is held or has failed",
		Long: "Do not deliver an event that waits, is held or has failed. Its payload is dropped, unless the tenant's payload policy\n" +
			"is raw_debug_window: then it can still be replayed.",
		Example: `  syllecta events ignore evt_0000000000001c9n6bq1v3k2fg --tenant shop
  syllecta events ignore evt_0000000000001c9n6bq1v3k2fg --api-key-file key --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: onlyOne(completeEvents(f)),
	}
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		events, err := f.events(cmd)
		if err != nil {
			return err
		}
		done, err := events.ignore(cmd.Context(), args[0])
		if err != nil {
			return eventAdvised(err, f)
		}
		if f.json {
			return f.t.printJSON(done)
		}
		return f.t.say("%s is not delivered", args[0])
	})
	return cmd
}
