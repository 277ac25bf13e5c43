package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

const (
	manSection    = "1" // commands of users
	worldReadable = 0o644
)

func newGenerateMan(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages, one for each command, into a directory",
		Long: "Write the manual pages, one for each command, into a directory.\n\n" +
			"They bear the date of SOURCE_DATE_EPOCH if that is set, else that of the commit the binary was built from:\n" +
			"the same sources make the same pages.",
		Example: `  syllecta generate man /usr/local/share/man/man1`,
		Args:    cobra.ExactArgs(1),
		RunE: verb(func(_ *cobra.Command, args []string) error {
			date, err := sourceDate(t.env("SOURCE_DATE_EPOCH"))
			if err != nil {
				return err
			}
			return writeManual(t, args[0], date)
		}),
	}
}

// sourceDate is when the sources were made, in UTC: as told by seconds since 1970, if that is not empty.
func sourceDate(seconds string) (time.Time, error) {
	if seconds != "" {
		s, err := strconv.ParseInt(seconds, 10, 64)
		if err != nil || s < 0 {
			return time.Time{}, usageErrorf("SOURCE_DATE_EPOCH: %q is not allowed; it must be a number of seconds since 1970",
				shorten(seconds))
		}
		return time.Unix(s, 0).UTC(), nil
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if at, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil {
				return at.UTC(), nil
			}
		}
	}
	return time.Unix(0, 0).UTC(), nil
}

// writeManual writes a page for each command, which everybody may read, unlike all else that this process creates.
func writeManual(t *terminal, dir string, date time.Time) error {
	root := newRoot(t)
	root.InitDefaultCompletionCmd()
	root.DisableAutoGenTag = true
	forManual(root)
	header := doc.GenManHeader{Section: manSection, Date: &date, Source: "syllecta " + version, Manual: "Syllecta"}
	if err := doc.GenManTree(root, &header, dir); err != nil {
		return fmt.Errorf("writing the manual pages: %w", err)
	}
	pages, err := filepath.Glob(filepath.Join(dir, root.Name()+"*."+manSection))
	for _, page := range pages {
		err = errors.Join(err, os.Chmod(page, worldReadable))
	}
	return err
}

// forManual marks what is a table or an example in the descriptions of a command and those below it, so that the
// manual keeps its lines.
func forManual(cmd *cobra.Command) {
	lines := strings.Split(cmd.Long, "\n")
	literal := true // the first line needs no empty one before it
	for i, line := range lines {
		wasLiteral := literal
		if literal = strings.HasPrefix(line, " "); literal {
			lines[i] = "    " + line
			if !wasLiteral {
				lines[i] = "\n" + lines[i]
			}
		}
	}
	cmd.Long = strings.Join(lines, "\n")
	for _, sub := range cmd.Commands() {
		forManual(sub)
	}
}
