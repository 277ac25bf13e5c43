package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/syllecta/syllecta/api"
	"github.com/syllecta/syllecta/cluster"
)

// TestDefaultsAgree keeps the defaults that users are told in step with those of the packages.
func TestDefaultsAgree(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"cluster-name":           cluster.DefaultClusterName,
		"promote-after":          cluster.DefaultPromoteAfter.String(),
		"backup-every":           strings.TrimSuffix(cluster.DefaultBackupEvery.String(), "0m0s"),
		"backup-keep":            strconv.Itoa(cluster.DefaultBackupKeep),
		"snapshot-threshold":     strconv.Itoa(cluster.DefaultSnapshotThreshold),
		"store-deadline":         cluster.DefaultStoreDeadline.String(),
		"disk-free-floor-bytes":  strconv.Itoa(cluster.DefaultDiskFreeFloor),
		"max-record-body-bytes":  strconv.Itoa(api.DefaultMaxRecordBodyBytes),
		"max-record-ttl-seconds": strconv.Itoa(int(api.DefaultMaxRecordTTL / time.Second)),
		"default-ttl-seconds":    strconv.Itoa(int(api.DefaultTTL / time.Second)),
		"default-lock-ms":        strconv.Itoa(int(api.DefaultLease / time.Millisecond)),
		"followers":              string(api.FollowersRedirect),
		"request-timeout":        api.DefaultRequestTimeout.String(),
		"max-connections":        strconv.Itoa(api.DefaultMaxConnections),
		"failed-auth-per-second": strconv.Itoa(api.DefaultFailedAuthPerSecond),
	} {
		row, ok := settingNamed(name)
		if !ok || row.def != want {
			t.Errorf("%s: the default is %q, want %q", name, row.def, want)
		}
	}
	for name, high := range map[string]int{
		"bootstrap-expect": cluster.MaxBootstrapExpect, "raft-multiplier": cluster.MaxRaftMultiplier,
	} {
		row, _ := settingNamed(name)
		if want := fmt.Sprintf(" to %d", high); !strings.HasSuffix(row.allowed, want) {
			t.Errorf("%s: allowed is %q, want it to end in %q", name, row.allowed, want)
		}
	}
	if minAdminTokenBytes != api.MinAdminTokenBytes {
		t.Errorf("an admin token has at least %d bytes, want %d", minAdminTokenBytes, api.MinAdminTokenBytes)
	}
}

// TestLimitsOfTheAPI: 0 sets no limit, where the API takes 0 for its default.
func TestLimitsOfTheAPI(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args                   []string
		failedAuth, perAddress int
	}{
		{nil, 10, 0},
		{[]string{"--failed-auth-per-second=0", "--requests-per-address=7"}, api.NoLimit, 7},
		{[]string{"--failed-auth-per-second=1000000"}, 1_000_000, 0},
	} {
		got, err := load(t, c.args, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		cfg := apiConfig(got.settings, "", nil, nil)
		if cfg.FailedAuthPerSecond != c.failedAuth || cfg.RequestsPerAddress != c.perAddress {
			t.Errorf("%v: got %d and %d", c.args, cfg.FailedAuthPerSecond, cfg.RequestsPerAddress)
		}
	}
}

// serverProcess is a running `syllecta server`.
type serverProcess struct {
	cmd   *exec.Cmd
	stdin io.Closer
	log   bytes.Buffer
}

// startServer starts a single node and waits until it is ready.
func startServer(t *testing.T, args ...string) *serverProcess {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	n := planNodes(1, freePort(t, 1))[0]
	p := &serverProcess{cmd: exec.Command(path, append([]string{"server", "--data-dir=" + t.TempDir(),
		"--http-addr=" + loopbackAddress(n.http), "--raft-addr=" + loopbackAddress(n.raft),
		"--gossip-addr=", "--bootstrap"}, args...)...)}
	p.cmd.Stderr = &p.log
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	for deadline := time.Now().Add(devTimeout); !isReady(t.Context(), n.url()); time.Sleep(pollInterval) {
		if time.Now().After(deadline) {
			t.Fatal("the node does not become ready")
		}
	}
	return p
}

func TestServerStopsInOrder(t *testing.T) {
	t.Parallel()
	p := startServer(t, "--admin-token-file="+writeToken(t, testToken, 0o600), "--max-connections=77")
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("got %v, want exit code 0", err)
	}
	log := p.log.String()
	for _, want := range []string{
		`"msg":"starting"`, `"max_connections":"77"`, `"msg":"node is open"`, `"msg":"stopping"`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	for _, unwanted := range []string{testToken, `"raft_multiplier"`, "syllecta: "} {
		if strings.Contains(log, unwanted) {
			t.Errorf("the log has %s", unwanted)
		}
	}
	if t.Failed() {
		t.Log(log)
	}
}

func TestServerExitsWithStdin(t *testing.T) {
	t.Parallel()
	p := startServer(t, "--exit-with-stdin")
	if err := p.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := p.cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitFailure {
		t.Errorf("got %v, want exit code %d", err, exitFailure)
	}
}

func TestServerPortInUse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ setting, network string }{
		{"http-addr", "tcp"}, {"raft-addr", "tcp"}, {"gossip-addr", "tcp"}, {"gossip-addr", "udp"},
	} {
		address := loopbackAddress(freePort(t, 1))
		takePort(t, c.network, address)
		_, port, _ := net.SplitHostPort(address)
		want := "syllecta: port " + port + " is already in use (" + address + "); choose another with --" + c.setting + "\n"
		var code int
		var errText string
		for range 5 { // one of the other ports may be taken by somebody else in between
			_, errText, code = runVerb(t, nil, serverAt(t, c.setting, address)...)
			if strings.Contains(errText, address) {
				break
			}
		}
		if code != exitFailure || errText != want {
			t.Errorf("got exit code %d, %q; want %q", code, errText, want)
		}
	}
}

// serverAt is the command line of a server on free ports, but for one address.
func serverAt(t *testing.T, setting, address string) []string {
	t.Helper()
	node := planNodes(1, freePort(t, 1))[0]
	addresses := map[string]string{
		"http-addr": loopbackAddress(node.http), "raft-addr": loopbackAddress(node.raft),
		"gossip-addr": loopbackAddress(node.gossip),
	}
	addresses[setting] = address
	args := []string{"server", "--data-dir=" + t.TempDir()}
	for name, value := range addresses {
		args = append(args, "--"+name+"="+value)
	}
	return args
}

func TestServerRefusesAnOpenTokenFile(t *testing.T) {
	t.Parallel()
	file := writeToken(t, testToken, 0o644)
	_, errText, code := runVerb(t, nil, "server", "--data-dir="+t.TempDir(), "--admin-token-file="+file)
	if code != exitUsage || !strings.Contains(errText, "run: chmod 600 "+file) {
		t.Errorf("got exit code %d, %q", code, errText)
	}
}
