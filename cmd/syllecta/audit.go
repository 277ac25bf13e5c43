package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

const (
	defaultAuditLimit = 100
	maxAuditLimit     = 100_000
	maxAuditSeq       = 1<<53 - 1 // the largest number that every JSON reader takes exactly
)

func newAudit(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show and verify the log of changes to tenants, keys, plans, sources, events and members",
		Long: "Show and verify the audit log: who changed tenants, keys, plans and members, when, and what. Entries are\n" +
			"never changed or removed, and each has a hash over itself and the one before.",
		Example: `  syllecta audit list
  syllecta audit verify --json`,
		Args: knownCommand,
		RunE: showHelp,
	}
	f := &adminFlags{t: t}
	f.addTo(cmd)
	cmd.AddCommand(newAuditList(f), newAuditVerify(f))
	return cmd
}

func newAuditList(f *adminFlags) *cobra.Command {
	var after uint64
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List entries of the audit log, oldest first",
		Example: `  syllecta audit list
  syllecta audit list --after 100 --limit 1000
  syllecta audit list --json`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().Uint64Var(&after, "after", 0, "`number` of the entry after which to begin; 0 begins with the first")
	cmd.Flags().IntVar(&limit, "limit", defaultAuditLimit, "largest `number` of entries")
	cmd.RunE = verb(func(cmd *cobra.Command, _ []string) error {
		if after > maxAuditSeq {
			return usageErrorf("--after: %d is not allowed; it must be %s", after, wholeNumber(0, maxAuditSeq))
		}
		if limit < 1 || limit > maxAuditLimit {
			return usageErrorf("--limit: %d is not allowed; it must be %s", limit, wholeNumber(1, maxAuditLimit))
		}
		a, err := f.admin()
		if err != nil {
			return err
		}
		var entries []told[auditEntry]
		last, err := a.walkAudit(cmd.Context(), after, limit, func(e told[auditEntry]) error {
			entries = append(entries, e)
			return nil
		})
		if err != nil {
			return err
		}
		return f.printAudit(entries, last)
	})
	return cmd
}

// printAudit shows the entries, and how to see more.
func (f *adminFlags) printAudit(entries []told[auditEntry], last auditPage) error {
	if f.json {
		return f.t.printJSON(struct {
			Entries []told[auditEntry] `json:"entries"`
			Total   uint64             `json:"total"`
			Next    uint64             `json:"next,omitempty"`
		}{orEmpty(entries), last.Total, last.Next})
	}
	w := f.t.newTable("SEQ", "AT", "ACTOR", "ROLE", "FROM", "ACTION", "TARGET", "CHANGES")
	for _, e := range entries {
		v := e.value
		w.AppendRow(row(strconv.FormatUint(v.Seq, 10), v.At.UTC().Format(auditInstant), v.Actor, v.Role, v.Address,
			v.Action, v.Target, v.changes()))
	}
	if err := f.t.printTable(w); err != nil || last.Next == 0 {
		return err
	}
	_, err := fmt.Fprintf(f.t.err, "note: there are %d entries in all; go on with: syllecta audit list --after %d\n",
		last.Total, last.Next)
	return err
}

// changes are what an entry changed, in words.
func (e auditEntry) changes() string {
	words := make([]string, len(e.Changes))
	for i, c := range e.Changes {
		words[i] = c.String()
	}
	return strings.Join(words, ", ")
}

func (c auditChange) String() string {
	switch {
	case c.Before == "":
		return fmt.Sprintf("%s: %s", c.Member, auditValue(c.After))
	case c.After == "":
		return fmt.Sprintf("%s: %s → none", c.Member, auditValue(c.Before))
	default:
		return fmt.Sprintf("%s: %s → %s", c.Member, auditValue(c.Before), auditValue(c.After))
	}
}

// auditValue shows a value, in quotes where it might be taken for more or less than it is.
func auditValue(value string) string {
	value = shorten(value)
	if value == "" || value == "none" || strings.ContainsAny(value, " ,\"→") {
		return strconv.Quote(value)
	}
	return value
}
