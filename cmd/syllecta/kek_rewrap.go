package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

// rewrapped is what was done about the data keys of tenants, in one request or in several.
type rewrapped struct {
	KEK            string       `json:"kek"`       // under which they are wrapped now
	Rewrapped      int64        `json:"rewrapped"` // that were wrapped under another one
	Remaining      int64        `json:"remaining"`
	Unreadable     []unreadable `json:"unreadable"`
	MoreUnreadable int64        `json:"moreUnreadable,omitempty"` // that are not in the list
}

// unreadable is a tenant whose data key cannot be unwrapped, and why.
type unreadable struct {
	Tenant string `json:"tenant"`
	Detail string `json:"detail"`
}

func newKEKRewrap(t *terminal) *cobra.Command {
	f := &adminFlags{t: t}
	cmd := &cobra.Command{
		Use:   "rewrap",
		Short: "Encrypt all data keys under the current key-encryption key",
		Long: "Encrypt the data keys of all tenants under the current key-encryption key: the first one of the leader's file.\n\n" +
			"When it is done, nothing in the cluster needs the others. Backups made before do: keep the old keys for as long as\n" +
			"one of those may be restored.",
		Example: `  syllecta kek rewrap
  syllecta kek rewrap --json`,
		Args: cobra.NoArgs,
	}
	f.addTo(cmd)
	cmd.RunE = verb(func(cmd *cobra.Command, _ []string) error {
		a, err := f.admin()
		if err != nil {
			return err
		}
		all, err := a.rewrapDataKeys(cmd.Context())
		if err != nil {
			return err
		}
		return f.printRewrapped(all)
	})
	return cmd
}

// rewrapDataKeys asks again until nothing remains: each request does a part.
func (a admin) rewrapDataKeys(ctx context.Context) (all rewrapped, err error) {
	for {
		var part rewrapped
		if err := a.call(ctx, http.MethodPost, "/v1/admin/kek/rewrap", nil, &part); err != nil {
			return all, err
		}
		part.Rewrapped += all.Rewrapped
		if part.Remaining > 0 && part.Rewrapped == all.Rewrapped {
			return all, &failure{code: exitUnreachable, err: fmt.Errorf("%d data keys remain, and none was encrypted anew: "+
				"others are changing them; try again", part.Remaining)}
		}
		if all = part; all.Remaining == 0 {
			return all, nil
		}
	}
}

// printRewrapped shows what was done. Keys that cannot be read are a failure, whatever was done about the others.
func (f *adminFlags) printRewrapped(all rewrapped) error {
	all.Unreadable = orEmpty(all.Unreadable)
	if f.json {
		if err := f.t.printJSON(all); err != nil {
			return err
		}
	} else if err := f.t.printRewrapped(all); err != nil {
		return err
	}
	if n := int64(len(all.Unreadable)) + all.MoreUnreadable; n > 0 {
		return fmt.Errorf("%d data keys cannot be decrypted: put the keys they need back into the file of the leader", n)
	}
	return nil
}

func (t *terminal) printRewrapped(all rewrapped) error {
	if err := t.say("%s encrypted anew, under %s", countOf(int(all.Rewrapped), "data key"), all.KEK); err != nil {
		return err
	}
	if len(all.Unreadable) == 0 {
		return nil
	}
	w := t.newTable("TENANT", "CANNOT BE DECRYPTED")
	for _, u := range all.Unreadable {
		w.AppendRow(row(u.Tenant, u.Detail))
	}
	return t.printTable(w)
}
