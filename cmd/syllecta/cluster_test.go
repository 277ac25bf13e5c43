package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	safePlan = `{"nodeId":"node3","removed":false,"voter":true,"voters":2,"healthyVoters":2,"quorum":2,"safe":true,` +
		`"consequence":"without node3 there are 2 voters, 2 of them healthy: 0 more may fail"}`
	riskyPlan = `{"nodeId":"node2","removed":false,"voter":true,"voters":2,"healthyVoters":1,"quorum":2,"safe":false,` +
		`"consequence":"without node2 nothing is acknowledged"}`
	lastPlan = `{"nodeId":"node1","removed":false,"voter":true,"voters":0,"healthyVoters":0,"quorum":1,"safe":false,` +
		`"consequence":"without node1 there is no cluster"}`
)

// refusal is a problem as the admin API answers it.
func refusal(status int, code string) string {
	return fmt.Sprintf(`{"title":"T","status":%d,"detail":"it cannot be","code":%q}`, status, code)
}

var clusterAnswers = map[string]string{
	"GET /v1/admin/cluster":                               `{"nodeId":"node3"}`,
	"POST /v1/admin/nodes":                                neverSeen,
	"POST /v1/admin/nodes/node4/promote":                  memberJSON("node4"),
	"POST /v1/admin/nodes/a%2Fb/promote":                  memberJSON("a/b"),
	"POST /v1/admin/nodes/slow/promote":                   refusal(409, "not_caught_up"),
	"POST /v1/admin/nodes/nobody/promote":                 refusal(404, "unknown_node"),
	"POST /v1/admin/leader":                               `{"leaderId":"node2"}`,
	"DELETE /v1/admin/nodes/node3?dryRun=true":            safePlan,
	"DELETE /v1/admin/nodes/node3?dryRun=true&force=true": safePlan,
	"DELETE /v1/admin/nodes/node3":                        strings.Replace(safePlan, `d":false`, `d":true`, 1),
	"DELETE /v1/admin/nodes/node2?dryRun=true":            riskyPlan,
	"DELETE /v1/admin/nodes/node2?dryRun=true&force=true": riskyPlan,
	"DELETE /v1/admin/nodes/node2?force=true":             strings.Replace(riskyPlan, `d":false`, `d":true`, 1),
	"DELETE /v1/admin/nodes/node1?dryRun=true":            lastPlan,
	"DELETE /v1/admin/nodes/node1?dryRun=true&force=true": lastPlan,
	"DELETE /v1/admin/nodes/gone?dryRun=true":             refusal(409, "retired_node"),
	"DELETE /v1/admin/nodes/race?dryRun=true":             strings.Replace(safePlan, "node3", "race", 1),
	"DELETE /v1/admin/nodes/race":                         refusal(409, "quorum_at_risk"),
}

