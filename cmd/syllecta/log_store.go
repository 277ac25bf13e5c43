package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/syllecta/syllecta/cluster"
)

func newLogStore(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log-store",
		Short: "Convert the log of a stopped node",
		Long: "Convert the log of a stopped node from one kind into another: see --log-store of the server verb.\n\n" +
			"Members of a cluster may keep their logs in different ways.",
		Example: `  syllecta log-store convert --data-dir /var/lib/syllecta --to wal`,
		Args:    knownCommand,
		RunE:    showHelp,
	}
	cmd.AddCommand(newLogStoreConvert(t))
	return cmd
}

const convertHelp = `Convert the log in the data directory of a stopped node: to wal, or back to boltdb.

The new log is built beside the old one, which takes as much space again for a while. Every entry and all of raft's
state is read back and compared before the new log takes the old one's place; the old one is removed then, for it would
be of no use: the node goes on with the new one. If the machine stops meanwhile, the directory has either the old log or
the new one, whole, and running this again finishes the work.

With --dry-run the log is read to its end and verified, and nothing is changed.`

// convertFlags are the flags of the verb that converts a log.
type convertFlags struct {
	t            *terminal
	dir, to      string
	dryRun, json bool
}

// convertKinds are the kinds that a log can be converted to.
var convertKinds = []string{cluster.LogStoreWAL, cluster.LogStoreBolt}

func newLogStoreConvert(t *terminal) *cobra.Command {
	f := &convertFlags{t: t}
	cmd := &cobra.Command{
		Use:   "convert",
		Short: "Convert the log of a stopped node",
		Long:  convertHelp,
		Example: `  syllecta log-store convert --data-dir /var/lib/syllecta --to wal --dry-run
  syllecta log-store convert --data-dir /var/lib/syllecta --to wal`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.dir, "data-dir", "", "data `directory` of a stopped node (required)")
	flags.StringVar(&f.to, "to", "", "`kind` of the new log: "+strings.Join(convertKinds, " or ")+" (required)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only read and verify the log")
	flags.BoolVar(&f.json, "json", false, "print a JSON object")
	_ = cmd.MarkFlagDirname("data-dir") // fail only for a flag that does not exist
	_ = cmd.RegisterFlagCompletionFunc("to", cobra.FixedCompletions(convertKinds, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = verb(func(*cobra.Command, []string) error { return f.run() })
	return cmd
}

func (f *convertFlags) run() error {
	if f.dir == "" {
		return usageErrorf("--data-dir is required: the data directory of a stopped node")
	}
	if !slices.Contains(convertKinds, f.to) {
		return usageErrorf("--to %q: want %s", f.to, strings.Join(convertKinds, " or "))
	}
	log, err := newLogger(f.t, "warn", "text")
	if err != nil {
		return err
	}
	m := f.t.startMeter("converted and verified", 0, "")
	c, err := cluster.ConvertLogStore(f.dir, f.to, cluster.ConvertOptions{
		DryRun: f.dryRun, Progress: func(bytes int64) { m.moved.Add(bytes) }, Logger: log,
	})
	m.finish()
	if err != nil {
		return err
	}
	if f.json {
		return f.t.printJSON(describeConversion(c))
	}
	_, err = fmt.Fprint(f.t.out, conversionText(c))
	return err
}

// conversionReport is what the verb prints as JSON.
type conversionReport struct {
	From       string `json:"from"`
	To         string `json:"to"`
	FirstIndex uint64 `json:"firstIndex"`
	LastIndex  uint64 `json:"lastIndex"`
	Entries    uint64 `json:"entries"`
	Bytes      int64  `json:"bytes"`
	Done       bool   `json:"done"`
}

func describeConversion(c cluster.Conversion) conversionReport { return conversionReport(c) }

func conversionText(c cluster.Conversion) string {
	holds := fmt.Sprintf("%d entries with %s of data, from index %d to %d",
		c.Entries, byteText(c.Bytes), c.FirstIndex, c.LastIndex)
	switch {
	case c.Done && c.From == c.To:
		return fmt.Sprintf("The log is of the kind %s already: %s.\n", c.To, holds)
	case c.Done:
		return fmt.Sprintf("The log is converted from %s to %s: %s.\n", c.From, c.To, holds)
	default:
		return fmt.Sprintf("The log is whole and can be converted from %s to %s: %s.\nNothing was changed. Run it again "+
			"without --dry-run to convert it.\n", c.From, c.To, holds)
	}
}
