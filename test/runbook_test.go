package test

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestRunbook pastes every command of the runbook, in order, into one shell. The ports that it names are replaced by
// free ones.
func TestRunbook(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the runbook is for %s, which is not here", tool)
		}
	}
	text, err := os.ReadFile("../cmd/syllecta/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```bash\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 15 {
		t.Fatalf("found %d blocks of commands", len(blocks))
	}
	script := "set -euo pipefail\nset -x\n"
	for _, block := range blocks {
		script += block[1]
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "runbook.sh")
	if err := os.WriteFile(path, []byte(onFreePorts(t, script)), 0o600); err != nil {
		t.Fatal(err)
	}
	runScript(t, dir, path)
}

// onFreePorts replaces the three ranges of ports, 500n, 510n and 520n, by free ones; the digit n stays, because the
// commands put it together.
func onFreePorts(t *testing.T, script string) string {
	t.Helper()
	for _, base := range []string{"500", "510", "520", "530"} {
		script = strings.ReplaceAll(script, ":"+base, ":"+freeDecade(t))
	}
	return script
}

func runScript(t *testing.T, dir, path string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", path)
	cmd.Dir = dir
	cmd.Env = append(plainEnvironment(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"))
	// What the commands leave running goes with them.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if err == nil {
		return
	}
	logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, log := range logs {
		if text, readErr := os.ReadFile(log); readErr == nil {
			t.Logf("--- end of %s\n%s", filepath.Base(log), text[max(0, len(text)-logTailBytes):])
		}
	}
	t.Fatalf("%v after\n%s", err, out[max(0, len(out)-logTailBytes):])
}

// freeDecade returns the leading digits of ten ports in a row that are free.
func freeDecade(t *testing.T) string {
	t.Helper()
	portsMu.Lock()
	defer portsMu.Unlock()
next:
	for range lastPort - firstPort {
		first := (firstPort + rand.IntN(lastPort-firstPort)) / 10 * 10
		for port := first; port < first+10; port++ {
			if portsUsed[port] || !isFree(port, []string{"127.0.0.1"}) {
				continue next
			}
		}
		for port := first; port < first+10; port++ {
			portsUsed[port] = true
		}
		return strconv.Itoa(first / 10)
	}
	t.Fatal("there are no ten free ports in a row")
	return ""
}
