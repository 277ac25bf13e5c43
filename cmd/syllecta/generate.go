package main

import (
	_ "embed" // for the unit
	"fmt"

	"github.com/spf13/cobra"
)

// unitFile is the systemd unit of the Debian package.
//
//go:embed packaging/syllecta.service
var unitFile string

func newGenerate(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Write the files that belong to an installation",
		Example: `  syllecta generate systemd > /etc/systemd/system/syllecta.service
  syllecta generate man /usr/local/share/man/man1`,
		Args: knownCommand,
		RunE: showHelp,
	}
	cmd.AddCommand(newGenerateMan(t), newGenerateSystemd(t))
	return cmd
}

func newGenerateSystemd(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use:   "systemd",
		Short: "Print the systemd unit",
		Long: "Print the systemd unit of the Debian package. It runs /usr/bin/syllecta as the user syllecta, with the\n" +
			"configuration in /etc/syllecta and the state in /var/lib/syllecta.",
		Example: `  syllecta generate systemd > /etc/systemd/system/syllecta.service`,
		Args:    cobra.NoArgs,
		RunE: verb(func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(t.out, unitFile)
			return err
		}),
	}
}
