package main

import (
	"context"
	"fmt"
	"time"
)

// watchEvery is how often a watched status is shown.
const watchEvery = 2 * time.Second

// clearScreen puts the cursor into the upper left corner of an empty terminal.
const clearScreen = "\x1b[H\x1b[2J"

// watchCluster shows the status until ctx ends. A node that does not answer ends nothing: it is what one watches for.
func (f *adminFlags) watchCluster(ctx context.Context, a admin) error {
	for {
		view, err := a.cluster(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := f.showOnce(view, err); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchEvery):
		}
	}
}

// showOnce replaces what a terminal shows; a file gets one status below the other.
func (f *adminFlags) showOnce(view told[clusterView], err error) error {
	now := time.Now().UTC().Format(time.RFC3339)
	if f.json {
		if err != nil {
			fmt.Fprintf(f.t.err, "%s %s", now, errorLine(err))
			return nil
		}
		return f.printCluster(view)
	}
	shown := now + "\n\n"
	if isTerminal(f.t.out) {
		shown = clearScreen + shown
	}
	if err != nil {
		shown += errorLine(err)
	} else {
		shown += f.t.clusterText(view.value)
	}
	_, failed := fmt.Fprint(f.t.out, shown+"\n")
	return failed
}