func TestClusterVerbs(t *testing.T) {
	t.Parallel()
	const view, plan3 = "GET /v1/admin/cluster", "DELETE /v1/admin/nodes/node3?dryRun=true"
	for _, c := range []struct {
		args     string
		requests []string
		out      string
		errText  string
		code     int
	}{
		{"join 10.0.0.4:4100", []string{`POST /v1/admin/nodes {"raftAddr":"10.0.0.4:4100"}`},
			"node4 is a member; it votes once it has caught up and been healthy for a while", "", exitOK},
		{"join 10.0.0.4:4100 --non-voter --json",
			[]string{`POST /v1/admin/nodes {"raftAddr":"10.0.0.4:4100","nonVoter":true}`}, neverSeen, "", exitOK},
		{"promote node4", []string{"POST /v1/admin/nodes/node4/promote"}, "node4 votes now", "", exitOK},
		{"promote a/b --json", []string{"POST /v1/admin/nodes/a%2Fb/promote"}, memberJSON("a/b"), "", exitOK},
		{"promote slow", []string{"POST /v1/admin/nodes/slow/promote"}, "",
			"it cannot be (not_caught_up); follow it with: syllecta cluster status --watch", exitConflict},
		{"promote nobody", []string{"POST /v1/admin/nodes/nobody/promote"}, "",
			"it cannot be (unknown_node); see the members with: syllecta cluster status", exitNotFound},
		{"transfer", []string{"POST /v1/admin/leader {}"}, "node2 leads now", "", exitOK},
		{"transfer node2 --json", []string{`POST /v1/admin/leader {"nodeId":"node2"}`}, `{"leaderId":"node2"}`, "", exitOK},

		{"remove node3 --yes", []string{plan3, "DELETE /v1/admin/nodes/node3"}, "node3 was removed", "", exitOK},
		{"remove node3 --yes --json", []string{plan3, "DELETE /v1/admin/nodes/node3"},
			clusterAnswers["DELETE /v1/admin/nodes/node3"], "", exitOK},
		{"remove node3 --dry-run", []string{plan3},
			"without node3 there are 2 voters, 2 of them healthy: 0 more may fail", "", exitOK},
		{"remove node3 --dry-run --force --json", []string{plan3 + "&force=true"}, safePlan, "", exitOK},
		{"remove node2 --dry-run", []string{"DELETE /v1/admin/nodes/node2?dryRun=true"},
			"without node2 nothing is acknowledged (this is refused without --force)", "", exitOK},
		{"remove node1 --dry-run", []string{"DELETE /v1/admin/nodes/node1?dryRun=true"},
			"without node1 there is no cluster (this is refused)", "", exitOK},
		{"remove node3", []string{plan3}, "",
			"removing node3 is for good, and nobody is here to confirm it; say --yes", exitUsage},
		{"remove node2 --yes", []string{"DELETE /v1/admin/nodes/node2?dryRun=true"}, "",
			"node2 is not removed: without node2 nothing is acknowledged; bring the others back first, or use: " +
				"syllecta cluster remove node2 --force", exitConflict},
		{"remove node2 --yes --force", []string{"DELETE /v1/admin/nodes/node2?dryRun=true&force=true",
			"DELETE /v1/admin/nodes/node2?force=true"}, "node2 was removed", "", exitOK},
		{"remove node1 --yes --force", []string{"DELETE /v1/admin/nodes/node1?dryRun=true&force=true"}, "",
			"node1 is not removed: without node1 there is no cluster; let another node join first", exitConflict},
		{"remove gone --yes", []string{"DELETE /v1/admin/nodes/gone?dryRun=true"}, "",
			"it cannot be (retired_node)", exitConflict},
		{"remove race --yes", []string{"DELETE /v1/admin/nodes/race?dryRun=true", "DELETE /v1/admin/nodes/race"}, "",
			"it cannot be (quorum_at_risk); bring the others back first; what forcing it means says: " +
				"syllecta cluster remove NODE --dry-run", exitConflict},
		{"leave --yes", []string{view, plan3, "DELETE /v1/admin/nodes/node3"}, "node3 was removed", "", exitOK},
		{"leave", []string{view, plan3}, "",
			"removing node3 is for good, and nobody is here to confirm it; say --yes", exitUsage},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			api := newAdminAPI(t, clusterAnswers)
			out, errText, code := runVerb(t, api.env(), append([]string{"cluster"}, strings.Fields(c.args)...)...)
			if want := ending(c.out); out != want || code != c.code {
				t.Errorf("exit code %d, want %d, stdout\n%swant\n%s", code, c.code, out, want)
			}
			if want := ending(c.errText); errText != "syllecta: "+want && errText != want {
				t.Errorf("stderr\n%swant\n%s", errText, want)
			}
			if !slices.Equal(api.requests, c.requests) {
				t.Errorf("got requests %q, want %q", api.requests, c.requests)
			}
		})
	}
}

// ending is a line of output, or nothing.
func ending(line string) string {
	if line == "" {
		return ""
	}
	return line + "\n"
}

