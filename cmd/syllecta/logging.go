package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// newLogger returns the process's logger; level and format are those of the settings of these names.
func newLogger(t *terminal, level, format string) (*slog.Logger, error) {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level: %w", err)
	}
	if format == "text" || format == "auto" && isTerminal(t.err) {
		return slog.New(tint.NewTextHandler(t.err, &tint.Options{
			Level: least, TimeFormat: time.TimeOnly + ".000", NoColor: !t.errColor,
		})), nil
	}
	return slog.New(slog.NewJSONHandler(t.err, &slog.HandlerOptions{Level: least})), nil
}

// isTerminal reports whether w is a file that is a terminal.
func isTerminal(w any) bool {
	f, ok := w.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(f.Fd()))
}
