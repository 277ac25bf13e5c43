package test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/syllecta/syllecta/"

// allowedImports says which rooms each room may enter. Requests walk straight down and back up once.
var allowedImports = map[string][]string{
	"snapshot":             {},
	"fsm":                  {"snapshot"},
	"cluster":              {"fsm", "snapshot"},
	"api":                  {"api/envelope", "api/webhook", "api/webhook/redact", "cluster", "fsm"},
	"api/envelope":         {"cluster"},
	"api/webhook":          {"api/envelope", "api/webhook/redact", "cluster", "fsm"},
	"api/webhook/redact":   {},
	"api/webhook/delivery": {"api/envelope", "api/webhook", "api/webhook/redact", "cluster", "fsm"},
	"cmd/syllecta":         {"api", "api/envelope", "api/webhook", "api/webhook/delivery", "cluster", "fsm", "snapshot"},
	"test":                 {"api", "cluster", "cmd/syllecta", "fsm", "snapshot"},
}

type goPackage struct {
	ImportPath, Dir, Doc string
	Imports              []string
	GoFiles              []string
}

func listPackages(t *testing.T) (all []goPackage) {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,Imports,GoFiles", "./...")
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	packages := listPackages(t)
	if len(packages) < len(allowedImports) {
		t.Fatalf("found %d packages, want at least %d", len(packages), len(allowedImports))
	}
	for _, p := range packages {
		room := strings.TrimPrefix(p.ImportPath, module)
		allowed, known := allowedImports[room]
		if !known {
			t.Errorf("%s is not in the table of rooms", room)
		}
		for _, imported := range p.Imports {
			if other, ours := strings.CutPrefix(imported, module); ours && !slices.Contains(allowed, other) {
				t.Errorf("%s must not import %s", room, other)
			}
		}
	}
}

// TestWallsBetweenLibraries keeps each outside library in the room that knows what it is for.
func TestWallsBetweenLibraries(t *testing.T) {
	t.Parallel()
	homes := map[string][]string{
		"net/http":                 {"api", "api/webhook", "api/webhook/delivery", "api/webhook/redact", "cmd/syllecta"},
		"github.com/hashicorp/":    {"cluster"},
		"github.com/spf13/":        {"cmd/syllecta"},
		"github.com/knadh/":        {"cmd/syllecta"},
		"github.com/jedib0t/":      {"cmd/syllecta"},
		"github.com/julienschmidt": {"api"},
		"go.etcd.io/":              {"cluster"},
		"golang.org/x/time/":       {"api", "api/webhook/delivery"},
		"github.com/sony/":         {"api/webhook/delivery"},
	}
	for _, p := range listPackages(t) {
		room := strings.TrimPrefix(p.ImportPath, module)
		for _, imported := range p.Imports {
			for library, rooms := range homes {
				if strings.HasPrefix(imported, library) && !slices.Contains(rooms, room) {
					t.Errorf("%s imports %s, which belongs to %v", room, imported, rooms)
				}
			}
		}
	}
}

func TestEveryPackageIsDocumented(t *testing.T) {
	t.Parallel()
	for _, p := range listPackages(t) {
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

func TestModuleIsPlain(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, directive := range []string{"replace", "exclude", "toolchain"} {
		if regexp.MustCompile(`(?m)^` + directive + `\b`).Match(raw) {
			t.Errorf("go.mod has a %s directive: a user's build would differ from ours", directive)
		}
	}
}

// TestREADMECommandsExist looks for every local command and path of the README.
func TestREADMECommandsExist(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	paths := regexp.MustCompile(`\./(cmd/[a-z]+|test|fsm|cluster|api|snapshot)\b|\.ci/run|\((LICENSE)\)`).FindAllString(string(raw), -1)
	if len(paths) == 0 {
		t.Fatal("the README names no path: has the pattern gone stale?")
	}
	for _, path := range paths {
		path = strings.Trim(path, "()")
		if _, err := os.Stat(filepath.Join("..", path)); err != nil {
			t.Errorf("the README names %s: %v", path, err)
		}
	}
}
