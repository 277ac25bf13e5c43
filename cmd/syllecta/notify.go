package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/syllecta/syllecta/cluster"
)

const (
	// readyPoll is how often a node that starts is asked whether it is ready, statusEvery how often it is asked later.
	readyPoll   = 200 * time.Millisecond
	statusEvery = 3 * time.Second
	// answerWithin is how soon a node must answer to be counted as alive.
	answerWithin = 5 * time.Second
	// closeWithin bounds the wait for a report under way when the process ends.
	closeWithin = time.Second
	// A node that starts, and lives, is given startGrace more, again and again: it may wait for the others for as long
	// as it takes. One that hangs is given no more, and the service manager's own limit ends it.
	startGrace  = 60 * time.Second
	extendEvery = 10 * time.Second
)

// observed is what a notifier needs of a cluster.Node. The tests have a second one, which is what they say.
type observed interface {
	Readiness() []cluster.Check
	Status() cluster.Status
}

// notifier tells the service manager (systemd, or what speaks its protocol) when the node is ready for the first time,
// how it is, and that it still answers. The nil notifier, of a process that nobody manages, does nothing.
type notifier struct {
	log     *slog.Logger
	period  time.Duration // between two looks at a node that has been ready
	guarded bool          // the manager ends a process that gives no sign of life

	attached chan observed
	quit     context.CancelFunc
	done     chan struct{}

	// The rest belongs to run.
	ready    bool
	said     string    // the status text sent last
	extended time.Time // when the last extension of the start was asked for
	deaf     bool      // the manager's socket failed, and the log says so
}

// startNotifier starts to report to the service manager that the environment names; nil if it names none.
func startNotifier(log *slog.Logger) *notifier {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil
	}
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("the service manager's watchdog is not served", "error", err)
	}
	n := newNotifier(log, watchdog)
	ctx, quit := context.WithCancel(context.Background())
	n.quit = quit
	go n.run(ctx)
	return n
}

// newNotifier returns a notifier that gives a sign of life at least twice per watchdog, unless that is 0.
func newNotifier(log *slog.Logger, watchdog time.Duration) *notifier {
	n := &notifier{
		log: log, period: statusEvery, guarded: watchdog > 0,
		attached: make(chan observed, 1), done: make(chan struct{}),
	}
	if n.guarded {
		n.period = min(n.period, watchdog/2)
	}
	return n
}

// attach has the notifier report on node from now on. It is called once at most.
func (n *notifier) attach(node observed) {
	if n != nil {
		n.attached <- node
	}
}

// stopping says that the process has been told to end, after which there are no more reports.
func (n *notifier) stopping() {
	if n != nil {
		n.close()
		// If it cannot be said, the manager sees it all the same.
		_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping+"\nSTATUS=stopping")
	}
}

// close ends the reports. It waits for the one under way, but not for ever: the node it asks may be what hangs, and
// the process is to end all the same.
func (n *notifier) close() {
	if n == nil {
		return
	}
	n.quit()
	select {
	case <-n.done:
	case <-time.After(closeWithin):
	}
}

func (n *notifier) run(ctx context.Context) {
	defer close(n.done)
	var node observed
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case node = <-n.attached:
		case <-timer.C:
		}
		n.report(node)
		if n.ready {
			timer.Reset(n.period)
		} else {
			timer.Reset(readyPoll)
		}
	}
}

// report looks at the node, nil while it is being opened, and sends what is due. A node that hangs hangs the reports
// with it: that is how the manager finds out.
func (n *notifier) report(node observed) {
	asked := time.Now()
	ready, text := false, "opening: the log is being replayed"
	if node != nil {
		checks := node.Readiness()
		ready, text = allOK(checks), statusText(checks, node.Status())
	}
	now := time.Now()
	n.send(n.due(now, now.Sub(asked) <= answerWithin, ready, text)...)
}

// due returns the lines to send, and notes them as sent.
func (n *notifier) due(now time.Time, alive, ready bool, text string) (lines []string) {
	if text != n.said {
		n.said = text
		lines = append(lines, "STATUS="+text)
	}
	if ready && !n.ready {
		n.ready = true
		lines = append(lines, daemon.SdNotifyReady)
	}
	switch {
	case !alive:
	case n.ready && n.guarded:
		lines = append(lines, daemon.SdNotifyWatchdog)
	case !n.ready && now.Sub(n.extended) >= extendEvery:
		n.extended = now
		lines = append(lines, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", startGrace.Microseconds()))
	}
	return lines
}

func (n *notifier) send(lines ...string) {
	if len(lines) == 0 {
		return
	}
	_, err := daemon.SdNotify(false, strings.Join(lines, "\n"))
	if err != nil && !n.deaf {
		n.log.Warn("the service manager cannot be told how this node is", "error", err)
	}
	n.deaf = err != nil
}

func allOK(checks []cluster.Check) bool {
	for _, c := range checks {
		if !c.OK {
			return false
		}
	}
	return true
}

// statusText is one line about the node for people: what it is and how far, or why it is not ready.
func statusText(checks []cluster.Check, s cluster.Status) string {
	for _, c := range checks {
		if !c.OK {
			return printable(fmt.Sprintf("not ready (%s): %s", c.Name, c.Detail))
		}
	}
	role := s.Role
	if s.LeaderID != s.NodeID {
		role += " of " + s.LeaderID
	}
	return printable(fmt.Sprintf("%s, term %d, index %d, %d of %d voters healthy",
		role, s.Term, s.AppliedIndex, s.HealthyVoters, s.Voters))
}
