package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// usageFlags are the flags of the usage verb.
type usageFlags struct {
	callerFlags
	days days
}

func newUsage(t *terminal) *cobra.Command {
	f := &usageFlags{callerFlags: callerFlags{adminFlags: adminFlags{t: t}}}
	cmd := &cobra.Command{
		Use:   "usage",
		Short: "Show what tenants have used, by day and against their limits",
		Long: `Show what tenants have used: with --tenant the days of one and its month against its limit; without, all
tenants. With an API key and no admin token, it is the usage of the tenant whose key it is.

  CLAIMS     locks granted; these count against the limit
  REPLAYS    claims answered with a stored result
  CONFLICTS  claims of what another held, or that belonged to another request
  REJECTED   claims and events refused because the month was full or the tenant suspended
  EVENTS     events accepted from providers of webhooks; these count against the limit of events
  REPEATED   webhooks of an event that had come before
  DELIVERED  events delivered
  FAILED     attempts to deliver an event that failed

Days and months are those of UTC.`,
		Example: `  syllecta usage --tenant shop
  syllecta usage --from 2026-11-01 --to 2026-11-30 --json
  syllecta usage --api-key-file key`,
		Args: cobra.NoArgs,
	}
	f.addTo(cmd, "`slug` of a tenant; none shows all of them")
	flags := cmd.Flags()
	flags.StringVar(&f.days.from, "from", "", "first `day`, as YYYY-MM-DD")
	flags.StringVar(&f.days.to, "to", "", "last `day`, as YYYY-MM-DD")
	completeFlag(cmd, "from", cobra.NoFileCompletions)
	completeFlag(cmd, "to", cobra.NoFileCompletions)
	cmd.RunE = verb(func(cmd *cobra.Command, _ []string) error {
		if err := f.check(cmd); err != nil {
			return err
		}
		return f.show(cmd.Context())
	})
	return cmd
}

// check refuses flags that make no sense.
func (f *usageFlags) check(cmd *cobra.Command) error {
	for _, end := range []struct{ flag, day string }{{"from", f.days.from}, {"to", f.days.to}} {
		if _, err := time.Parse(time.DateOnly, end.day); err != nil && cmd.Flags().Changed(end.flag) {
			return usageErrorf("--%s: %q is not allowed; it must be a day such as 2026-11-30", end.flag, shorten(end.day))
		}
	}
	if f.days.from != "" && f.days.to != "" && f.days.from > f.days.to {
		return usageErrorf("--from: %s is not allowed; it must not be after --to, %s", f.days.from, f.days.to)
	}
	return f.checkTenant(cmd)
}

func (f *usageFlags) show(ctx context.Context) error {
	key, err := f.apiKey()
	switch {
	case err != nil:
		return err
	case key != "":
		return f.showOwn(ctx, key)
	default:
		return f.showAsAdmin(ctx)
	}
}

func (f *usageFlags) showOwn(ctx context.Context, key string) error {
	c, err := f.clientWith(key)
	if err != nil {
		return err
	}
	used, err := c.ownUsage(ctx, f.days)
	if err != nil {
		return err
	}
	return f.printTenantUsage(used)
}

func (f *usageFlags) showAsAdmin(ctx context.Context) error {
	a, err := f.admin()
	if err != nil {
		return err
	}
	if f.tenant == "" {
		all, err := a.usage(ctx, f.days)
		if err != nil {
			return err
		}
		return f.printClusterUsage(all)
	}
	used, err := a.tenantUsage(ctx, f.tenant, f.days)
	if err != nil {
		return tenantAdvised(err, f.tenant)
	}
	return f.printTenantUsage(used)
}

func (f *usageFlags) printTenantUsage(used told[tenantUsage]) error {
	if f.json {
		return f.t.printJSON(used)
	}
	w := f.t.newTable(append([]any{"DAY"}, usageColumns...)...)
	for _, d := range used.value.Days {
		w.AppendRow(row(append([]string{d.Day}, d.cells()...)...))
	}
	w.AppendRow(row(append([]string{"total"}, used.value.Total.cells()...)...))
	if err := f.t.printTable(w); err != nil {
		return err
	}
	return f.t.printMonth(used.value.Month)
}

func (f *usageFlags) printClusterUsage(all told[clusterUsage]) error {
	if f.json {
		return f.t.printJSON(all)
	}
	w := f.t.newTable(append([]any{"ID", "SLUG"}, usageColumns...)...)
	var total usageCounts
	for _, n := range all.value.Tenants {
		w.AppendRow(row(append([]string{n.ID, n.Slug}, n.Total.cells()...)...))
		total.add(n.Total)
	}
	w.AppendRow(row(append([]string{"total", ""}, total.cells()...)...))
	return f.t.printTable(w)
}

// usageColumns are the titles of the counts, in the order of their cells.
var usageColumns = []any{"CLAIMS", "REPLAYS", "CONFLICTS", "REJECTED", "EVENTS", "REPEATED", "DELIVERED", "FAILED"}

func (u usageCounts) cells() []string {
	var cells []string
	for _, n := range []int64{
		u.Claims, u.Replays, u.Conflicts, u.Rejected, u.Events, u.Duplicates, u.Deliveries, u.DeliveryFailures,
	} {
		cells = append(cells, strconv.FormatInt(n, 10))
	}
	return cells
}

func (u *usageCounts) add(more usageCounts) {
	u.Claims += more.Claims
	u.Replays += more.Replays
	u.Conflicts += more.Conflicts
	u.Rejected += more.Rejected
	u.Events += more.Events
	u.Duplicates += more.Duplicates
	u.Deliveries += more.Deliveries
	u.DeliveryFailures += more.DeliveryFailures
}
