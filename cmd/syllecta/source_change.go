package main

import (
	"context"

	"github.com/spf13/cobra"
)

func newSourceCreate(f *sourceFlags) *cobra.Command {
	var spec sourceSpec
	var members sourceMembers
	var files []string
	cmd := &cobra.Command{
		Use:   "create PROVIDER",
		Short: "Create a source, and print the secret that its deliveries are signed with, once",
		Long: "Create a source of webhooks, and print the secret that its deliveries are signed with: it cannot be shown again,\n" +
			"but rolled. Point the provider at the path that is shown, on any node.\n\n" +
			"The provider's own secret is read from a file, or from standard input (-). Without one the source refuses all\n" +
			"webhooks: some providers tell it only once they were told the address.",
		Example: `  syllecta source create stripe --tenant shop --callback-url https://shop.example/hooks --secret-file whsec
  syllecta source create square --tenant shop --options '{"notificationUrl":"https://in.example/v1/t/shop/webhooks/square"}'
  syllecta source create github --tenant shop --name ci --secret-file - --json < secret`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: onlyOne(cobra.FixedCompletions(providerCompletions(), cobra.ShellCompDirectiveNoFileComp)),
	}
	cmd.Flags().StringVar(&spec.Name, "name", "", "name of the source, to have several of a provider (default \"default\")")
	cmd.Flags().StringArrayVar(&files, "secret-file", nil,
		"`file` with a secret of the provider, - for standard input; repeat it for several")
	members.addTo(cmd)
	completeFlag(cmd, "name", cobra.NoFileCompletions)
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		if _, err := members.read(cmd, &spec); err != nil {
			return err
		}
		s, err := f.sources()
		if err != nil {
			return err
		}
		if spec.Secrets, err = f.t.readSourceSecrets(files); err != nil {
			return err
		}
		spec.Provider = args[0]
		made, err := s.create(cmd.Context(), spec)
		if err != nil {
			return sourceAdvised(err)
		}
		return f.printSource(made)
	})
	return cmd
}

func newSourceUpdate(f *sourceFlags) *cobra.Command {
	var members sourceMembers
	cmd := &cobra.Command{
		Use:   "update SOURCE",
		Short: "Change where a source delivers to, and how",
		Long:  "Change a source: what is given changes, the rest stays. It is in force at once, on every node.",
		Example: `  syllecta source update stripe --tenant shop --callback-url https://shop.example/v2/hooks
  syllecta source update stripe --tenant shop --retry-delays 10s,1m,10m,1h --max-concurrency 4
  syllecta source update stripe --tenant shop --raw=false --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: onlyOne(completeSources(f)),
	}
	members.addTo(cmd)
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		var change sourceSpec
		given, err := members.read(cmd, &change)
		if err != nil {
			return err
		}
		if !given {
			return usageErrorf("nothing is to change: give --callback-url, --options, --raw, --dedupe-window, --retry-delays, " +
				"--max-concurrency or --max-per-second")
		}
		return f.changeSource(cmd.Context(), args[0], change)
	})
	return cmd
}

func newSourceEnable(f *sourceFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "enable SOURCE",
		Short: "Deliver the events of a source again, those that were held first",
		Example: `  syllecta source enable stripe --tenant shop
  syllecta source enable stripe --tenant shop --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: onlyOne(completeSources(f)),
	}
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		enabled := true
		return f.changeSource(cmd.Context(), args[0], sourceSpec{Enabled: &enabled})
	})
	return cmd
}

func newSourceDisable(f *sourceFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "disable SOURCE",
		Short: "Accept the events of a source, but hold them",
		Long: "Accept the events of a source, but hold them until it is enabled again. The provider notices nothing, and\n" +
			"nothing is lost.",
		Example: `  syllecta source disable stripe --tenant shop
  syllecta source disable stripe --tenant shop --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: onlyOne(completeSources(f)),
	}
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		enabled := false
		return f.changeSource(cmd.Context(), args[0], sourceSpec{Enabled: &enabled})
	})
	return cmd
}

// changeSource changes a source, and shows what it is now.
func (f *sourceFlags) changeSource(ctx context.Context, name string, change sourceSpec) error {
	s, id, err := f.named(ctx, name)
	if err != nil {
		return err
	}
	changed, err := s.change(ctx, id, change)
	if err != nil {
		return sourceAdvised(err)
	}
	return f.printSource(changed)
}
