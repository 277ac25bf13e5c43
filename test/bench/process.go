package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// startPatience bounds how long a peer may take until it serves.
	startPatience = 60 * time.Second
	// stopPatience bounds how long a server may take to end in good order. Then it is killed: its data go anyway.
	stopPatience = 20 * time.Second
	pollInterval = 50 * time.Millisecond
	logTailBytes = 2 << 10
)

// init keeps main on the thread that the process began with. Linux kills a child whose parent death signal is set when
// the thread that started it ends; all children are started by main, so they live as long as this process and no longer.
func init() { runtime.LockOSThread() }

// plan is a server process to start.
type plan struct {
	name string // of its log file, unique in dir
	dir  string // working directory; the log lies beside it
	path string
	args []string
	user *syscall.Credential // nil for our own
	end  syscall.Signal      // what makes it stop at once, in good order; 0 is SIGTERM
}

// command makes the process. A group of its own keeps the terminal's Ctrl-C away from it: this process decides in which
// order things end.
func (p plan) command() *exec.Cmd {
	cmd := exec.Command(p.path, p.args...)
	cmd.Dir = p.dir
	cmd.Env = plainEnvironment(os.Environ())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: p.user}
	return cmd
}

// plainEnvironment leaves out what would be settings of a peer.
func plainEnvironment(environment []string) []string {
	prefixes := []string{"SYLLECTA_", "IDEMPOTENCY_", "ETCD_", "NATS_", "PG", "REDIS"}
	return slices.DeleteFunc(slices.Clone(environment), func(v string) bool {
		return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(v, prefix) })
	})
}

// server is a process of a peer.
type server struct {
	plan
	cmd    *exec.Cmd
	log    string
	exited chan struct{} // closed once the process is gone
}

// startServer starts a process whose output goes to a file. Main must call it.
func startServer(p plan) (*server, error) {
	s := &server{plan: p, cmd: p.command(), exited: make(chan struct{})}
	s.log = filepath.Join(filepath.Dir(p.dir), p.name+".log")
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own descriptor
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.name, err)
	}
	go func() { // ends with the process, which stop waits for
		defer close(s.exited)
		_ = s.cmd.Wait() // how it ended is told by the state
	}()
	return s, nil
}

// startServers starts them all, or none.
func startServers(plans []plan) ([]*server, error) {
	var all []*server
	for _, p := range plans {
		if err := os.MkdirAll(p.dir, 0o700); err != nil {
			stopAll(all)
			return nil, err
		}
		s, err := startServer(p)
		if err != nil {
			stopAll(all)
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func (s *server) hasExited() bool {
	select {
	case <-s.exited:
		return true
	default:
		return false
	}
}

// askToStop does not wait. It is no error if the process is gone already.
func (s *server) askToStop() {
	end := s.end
	if end == 0 {
		end = syscall.SIGTERM
	}
	_ = s.cmd.Process.Signal(end)
}

// awaitExit waits until the process is gone, and kills it with its children when its time is up.
func (s *server) awaitExit(patience time.Duration) {
	select {
	case <-s.exited:
	case <-time.After(patience):
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		<-s.exited
	}
}

// stopAll ends servers and waits until they are gone.
func stopAll(servers []*server) {
	for _, s := range servers {
		s.askToStop()
	}
	for _, s := range servers {
		s.awaitExit(stopPatience)
	}
}

func pids(servers []*server) []int {
	var all []int
	for _, s := range servers {
		all = append(all, s.cmd.Process.Pid)
	}
	return all
}

// logTail is the end of what the server printed.
func (s *server) logTail() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-logTailBytes):]))
}

// awaitServing asks again and again until the answer is nil. It gives up when a server ends, or time is up.
func awaitServing(ctx context.Context, servers []*server, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		for _, s := range servers {
			if s.hasExited() {
				return fmt.Errorf("%s %s: %s", s.name, s.cmd.ProcessState, s.logTail())
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it does not serve within %s: %w", startPatience, err)
		case <-time.After(pollInterval):
		}
	}
}
