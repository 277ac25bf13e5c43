package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set when a release is built: -ldflags "-X main.version=1.2.3".
var version = "0.4.0-dev"

// build tells what this binary was made from.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`   // "" if the build knew of no repository
	Modified bool   `json:"modified,omitempty"` // the working tree differed from Commit
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBuild() build {
	b := build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func (b build) String() string {
	const shortCommit = 12
	origin := ""
	if b.Commit != "" {
		origin = " commit " + b.Commit[:min(shortCommit, len(b.Commit))]
	}
	if b.Modified {
		origin += " (modified)"
	}
	return fmt.Sprintf("syllecta %s%s %s %s", b.Version, origin, b.Go, b.Platform)
}

func newVersion(t *terminal) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print what this binary is",
		Example: `  syllecta version
  syllecta version --json`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	cmd.RunE = verb(func(*cobra.Command, []string) error {
		if asJSON {
			return t.printJSON(thisBuild())
		}
		_, err := fmt.Fprintln(t.out, thisBuild())
		return err
	})
	return cmd
}
