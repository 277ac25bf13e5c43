package main

import "github.com/spf13/cobra"

// completeNode completes the one node that a verb takes.
func completeNode(f *adminFlags) cobra.CompletionFunc {
	complete := completeNodes(f)
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(cmd, args, typed)
	}
}
