package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
)

func newEventsShow(f *callerFlags) *cobra.Command {
	var raw bool
	cmd := &cobra.Command{
		Use:   "show EVENT",
		Short: "Show an event: its attempts, its repetitions and what is left of its payload",
		Long: "Show an event: the attempts to deliver it, when it came again, and what is left of its payload. What is sensitive\n" +
			"is masked, unless --raw is given and the tenant's payload policy is raw_debug_window.",
		Example: `  syllecta events show evt_0000000000001c9n6bq1v3k2fg --tenant shop
  syllecta events show evt_0000000000001c9n6bq1v3k2fg --api-key-file key --raw --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: onlyOne(completeEvents(f)),
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "mask nothing, if the tenant's payload policy allows it")
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		events, err := f.events(cmd)
		if err != nil {
			return err
		}
		found, err := events.show(cmd.Context(), args[0], raw)
		if err != nil {
			return eventAdvised(err, f)
		}
		if f.json {
			return f.t.printJSON(found)
		}
		return f.t.printEvent(&found.value)
	})
	return cmd
}

// printEvent shows an event part by part, those that there are.
func (t *terminal) printEvent(e *webhookEvent) error {
	if err := t.printEventTable(*e); err != nil {
		return err
	}
	if err := t.printAttempts(e.AttemptLog); err != nil {
		return err
	}
	if err := t.printDuplicates(e.Duplicates); err != nil {
		return err
	}
	_, err := fmt.Fprint(t.out, e.payloadInWords())
	return err
}

func (t *terminal) printAttempts(attempts []eventAttempt) error {
	if len(attempts) == 0 {
		return nil
	}
	w := t.newTable("ATTEMPT", "AT", "MS", "ANSWER", "ERROR", "REPLAY")
	for _, a := range attempts {
		answer := ""
		if a.StatusCode != 0 {
			answer = strconv.Itoa(a.StatusCode)
		}
		w.AppendRow(row(strconv.FormatInt(a.Number, 10), a.At, strconv.FormatInt(a.LatencyMs, 10), answer, a.Error, a.Replay))
	}
	return t.printPart(w)
}

func (t *terminal) printDuplicates(duplicates []eventDuplicate) error {
	if len(duplicates) == 0 {
		return nil
	}
	w := t.newTable("CAME AGAIN AT", "SOURCE")
	for _, d := range duplicates {
		w.AppendRow(row(d.At, d.Source))
	}
	return t.printPart(w)
}

// printPart writes a table below what is there already.
func (t *terminal) printPart(w table.Writer) error {
	if _, err := fmt.Fprintln(t.out); err != nil {
		return err
	}
	return t.printTable(w)
}

// payloadInWords is the headers and the payload, or why they are not there.
func (e *webhookEvent) payloadInWords() string {
	var parts []string
	if e.PayloadMismatch {
		parts = append(parts, "It came again with another payload; this is the first one.")
	}
	var headers []string
	for _, name := range slices.Sorted(maps.Keys(e.Headers)) {
		for _, value := range e.Headers[name] {
			headers = append(headers, printable(name+": "+value))
		}
	}
	if len(headers) > 0 {
		parts = append(parts, strings.Join(headers, "\n"))
	}
	switch {
	case e.PayloadError != "":
		parts = append(parts, "The payload is not shown: "+printable(e.PayloadError))
	case len(e.Payload) == 0:
		parts = append(parts, "The payload is not kept any more: see the tenant's payload policy.")
	default:
		parts = append(parts, indented(e.Payload))
	}
	return "\n" + strings.Join(parts, "\n\n") + "\n"
}

// indented is JSON for people. Within its strings nothing can steer a terminal: JSON has the C0 characters escaped, and the
// others are replaced.
func indented(text json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return printable(string(text))
	}
	lines := strings.Split(b.String(), "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	return strings.Join(lines, "\n")
}
