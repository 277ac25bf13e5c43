//go:build npm

package signers

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// call is a line that npm/sign.mjs reads. What a library does not need is left out.
type call struct {
	Library string            `json:"library"`
	Action  string            `json:"action"`
	Secret  string            `json:"secret"`
	Method  string            `json:"method,omitempty"`
	URL     string            `json:"url,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body,omitempty"`
	ID      string            `json:"id,omitempty"`
	Kind    string            `json:"kind,omitempty"`
	Fields  map[string]any    `json:"fields,omitzero"`
	Seconds int64             `json:"seconds,omitempty"`
}

// reply is the line that answers it.
type reply struct {
	Headers  map[string]string `json:"headers"`
	Body     string            `json:"body"`
	URL      string            `json:"url"`
	Verified bool              `json:"verified"`
	Error    string            `json:"error"`
}

// node is a process that has the npm libraries. It answers one call after the other.
type node struct {
	mu  sync.Mutex
	in  io.Writer
	out *bufio.Reader
}

// TestNPM installs the libraries as they are locked, and holds package webhook against them. Its parts share one process.
func TestNPM(t *testing.T) {
	n := startNode(t)
	t.Run("signs", n.testSigns)
	t.Run("signs any text", n.testTexts)
	t.Run("verifies", n.testVerifies)
	t.Run("verifies deliveries", n.testDeliveries)
}

// startNode runs node in a copy of the folder npm, until the test ends. It fails without node or npm.
func startNode(t *testing.T) *node {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "sign.mjs"} {
		content, err := os.ReadFile(filepath.Join("npm", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	install := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", install.Args, err, out)
	}
	cmd := exec.CommandContext(t.Context(), "node", "sign.mjs")
	cmd.Dir = dir
	var complaints strings.Builder
	cmd.Stderr = &complaints
	in, inErr := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // node ends with its input
		_ = cmd.Wait()
		if t.Failed() && complaints.Len() > 0 {
			t.Logf("node: %s", complaints.String())
		}
	})
	return &node{in: in, out: bufio.NewReader(out)}
}

// ask has a library do something. What it throws, other than a refusal to verify, fails the test.
func (n *node) ask(t *testing.T, c call) reply {
	t.Helper()
	line, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := n.exchange(append(line, '\n'))
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	var r reply
	if err := json.Unmarshal(answer, &r); err != nil {
		t.Fatalf("%s: the answer %q: %v", line, answer, err)
	}
	if r.Error != "" {
		t.Fatalf("%s: %s", line, r.Error)
	}
	return r
}

func (n *node) exchange(line []byte) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, err := n.in.Write(line); err != nil {
		return nil, err
	}
	return n.out.ReadBytes('\n')
}

// verifies reports whether a library accepts a request.
func (n *node) verifies(t *testing.T, c call) bool {
	t.Helper()
	c.Action = "verify"
	return n.ask(t, c).Verified
}

// flip returns text with one bit of its byte at i changed.
func flip(text string, i, bit int) string {
	flipped := []byte(text)
	flipped[i] ^= 1 << bit
	return string(flipped)
}
