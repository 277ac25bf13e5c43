package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/syllecta/syllecta/cluster"
)

// manager is a service manager's end of the notify socket.
type manager struct{ conn *net.UnixConn }

// manage makes this process one that a service manager looks after, with that watchdog.
func manage(t *testing.T, watchdog time.Duration) *manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_PID", "")
	t.Setenv("WATCHDOG_USEC", "")
	if watchdog > 0 {
		t.Setenv("WATCHDOG_USEC", fmt.Sprint(watchdog.Microseconds()))
	}
	return &manager{conn}
}

// next returns the lines of the next message.
func (m *manager) next(t *testing.T) []string {
	t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(devTimeout)); err != nil {
		t.Fatal(err)
	}
	message := make([]byte, 4096)
	n, err := m.conn.Read(message)
	if err != nil {
		t.Fatalf("nothing from the notifier: %v", err)
	}
	return strings.Split(string(message[:n]), "\n")
}

// await returns the messages up to the first with that line.
func (m *manager) await(t *testing.T, line string) (all [][]string) {
	t.Helper()
	for {
		all = append(all, m.next(t))
		if slices.Contains(all[len(all)-1], line) {
			return all
		}
	}
}

// sent counts the messages with a line that begins so.
func sent(messages [][]string, prefix string) (count int) {
	for _, lines := range messages {
		if slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, prefix) }) {
			count++
		}
	}
	return count
}

// fakeNode is what the test says it is.
type fakeNode struct {
	mu     sync.Mutex
	checks []cluster.Check
	status cluster.Status
	hang   sync.Mutex // held by the test to have the node not answer
}

func (f *fakeNode) Readiness() []cluster.Check {
	f.hang.Lock()
	defer f.hang.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.checks)
}

func (f *fakeNode) Status() cluster.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

func (f *fakeNode) become(status cluster.Status, checks ...cluster.Check) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status, f.checks = status, checks
}

var (
	leading   = cluster.Status{NodeID: "node1", LeaderID: "node1", Role: "leader", Term: 3, AppliedIndex: 41, Voters: 3, HealthyVoters: 3}
	following = cluster.Status{NodeID: "node1", LeaderID: "node2", Role: "follower", Term: 4, AppliedIndex: 42, Voters: 3, HealthyVoters: 2}
	fine      = cluster.Check{Name: "member", OK: true}
	lonely    = cluster.Check{Name: "member", Detail: "waiting for 2 more nodes"}
)

const (
	lineLeading   = "STATUS=leader, term 3, index 41, 3 of 3 voters healthy"
	lineFollowing = "STATUS=follower of node2, term 4, index 42, 2 of 3 voters healthy"
	lineLonely    = "STATUS=not ready (member): waiting for 2 more nodes"
)

// quickNotifier looks at the node a hundred times a second.
func quickNotifier(t *testing.T, node observed) {
	t.Helper()
	n := startNotifier(slog.New(slog.DiscardHandler))
	if n == nil {
		t.Fatal("there is a notify socket and no notifier")
	}
	t.Cleanup(n.close)
	n.attach(node)
}

func TestNotifierTellsALife(t *testing.T) {
	const watchdog = 20 * time.Millisecond
	m := manage(t, watchdog)
	node := &fakeNode{}
	node.become(cluster.Status{}, lonely)
	quickNotifier(t, node)

	waiting := m.await(t, lineLonely)
	if sent(waiting, "EXTEND_TIMEOUT_USEC=60000000") != 1 {
		t.Errorf("a node that starts did not ask for more time once: %q", waiting)
	}
	node.become(leading, fine)
	started := m.await(t, "READY=1")
	if last := started[len(started)-1]; !slices.Contains(last, lineLeading) {
		t.Errorf("got %q with READY=1, want %q", last, lineLeading)
	}
	if sent(append(waiting, started...), "READY=1") != 1 {
		t.Errorf("READY=1 before the node was ready: %q, %q", waiting, started)
	}
	if quiet := m.await(t, "WATCHDOG=1"); sent(quiet[1:], "STATUS=") != 0 {
		t.Errorf("a status that did not change was sent again: %q", quiet)
	}
	node.become(following, fine)
	m.await(t, lineFollowing)
	node.become(following, lonely) // not ready any more, and yet alive
	after := append(m.await(t, lineLonely), m.await(t, "WATCHDOG=1")...)
	if sent(after, "READY=1") != 0 || sent(after, "EXTEND_TIMEOUT_USEC=") != 0 {
		t.Errorf("a node that had been ready started again: %q", after)
	}
}

