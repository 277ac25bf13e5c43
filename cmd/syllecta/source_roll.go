package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/syllecta/syllecta/fsm"
)

const (
	defaultOverlap = fsm.DefaultSigningOverlapMs * time.Millisecond
	maxOverlap     = fsm.MaxSigningOverlapMs * time.Millisecond
)

func newSourceRoll(f *sourceFlags) *cobra.Command {
	var overlap time.Duration
	cmd := &cobra.Command{
		Use:   "roll-signing-secret SOURCE",
		Short: "Sign deliveries with a new secret, and print it, once",
		Long: "Sign deliveries with a new secret, from the next one on, and print it: it cannot be shown again.\n\n" +
			"For the time of --overlap they carry a second signature, under the secret before, so that a receiver that knows\n" +
			"either takes them. Give it the new one in that time; then the old one ends by itself, as `source show` tells. Until\n" +
			"then no more rolling is possible, except with --overlap 0s, which has all but the new secret end at once: for one\n" +
			"that leaked.",
		Example: `  syllecta source roll-signing-secret stripe --tenant shop
  syllecta source roll-signing-secret stripe --tenant shop --overlap 72h --json
  syllecta source roll-signing-secret stripe --tenant shop --overlap 0s`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: onlyOne(completeSources(f)),
	}
	cmd.Flags().DurationVar(&overlap, "overlap", defaultOverlap,
		"`time` for which the old secret stays good, up to 168h; 0s ends it at once")
	completeFlag(cmd, "overlap", cobra.NoFileCompletions)
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		var how *signingRoll
		if cmd.Flags().Changed("overlap") {
			if overlap < 0 || overlap > maxOverlap || overlap%time.Second != 0 {
				return usageErrorf("--overlap: %v is not allowed; it must be a time of whole seconds from 0s to %v",
					overlap, maxOverlap)
			}
			how = &signingRoll{int64(overlap / time.Second)}
		}
		s, id, err := f.named(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		rolled, err := s.rollSigningSecret(cmd.Context(), id, how)
		if codeOf(err) == codeOutcomeUnknown {
			return fmt.Errorf("%w; see whether it was done with: syllecta source show %s; if so, the new secret is lost: "+
				"roll again with --overlap 0s", err, args[0])
		}
		if err != nil {
			return sourceAdvised(err)
		}
		return f.printSource(rolled)
	})
	return cmd
}
