package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// devTimeout bounds a wait for something that dev does.
const devTimeout = 60 * time.Second

// binary builds the program once for all tests of this package.
var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaryDir, "syllecta")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

var binaryDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "syllecta-test-")
	if err != nil {
		panic(err)
	}
	binaryDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// freePort returns a base at which all ports of dev are free.
func freePort(t *testing.T, nodes int) int {
	t.Helper()
	for range 100 {
		// Below the range from which the system picks ports for connections, and apart from those of other packages' tests.
		base := 17_000 + 10*rand.IntN(350)
		if checkPorts(planNodes(nodes, base)) == nil {
			return base
		}
	}
	t.Fatal("no free ports")
	return 0
}

// devProcess is a running `syllecta dev --json`.
type devProcess struct {
	t      *testing.T
	cmd    *exec.Cmd
	lines  chan []byte // of stdout; closed at its end
	stderr bytes.Buffer
	ready  devReady
	wait   func() error
}

// startDev starts dev in a temporary directory of its own and waits until it is ready.
func startDev(t *testing.T, args ...string) *devProcess {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return startDevBy(t, exec.Command(path, append([]string{"dev", "--json"}, args...)...))
}

// startDevBy is startDev with another command line.
func startDevBy(t *testing.T, cmd *exec.Cmd) *devProcess {
	t.Helper()
	p := &devProcess{t: t, cmd: cmd}
	p.cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	p.cmd.Stderr = &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.lines = make(chan []byte, 10_000)
	go p.read(stdout)
	p.wait = sync.OnceValue(p.cmd.Wait)
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.wait()
	})
	p.next(&p.ready, func() bool { return p.ready.Event == "ready" })
	return p
}

func (p *devProcess) read(stdout io.Reader) {
	defer close(p.lines)
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		p.lines <- bytes.Clone(lines.Bytes())
	}
}

// next reads lines into v until it is the one that is wanted.
func (p *devProcess) next(v any, wanted func() bool) {
	p.t.Helper()
	timeout := time.After(devTimeout)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				_ = p.wait()
				p.t.Fatalf("dev ended: %s", p.stderr.String())
			}
			if err := json.Unmarshal(line, v); err != nil {
				p.t.Fatalf("%s: %v", line, err)
			}
			if wanted() {
				return
			}
		case <-timeout:
			p.t.Fatal("timed out waiting for dev")
		}
	}
}

// event waits for an event of a node.
func (p *devProcess) event(name, node string) event {
	p.t.Helper()
	var e event
	p.next(&e, func() bool { return e.Event == name && (node == "" || e.Node == node) })
	return e
}

// awaitEnd waits for dev to end, and checks that none of its nodes is left.
func (p *devProcess) awaitEnd() {
	p.t.Helper()
	ended := make(chan struct{})
	go func() {
		_ = p.wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(devTimeout):
		p.t.Fatal("dev does not end")
	}
	for _, n := range p.ready.Nodes {
		awaitGone(p.t, n)
	}
}

// awaitGone waits until a node's process has ended. Its ports tell too: a process that nobody waits for keeps its pid.
func awaitGone(t *testing.T, n nodeInfo) {
	t.Helper()
	deadline := time.Now().Add(devTimeout)
	address := strings.TrimPrefix(n.URL, "http://")
	for isRunning(n.PID) || tryPort("tcp", address) != nil {
		if time.Now().After(deadline) {
			t.Fatalf("%s (pid %d) is still there", n.Name, n.PID)
		}
		time.Sleep(pollInterval)
	}
}

// isRunning reports whether a process is there and is more than an entry in the table that its parent has not read.
func isRunning(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || !bytes.Contains(stat, []byte(") Z "))
}

func TestDevReady(t *testing.T) {
	t.Parallel()
	base := freePort(t, 3)
	p := startDev(t, fmt.Sprintf("--port=%d", base))
	r := p.ready
	if len(r.Nodes) != 3 || r.Tenant != devTenant || !strings.HasPrefix(r.APIKey, "ck_") || !r.Temporary {
		t.Errorf("got %+v", r)
	}
	f := r.SelfCheck.Failover
	if !r.SelfCheck.OK || f == nil || !f.RecordKept || f.Killed == f.Leader || f.GapSeconds <= 0 {
		t.Errorf("self-check: got %+v and %+v", r.SelfCheck, f)
	}
	leaders := 0
	for i, n := range r.Nodes {
		if n.URL != fmt.Sprintf("http://127.0.0.1:%d", base+i) || !isRunning(n.PID) {
			t.Errorf("got %+v", n)
		}
		if n.Role == "leader" {
			leaders++
		}
	}
	if leaders != 1 {
		t.Errorf("%d nodes lead", leaders)
	}
	checkPrivate(t, r.DataDir)
	if strings.Contains(readLogs(t, r), r.APIKey) {
		t.Error("the API key is in a log")
	}
	claimEverywhere(t, r)
	verbsAgainst(t, r)

	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.awaitEnd()
	if err := p.wait(); err != nil {
		t.Errorf("dev ended with %v: %s", err, p.stderr.String())
	}
	if _, err := os.Stat(r.DataDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary data is still there (%v)", err)
	}
}

