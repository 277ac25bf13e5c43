package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func newCluster(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Show the cluster, and change its members",
		Long: "Show the cluster, and change its members and its leader.\n\n" +
			"The node that --server names answers for itself in status and leave; everything else it passes to the leader.",
		Example: `  syllecta cluster status --watch
  syllecta cluster remove node3 --dry-run
  syllecta cluster transfer node2`,
		Args: knownCommand,
		RunE: showHelp,
	}
	f := &adminFlags{t: t}
	f.addTo(cmd)
	cmd.AddCommand(newClusterStatus(f), newClusterJoin(f), newClusterRemove(f), newClusterPromote(f),
		newClusterTransfer(f), newClusterLeave(f))
	return cmd
}

func newClusterJoin(f *adminFlags) *cobra.Command {
	var nonVoter bool
	cmd := &cobra.Command{
		Use:   "join HOST:PORT",
		Short: "Take a node into the cluster",
		Long: "Take a running node that belongs to no cluster into this one; HOST:PORT is its raft address.\n\n" +
			"It is a member without a vote at first, and votes as soon as it has caught up and been healthy for a while.\n" +
			"A node that was started with --join asks for this by itself.",
		Example: `  syllecta cluster join 10.0.0.4:4100
  syllecta cluster join 10.0.0.9:4100 --non-voter --json`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().BoolVar(&nonVoter, "non-voter", false, "never let it vote: it copies everything and answers stale reads")
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		a, err := f.admin()
		if err != nil {
			return err
		}
		added, err := a.addNode(cmd.Context(), args[0], nonVoter)
		if err != nil {
			return advised(err)
		}
		if f.json {
			return f.t.printJSON(added)
		}
		return f.t.say("%s", standing(added.value))
	})
	return cmd
}

// standing says what a node is that was just taken in, or was a member already.
func standing(m member) string {
	switch {
	case m.Voter:
		return m.ID + " is a member, with a vote"
	case m.NonVoter:
		return m.ID + " is a member, and stays one without a vote"
	default:
		return m.ID + " is a member; it votes once it has caught up and been healthy for a while"
	}
}

func newClusterPromote(f *adminFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "promote NODE",
		Short: "Give a member a vote, now",
		Long: "Give a member a vote, if it has caught up, without waiting until it has been healthy for a while. One that\n" +
			"joined as a non-voter is one no longer.",
		Example: `  syllecta cluster promote node4
  syllecta cluster promote node4 --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeNode(f),
	}
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		a, err := f.admin()
		if err != nil {
			return err
		}
		promoted, err := a.promoteNode(cmd.Context(), args[0])
		if err != nil {
			return advised(err)
		}
		if f.json {
			return f.t.printJSON(promoted)
		}
		return f.t.say("%s votes now", promoted.value.ID)
	})
	return cmd
}

func newClusterTransfer(f *adminFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "transfer [NODE]",
		Short: "Hand the leadership to another node",
		Long:  "Hand the leadership to NODE, or without a name to the voter that is best prepared.",
		Example: `  syllecta cluster transfer
  syllecta cluster transfer node2 --json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeNode(f),
	}
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		a, err := f.admin()
		if err != nil {
			return err
		}
		led, err := a.transferLeadership(cmd.Context(), append(args, "")[0])
		if err != nil {
			return advised(err)
		}
		if f.json {
			return f.t.printJSON(led)
		}
		return f.t.say("%s leads now", led.value.LeaderID)
	})
	return cmd
}

// say prints one line of what was done.
func (t *terminal) say(format string, args ...any) error {
	_, err := fmt.Fprintln(t.out, printable(fmt.Sprintf(format, args...)))
	return err
}

// nextSteps are what to do about a refusal, by its code. Those that are not here say it themselves.
var nextSteps = map[string]string{
	"unknown_node":     "see the members with: syllecta cluster status",
	"unreachable":      "check that it runs and that the address is right, then try again",
	"other_cluster":    "to have it join this one, stop it and empty its data directory",
	"different_disk":   "give it the old data directory back, or remove the member and join with a new id",
	"no_vote":          "give it one first: syllecta cluster promote NODE",
	"not_caught_up":    "follow it with: syllecta cluster status --watch",
	"change_pending":   "look at it with: syllecta cluster status, and try again in a moment",
	"too_many_members": "remove one first: syllecta cluster remove NODE",
	"quorum_at_risk":   "bring the others back first; what forcing it means says: syllecta cluster remove NODE --dry-run",
	"outcome_unknown":  "see whether it was done with: syllecta cluster status",
	"no_leader":        "see why with: syllecta cluster status",
	"upgrade_pending":  "see the nodes' versions with: syllecta cluster status",
}

// advised adds the next step to an error that has one.
func advised(err error) error {
	var p *problem
	if !errors.As(err, &p) || nextSteps[p.Code] == "" {
		return err
	}
	return fmt.Errorf("%w; %s", err, nextSteps[p.Code])
}
