package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestIdentity(t *testing.T) {
	t.Parallel()
	keep := func(content string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "node-id"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	withLog := func(t *testing.T, dir string) {
		if err := os.WriteFile(filepath.Join(dir, "raft.db"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		before     func(t *testing.T, dir string)
		configured string
		want       string
		refusal    []string
	}{
		"new, configured":           {nil, "n1", "n1", nil},
		"kept":                      {keep("n1\n"), "", "n1", nil},
		"kept and configured":       {keep("n1\n"), "n1", "n1", nil},
		"kept, another configured":  {keep("n1\n"), "n2", "", []string{`"n1"`, `"n2"`}},
		"kept, damaged":             {keep("n1\x00\n"), "", "", []string{"node-id", "does not hold a node id"}},
		"kept, empty":               {keep(""), "", "", []string{"node-id", "does not hold a node id"}},
		"missing beside a log":      {withLog, "", "", []string{"node-id", "is missing"}},
		"missing beside, config'ed": {withLog, "n1", "", []string{"node-id", "is missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if tc.before != nil {
				tc.before(t, dir)
			}
			got, err := identity(dir, tc.configured)
			if got != tc.want || (err == nil) != (tc.refusal == nil) {
				t.Fatalf("%q, %v", got, err)
			}
			for _, w := range tc.refusal {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
			if again, err := identity(dir, ""); tc.refusal == nil && (again != got || err != nil) {
				t.Errorf("then %q, %v", again, err)
			}
		})
	}
}

func TestIdentityIsDrawn(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 20 {
		id, err := identity(t.TempDir(), "")
		if err != nil || !namePattern.MatchString(id) || seen[id] {
			t.Fatalf("%q, %v", id, err)
		}
		seen[id] = true
	}
}

// TestOpenRefusesAnotherIdentity goes through Open: a directory's node keeps its id, or does not start.
func TestOpenRefusesAnotherIdentity(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := openNode(t, Config{DataDir: dir, NodeID: "n1"})
	closeNode(t, n)
	if _, err := Open(t.Context(), Config{DataDir: dir, NodeID: "n2", RaftAddr: freeAddr(t)}); err == nil ||
		!strings.Contains(err.Error(), `"n1"`) {
		t.Errorf("another id: %v", err)
	}
	remove(t, filepath.Join(dir, "node-id"))
	if _, err := Open(t.Context(), Config{DataDir: dir, RaftAddr: freeAddr(t)}); err == nil ||
		!strings.Contains(err.Error(), "is missing beside an existing log") {
		t.Errorf("no id: %v", err)
	}
}