// checkPrivate checks that others can read nothing in a directory.
func checkPrivate(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&othersMask != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) { // the nodes go on writing
		t.Error(err)
	}
}

func readLogs(t *testing.T, r devReady) string {
	t.Helper()
	var all strings.Builder
	for _, n := range r.Nodes {
		log, err := os.ReadFile(n.Log)
		if err != nil {
			t.Error(err)
		}
		all.Write(log)
	}
	return all.String()
}

// claimEverywhere sends the guide's request to each node with a client that follows redirects like curl -L does.
func claimEverywhere(t *testing.T, r devReady) {
	t.Helper()
	for i, n := range r.Nodes {
		body := fmt.Sprintf(`{"scope":"orders","key":"order-%d"}`, i)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.URL+"/v1/record", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+r.APIKey)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.Contains(answer, []byte(`"locked":true`)) {
			t.Errorf("%s (%s): got %s, %v", n.Name, n.Role, answer, err)
		}
	}
}

// verbsAgainst runs the admin verbs against each node: those that follow redirect to the leader.
func verbsAgainst(t *testing.T, r devReady) {
	t.Helper()
	for _, n := range r.Nodes {
		environ := map[string]string{"SYLLECTA_SERVER": n.URL, "SYLLECTA_ADMIN_TOKEN_FILE": r.AdminTokenFile}
		slug := "shop-" + n.Name
		for _, args := range [][]string{
			{"tenant", "create", slug}, {"tenant", "list"}, {"key", "list", "--tenant", slug},
		} {
			if _, errText, code := runVerb(t, environ, args...); code != exitOK {
				t.Errorf("%s %v: exit code %d: %s", n.Name, args, code, errText)
			}
		}
		out, errText, code := runVerb(t, environ, "key", "create", "--tenant", slug, "--json")
		var made newAPIKey
		if err := json.Unmarshal([]byte(out), &made); err != nil || code != exitOK {
			t.Fatalf("%s: exit code %d, %q: %v (%s)", n.Name, code, out, err, errText)
		}
		out, _, code = runVerb(t, environ, "key", "revoke", "--tenant", slug, made.ID, "--json")
		if code != exitOK || !strings.Contains(out, `"revokedAt":"`) {
			t.Errorf("%s: exit code %d, %q", n.Name, code, out)
		}
		if _, _, code := runVerb(t, environ, "tenant", "create", slug); code != exitConflict {
			t.Errorf("%s: the same slug again: exit code %d, want %d", n.Name, code, exitConflict)
		}
		if _, _, code := runVerb(t, environ, "key", "list", "--tenant", "absent"); code != exitNotFound {
			t.Errorf("%s: an unknown tenant: exit code %d, want %d", n.Name, code, exitNotFound)
		}
		environ = map[string]string{"SYLLECTA_SERVER": n.URL, "SYLLECTA_ADMIN_TOKEN": "not-the-admin-token"}
		if _, _, code := runVerb(t, environ, "tenant", "list"); code != exitNotAuthorised {
			t.Errorf("%s: a wrong token: exit code %d, want %d", n.Name, code, exitNotAuthorised)
		}
	}
}

