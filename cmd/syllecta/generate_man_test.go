package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// manual returns the pages that `generate man` writes, by name.
func manual(t *testing.T, environ map[string]string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	if _, errText, code := runVerb(t, environ, "generate", "man", dir); code != exitOK {
		t.Fatalf("exit code %d: %s", code, errText)
	}
	files, err := filepath.Glob(dir + "/*")
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != worldReadable {
			t.Errorf("%s: %v, %v; everybody must be able to read it", file, info.Mode(), err)
		}
		pages[filepath.Base(file)] = string(raw)
	}
	return pages
}

func TestManual(t *testing.T) {
	t.Parallel()
	environ := map[string]string{"SOURCE_DATE_EPOCH": "1700000000"}
	pages := manual(t, environ)
	var want []string
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		want = append(want, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1")
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				walk(sub)
			}
		}
	}
	root := newRoot(&terminal{})
	root.InitDefaultCompletionCmd()
	walk(root)
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(pages)); !slices.Equal(got, want) {
		t.Errorf("got pages %q, want %q", got, want)
	}
	for name, page := range pages {
		if !strings.Contains(page, `"Nov 2023"`) || !strings.Contains(page, ".SH NAME") {
			t.Errorf("%s begins %.120q", name, page)
		}
	}
	if top := pages["syllecta.1"]; !strings.Contains(top, "\n  3  not found\n") {
		t.Errorf("the table of exit codes lost its lines:\n%s", top)
	}
	if again := manual(t, environ); !maps.Equal(again, pages) {
		t.Error("the same sources made other pages")
	}
}

func TestManualRefusals(t *testing.T) {
	t.Parallel()
	for _, date := range []string{"yesterday", "-1", "1.5"} {
		_, errText, code := runVerb(t, map[string]string{"SOURCE_DATE_EPOCH": date}, "generate", "man", t.TempDir())
		if code != exitUsage || !strings.Contains(errText, "SOURCE_DATE_EPOCH") {
			t.Errorf("%q: exit code %d, %q", date, code, errText)
		}
	}
	if _, errText, code := runVerb(t, nil, "generate", "man", t.TempDir()+"/none"); code != exitFailure || errText == "" {
		t.Errorf("a directory that does not exist: exit code %d, %q", code, errText)
	}
}
