package fsm

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// pureImports lists what the state machine may import and, for packages that can also read clocks, draw randomness, do
// I/O or expose the order of a map, the names and methods it may use of them. An empty list allows all.
var pureImports = map[string][]string{
	"bytes":           nil,
	"cmp":             nil,
	"container/heap":  nil,
	"container/list":  nil,
	"crypto/sha256":   {"Size", "Sum256"},
	"encoding/base32": nil,
	"encoding/binary": nil,
	"errors":          nil,
	"fmt":             {"Errorf", "Sprintf"},
	"hash/crc32":      nil,
	// With the seed of the Config only: Hash, String and the like may draw their own.
	"hash/maphash": {"Bytes", "Seed"},
	"io":           {"EOF"},
	// All, Keys and Values yield in the map's order.
	"maps":    {"Clone", "Copy", "Equal"},
	"math":    nil,
	"slices":  nil,
	"strconv": {"FormatBool", "FormatInt", "FormatUint"},
	"strings": nil,
	// Format writes in the zone of its time, which is UTC where Local may not be used.
	"time": {"Date", "UTC", "UnixMilli", "Duration", "Time", "Month", "Year", "AddDate", "Format",
		"Hour", "Minute", "Second", "Millisecond", "January"},
	"github.com/cespare/xxhash/v2":          nil,
	"github.com/google/btree":               nil, // Clone shares what does not change
	"github.com/syllecta/syllecta/snapshot": nil,
}

func TestPurity(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	sources := make(map[string][]byte)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		if sources[path], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if len(sources) < 10 {
		t.Fatalf("only %d source files found", len(sources))
	}
	findings, typeErrors := impurities(t, sources)
	for _, err := range typeErrors {
		t.Errorf("type check: %v", err) // what was not understood was not checked
	}
	for _, f := range findings {
		t.Error(f)
	}
}

// TestPurityFindsImpurities shows that the check above can fail.
func TestPurityFindsImpurities(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, source, want string }{
		{"clock", `import "time"; var x = time.Now()`, "time.Now"},
		{"clock by method", `import "time"; func f(t time.Time) any { return t.Local() }`, "time.Local"},
		{"since", `import "time"; func f(t time.Time) any { return time.Since(t) }`, "time.Since"},
		{"until", `import "time"; func f(t time.Time) any { return time.Until(t) }`, "time.Until"},
		{"renamed import", `import clock "time"; var x = clock.Now`, "time.Now"},
		{"dot import", `import . "time"; var x = Now()`, "time.Now"},
		{"timer", `import "time"; var x = time.NewTimer(1)`, "time.NewTimer"},
		{"after", `import "time"; var x = time.After(1)`, "time.After"},
		{"after func", `import "time"; var x = time.AfterFunc(1, nil)`, "time.AfterFunc"},
		{"tick", `import "time"; var x = time.Tick(1)`, "time.Tick"},
		{"sleep", `import "time"; func f() { time.Sleep(1) }`, "time.Sleep"},
		{"local zone", `import "time"; var x = time.Local`, "time.Local"},
		{"fresh seed", `import "hash/maphash"; var x = maphash.MakeSeed()`, "maphash.MakeSeed"},
		{"hash with its own seed", `import "hash/maphash"; var x maphash.Hash`, "maphash.Hash"},
		{"comparable", `import "hash/maphash"; var x = maphash.Comparable[int]`, "maphash.Comparable"},
		{"string", `import "hash/maphash"; var x = maphash.String`, "maphash.String"},
		{"printing", `import "fmt"; func f() { fmt.Println() }`, "fmt.Println"},
		{"reading", `import "io"; var x = io.ReadAll`, "io.ReadAll"},
		{"keys in map order", `import "maps"; var x = maps.Keys(map[int]int{})`, "maps.Keys"},
		{"random", `import "math/rand"; var x = rand.Int()`, `import of "math/rand"`},
		{"random v2", `import _ "math/rand/v2"`, `import of "math/rand/v2"`},
		{"cryptographic random", `import _ "crypto/rand"`, `import of "crypto/rand"`},
		{"hash of a stream", `import "crypto/sha256"; var x = sha256.New`, "sha256.New"},
		{"parsing floats", `import "strconv"; var x = strconv.ParseFloat`, "strconv.ParseFloat"},
		{"parsing times", `import "time"; var x = time.Parse`, "time.Parse"},
		{"files", `import _ "os"`, `import of "os"`},
		{"network", `import _ "net"`, `import of "net"`},
		{"locks", `import _ "sync"`, `import of "sync"`},
		{"unsafe", `import _ "unsafe"`, `import of "unsafe"`},
		{"goroutine", `func f() { go f() }`, "go statement"},
		{"select", `func f() { select {} }`, "select"},
		{"channel", `var x chan int`, "channel"},
		{"send", `func f(c C) { c <- 1 }; type C chan<- int`, "channel"},
		{"range over map", `func f(m map[int]int) { for range m {} }`, "range over a map"},
		{"range over named map", `type M map[int]int; func f(m M) { for k := range m { _ = k } }`, "range over a map"},
		{"range over map member", `var s struct{ m map[int]int }; func f() { for range s.m {} }`, "range over a map"},
		{"range over map of type parameter", `func f[M ~map[int]int](m M) { for range m {} }`, "range over a map"},
		{"float", `func f(a, b int) int { return int(float64(a) / float64(b)) }`, "floating point"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			findings, _ := impurities(t, map[string][]byte{"bad.go": []byte("package bad; " + tt.source)})
			if !strings.Contains(strings.Join(findings, "\n"), tt.want) {
				t.Errorf("found %q, want %q among them", findings, tt.want)
			}
		})
	}
}