func TestDevHealsAndKeepsData(t *testing.T) {
	t.Parallel()
	base, dir := freePort(t, 3), t.TempDir()
	args := []string{fmt.Sprintf("--port=%d", base), "--data-dir=" + dir}
	p := startDev(t, args...)
	victim := p.ready.Nodes[0]
	if err := syscall.Kill(victim.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	e := p.event("exited", victim.Name)
	if e.PID != victim.PID || *e.Running != 2 || !strings.Contains(e.Message, "2 of 3") {
		t.Errorf("got %+v", e)
	}
	if e := p.event("ready", victim.Name); e.PID == victim.PID || *e.Running != 3 {
		t.Errorf("got %+v", e)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.awaitEnd()

	again := startDev(t, args...)
	if again.ready.APIKey == p.ready.APIKey || again.ready.Temporary {
		t.Errorf("second run: got %+v", again.ready)
	}
	c, err := newClient(again.ready.Nodes[1].URL, again.ready.APIKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := findRecord(t.Context(), c, p.ready.SelfCheck.Record); err != nil {
		t.Errorf("the first run's record: %v", err)
	}
}

func TestDevKilledLeavesNothing(t *testing.T) {
	t.Parallel()
	p := startDev(t, fmt.Sprintf("--port=%d", freePort(t, 1)), "--nodes=1")
	if p.ready.SelfCheck.Failover != nil {
		t.Error("the self-check killed the only node")
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.awaitEnd()
}

func TestDevEndsWithGoRun(t *testing.T) {
	t.Parallel()
	port := fmt.Sprintf("--port=%d", freePort(t, 1))
	p := startDevBy(t, exec.Command("go", "run", ".", "dev", "--json", "--nodes=1", port))
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.awaitEnd()
}

func TestDevPortInUse(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		network string
		offset  int
		use     string
	}{
		{"tcp", 1, "node2 HTTP"},
		{"tcp", raftPortOffset, "node1 raft"},
		{"tcp", gossipPortOffset + 2, "node3 gossip"},
		{"udp", gossipPortOffset, "node1 gossip"},
	} {
		base := freePort(t, 3)
		taken := base + c.offset
		takePort(t, c.network, loopbackAddress(taken))
		ctx, cancel := context.WithTimeout(t.Context(), devTimeout)
		cmd := exec.CommandContext(ctx, path, "dev", fmt.Sprintf("--port=%d", base))
		out, err := cmd.CombinedOutput()
		cancel()
		want := fmt.Sprintf("syllecta: port %d is already in use (%s); choose another base with --port\n", taken, c.use)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != exitFailure || string(out) != want {
			t.Errorf("%s %s: got %v, %q, want %q", c.network, c.use, err, out, want)
		}
	}
}

func takePort(t *testing.T, network, address string) {
	t.Helper()
	var taken io.Closer
	var err error
	if network == "udp" {
		taken, err = net.ListenPacket(network, address)
	} else {
		taken, err = net.Listen(network, address)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
}

func TestDevRefusesDataOfAnotherSize(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"node1", "node2", "node3"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	port := fmt.Sprintf("--port=%d", freePort(t, 5))
	_, errText, code := runVerb(t, nil, "dev", "--nodes=5", "--data-dir="+dir, port)
	if code != exitUsage || !strings.Contains(errText, "holds a cluster of 3 nodes; use --nodes 3") {
		t.Errorf("got exit code %d, %q", code, errText)
	}
}

func TestIsGoRun(t *testing.T) {
	t.Setenv("GOCACHE", "/var/cache/builds")
	for path, want := range map[string]bool{
		"/tmp/go-build123/b001/exe/syllecta":         true,
		"/home/u/.cache/go-build/ab/abcd-d/syllecta": true,
		"/var/cache/builds/ab/abcd-d/syllecta":       true,
		"/var/cache/builds2/syllecta":                false,
		"/usr/local/bin/syllecta":                    false,
		"/home/u/go-builder":                         false,
	} {
		if got := isGoRun(path); got != want {
			t.Errorf("%s: got %t, want %t", path, got, want)
		}
	}
}

func TestReadyTextIsOneScreen(t *testing.T) {
	t.Parallel()
	d := &devCluster{nodes: planNodes(3, 4000), dir: "/data"}
	v := devReady{DataDir: d.dir, Temporary: true, AdminTokenFile: d.tokenFile(), Tenant: devTenant, APIKey: "ck_x",
		URLs: devURLs{API: "http://localhost:4000", Metrics: "http://localhost:4000/metrics"}}
	for _, n := range d.nodes {
		v.Nodes = append(v.Nodes, nodeInfo{Name: n.name, Role: "follower", URL: n.url(), PID: 1, Log: d.logFile(n)})
	}
	text := (&devReport{t: &terminal{}}).readyText(v)
	if n := strings.Count(text, "\n"); n > 20 {
		t.Errorf("%d lines", n)
	}
	for _, want := range []string{
		"node2  follower  http://127.0.0.1:4001    1  /data/node2.log", "ck_x", "http://localhost:4000/metrics",
		"http://localhost:4000/v1/t/demo/webhooks/PROVIDER", "curl -L -X POST http://localhost:4000/v1/record", "curl -L -X PUT http://localhost:4000/v1/record",
		`-d '{"scope":"orders","key":"order-2001"}'`, `"body":{"status":"paid"}}'`, "Ctrl-C", "is removed",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}
