package test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// process is one run of the binary.
type process struct {
	cmd    *exec.Cmd
	stdin  io.Closer     // the process exits when this ends, so it cannot outlive the test binary
	exited chan struct{} // closed once the process is gone
}

// launches are the commands that launcher starts.
var launches = make(chan launch)

type launch struct {
	cmd *exec.Cmd
	in  *namespace // nil for this process's own
	err chan error
}

func (l launch) start() error {
	if l.in == nil {
		return l.cmd.Start()
	}
	return l.in.do(l.cmd.Start)
}

// launcher starts processes from one thread that lives as long as the test binary: Linux kills a child whose parent
// death signal is set when the thread that made it ends. A node that is stopped (SIGSTOP) would not see its standard
// input end, so this is what ends that one.
func launcher() {
	runtime.LockOSThread()
	for l := range launches {
		l.err <- l.start()
	}
}

// startProcess runs the binary in a network namespace, nil for this process's own. Everything it prints is appended to
// logFile.
func startProcess(in *namespace, logFile string, args ...string) (*process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own descriptor
	cmd := exec.Command(binary, args...)
	cmd.Env = plainEnvironment()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	l := launch{cmd, in, make(chan error)}
	launches <- l
	if err := <-l.err; err != nil {
		return nil, fmt.Errorf("starting %s: %w", binary, err)
	}
	p := &process{cmd: cmd, stdin: stdin, exited: make(chan struct{})}
	go func() {
		defer close(p.exited)
		_ = cmd.Wait() // how it ended is told by the state
	}()
	return p, nil
}

// plainEnvironment is this process's own without what would be settings of a node.
func plainEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "SYLLECTA_") || strings.HasPrefix(v, "IDEMPOTENCY_")
	})
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// signal sends a signal. It is no error if the process is gone already.
func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

func (p *process) hasExited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// awaitExit reports whether the process ended in time.
func (p *process) awaitExit(limit time.Duration) bool {
	select {
	case <-p.exited:
		return true
	case <-time.After(limit):
		return false
	}
}

// exitCode is how the process ended; -1 after a signal. It may be asked for once exited is closed.
func (p *process) exitCode() int { return p.cmd.ProcessState.ExitCode() }

// kill9 ends the process as a power loss would, and waits for it to be gone.
func (p *process) kill9() {
	p.signal(syscall.SIGKILL)
	<-p.exited
}
