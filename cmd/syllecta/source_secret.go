package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/syllecta/syllecta/api/webhook"
	"github.com/syllecta/syllecta/fsm"
)

// maxSourceSecretBytes bounds a provider's secret, as the API does.
const maxSourceSecretBytes = 2 << 10

func newSourceSecret(f *sourceFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secret",
		Short: "Rotate the secrets that a provider signs with",
		Long: fmt.Sprintf("Rotate the secrets that a provider signs with. A source has up to %d, and a webhook that is signed under\n"+
			"any of them is good: add the new one, have the provider use it, then remove the old one.", fsm.MaxSourceSecrets),
		Example: `  syllecta source secret add stripe --tenant shop --secret-file new-whsec
  syllecta source secret remove stripe sec_2Qx… --tenant shop`,
		Args: knownCommand,
		RunE: showHelp,
	}
	cmd.AddCommand(newSourceSecretAdd(f), newSourceSecretRemove(f))
	return cmd
}

func newSourceSecretAdd(f *sourceFlags) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "add SOURCE",
		Short: "Accept webhooks that are signed under one more secret",
		Long:  "Accept webhooks that are signed under one more secret, which is read from a file, or from standard input.",
		Example: `  syllecta source secret add stripe --tenant shop --secret-file new-whsec
  syllecta source secret add stripe --tenant shop --json < new-whsec`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: onlyOne(completeSources(f)),
	}
	cmd.Flags().StringVar(&file, "secret-file", "-", "`file` with the secret; - is standard input")
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		secrets, err := f.t.readSourceSecrets([]string{file})
		if err != nil {
			return err
		}
		s, id, err := f.named(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		added, err := s.addSecret(cmd.Context(), id, secrets[0])
		if err != nil {
			return sourceAdvised(err)
		}
		if f.json {
			return f.t.printJSON(added)
		}
		return f.t.say("secret %s (%s) was added to %s", added.value.ID, added.value.ending(), args[0])
	})
	return cmd
}

func newSourceSecretRemove(f *sourceFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove SOURCE SECRETID",
		Short: "Refuse webhooks that are signed under a secret",
		Long:  "Refuse webhooks that are signed under a secret, at once and on every node. Without any left, all are refused.",
		Example: `  syllecta source secret remove stripe sec_2Qx… --tenant shop
  syllecta source secret remove stripe sec_2Qx… --tenant shop --json`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: completeSourceSecrets(f),
	}
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		s, id, err := f.named(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		done, err := s.removeSecret(cmd.Context(), id, args[1])
		if err != nil {
			return sourceAdvised(err)
		}
		if f.json {
			return f.t.printJSON(done)
		}
		return f.t.say("secret %s was removed from %s", args[1], args[0])
	})
	return cmd
}

// readSourceSecrets reads a provider's secret from each file, - for standard input. A secret is never a flag: command
// lines can be seen by other users.
func (t *terminal) readSourceSecrets(files []string) ([]string, error) {
	var secrets []string
	fromInput := false
	for _, file := range files {
		what, text, err := "standard input", []byte(nil), error(nil)
		if file == "-" {
			if fromInput {
				return nil, usageErrorf("--secret-file: standard input can be read once only")
			}
			fromInput = true
			text, err = io.ReadAll(io.LimitReader(t.in, maxSourceSecretBytes+2))
		} else {
			what = "secret file " + file
			text, err = readPrivate("secret", file, maxSourceSecretBytes+2)
		}
		if err != nil {
			return nil, err
		}
		secret := strings.TrimRight(string(text), "\r\n")
		if len(secret) == 0 || len(secret) > maxSourceSecretBytes || strings.ContainsAny(secret, "\r\n") {
			return nil, usageErrorf("%s: it must hold one line of 1 to %d bytes", what, maxSourceSecretBytes)
		}
		secrets = append(secrets, secret)
	}
	return secrets, nil
}

// providerCompletions offers the providers that are known.
func providerCompletions() []cobra.Completion {
	var offers []cobra.Completion
	for _, p := range webhook.Providers() {
		offers = append(offers, offer(p.Name, p.Title))
	}
	return offers
}

// completeSourceSecrets offers a source, and then one of its secrets.
func completeSourceSecrets(f *sourceFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		s, err := f.sources()
		if len(args) != 1 || err != nil {
			return onlyOne(completeSources(f))(cmd, args, typed)
		}
		return completeAs(cmd, func(ctx context.Context) (offers []cobra.Completion, err error) {
			all, err := s.list(ctx)
			for _, x := range all.value.Sources {
				if args[0] != x.ID && args[0] != x.title() {
					continue
				}
				for _, secret := range x.Secrets {
					offers = append(offers, offer(secret.ID, secret.ending()))
				}
			}
			return offers, err
		})
	}
}
