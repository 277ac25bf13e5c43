package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// removeFlags are the flags of the verbs that take a node out of the cluster.
type removeFlags struct {
	*adminFlags
	force, dryRun, yes bool
}

func newClusterRemove(f *adminFlags) *cobra.Command {
	r := &removeFlags{adminFlags: f}
	cmd := &cobra.Command{
		Use:   "remove NODE",
		Short: "Take a node out of the cluster for good",
		Long: "Take a node out of the cluster for good, whether it still runs or not. Its id is never used again: to\n" +
			"bring the machine back, empty its data directory and give the node a new id. A leader hands over first.\n\n" +
			"A removal after which too few healthy voters would be left is refused, unless --force is given: then nothing is\n" +
			"acknowledged any more until others are back.",
		Example: `  syllecta cluster remove node3 --dry-run
  syllecta cluster remove node3
  syllecta cluster remove node3 --yes --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeNode(f),
	}
	cmd.Flags().BoolVar(&r.force, "force", false, "do it even if too few healthy voters are left")
	cmd.Flags().BoolVar(&r.dryRun, "dry-run", false, "say what it would mean, and change nothing")
	cmd.Flags().BoolVar(&r.yes, "yes", false, "do not ask")
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		a, err := f.admin()
		if err != nil {
			return err
		}
		return r.remove(cmd.Context(), a, args[0])
	})
	return cmd
}

func newClusterLeave(f *adminFlags) *cobra.Command {
	r := &removeFlags{adminFlags: f}
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "Take the node that --server names out of the cluster for good",
		Long: "Take the node that --server names out of the cluster for good: the same as remove with its name. Do this\n" +
			"before a machine is taken away. It is not for a restart: a node that is stopped stays a member.",
		Example: `  syllecta cluster leave --server http://10.0.0.3:4000
  syllecta cluster leave --server http://10.0.0.3:4000 --yes`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&r.yes, "yes", false, "do not ask")
	cmd.RunE = verb(func(cmd *cobra.Command, _ []string) error {
		a, err := f.admin()
		if err != nil {
			return err
		}
		view, err := a.cluster(cmd.Context())
		if err != nil {
			return err
		}
		return r.remove(cmd.Context(), a, view.value.NodeID)
	})
	return cmd
}

// remove shows what it means, asks, and does it.
func (r *removeFlags) remove(ctx context.Context, a admin, id string) error {
	plan, err := a.removeNode(ctx, id, r.force, true)
	if err != nil {
		return advised(err)
	}
	if r.dryRun {
		return r.showPlan(plan)
	}
	if err := r.allowed(plan.value); err != nil {
		return err
	}
	if err := r.confirm(ctx, plan.value); err != nil {
		return err
	}
	removed, err := a.removeNode(ctx, id, r.force, false)
	if err != nil {
		return advised(err)
	}
	if r.json {
		return r.t.printJSON(removed)
	}
	return r.t.say("%s was removed", removed.value.NodeID)
}

func (r *removeFlags) showPlan(plan told[removal]) error {
	if r.json {
		return r.t.printJSON(plan)
	}
	words := plan.value.Consequence
	if !plan.value.Safe {
		words += " (this is refused" + map[bool]string{true: " without --force"}[plan.value.Voters > 0] + ")"
	}
	return r.t.say("%s", words)
}

// allowed says beforehand what the leader would refuse, so that nobody is asked to confirm that.
func (r *removeFlags) allowed(plan removal) error {
	next := ""
	switch {
	case plan.Safe:
		return nil
	case plan.Voters == 0:
		next = "let another node join first"
	case !r.force:
		next = "bring the others back first, or use: syllecta cluster remove " + plan.NodeID + " --force"
	default:
		return nil
	}
	return &failure{code: exitConflict, err: fmt.Errorf("%s is not removed: %s; %s", plan.NodeID, plan.Consequence, next)}
}

// confirm shows the consequence, and has the node's name typed.
func (r *removeFlags) confirm(ctx context.Context, plan removal) error {
	if r.yes {
		return nil
	}
	if !isTerminal(r.t.in) {
		return usageErrorf("removing %s is for good, and nobody is here to confirm it; say --yes", plan.NodeID)
	}
	fmt.Fprintf(r.t.err, "%s\nIts id is never used again. Type %s to remove it: ",
		printable(plan.Consequence), printable(plan.NodeID))
	typed, err := readLine(ctx, r.t.in)
	if err != nil {
		return fmt.Errorf("%s is not removed: %w", plan.NodeID, err)
	}
	if typed != plan.NodeID {
		return fmt.Errorf("%s is not removed: %q was typed", plan.NodeID, typed)
	}
	return nil
}

// readLine reads one line, and gives up when ctx ends. What goes on reading then is left to the end of the process:
// nothing else can end it.
func readLine(ctx context.Context, in io.Reader) (string, error) {
	type reading struct {
		line string
		err  error
	}
	done := make(chan reading, 1)
	go func() {
		line, err := bufio.NewReader(in).ReadString('\n')
		done <- reading{strings.TrimSpace(line), err}
	}()
	select {
	case r := <-done:
		return r.line, r.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
