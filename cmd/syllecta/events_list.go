package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
)

const (
	defaultEventsLimit = 50
	maxEventsLimit     = 10_000
)

func newEventsList(f *callerFlags) *cobra.Command {
	var filter eventFilter
	var cursor string
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List events, the newest first, and count them by provider and status",
		Long: "List events, the newest first, and count them by provider and status. The counts are of all events of the\n" +
			"provider, source, type and time that are asked for; those under cached are how often events came again.",
		Example: `  syllecta events list --tenant shop
  syllecta events list --tenant shop --status cached --provider stripe
  syllecta events list --api-key-file key --type 'payment.*' --from 2026-11-01 --limit 1000 --json`,
		Args: cobra.NoArgs,
	}
	filter.addTo(cmd, eventStatuses)
	cmd.Flags().IntVar(&limit, "limit", defaultEventsLimit, "largest `number` of events")
	cmd.Flags().StringVar(&cursor, "cursor", "", "`place` to go on from, as the list before has told it")
	completeFlag(cmd, "cursor", cobra.NoFileCompletions)
	cmd.RunE = verb(func(cmd *cobra.Command, _ []string) error {
		if err := filter.check(cmd, eventStatuses); err != nil {
			return err
		}
		if limit < 1 || limit > maxEventsLimit {
			return usageErrorf("--limit: %d is not allowed; it must be %s", limit, wholeNumber(1, maxEventsLimit))
		}
		events, err := f.events(cmd)
		if err != nil {
			return err
		}
		found, err := events.walk(cmd.Context(), filter, cursor, limit)
		if err != nil {
			return eventAdvised(err, f)
		}
		return f.printEvents(found)
	})
	return cmd
}

// printEvents shows a list of events, how many there are, and how to see more.
func (f *callerFlags) printEvents(found eventPage) error {
	if f.json {
		return f.t.printJSON(struct {
			Events     []told[webhookEvent] `json:"events"`
			Counts     json.RawMessage      `json:"counts,omitempty"`
			NextCursor string               `json:"nextCursor,omitempty"`
		}{orEmpty(found.Events), found.Counts.raw, found.NextCursor})
	}
	events := make([]webhookEvent, len(found.Events))
	for i, e := range found.Events {
		events[i] = e.value
	}
	if err := f.t.printEventTable(events...); err != nil {
		return err
	}
	if err := f.t.printCounts(found.Counts.value); err != nil || found.NextCursor == "" {
		return err
	}
	_, err := fmt.Fprintf(f.t.err, "note: there are more; go on with --cursor %s\n", printable(found.NextCursor))
	return err
}

func (t *terminal) printEventTable(events ...webhookEvent) error {
	w := t.newTable("EVENT", "RECEIVED", "PROVIDER", "SOURCE", "TYPE", "STATUS", "ATTEMPTS", "CAME AGAIN", "NEXT ATTEMPT")
	for _, e := range events {
		w.AppendRow(row(e.EventID, e.ReceivedAt, e.Provider, e.Source, e.Type, e.Status, strconv.FormatInt(e.Attempts, 10),
			strconv.FormatInt(e.ReplayCount, 10), e.NextAttemptAt))
	}
	return t.printTable(w)
}

// printCounts shows how many events each provider has of each status.
func (t *terminal) printCounts(byProvider map[string]statusCounts) error {
	if len(byProvider) == 0 {
		return nil
	}
	w := t.newTable("PROVIDER", "QUEUED", "PROCESSED", "DELIVERY FAILED", "HELD", "IGNORED", "CACHED")
	for _, provider := range slices.Sorted(maps.Keys(byProvider)) {
		cells := []string{provider}
		for _, status := range eventStatuses {
			cells = append(cells, strconv.FormatInt(byProvider[provider][status], 10))
		}
		w.AppendRow(row(cells...))
	}
	return t.printPart(w)
}