func TestClusterUsage(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"nonsense", "status x", "join", "join a b", "remove", "remove a b", "promote",
		"transfer a b", "leave node3", "leave --force", "status --yes"} {
		api := newAdminAPI(t, clusterAnswers)
		_, _, code := runVerb(t, api.env(), append([]string{"cluster"}, strings.Fields(args)...)...)
		if code != exitUsage || len(api.requests) != 0 {
			t.Errorf("%s: exit code %d, requests %q", args, code, api.requests)
		}
	}
}

func TestClusterWithoutAServer(t *testing.T) {
	t.Parallel()
	api := newAdminAPI(t, nil)
	api.Close()
	for _, args := range []string{"status", "leave --yes", "remove node3 --yes", "transfer"} {
		_, errText, code := runVerb(t, api.env(), append([]string{"cluster"}, strings.Fields(args)...)...)
		if code != exitUnreachable || !strings.HasPrefix(errText, "syllecta: cannot reach 127.0.0.1:") {
			t.Errorf("%s: exit code %d, %q", args, code, errText)
		}
	}
}

// TestRemovalIsConfirmed types at a terminal.
func TestRemovalIsConfirmed(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]struct {
		code    int
		removed bool
	}{
		"node3\n": {exitOK, true}, " node3 \n": {exitOK, true}, "\n": {exitFailure, false}, "y\n": {exitFailure, false},
		"node33\n": {exitFailure, false}, "\x04": {exitFailure, false},
	} {
		api := newAdminAPI(t, clusterAnswers)
		keyboard, tty := openTerminal(t)
		if _, err := keyboard.WriteString(typed); err != nil {
			t.Fatal(err)
		}
		var out, errOut bytes.Buffer
		code := run(&terminal{in: tty, out: &out, err: &errOut, env: func(name string) string { return api.env()[name] }},
			[]string{"cluster", "remove", "node3"})
		last := api.requests[len(api.requests)-1]
		if code != want.code || (last == "DELETE /v1/admin/nodes/node3") != want.removed {
			t.Errorf("%q: exit code %d, last request %s, %s", typed, code, last, &errOut)
		}
		for _, shown := range []string{"2 of them healthy", "Type node3 to remove it"} {
			if !strings.Contains(errOut.String(), shown) {
				t.Errorf("%q: %q is not shown: %s", typed, shown, &errOut)
			}
		}
	}
}

// openTerminal returns both ends of a pseudo terminal: what is written to the keyboard can be read from tty.
func openTerminal(t *testing.T) (keyboard, tty *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("there are no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { keyboard.Close() })
	number, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return keyboard, tty
}

func TestReadLineEndsWithItsContext(t *testing.T) {
	t.Parallel()
	keyboard, tty := openTerminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := readLine(ctx, tty); err != context.Canceled {
		t.Errorf("got %v", err)
	}
	if _, err := keyboard.WriteString("\n"); err != nil { // ends the reading that was given up
		t.Error(err)
	}
}

func TestNodeNamesComplete(t *testing.T) {
	t.Parallel()
	view := viewJSON("node2", "3 3 1", memberJSON("node1"), memberJSON("node2"))
	api := newAdminAPI(t, map[string]string{"GET /v1/admin/cluster": view, "GET /v1/admin/status": view})
	for _, verb := range []string{"remove", "promote", "transfer"} {
		out, _, code := runVerb(t, api.env(), "__complete", "cluster", verb, "")
		if code != exitOK || !strings.HasPrefix(out, "node1") || !strings.Contains(out, "\nnode2") {
			t.Errorf("%s: exit code %d, %q", verb, code, out)
		}
		out, _, _ = runVerb(t, api.env(), "__complete", "cluster", verb, "node1", "")
		if strings.Contains(out, "node") {
			t.Errorf("%s takes one node, and completes a second: %q", verb, out)
		}
	}
}
