package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/jedib0t/go-pretty/v6/table"
)

// print writes the results as markdown: a table for each number of connections, one for what only we do, and what was
// run where.
func (r *results) print(w io.Writer) {
	all := r.cells()
	fmt.Fprintf(w, "Medians over the rounds (lowest–highest). %s.\n", r.Machine)
	for _, connections := range r.claimConnections() {
		fmt.Fprintf(w, "\n### claim, %s\n\n", plural(connections, "connection"))
		r.printClaims(w, all, connections)
	}
	r.printOtherWork(w, all)
	r.printFailures(w, all)
	fmt.Fprint(w, "\nWhat was run:\n\n")
	for _, p := range r.Peers {
		if p.Skipped != "" {
			fmt.Fprintf(w, "- %s: skipped: %s\n", p.Name, p.Skipped)
		} else {
			fmt.Fprintf(w, "- %s (%s): %s\n", p.Name, p.Version, p.Settings)
		}
	}
}

// claimConnections are the numbers for which claims were measured, in that order.
func (r *results) claimConnections() []int {
	var numbers []int
	for _, run := range r.Runs {
		if run.Scenario == claimWork && !slices.Contains(numbers, run.Connections) {
			numbers = append(numbers, run.Connections)
		}
	}
	return numbers
}

// find returns a cell, nil if there is none.
func find(all []*cell, peer, scenario string, connections int) *cell {
	for _, c := range all {
		if c.peer == peer && c.scenario == scenario && c.connections == connections {
			return c
		}
	}
	return nil
}

// figureHeads are the heads of the columns of figureColumns.
var figureHeads = table.Row{"p50 ms", "p99 ms", "server CPU µs", "generator CPU µs", "others, % of a core"}

func figureColumns(c *cell) table.Row {
	var columns table.Row
	for _, f := range []figure{p50, p99, serverCPU, generatorCPU, others} {
		columns = append(columns, c.text(f))
	}
	return columns
}

// ratioHeads are the heads of the columns of ratioColumns.
var ratioHeads = table.Row{"rate, ours ÷ theirs", "p50", "p99", "server CPU"}

// ratioColumns compare us with another.
func ratioColumns(ours, theirs *cell) table.Row {
	var columns table.Row
	for _, f := range []figure{rate, p50, p99, serverCPU} {
		columns = append(columns, ratio(ours, theirs, f))
	}
	return columns
}

// printClaims compares the peers with us.
func (r *results) printClaims(w io.Writer, all []*cell, connections int) {
	t := newTable(w)
	t.AppendHeader(slices.Concat(table.Row{"", "claims/s"}, figureHeads, ratioHeads))
	ours := find(all, ourName, claimWork, connections)
	for _, p := range r.Peers {
		c := find(all, p.Name, claimWork, connections)
		t.AppendRow(slices.Concat(table.Row{p.Name, rateText(p, c)}, figureColumns(c), ratioColumns(ours, c)))
	}
	t.RenderMarkdown()
}

// rateText is what a peer reached, or why it did not.
func rateText(p peerResult, c *cell) string {
	switch {
	case p.Skipped != "":
		return "skipped: " + p.Skipped
	case c == nil:
		return "not run"
	case len(c.good) == 0:
		return "failed, see below"
	}
	return c.text(rate)
}

// printOtherWork shows what has no like among the peers: beside our own claims, and our binaries beside each other.
func (r *results) printOtherWork(w io.Writer, all []*cell) {
	t := newTable(w)
	t.AppendHeader(slices.Concat(
		table.Row{"", "operations/s", "÷ claims/s"}, figureHeads, ratioHeads))
	for _, c := range otherWork(all) {
		name := fmt.Sprintf("%s, %s, %d", c.peer, c.scenario, c.connections)
		claims := find(all, c.peer, claimWork, c.connections)
		ours := find(all, ourName, c.scenario, c.connections)
		t.AppendRow(slices.Concat(table.Row{name, rateText(peerResult{}, c), ratio(c, claims, rate)},
			figureColumns(c), ratioColumns(ours, c)))
	}
	if t.Length() > 0 {
		fmt.Fprint(w, "\n### other work, by connections\n\n")
		t.RenderMarkdown()
	}
}

// otherWork are the cells that are no claims, those of the same task together.
func otherWork(all []*cell) []*cell {
	var others []*cell
	for _, c := range all {
		if c.scenario == claimWork || find(others, c.peer, c.scenario, c.connections) != nil {
			continue
		}
		for _, o := range all {
			if o.scenario == c.scenario && o.connections == c.connections {
				others = append(others, o)
			}
		}
	}
	return others
}

// printFailures tells of every run that failed.
func (r *results) printFailures(w io.Writer, all []*cell) {
	if r.failures() == 0 {
		return
	}
	fmt.Fprint(w, "\nRuns that failed and count for nothing:\n\n")
	for _, c := range all {
		for _, err := range c.errors {
			fmt.Fprintf(w, "- %s, %s, %s: %s\n", c.peer, c.scenario, plural(c.connections, "connection"), err)
		}
	}
}

func newTable(w io.Writer) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.Style().Markdown.PadContent = true
	return t
}

// text is a figure over the rounds, empty if there is none.
func (c *cell) text(f figure) string {
	s, ok := c.over(f)
	if !ok {
		return ""
	}
	if len(c.good) == 1 {
		return number(s.median)
	}
	return fmt.Sprintf("%s (%s–%s)", number(s.median), number(s.min), number(s.max))
}

// ratio divides two medians.
func ratio(a, b *cell, f figure) string {
	over, okA := a.over(f)
	under, okB := b.over(f)
	if !okA || !okB || under.median == 0 {
		return ""
	}
	return strconv.FormatFloat(over.median/under.median, 'f', 2, 64)
}

// number shows about three digits of a figure.
func number(v float64) string {
	decimals := 2
	switch {
	case v >= 100:
		decimals = 0
	case v >= 10:
		decimals = 1
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
