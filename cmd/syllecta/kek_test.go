package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/api/envelope"
)

// generateKEK runs the verb and returns what it told.
func generateKEK(t *testing.T, args ...string) madeKEK {
	t.Helper()
	out, errText, code := runVerb(t, nil, append([]string{"kek", "generate", "--json"}, args...)...)
	var made madeKEK
	if err := json.Unmarshal([]byte(out), &made); err != nil || code != exitOK {
		t.Fatalf("%v: exit code %d, %q, %s, %v", args, code, out, errText, err)
	}
	return made
}

func TestKEKGenerate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kek")
	first := generateKEK(t, "--out", path)
	if first.File != path || len(first.Keys) != 1 || first.Current != first.Keys[0] {
		t.Errorf("got %+v", first)
	}
	content := readAll(t, filepath.Dir(path))["kek"]
	if id, _, _ := strings.Cut(content, ":"); id != first.Current || strings.Count(content, "\n") != 1 {
		t.Errorf("the file begins with %q", id)
	}
	second := generateKEK(t, "--out", path, "--add")
	if want := []string{second.Current, first.Current}; !slices.Equal(second.Keys, want) || second.Current == first.Current {
		t.Errorf("got %+v after %+v", second, first)
	}
	if after := readAll(t, filepath.Dir(path)); !strings.HasSuffix(after["kek"], "\n"+content) || len(after) != 1 {
		t.Errorf("the old key is not kept, or there are %d files", len(after))
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	out, errText, code := runVerb(t, nil, "kek", "generate", "--out", path, "--add")
	for _, want := range []string{"  encrypts and decrypts\n" + second.Current + "  decrypts\n", "Copy " + path, "--kek-file"} {
		if code != exitOK || !strings.Contains(out, want) {
			t.Errorf("exit code %d, %s, lacks %q:\n%s", code, errText, want, out)
		}
	}
	for line := range strings.Lines(readAll(t, filepath.Dir(path))["kek"]) {
		if _, secret, _ := strings.Cut(strings.TrimSpace(line), ":"); strings.Contains(out, secret) {
			t.Error("a key is shown")
		}
	}
}

func TestKEKGenerateRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"there", "full", "open"} {
		generateKEK(t, "--out", path(name))
	}
	for range envelope.MaxKEKs - 1 {
		generateKEK(t, "--out", path("full"), "--add")
	}
	if err := os.Chmod(path("open"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path("broken"), []byte("# none\nkek_1:x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := readAll(t, dir)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--out", path("there")}, exitConflict, "there exists, and nothing is ever overwritten"},
		{[]string{"--out", path("absent"), "--add"}, exitUsage, "--add: " + path("absent") + " does not exist"},
		{[]string{"--out", path("full"), "--add"}, exitUsage, "there are 8 keys already"},
		{[]string{"--out", path("open"), "--add"}, exitFailure, "can be read by others (mode 0640)"},
		{[]string{"--out", path("broken"), "--add"}, exitFailure, "broken: line 2: the key of kek_1 is not in base64"},
		{[]string{"--out", path("none/kek")}, exitFailure, "no such file or directory"},
		{[]string{"--out", dir}, exitConflict, "exists"},
		{[]string{"kek"}, exitUsage, "unknown command"},
	} {
		_, errText, code := runVerb(t, nil, append([]string{"kek", "generate"}, c.args...)...)
		if code != c.code || !strings.Contains(errText, c.want) {
			t.Errorf("%v: got exit code %d, %q; want %d, %q", c.args, code, errText, c.code, c.want)
		}
	}
	after := readAll(t, dir)
	for name, content := range before {
		if after[name] != content {
			t.Errorf("%s has changed", name)
		}
	}
	if len(after) != len(before) {
		t.Errorf("there are %d files, and there were %d", len(after), len(before))
	}
}

// TestVaultFollowsItsFile: a running server works with the keys that the file has now, and never loses good ones to a
// file that makes no sense.
func TestVaultFollowsItsFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kek")
	made := generateKEK(t, "--out", path)
	var log strings.Builder
	vault, err := openVault(path, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if id, ok := vault.Current(); id != made.Current || !ok {
		t.Errorf("got %q, %v; want %q", id, ok, made.Current)
	}
	next := generateKEK(t, "--out", path, "--add")
	eventually(t, func() bool { id, _ := vault.Current(); return id == next.Current })
	if err := os.WriteFile(path, []byte("kek_1:x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		id, ok := vault.Current()
		return id == next.Current && ok && strings.Contains(log.String(), "is not taken; the old one stays")
	})
	if strings.Contains(log.String(), "kek_1:x") || !strings.Contains(log.String(), "line 1: the key of kek_1") {
		t.Errorf("the log says %s", log.String())
	}
}

// eventually waits until something is so.
func eventually(t *testing.T, so func() bool) {
	t.Helper()
	for end := time.Now().Add(devTimeout); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come about")
		}
	}
}

func TestOpenVaultRefuses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kek")
	if _, err := openVault(path, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "key-encryption keys: open ") {
		t.Errorf("no file: got %v", err)
	}
	vault, err := openVault("", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := vault.Current(); ok {
		t.Error("there is a key without a file")
	}
}
