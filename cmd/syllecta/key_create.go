package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Bounds of the life that --expires-in may give a key.
const (
	minKeyLife = time.Minute
	maxKeyLife = 87_600 * time.Hour // ten years
)

// keyCreateFlags say what a new key is to be.
type keyCreateFlags struct {
	name      string
	scopes    []string
	expiresIn time.Duration
	expiresAt string
}

func newKeyCreate(f *keyFlags) *cobra.Command {
	var c keyCreateFlags
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create an API key and print its secret, once",
		Long: "Create an API key and print its secret. The cluster keeps only a hash: the secret cannot be shown again.\n\n" +
			"A key is good for everything its tenant may do unless scopes are given, and until it is revoked unless it expires.",
		Example: `  syllecta key create --tenant shop
  syllecta key create --tenant shop --name checkout --scope records:read --scope records:write
  syllecta key create --tenant shop --expires-in 720h --json`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&c.name, "name", "", "what the key is for")
	flags.StringSliceVar(&c.scopes, "scope", nil,
		"what the key is good for: "+strings.Join(keyScopes, ", ")+"; repeat it for several, none is everything")
	flags.DurationVar(&c.expiresIn, "expires-in", 0, "`time` from now after which the key ends, such as 720h")
	flags.StringVar(&c.expiresAt, "expires-at", "", "`instant` at which the key ends, such as 2027-01-31T00:00:00Z")
	completeFlag(cmd, "scope", cobra.FixedCompletions(keyScopes, cobra.ShellCompDirectiveNoFileComp))
	completeFlag(cmd, "expires-in", cobra.NoFileCompletions)
	completeFlag(cmd, "expires-at", cobra.NoFileCompletions)
	cmd.RunE = verb(func(cmd *cobra.Command, _ []string) error {
		spec, err := c.spec(cmd, time.Now())
		if err != nil {
			return err
		}
		a, err := f.admin()
		if err != nil {
			return err
		}
		made, err := a.createKey(cmd.Context(), f.tenant, spec)
		if err != nil {
			return err
		}
		return f.printMade(made)
	})
	return cmd
}

func (f *keyFlags) printMade(made newAPIKey) error {
	if f.json {
		return f.t.printJSON(made)
	}
	if err := f.t.printKeys(made.apiKey); err != nil {
		return err
	}
	_, err := fmt.Fprintf(f.t.out, "\nAPI key, shown only now: %s\n", made.Secret)
	return err
}

// spec checks the flags. One that was given and says nothing is refused: the key would be good for more than was meant.
func (c *keyCreateFlags) spec(cmd *cobra.Command, now time.Time) (keySpec, error) {
	spec := keySpec{Name: c.name, Scopes: c.scopes}
	given := cmd.Flags().Changed
	for _, scope := range c.scopes {
		if !slices.Contains(keyScopes, scope) {
			return spec, usageErrorf("--scope: %q is not allowed; it must be %s", shorten(scope), oneOf(keyScopes))
		}
	}
	if given("scope") && len(c.scopes) == 0 {
		return spec, usageErrorf("--scope: it must be %s", oneOf(keyScopes))
	}
	if given("expires-in") && given("expires-at") {
		return spec, usageErrorf("--expires-in and --expires-at are not given together")
	}
	if given("expires-in") {
		if c.expiresIn < minKeyLife || c.expiresIn > maxKeyLife {
			return spec, usageErrorf("--expires-in: %v is not allowed; it must be a time from 1m to 87600h such as 720h",
				c.expiresIn)
		}
		spec.ExpiresAt = now.Add(c.expiresIn).UTC().Format(time.RFC3339)
	}
	if given("expires-at") {
		at, err := time.Parse(time.RFC3339, c.expiresAt)
		if err != nil {
			return spec, usageErrorf("--expires-at: %q is not allowed; it must be an instant such as 2027-01-31T00:00:00Z",
				shorten(c.expiresAt))
		}
		spec.ExpiresAt = at.UTC().Format(time.RFC3339Nano)
	}
	return spec, nil
}
