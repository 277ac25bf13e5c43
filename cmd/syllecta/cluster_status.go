package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"
)

func newClusterStatus(f *adminFlags) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the nodes and how they are",
		Long: `Show the nodes and how they are, as the node that --server names sees them. It needs no leader.

  ROLE     leader, follower or candidate; members without a vote are followers
  VOTE     yes; not yet, for one that has joined and is to vote once it has caught up; or never
  HEALTH   healthy nodes answer, hear from the leader, and are not far behind
  LAG      log entries it has still to apply
  CONTACT  when it last heard from the leader
  CLOCK    its wall clock, against that of the node that answers`,
		Example: `  syllecta cluster status
  syllecta cluster status --watch
  syllecta cluster status --server https://10.0.0.2:4000 --json`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "show it again and again, every "+watchEvery.String())
	cmd.RunE = verb(func(cmd *cobra.Command, _ []string) error {
		a, err := f.admin()
		if err != nil {
			return err
		}
		if watch {
			return f.watchCluster(cmd.Context(), a)
		}
		view, err := a.cluster(cmd.Context())
		if err != nil {
			return err
		}
		return f.printCluster(view)
	})
	return cmd
}

func (f *adminFlags) printCluster(view told[clusterView]) error {
	if f.json {
		return f.t.printJSON(view)
	}
	_, err := fmt.Fprint(f.t.out, f.t.clusterText(view.value))
	return err
}

// clusterText is the table, and what it comes to.
func (t *terminal) clusterText(v clusterView) string {
	out := ""
	if len(v.Nodes) > 0 {
		w := t.newTable("NODE", "ROLE", "VOTE", "HEALTH", "TERM", "APPLIED", "LAG", "CONTACT", "CLOCK", "DISK FREE",
			"VERSION", "ADDRESS")
		for _, m := range v.Nodes {
			w.AppendRow(t.memberRow(m))
		}
		out = w.Render() + "\n\n"
	}
	words, colour := v.inWords()
	out += t.paint(colour, printable(words)) + "\n" + printable(v.whose()) + "\n"
	for _, note := range v.notes() {
		out += t.paint(text.FgYellow, "note: ") + printable(note) + "\n"
	}
	return out
}

// unknown stands in a table for what nobody has told.
const unknown = "-"

func (t *terminal) memberRow(m member) table.Row {
	health, colour := m.health()
	cells := []string{
		m.ID, unknown, m.vote(), health, unknown, unknown, unknown, unknown, unknown, unknown, unknown, m.RaftAddr,
	}
	if m.LastSeenMs != nil {
		copy(cells[4:], []string{
			strconv.FormatUint(m.Term, 10), strconv.FormatUint(m.AppliedIndex, 10), strconv.FormatUint(m.Lag, 10),
			unknown, offset(m.ClockOffsetMs), m.diskFree(), m.Version,
		})
	}
	if m.Reachable {
		// What it was before it fell silent is no news: another one may lead by now.
		cells[1], cells[7] = m.Role, age(m.LastContactMs)
	}
	r := row(cells...)
	r[3] = t.paint(colour, health)
	return r
}

func (m member) vote() string {
	switch {
	case m.Voter:
		return "yes"
	case m.NonVoter:
		return "never"
	default:
		return "not yet"
	}
}

// contactFresh is how long ago a node may have heard from the leader and still count as in touch with it.
const contactFresh = 2 * time.Second

func (m member) health() (word string, colour text.Color) {
	switch {
	case m.Healthy:
		return "healthy", text.FgGreen
	case m.LastSeenMs == nil:
		return "never seen", text.FgRed
	case !m.Reachable:
		return "silent " + age(m.LastSeenMs), text.FgRed
	case m.LastContactMs != nil && millis(*m.LastContactMs) < contactFresh:
		return "behind", text.FgYellow
	default:
		return "no leader", text.FgYellow
	}
}

func millis(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

// age shows a time that has passed, to three digits or so; unknown if it is nil.
func age(ms *int64) string {
	switch {
	case ms == nil:
		return unknown
	case *ms < 1_000:
		return fmt.Sprintf("%dms", *ms)
	default:
		return millis(*ms).Round(time.Second).String()
	}
}

func offset(ms int64) string {
	if ms > -1_000 && ms < 1_000 {
		return fmt.Sprintf("%+dms", ms)
	}
	return fmt.Sprintf("%+.1fs", millis(ms).Seconds())
}

func (m member) diskFree() string {
	if m.DiskTotalBytes <= 0 {
		return unknown
	}
	percent := 100 * float64(m.DiskFreeBytes) / float64(m.DiskTotalBytes)
	return fmt.Sprintf("%s (%.0f%%)", byteText(m.DiskFreeBytes), percent)
}
