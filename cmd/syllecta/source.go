package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

// sourceFlags are the flags of the source verbs.
type sourceFlags struct{ callerFlags }

func newSource(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "source",
		Short: "Receive webhooks of a provider, and deliver them once",
		Long: "Create, show, change and delete sources: where the webhooks of a provider come in, and where they are delivered.\n\n" +
			"A source is named by its id or its provider, as stripe, or stripe/NAME if it is not the default one. With the\n" +
			"admin token it is one of --tenant; with an API key, which needs the scope webhooks:write, one of the key's tenant.",
		Example: `  syllecta source create stripe --tenant shop --callback-url https://shop.example/hooks --secret-file whsec
  syllecta source secret add stripe --tenant shop --secret-file new-whsec
  syllecta source list --api-key-file key --json`,
		Args: knownCommand,
		RunE: showHelp,
	}
	f := &sourceFlags{callerFlags{adminFlags: adminFlags{t: t}}}
	f.addTo(cmd, oneTenantUsage)
	cmd.AddCommand(newSourceList(f), newSourceShow(f), newSourceCreate(f), newSourceUpdate(f), newSourceEnable(f),
		newSourceDisable(f), newSourceDelete(f), newSourceSecret(f), newSourceRoll(f))
	return cmd
}

// sources returns the client of the tenant whose sources are meant.
func (f *sourceFlags) sources() (sourceClient, error) {
	c, path, err := f.ofTenant()
	return sourceClient{c, path + "/sources"}, err
}

// named returns the client, and the id of the source that people have named.
func (f *sourceFlags) named(ctx context.Context, name string) (sourceClient, string, error) {
	s, err := f.sources()
	if err != nil {
		return s, "", err
	}
	id, err := s.id(ctx, name)
	if err != nil {
		return s, "", sourceAdvised(err)
	}
	return s, id, nil
}

// sourceAdvised adds the next step to an error about a source, if there is one.
func sourceAdvised(err error) error {
	switch codeOf(err) {
	case "unknown_tenant":
		return fmt.Errorf("%w; see the tenants with: syllecta tenant list", err)
	case "not_found":
		return fmt.Errorf("%w; see the sources with: syllecta source list", err)
	case codeOutcomeUnknown:
		return fmt.Errorf("%w; see whether it was done with: syllecta source list", err)
	default:
		return advised(err)
	}
}

func newSourceList(f *sourceFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the sources of a tenant",
		Example: `  syllecta source list --tenant shop
  syllecta source list --tenant shop --json`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = verb(func(cmd *cobra.Command, _ []string) error {
		s, err := f.sources()
		if err != nil {
			return err
		}
		all, err := s.list(cmd.Context())
		if err != nil {
			return sourceAdvised(err)
		}
		if f.json {
			return f.t.printJSON(all)
		}
		return f.t.printSources(all.value.Sources...)
	})
	return cmd
}

func newSourceShow(f *sourceFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show SOURCE",
		Short: "Show all about a source",
		Long:  "Show all about a source but for its secrets, of which the last characters alone are shown, if they are long.",
		Example: `  syllecta source show stripe --tenant shop
  syllecta source show stripe/eu --tenant shop --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: onlyOne(completeSources(f)),
	}
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		s, id, err := f.named(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		found, err := s.show(cmd.Context(), id)
		if err != nil {
			return sourceAdvised(err)
		}
		return f.printSource(found)
	})
	return cmd
}

func newSourceDelete(f *sourceFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete SOURCE",
		Short: "Delete a source for which no event waits",
		Long: "Delete a source for which no event waits. Its events stay and can be looked at. What its provider sends from\n" +
			"then on is refused: end that at the provider first, and disable the source to only pause deliveries.",
		Example: `  syllecta source delete stripe --tenant shop
  syllecta source delete src_2Qx… --tenant shop --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: onlyOne(completeSources(f)),
	}
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		s, id, err := f.named(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		done, err := s.delete(cmd.Context(), id)
		if err != nil {
			return sourceAdvised(err)
		}
		if f.json {
			return f.t.printJSON(done)
		}
		return f.t.say("source %s was deleted", args[0])
	})
	return cmd
}

// completeSources offers the sources of the tenant, for one argument.
func completeSources(f *sourceFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		s, err := f.sources()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return completeAs(cmd, func(ctx context.Context) ([]cobra.Completion, error) {
			all, err := s.list(ctx)
			var offers []cobra.Completion
			for _, x := range all.value.Sources {
				offers = append(offers, offer(x.title(), x.CallbackURL))
			}
			return offers, err
		})
	}
}
