package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// child is one process of a node.
type child struct {
	cmd     *exec.Cmd
	stdin   io.Closer // the process exits when this is closed, by us or by our end
	notices *notices
	exited  chan struct{} // closed when the process is gone and its last words are in the log
	state   *os.ProcessState
}

// startChild starts the binary. Its messages are appended to logFile and pass notices.
func startChild(binary string, args []string, logFile string, notices *notices) (*child, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(binary, args...)
	cmd.Stdout = log
	// A process group of its own keeps the terminal's Ctrl-C away from it: dev decides in which order things end.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		log.Close()
		return nil, err
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		log.Close()
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		log.Close()
		return nil, err
	}
	c := &child{cmd: cmd, stdin: stdin, notices: notices, exited: make(chan struct{})}
	go c.reap(stderr, log)
	return c, nil
}

// reap reads the process's messages until it is gone. It ends with the process.
func (c *child) reap(stderr io.Reader, log io.WriteCloser) {
	defer close(c.exited)
	defer log.Close()
	c.notices.copy(log, stderr)
	_ = c.cmd.Wait() // how it ended is told by the state
	c.state = c.cmd.ProcessState
}

func (c *child) pid() int { return c.cmd.Process.Pid }

func (c *child) hasExited() bool {
	select {
	case <-c.exited:
		return true
	default:
		return false
	}
}

// ending tells how the process ended; call it after exited is closed.
func (c *child) ending() string {
	if status, ok := c.state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return fmt.Sprintf("was ended by a signal (%s)", status.Signal())
	}
	return fmt.Sprintf("ended with exit code %d", c.state.ExitCode())
}

// terminate asks the process to end in good order. It is no error if it is gone already.
func (c *child) terminate() { _ = c.cmd.Process.Signal(syscall.SIGTERM) }

// kill ends the process at once, as kill -9 does. It is no error if it is gone already.
func (c *child) kill() { _ = c.cmd.Process.Kill() }

// awaitExit waits until the process is gone, and ends it by force when grace does.
func (c *child) awaitExit(grace context.Context) {
	select {
	case <-c.exited:
	case <-grace.Done():
		c.kill()
		<-c.exited
	}
}
