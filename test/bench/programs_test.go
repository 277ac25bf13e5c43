package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestFindProgram(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const name = "a-program-that-nobody-has"
	for _, version := range []string{"14", "15", "16"} {
		bin := filepath.Join(dir, version, "bin")
		if err := os.MkdirAll(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o755)
		if version == "16" {
			mode = 0o644 // cannot be run
		}
		if err := os.WriteFile(filepath.Join(bin, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	got, err := findProgram(name, filepath.Join(dir, "*", "bin"))
	if want := filepath.Join(dir, "15", "bin", name); err != nil || got != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	if got, err := findProgram(name); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("%s, %v; want an error with the name", got, err)
	}
}

func TestComplaint(t *testing.T) {
	t.Parallel()
	failed := errors.New("exit status 1")
	for said, want := range map[string]string{
		"":                        "it: exit status 1",
		"\n":                      "it: exit status 1",
		"first\nno such option\n": "it: exit status 1: no such option",
	} {
		if err := complaint("it", failed, []byte(said)); !errors.Is(err, failed) || err.Error() != want {
			t.Errorf("%q: %v, want %s", said, err, want)
		}
	}
	if err := complaint("it", nil, []byte("a warning")); err != nil {
		t.Errorf("nothing failed: %v", err)
	}
}

func TestVersionIsTheFirstLine(t *testing.T) {
	t.Parallel()
	got, err := versionOf(t.Context(), "/bin/sh", "-c", "echo '  one 1.2 '; echo two")
	if err != nil || got != "one 1.2" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := versionOf(t.Context(), "/bin/sh", "-c", "echo so; echo no such flag; exit 1"); err == nil ||
		!strings.Contains(err.Error(), "no such flag") {
		t.Errorf("%v", err)
	}
}

func TestMemoryIsRefused(t *testing.T) {
	t.Parallel()
	if err := refuseMemory(filepath.Join(t.TempDir(), "missing")); err == nil || !strings.Contains(err.Error(), "-dir") {
		t.Errorf("a directory that is not there: %v", err)
	}
	for magic, refused := range map[int64]bool{0x01021994: true, 0x858458f6: true, 0xef53: false, 0x58465342: false} {
		if err := refuseKind("dir", syscall.Statfs_t{Type: magic}); (err != nil) != refused {
			t.Errorf("filesystem %x: %v", magic, err)
		}
	}
}

func TestSyncTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if took, err := syncTime(dir); err != nil || took <= 0 {
		t.Errorf("%s, %v", took, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestCPUName(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"processor\t: 0\nmodel name\t: Fast CPU @ 2 GHz\nprocessor\t: 1\nmodel name\t: Other\n": "Fast CPU @ 2 GHz",
		"processor\t: 0\nBogoMIPS\t: 50.00\n":                                                   "unnamed CPU",
	} {
		if got := cpuName(text); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
