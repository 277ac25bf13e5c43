package main

import (
	"context"
	"fmt"
	"math"

	"github.com/spf13/cobra"
)

// auditVerdict is what verifying the audit log has found.
type auditVerdict struct {
	Entries  uint64    `json:"entries"`
	LastHash auditHash `json:"lastHash"` // zeros if there are no entries
	// ExpectedAt is the number of the entry with the hash that was to be there.
	ExpectedAt *uint64 `json:"expectedAt,omitempty"`
}

func newAuditVerify(f *adminFlags) *cobra.Command {
	var expect string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Recompute the hashes of the whole audit log",
		Long: "Read the whole audit log and recompute its hashes. Whoever changes, inserts or removes an entry breaks the\n" +
			"chain, unless all hashes from there on are made anew or the end is cut off. To tell that too, keep the last hash\n" +
			"somewhere else, and give it with --expect the next time: if an entry has it, the log up to there is what it was.",
		Example: `  syllecta audit verify
  syllecta audit verify --expect 7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730
  syllecta audit verify --json`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&expect, "expect", "", "`hash` that an entry must have: the last one of an earlier time")
	cmd.RunE = verb(func(cmd *cobra.Command, _ []string) error {
		expected, ok := parseAuditHash(expect)
		isExpected := cmd.Flags().Changed("expect")
		if isExpected && !ok {
			return usageErrorf("--expect: %q is not allowed; it must be a hash of 64 hexadecimal digits", shorten(expect))
		}
		a, err := f.admin()
		if err != nil {
			return err
		}
		v, err := verifyAudit(cmd.Context(), a, expected)
		if err != nil {
			return err
		}
		if !isExpected {
			v.ExpectedAt = nil
		} else if v.ExpectedAt == nil {
			return fmt.Errorf("none of the %d entries of the audit log has the hash %s: it was rewritten or cut off since",
				v.Entries, expected)
		}
		return f.printVerdict(v)
	})
	return cmd
}

// verifyAudit reads the log and recomputes its chain.
func verifyAudit(ctx context.Context, a admin, expected auditHash) (v auditVerdict, err error) {
	notice := func() {
		if v.LastHash == expected {
			at := v.Entries
			v.ExpectedAt = &at
		}
	}
	notice() // the zeros of an empty log
	last, err := a.walkAudit(ctx, 0, math.MaxInt, func(e told[auditEntry]) error {
		if e.value.Seq != v.Entries+1 {
			return fmt.Errorf("the audit log is not what it was: entry %d is missing", v.Entries+1)
		}
		hash, err := e.value.chained(v.LastHash)
		if err != nil {
			return fmt.Errorf("the audit log is not what it was: entry %d does not follow from the ones before: %w",
				e.value.Seq, err)
		}
		v.Entries, v.LastHash = e.value.Seq, hash
		notice()
		return nil
	})
	if err == nil && v.Entries != last.Total {
		err = fmt.Errorf("the audit log is not what it was: it has %d entries, and the node tells of %d", v.Entries,
			last.Total)
	}
	return v, err
}

func (f *adminFlags) printVerdict(v auditVerdict) error {
	if f.json {
		return f.t.printJSON(v)
	}
	words := fmt.Sprintf("entries: %d, and every hash follows from the ones before\nlast hash: %s", v.Entries, v.LastHash)
	if v.ExpectedAt != nil {
		words += fmt.Sprintf("\nup to entry %d the log is what it was when that hash was the last", *v.ExpectedAt)
	}
	_, err := fmt.Fprintln(f.t.out, words)
	return err
}