func TestPurityAcceptsPureSource(t *testing.T) {
	t.Parallel()
	source := `package good
import "time"
func f(xs []int, n int, seq func(func(int) bool)) int64 {
	for range xs {}
	for range n {}
	for range seq {}
	for range "text" {}
	return time.UnixMilli(int64(n)).UTC().AddDate(0, 1, 0).UnixMilli()
}`
	if findings, errs := impurities(t, map[string][]byte{"good.go": []byte(source)}); len(findings)+len(errs) > 0 {
		t.Errorf("found %q, %v in pure source", findings, errs)
	}
}

// impurities returns what makes the sources, files of one package, depend on anything but their input.
func impurities(t *testing.T, sources map[string][]byte) (findings []string, typeErrors []error) {
	t.Helper()
	lookup, err := exportData()
	if err != nil {
		t.Fatal(err)
	}
	c := purityCheck{fset: token.NewFileSet()}
	var files []*ast.File
	for _, path := range slices.Sorted(maps.Keys(sources)) {
		file, err := parser.ParseFile(c.fset, path, sources[path], parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	c.info = types.Info{
		Types: make(map[ast.Expr]types.TypeAndValue),
		Uses:  make(map[*ast.Ident]types.Object),
	}
	config := types.Config{
		Importer: importer.ForCompiler(c.fset, "gc", lookup),
		Error:    func(err error) { typeErrors = append(typeErrors, err) },
	}
	_, _ = config.Check("p", c.fset, files, &c.info) // every error went to config.Error
	for _, file := range files {
		c.checkImports(file)
		ast.Inspect(file, c.inspect)
	}
	return c.findings, typeErrors
}

type purityCheck struct {
	fset     *token.FileSet
	info     types.Info
	findings []string
}

func (c *purityCheck) report(n ast.Node, format string, args ...any) {
	c.findings = append(c.findings, fmt.Sprintf("%s: %s", c.fset.Position(n.Pos()), fmt.Sprintf(format, args...)))
}

func (c *purityCheck) checkImports(file *ast.File) {
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if _, ok := pureImports[path]; !ok || err != nil {
			c.report(spec, "import of %s", spec.Path.Value)
		}
	}
}

func (c *purityCheck) inspect(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GoStmt:
		c.report(n, "go statement")
	case *ast.SelectStmt:
		c.report(n, "select statement")
	case *ast.ChanType, *ast.SendStmt:
		c.report(n, "channel")
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			c.report(n, "channel")
		}
	case *ast.RangeStmt:
		if c.isMap(n.X) {
			c.report(n, "range over a map")
		}
	case *ast.Ident:
		c.checkUse(n)
	}
	if e, ok := n.(ast.Expr); ok {
		c.checkFloat(e)
	}
	return true
}

func (c *purityCheck) isMap(e ast.Expr) bool {
	t := c.info.TypeOf(e)
	if t == nil {
		c.report(e, "range over what has no type")
		return false
	}
	u := t.Underlying()
	if param, ok := types.Unalias(t).(*types.TypeParam); ok {
		u = coreType(param)
	}
	_, ok := u.(*types.Map)
	return ok
}

// coreType returns the underlying type of the first term of a type parameter's constraint.
func coreType(param *types.TypeParam) types.Type {
	for t := range param.Underlying().(*types.Interface).EmbeddedTypes() {
		if union, ok := t.(*types.Union); ok && union.Len() > 0 {
			return union.Term(0).Type().Underlying()
		}
	}
	return param.Underlying()
}

// checkUse refuses a name of another package that is not on its list, however that package is called here. Members of
// the other package's types count as its names.
func (c *purityCheck) checkUse(id *ast.Ident) {
	used := c.info.Uses[id]
	if used == nil || used.Pkg() == nil {
		return
	}
	if _, isPackage := used.(*types.PkgName); isPackage {
		return
	}
	allowed := pureImports[used.Pkg().Path()]
	if allowed != nil && !slices.Contains(allowed, used.Name()) {
		c.report(id, "use of %s.%s", used.Pkg().Name(), used.Name())
	}
}

// checkFloat refuses floating point: compilers may fuse its operations on one architecture and not on another.
func (c *purityCheck) checkFloat(e ast.Expr) {
	t := c.info.TypeOf(e)
	if t == nil {
		return
	}
	if basic, ok := t.Underlying().(*types.Basic); ok && basic.Info()&(types.IsFloat|types.IsComplex) != 0 {
		c.report(e, "floating point")
	}
}

// exportData finds the compiler's type information for the packages of pureImports.
var exportData = sync.OnceValues(func() (importer.Lookup, error) {
	var stderr bytes.Buffer
	args := []string{"list", "-export", "-f", "{{.ImportPath}}={{.Export}}"}
	cmd := exec.Command("go", append(args, slices.Sorted(maps.Keys(pureImports))...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, stderr.Bytes())
	}
	files := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "=")
		files[path] = file
	}
	return func(path string) (io.ReadCloser, error) {
		file, ok := files[path]
		if !ok {
			return nil, fmt.Errorf("no export data for %q", path)
		}
		return os.Open(file)
	}, nil
})
