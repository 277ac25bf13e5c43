package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// usageTemplate is cobra's, with the descriptions of flags wrapped at 100 columns.
const usageTemplate = `Usage:{{if and .Runnable (not .HasAvailableSubCommands)}}
  {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} [command]{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}

Commands:{{range .Commands}}{{if (or .IsAvailableCommand (eq .Name "help"))}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsagesWrapped 100 | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Flags of all these commands:
{{.InheritedFlags.FlagUsagesWrapped 100 | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableSubCommands}}

Use "{{.CommandPath}} [command] --help" for more about a command.{{end}}
`

// newRoot returns the command tree.
func newRoot(t *terminal) *cobra.Command {
	root := &cobra.Command{
		Use:   "syllecta",
		Short: "Makes retried writes happen once",
		Long: "Syllecta is a self-hosted, clustered store that makes retried writes happen once.\n\n" +
			exitCodesHelp,
		Example: `  syllecta dev                                     # three nodes on this machine, ready to try
  syllecta server --data-dir d --bootstrap         # one node
  syllecta key create --tenant demo                # a new API key
  source <(syllecta completion bash)               # commands, flags and names complete from now on`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          knownCommand,
		RunE:          showHelp,
	}
	root.SetIn(t.in)
	root.SetOut(t.out)
	root.SetErr(t.err)
	root.SetUsageTemplate(usageTemplate)
	root.AddCommand(newServer(t), newDev(t), newTenant(t), newPlan(t), newKey(t), newSource(t), newUsage(t), newAudit(t), newCluster(t),
		newSnapshot(t), newTLS(t), newKEK(t), newRecover(t), newLogStore(t), newBench(t), newGenerate(t), newVersion(t))
	return root
}

// showHelp is what a command does that has nothing but other commands.
func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// knownCommand refuses what is none of the command's commands, and says which one was meant, perhaps.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usageErrorf("unknown command %q for %q%s", args[0], cmd.CommandPath(), hint)
}
