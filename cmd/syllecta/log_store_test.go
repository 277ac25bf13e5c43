package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLogStoreConvert(t *testing.T) {
	t.Parallel()
	dir, _ := stoppedNode(t)
	at := func(name string) bool { _, err := os.Stat(filepath.Join(dir, name)); return err == nil }
	run := func(words string, args ...string) {
		t.Helper()
		out, errText, code := runVerb(t, nil, append([]string{"log-store", "convert", "--data-dir", dir}, args...)...)
		if code != exitOK || errText != "" || !strings.Contains(out, words) {
			t.Errorf("%v: %d, %q, %q does not say %q", args, code, errText, out, words)
		}
	}
	first, second := "wal", "boltdb"
	if at("wal") {
		first, second = second, first
	}
	run("Nothing was changed", "--to", first, "--dry-run")
	if _, errText, code := runVerb(t, nil, "recover", "--data-dir", dir); code != exitOK {
		t.Errorf("%d %s", code, errText)
	}
	run("is converted from "+second+" to "+first, "--to", first)
	run("of the kind "+first+" already", "--to", first)
	run("is converted from "+first+" to "+second, "--to", second)
	if at("wal") == at("raft.db") {
		t.Error("there are two logs, or none")
	}

	out, _, code := runVerb(t, nil, "log-store", "convert", "--data-dir", dir, "--to", first, "--json")
	var report conversionReport
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitOK {
		t.Fatalf("%d %v\n%s", code, err, out)
	}
	if !report.Done || report.From != second || report.To != first || report.Entries == 0 || report.FirstIndex != 1 {
		t.Errorf("%+v", report)
	}
}

func TestLogStoreConvertRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, c := range []struct {
		args  []string
		code  int
		words string
	}{
		{[]string{"--to", "wal"}, exitUsage, "--data-dir is required"},
		{[]string{"--data-dir", dir}, exitUsage, "want wal or boltdb"},
		{[]string{"--data-dir", dir, "--to", "auto"}, exitUsage, "want wal or boltdb"},
		{[]string{"--data-dir", dir, "--to", "wal"}, exitFailure, "not the data directory of a node that has run"},
	} {
		_, errText, code := runVerb(t, nil, append([]string{"log-store", "convert"}, c.args...)...)
		if code != c.code || !strings.Contains(errText, c.words) {
			t.Errorf("%v: %d, %q does not say %q", c.args, code, errText, c.words)
		}
	}
}
