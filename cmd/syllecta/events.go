package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// eventStatuses are what events can be listed by.
var eventStatuses = []string{"queued", "processed", "delivery_failed", "held", "ignored", "cached"}

func newEvents(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show the events of webhooks, and deliver them again",
		Long: `Show the events that webhooks brought, how their delivery went, and deliver them again.

  queued           waits for its next attempt
  processed        was delivered
  delivery_failed  no attempt of its schedule succeeded
  held             is over the plan's limit, or its source is disabled
  ignored          is not delivered: nobody wants it, or somebody said so
  cached           came again, and was not delivered again

With the admin token it is the events of --tenant; with an API key, those of the key's tenant: the scope events:read
shows them, webhooks:write changes them.`,
		Example: `  syllecta events list --tenant shop --status delivery_failed
  syllecta events replay --tenant shop --status delivery_failed --from 2026-11-01 --dry-run
  syllecta events tail --api-key-file key`,
		Args: knownCommand,
		RunE: showHelp,
	}
	f := &callerFlags{adminFlags: adminFlags{t: t}}
	f.addTo(cmd, oneTenantUsage)
	cmd.AddCommand(newEventsList(f), newEventsShow(f), newEventsReplay(f), newEventsIgnore(f), newEventsTail(f))
	return cmd
}

// events returns the client of the tenant whose events are meant.
func (f *callerFlags) events(cmd *cobra.Command) (eventClient, error) {
	if err := f.checkTenant(cmd); err != nil {
		return eventClient{}, err
	}
	c, path, err := f.ofTenant()
	return eventClient{c, path}, err
}

// addTo gives a verb the flags of a filter: without times and statuses if no status is allowed.
func (f *eventFilter) addTo(cmd *cobra.Command, allowed []string) {
	flags := cmd.Flags()
	flags.StringVar(&f.Provider, "provider", "", "`name` of the provider, such as stripe")
	flags.StringVar(&f.Source, "source", "", "`name` of the source")
	flags.StringVar(&f.Type, "type", "", "`type` of the events, such as payment.succeeded, or payment.* for all that begin so")
	for _, name := range []string{"provider", "source", "type"} {
		completeFlag(cmd, name, cobra.NoFileCompletions)
	}
	if allowed == nil {
		return
	}
	flags.StringVar(&f.Status, "status", "", "`status` of the events: "+orList(allowed))
	flags.StringVar(&f.From, "from", "", "first `instant` at which they came, as 2026-11-30T12:00:00Z, or day (UTC)")
	flags.StringVar(&f.To, "to", "", "`instant` before which they came, or last day (UTC)")
	completeFlag(cmd, "status", cobra.FixedCompletions(allowed, cobra.ShellCompDirectiveNoFileComp))
	completeFlag(cmd, "from", cobra.NoFileCompletions)
	completeFlag(cmd, "to", cobra.NoFileCompletions)
}

// check refuses what no node would take.
func (f *eventFilter) check(cmd *cobra.Command, allowed []string) error {
	if cmd.Flags().Changed("status") && !slices.Contains(allowed, f.Status) {
		return usageErrorf("--status: %q is not allowed; it must be %s", shorten(f.Status), orList(allowed))
	}
	for _, end := range []struct{ flag, text string }{{"from", f.From}, {"to", f.To}} {
		_, noDay := time.Parse(time.DateOnly, end.text)
		_, noInstant := time.Parse(time.RFC3339, end.text)
		if cmd.Flags().Changed(end.flag) && noDay != nil && noInstant != nil {
			return usageErrorf("--%s: %q is not allowed; it must be an instant such as 2026-11-30T12:00:00Z, or a day such as "+
				"2026-11-30", end.flag, shorten(end.text))
		}
	}
	for _, name := range []string{"provider", "source", "type"} {
		if cmd.Flags().Changed(name) && cmd.Flags().Lookup(name).Value.String() == "" {
			return usageErrorf("--%s: it must not be empty", name)
		}
	}
	return nil
}

// orList joins words as people do.
func orList(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// eventAdvised says what to do next where the error does not.
func eventAdvised(err error, f *callerFlags) error {
	var p *problem
	switch {
	case errors.As(err, &p) && p.Status == http.StatusNotFound && p.Code == "not_found":
		return fmt.Errorf("%w; see the events with: syllecta events list%s", err, f.tenantFlag())
	case codeOf(err) == codeOutcomeUnknown:
		return fmt.Errorf("%w; see what was done with: syllecta events list%s", err, f.tenantFlag())
	default:
		return tenantAdvised(err, f.tenant)
	}
}

// tenantFlag is what a command line needs to be about the same tenant.
func (f *callerFlags) tenantFlag() string {
	if f.tenant == "" {
		return ""
	}
	return " --tenant " + f.tenant
}

// completeEvents offers the newest events.
func completeEvents(f *callerFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return completeAs(cmd, func(ctx context.Context) ([]cobra.Completion, error) {
			events, err := f.events(cmd)
			if err != nil {
				return nil, err
			}
			newest, err := events.list(ctx, eventFilter{}, "", defaultEventsLimit, false)
			var offers []cobra.Completion
			for _, e := range newest.Events {
				offers = append(offers, offer(e.value.EventID, e.value.inWords()))
			}
			return offers, err
		})
	}
}

// inWords is what people know an event by.
func (e webhookEvent) inWords() string {
	return e.Provider + "/" + e.Source + " " + e.Type + " " + e.Status
}
