package main

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

// tabTimeout bounds what a shell waits for the cluster when somebody presses Tab.
const tabTimeout = 1500 * time.Millisecond

// completeWith offers what ask finds in the cluster, and nothing at all when anything fails: a shell has no room for an
// error, and the verb itself will tell.
func completeWith(f *adminFlags, ask func(ctx context.Context, a admin, args []string) ([]cobra.Completion, error),
) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		a, err := f.admin()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return completeAs(cmd, func(ctx context.Context) ([]cobra.Completion, error) { return ask(ctx, a, args) })
	}
}

// completeAs offers what ask finds in time, and nothing when it fails.
func completeAs(cmd *cobra.Command, ask func(context.Context) ([]cobra.Completion, error),
) ([]cobra.Completion, cobra.ShellCompDirective) {
	parent := cmd.Context()
	if parent == nil {
		parent = context.Background() // cobra completes without one unless it was given one
	}
	ctx, cancel := context.WithTimeout(parent, tabTimeout)
	defer cancel()
	found, err := ask(ctx)
	if err != nil {
		found = nil
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}

// onlyOne offers nothing any more once there is an argument.
func onlyOne(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(cmd, args, typed)
	}
}

// completeFlag has a flag completed so.
func completeFlag(cmd *cobra.Command, name string, complete cobra.CompletionFunc) {
	// It fails only for a flag that does not exist or was registered twice, which a test would show.
	_ = cmd.RegisterFlagCompletionFunc(name, complete)
}

// completePlans offers the names of the plans but for some, for one argument or flag.
func completePlans(f *adminFlags, except ...string) cobra.CompletionFunc {
	return completeWith(f, func(ctx context.Context, a admin, _ []string) ([]cobra.Completion, error) {
		all, err := a.plans(ctx)
		var offers []cobra.Completion
		for _, p := range all.value.Plans {
			if !slices.Contains(except, p.Name) {
				offers = append(offers, offer(p.Name, p.inWords()))
			}
		}
		return offers, err
	})
}

// completeTenants offers the slugs of the tenants, for one argument or flag.
func completeTenants(f *adminFlags) cobra.CompletionFunc {
	return completeWith(f, func(ctx context.Context, a admin, _ []string) ([]cobra.Completion, error) {
		all, err := a.tenants(ctx)
		offers := make([]cobra.Completion, len(all))
		for i, t := range all {
			offers[i] = offer(t.Slug, t.Name)
		}
		return offers, err
	})
}

// completeNodes offers the ids of the cluster's members that are not among the arguments yet.
func completeNodes(f *adminFlags) cobra.CompletionFunc {
	return completeWith(f, func(ctx context.Context, a admin, args []string) ([]cobra.Completion, error) {
		var status struct {
			Nodes []struct {
				ID       string `json:"id"`
				RaftAddr string `json:"raftAddr"`
			} `json:"nodes"`
		}
		err := a.call(ctx, http.MethodGet, "/v1/admin/status", nil, &status)
		var offers []cobra.Completion
		for _, n := range status.Nodes {
			if !slices.Contains(args, n.ID) {
				offers = append(offers, offer(n.ID, n.RaftAddr))
			}
		}
		return offers, err
	})
}

// completeKeys offers the ids of the tenant's keys that still work.
func completeKeys(f *keyFlags) cobra.CompletionFunc {
	return completeWith(&f.adminFlags, func(ctx context.Context, a admin, args []string) ([]cobra.Completion, error) {
		if f.tenant == "" || len(args) > 0 {
			return nil, nil
		}
		all, err := a.keys(ctx, f.tenant)
		var offers []cobra.Completion
		for _, k := range all {
			if k.RevokedAt == "" {
				offers = append(offers, offer(k.ID, k.Name))
			}
		}
		return offers, err
	})
}

// offer is a completion with its description, both in a form that cannot steer a terminal.
func offer(value, description string) cobra.Completion {
	if description == "" {
		return printable(value)
	}
	return cobra.CompletionWithDesc(printable(value), printable(description))
}
