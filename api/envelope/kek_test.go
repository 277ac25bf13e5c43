package envelope

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// testLine is a line of a file of keys. Keys of different numbers differ.
func testLine(id string, number byte) string { return id + ":" + testSecret(number) }

func testSecret(number byte) string {
	return base64.StdEncoding.EncodeToString(slices.Repeat([]byte{number}, KEKBytes))
}

// testKEKs are the keys of some lines, the first of which is current.
func testKEKs(t testing.TB, lines ...string) *KEKs {
	t.Helper()
	keks, err := ParseKEKs([]byte(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return keks
}

func TestParseKEKs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		content string
		want    []string
	}{
		"one":                    {testLine("kek_1", 1), []string{"kek_1"}},
		"with a newline":         {testLine("kek_1", 1) + "\n", []string{"kek_1"}},
		"two":                    {testLine("b", 2) + "\n" + testLine("a", 1) + "\n", []string{"b", "a"}},
		"comments and blanks":    {"# current\n\n" + testLine("b", 2) + "\n  # old\n" + testLine("a", 1), []string{"b", "a"}},
		"spaces and CRLF":        {"  a : " + testSecret(1) + " \r\n" + testLine("b", 2) + "\r\n", []string{"a", "b"}},
		"any letters of an id":   {testLine("2026-11.Kek_x", 1), []string{"2026-11.Kek_x"}},
		"the longest id":         {testLine(strings.Repeat("x", MaxKEKIDBytes), 1), []string{strings.Repeat("x", MaxKEKIDBytes)}},
		"as many as are allowed": {manyLines(MaxKEKs), []string{"k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8"}},
	} {
		keks, err := ParseKEKs([]byte(c.content))
		if err != nil || !slices.Equal(keks.IDs(), c.want) {
			t.Errorf("%s: got %v, %v; want %v", name, keks.IDs(), err, c.want)
		}
	}
}

func manyLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintln(&b, testLine(fmt.Sprint("k", i+1), byte(i+1)))
	}
	return b.String()
}

func TestParseKEKsRefuses(t *testing.T) {
	t.Parallel()
	secret := testSecret(1)
	for name, c := range map[string]struct{ content, want string }{
		"nothing":               {"", "holds no key-encryption key"},
		"comments only":         {"# none yet\n\n", "holds no key-encryption key"},
		"no colon":              {"# a\n" + secret, "line 2: want id:key"},
		"no id":                 {":" + secret, "line 1: the id before the colon must be 1 to 64"},
		"id too long":           {strings.Repeat("x", MaxKEKIDBytes+1) + ":" + secret, "line 1: the id before the colon must be 1 to 64"},
		"id with a space":       {"a b:" + secret, "line 1: the id before the colon"},
		"id with a slash":       {secret[:8] + "/:" + secret, "line 1: the id before the colon"},
		"a dash first":          {"-a:" + secret, "line 1: the id before the colon"},
		"no key":                {"a:", "line 1: the key of a has 0 bytes; want 32"},
		"short key":             {"a:" + base64.StdEncoding.EncodeToString(make([]byte, 31)), "line 1: the key of a has 31 bytes; want 32"},
		"long key":              {"a:" + base64.StdEncoding.EncodeToString(make([]byte, 33)), "line 1: the key of a has 33 bytes; want 32"},
		"not base64":            {"a:" + strings.Repeat("!", 44), "line 1: the key of a is not in base64"},
		"hexadecimal":           {"a:" + strings.Repeat("ab", 32), "line 1: the key of a has 48 bytes"},
		"base64 without its =":  {"a:" + strings.TrimRight(secret, "="), "line 1: the key of a is not in base64"},
		"stray bits at the end": {"a:" + secret[:42] + "F=", "line 1: the key of a is not in base64"},
		"three parts":           {"a:b:" + secret, "line 1: the key of a is not in base64"},
		"an id twice":           {testLine("a", 1) + "\n#\n" + testLine("b", 2) + "\n" + testLine("a", 3), "line 4: the id a is that of line 1 already"},
		"a key twice":           {testLine("a", 1) + "\n" + testLine("b", 1), "line 2: the key of b is that of a in line 1 already"},
		"too many":              {manyLines(MaxKEKs + 1), "line 9: there are more than 8"},
	} {
		keks, err := ParseKEKs([]byte(c.content))
		if err == nil || !strings.Contains(err.Error(), c.want) || keks != nil {
			t.Errorf("%s: got %v, %v; want an error with %q", name, keks, err, c.want)
		} else if strings.Contains(err.Error(), secret[:8]) {
			t.Errorf("%s: the error shows a key: %v", name, err)
		}
	}
}

func TestLoadKEKs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kek")
	if _, err := LoadKEKs(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("no file: got %v", err)
	}
	if err := os.WriteFile(path, []byte(testLine("a", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]string{
		0o600: "", 0o400: "",
		0o640: "can be read by others (mode 0640)", 0o604: "can be read by others (mode 0604)", 0o620: "mode 0620",
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		keks, err := LoadKEKs(path)
		if want == "" && (err != nil || len(keks.IDs()) != 1) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("mode %04o: got %v, %v; want %q", mode, keks, err, want)
		}
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("\na"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKEKs(path); err == nil || !strings.Contains(err.Error(), path+": line 2: want id:key") {
		t.Errorf("a bad line: got %v", err)
	}
	if _, err := LoadKEKs(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("a directory: got %v", err)
	}
}

func TestNewKEK(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		id, line := NewKEK()
		keks, err := ParseKEKs([]byte(line))
		if err != nil || !slices.Equal(keks.IDs(), []string{id}) || len(id) != len("kek_01234567") || seen[line] {
			t.Fatalf("got %s with %v, %v", id, keks.IDs(), err)
		}
		seen[line] = true
	}
}

func FuzzParseKEKs(f *testing.F) {
	f.Add([]byte(testLine("a", 1) + "\n" + testLine("b", 2)))
	f.Add([]byte("# none\n\n"))
	f.Add([]byte("a:b\r\n:\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		keks, err := ParseKEKs(content)
		if err != nil {
			return
		}
		ids := keks.IDs()
		if len(ids) == 0 || len(ids) > MaxKEKs {
			t.Fatalf("accepted %d keys", len(ids))
		}
		wrapped, _, err := keks.NewDataKey("t")
		if err != nil {
			t.Fatal(err)
		}
		if under, err := WrappedUnder(wrapped); err != nil || under != ids[0] {
			t.Fatalf("wrapped under %q, %v; want %q", under, err, ids[0])
		}
		if _, err := keks.Unwrap("t", wrapped); err != nil {
			t.Fatal(err)
		}
	})
}
