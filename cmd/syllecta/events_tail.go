package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

const (
	// tailEvery is how often a node is asked for what is new.
	tailEvery = time.Second
	// tailedEvents are how many of the newest events are looked at each time, and how many of those that were shown are
	// remembered by their status.
	tailedEvents = 100
	// maxTailPages bounds how far back is looked for the event that was shown last.
	maxTailPages = 50

	defaultTailLines = 10
)

func newEventsTail(f *callerFlags) *cobra.Command {
	var filter eventFilter
	var lines int
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Show events as they come, and what becomes of them, until interrupted",
		Long: fmt.Sprintf("Show events as they come, until interrupted, and what becomes of the newest %d. With --json, each is a line\n"+
			"of its own, the event as it is then.", tailedEvents),
		Example: `  syllecta events tail --tenant shop
  syllecta events tail --api-key-file key --provider stripe --lines 0 --json`,
		Args: cobra.NoArgs,
	}
	filter.addTo(cmd, nil)
	cmd.Flags().IntVar(&lines, "lines", defaultTailLines, "`number` of events to begin with, the newest")
	cmd.RunE = verb(func(cmd *cobra.Command, _ []string) error {
		if err := filter.check(cmd, nil); err != nil {
			return err
		}
		if lines < 0 || lines > tailedEvents {
			return usageErrorf("--lines: %d is not allowed; it must be %s", lines, wholeNumber(0, tailedEvents))
		}
		events, err := f.events(cmd)
		if err != nil {
			return err
		}
		follow := &tail{callerFlags: f, events: events, filter: filter, shown: make(map[string]string)}
		return follow.run(cmd.Context(), lines, tailEvery)
	})
	return cmd
}

// tail follows the events of a tenant.
type tail struct {
	*callerFlags
	events eventClient
	filter eventFilter

	newest string            // id of the newest event that was seen; ids sort as events were accepted
	shown  map[string]string // statuses by id
	order  []string          // the ids in shown, in the order in which they were shown first
}

// run shows the last events, and then what is new or has changed each time, until ctx ends. A node that cannot be reached for
// a while ends nothing once it has answered.
func (x *tail) run(ctx context.Context, lines int, every time.Duration) error {
	if err := x.begin(ctx, lines); err != nil {
		return eventAdvised(err, x.callerFlags)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
		err := x.poll(ctx)
		switch known := (*failure)(nil); {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &known) && (known.code == exitUnreachable || known.code == exitQuota):
			fmt.Fprint(x.t.err, errorLine(err))
		case err != nil:
			return eventAdvised(err, x.callerFlags)
		}
	}
}

// begin shows the last events.
func (x *tail) begin(ctx context.Context, lines int) error {
	page, err := x.events.list(ctx, x.filter, "", max(lines, 1), false)
	if err != nil || len(page.Events) == 0 {
		return err
	}
	x.newest = page.Events[0].value.EventID
	for _, e := range slices.Backward(page.Events[:min(lines, len(page.Events))]) {
		if err := x.show(e); err != nil {
			return err
		}
	}
	return nil
}

// poll shows what has come since, and what has changed, the oldest first.
func (x *tail) poll(ctx context.Context) error {
	found, err := x.find(ctx)
	if err != nil || len(found) == 0 {
		return err
	}
	for _, e := range slices.Backward(found) {
		before, known := x.shown[e.value.EventID]
		if known && before != e.value.Status || !known && e.value.EventID > x.newest {
			if err := x.show(e); err != nil {
				return err
			}
		}
	}
	x.newest = max(x.newest, found[0].value.EventID)
	return nil
}

// find returns the newest events, as far back as that one that was the newest, the newest first.
func (x *tail) find(ctx context.Context) (found []told[webhookEvent], err error) {
	cursor := ""
	for range maxTailPages {
		page, err := x.events.list(ctx, x.filter, cursor, tailedEvents, false)
		if err != nil {
			return nil, err
		}
		found = append(found, page.Events...)
		cursor = page.NextCursor
		if cursor == "" || len(page.Events) == 0 || found[len(found)-1].value.EventID <= x.newest {
			return found, nil
		}
	}
	_, err = fmt.Fprintf(x.t.err, "note: more events came than are shown; see them with: syllecta events list%s\n", x.tenantFlag())
	return found, err
}

// show shows an event, with the status it was shown with before, if it was.
func (x *tail) show(e told[webhookEvent]) error {
	before := x.remember(e.value.EventID, e.value.Status)
	if x.json {
		return x.t.printJSON(e)
	}
	v := e.value
	status := v.Status
	if before != "" {
		status = before + " → " + status
	}
	return x.t.say("%s  %s  %s/%s  %s  %s", v.ReceivedAt, v.EventID, v.Provider, v.Source, v.Type, status)
}

// remember keeps the status that an event is shown with, of the last ones, and returns the one before.
func (x *tail) remember(id, status string) (before string) {
	before, known := x.shown[id]
	x.shown[id] = status
	if !known {
		x.order = append(x.order, id)
	}
	if len(x.order) > tailedEvents {
		delete(x.shown, x.order[0])
		x.order = x.order[1:]
	}
	return before
}
