package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
)

// printSources shows sources in one line each.
func (t *terminal) printSources(list ...webhookSource) error {
	w := t.newTable("ID", "SOURCE", "STATE", "DELIVERIES", "QUEUED", "SECRETS", "CALLBACK", "WEBHOOKS COME IN AT")
	for _, x := range list {
		words, colour := x.Delivery.inWords()
		r := row(x.ID, x.title(), x.state(), words, strconv.FormatInt(x.Delivery.Queued, 10),
			strconv.Itoa(len(x.Secrets)), x.CallbackURL, x.IngressPath)
		if !x.Enabled {
			r[2] = t.paint(text.FgRed, printable(x.state()))
		}
		if colour != text.Reset {
			r[3] = t.paint(colour, printable(words))
		}
		w.AppendRow(r)
	}
	return t.printTable(w)
}

func (x webhookSource) state() string {
	if x.Enabled {
		return "enabled"
	}
	return "disabled"
}

// printSource shows one source, and its signing secret if that was just made.
func (f *sourceFlags) printSource(told told[webhookSource]) error {
	if f.json {
		return f.t.printJSON(told)
	}
	x := told.value
	w := f.t.newTable("MEMBER", "VALUE")
	state := x.state()
	if x.DisabledReason != "" {
		state += ": " + x.DisabledReason
	}
	for _, line := range append([][2]string{
		{"id", x.ID}, {"source", x.title()}, {"state", state}, {"webhooks come in at", x.IngressPath},
		{"callback", orWord(x.CallbackURL, "none: events are kept, and not delivered")},
		{"delivers", x.delivers()}, {"options", string(x.Options)}, {"dedupe window", secondsText(x.DedupeWindowSeconds)},
		{"retries after", x.retries()}, {"deliveries at a time", orNone(x.MaxConcurrency, "by default")},
		{"deliveries per second", orNone(x.MaxPerSecond, "by default")},
		{"created", x.CreatedAt}, {"changed", x.UpdatedAt},
	}, x.Delivery.lines()...) {
		w.AppendRow(row(line[0], line[1]))
	}
	for _, s := range x.Secrets {
		w.AppendRow(row("secret "+s.ID, strings.TrimSpace(s.ending()+", since "+s.CreatedAt)))
	}
	if len(x.Secrets) == 0 {
		w.AppendRow(row("secrets", "none"))
	}
	if x.PreviousSigningSecretEndsAt != "" {
		w.AppendRow(row("old signing secret", "signs beside the new one until "+x.PreviousSigningSecretEndsAt))
	}
	if err := f.t.printTable(w); err != nil || x.SigningSecret == "" {
		return err
	}
	_, err := fmt.Fprintf(f.t.out, "\nSigning secret of deliveries, shown only now: %s\n", printable(x.SigningSecret))
	return err
}

// ending is how people tell secrets apart.
func (s sourceSecret) ending() string {
	if s.Hint == "" {
		return "short"
	}
	return "ends in " + s.Hint
}

func (x webhookSource) delivers() string {
	if x.Raw {
		return "the provider's own bytes"
	}
	return "normalised JSON"
}

func (x webhookSource) retries() string {
	if len(x.RetryDelaysSeconds) == 0 {
		return "the default schedule"
	}
	delays := make([]string, len(x.RetryDelaysSeconds))
	for i, s := range x.RetryDelaysSeconds {
		delays[i] = secondsText(s)
	}
	return strings.Join(delays, ", ")
}

func secondsText(n int64) string { return (time.Duration(n) * time.Second).String() }

func orWord(s, none string) string {
	if s == "" {
		return none
	}
	return s
}
