package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

// terminal is where a verb reads and writes.
type terminal struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
	color    bool // out is a terminal and the user did not refuse colour
	errColor bool // the same of err
}

func processTerminal() *terminal {
	return &terminal{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		env:      os.Getenv,
		color:    wantsColor(os.Stdout, os.Getenv),
		errColor: wantsColor(os.Stderr, os.Getenv),
	}
}

// wantsColor follows the NO_COLOR convention and terminals that call themselves dumb.
func wantsColor(f *os.File, env func(string) string) bool {
	return term.IsTerminal(int(f.Fd())) && env("NO_COLOR") == "" && env("TERM") != "dumb"
}

// printJSON writes v as one line.
func (t *terminal) printJSON(v any) error {
	enc := json.NewEncoder(t.out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}

// newTable returns a borderless table in the manner of Unix tools, which the caller renders.
func (t *terminal) newTable(columns ...any) table.Writer {
	w := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft = ""
	style.Box.PaddingRight = "  "
	style.Format.Header = text.FormatDefault
	if t.color {
		style.Color.Header = text.Colors{text.Bold}
	}
	w.SetStyle(style)
	w.SuppressTrailingSpaces()
	w.AppendHeader(columns)
	return w
}

// paint colours s if colour is wanted.
func (t *terminal) paint(c text.Color, s string) string {
	if !t.color {
		return s
	}
	return c.Sprint(s)
}

// printTable writes a table made by newTable.
func (t *terminal) printTable(w table.Writer) error {
	_, err := fmt.Fprintln(t.out, w.Render())
	return err
}

// row makes the cells of a table from text that others chose: what would steer a terminal is shown, not obeyed.
func row(cells ...string) table.Row {
	r := make(table.Row, len(cells))
	for i, cell := range cells {
		r[i] = printable(cell)
	}
	return r
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// maxShownBytes cuts what others say to something that can be read.
const maxShownBytes = 200

// shorten makes a message fit one line of a terminal.
func shorten(message string) string {
	message = printable(message)
	if len(message) <= maxShownBytes {
		return message
	}
	return strings.ToValidUTF8(message[:maxShownBytes], "") + "…"
}

// orEmpty makes an absent list an empty one in JSON.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