func TestNotifierSaysStopping(t *testing.T) {
	m := manage(t, 0)
	node := &fakeNode{}
	node.become(leading, fine)
	n := startNotifier(slog.New(slog.DiscardHandler))
	n.attach(node)
	before := m.await(t, "READY=1")
	n.stopping()
	n.close() // a second time is nothing
	if last := m.next(t); !slices.Equal(last, []string{"STOPPING=1", "STATUS=stopping"}) {
		t.Errorf("got %q", last)
	}
	if sent(before, "WATCHDOG=1") != 0 {
		t.Errorf("nobody asked for signs of life: %q", before)
	}
	select {
	case <-n.done:
	default:
		t.Error("the notifier's goroutine outlives it")
	}
}

// TestNotifierWithoutAnswer holds the node's answer back: no sign of life may be given meanwhile.
func TestNotifierWithoutAnswer(t *testing.T) {
	const watchdog = 20 * time.Millisecond
	m := manage(t, watchdog)
	node := &fakeNode{}
	node.become(leading, fine)
	quickNotifier(t, node)
	m.await(t, "WATCHDOG=1")

	node.hang.Lock()
	defer node.hang.Unlock()
	silence := 20 * watchdog
	for until := time.Now().Add(silence); time.Now().Before(until); {
		// What was under way when the node began to hang may still arrive.
		if err := m.conn.SetReadDeadline(until); err != nil {
			t.Fatal(err)
		}
		if _, err := m.conn.Read(make([]byte, 4096)); err != nil {
			return // silent to the end
		}
		until = time.Now().Add(silence)
		if silence -= watchdog; silence <= 0 {
			t.Fatal("signs of life from a node that hangs")
		}
	}
}

func TestNotifierDue(t *testing.T) {
	t.Parallel()
	now := time.Now()
	n := newNotifier(slog.New(slog.DiscardHandler), time.Minute)
	if n.period != statusEvery {
		t.Errorf("looks every %v, want %v", n.period, statusEvery)
	}
	for i, step := range []struct {
		after        time.Duration
		alive, ready bool
		text         string
		want         string
	}{
		{0, true, false, "a", "STATUS=a EXTEND_TIMEOUT_USEC=60000000"},
		{extendEvery - 1, true, false, "a", ""},
		{1, false, false, "a", ""}, // it answered too late
		{0, true, false, "b", "STATUS=b EXTEND_TIMEOUT_USEC=60000000"},
		{1, true, true, "b", "READY=1 WATCHDOG=1"},
		{1, true, false, "c", "STATUS=c WATCHDOG=1"},
		{1, false, true, "d", "STATUS=d"},
		{1, true, true, "d", "WATCHDOG=1"},
	} {
		now = now.Add(step.after)
		if got := strings.Join(n.due(now, step.alive, step.ready, step.text), " "); got != step.want {
			t.Errorf("step %d: got %q, want %q", i, got, step.want)
		}
	}
}

func TestNobodyToNotify(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "20000")
	n := startNotifier(slog.New(slog.DiscardHandler))
	if n != nil {
		t.Fatal("a notifier without a socket")
	}
	n.attach(&fakeNode{})
	n.stopping()
	n.close()
}

func TestDeafManagerIsLoggedOnce(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	var log bytes.Buffer
	n := newNotifier(slog.New(slog.NewTextHandler(&log, nil)), 0)
	n.send("STATUS=a")
	n.send("STATUS=b")
	if got := strings.Count(log.String(), "cannot be told"); got != 1 {
		t.Errorf("logged %d times, want once: %s", got, log.String())
	}
}

func TestStatusTextIsOneLine(t *testing.T) {
	t.Parallel()
	got := statusText([]cluster.Check{{Name: "member", Detail: "two\nlines\tREADY=1"}}, cluster.Status{})
	if strings.ContainsAny(got, "\n\t") {
		t.Errorf("got %q: whoever words the reason could speak for the node", got)
	}
}
