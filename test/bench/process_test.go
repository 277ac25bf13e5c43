package main

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// startShell starts a shell as a server. The test stays on its thread, see init.
func startShell(t *testing.T, script string) *server {
	t.Helper()
	runtime.LockOSThread()
	all, err := startServers([]plan{{
		name: "shell", dir: filepath.Join(t.TempDir(), "data"), path: "/bin/sh", args: []string{"-c", script},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopAll(all) })
	return all[0]
}

var errNotYet = errors.New("not yet")

func TestServerThatEndsIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := startShell(t, "echo the port is taken; exit 3")
	err := awaitServing(t.Context(), []*server{s}, func(context.Context) error { return errNotYet })
	for _, words := range []string{"shell", "exit status 3", "the port is taken"} {
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%v; want %q in it", err, words)
		}
	}
}

func TestServerIsAskedUntilItServes(t *testing.T) {
	t.Parallel()
	s := startShell(t, "exec sleep 600")
	asked := 0
	err := awaitServing(t.Context(), []*server{s}, func(context.Context) error {
		if asked++; asked < 3 {
			return errNotYet
		}
		return nil
	})
	if err != nil || asked != 3 {
		t.Errorf("%v, asked %d times", err, asked)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := awaitServing(ctx, []*server{s}, func(context.Context) error { return errNotYet }); !errors.Is(err, errNotYet) {
		t.Errorf("without time: %v", err)
	}
}

func TestStopAsksFirst(t *testing.T) {
	t.Parallel()
	s := startShell(t, "trap 'echo good order; exit 0' TERM; echo ready; while :; do sleep 0.01; done")
	err := awaitServing(t.Context(), []*server{s}, func(context.Context) error {
		if !strings.Contains(s.logTail(), "ready") {
			return errNotYet
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	stopAll([]*server{s})
	if !s.hasExited() || !strings.Contains(s.logTail(), "good order") {
		t.Errorf("exited %t, said %q", s.hasExited(), s.logTail())
	}
}

func TestStopKillsWhoDoesNotListen(t *testing.T) {
	t.Parallel()
	s := startShell(t, "trap '' TERM; echo ready; while :; do sleep 0.01; done")
	err := awaitServing(t.Context(), []*server{s}, func(context.Context) error {
		if !strings.Contains(s.logTail(), "ready") {
			return errNotYet
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.askToStop()
	s.awaitExit(0)
	status := s.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !status.Signaled() || status.Signal() != syscall.SIGKILL {
		t.Errorf("it ended with %s", s.cmd.ProcessState)
	}
}

func TestServersStartTogetherOrNotAtAll(t *testing.T) {
	t.Parallel()
	runtime.LockOSThread()
	dir := t.TempDir()
	all, err := startServers([]plan{
		{name: "good", dir: filepath.Join(dir, "good"), path: "/bin/sh", args: []string{"-c", "exec sleep 600"}},
		{name: "bad", dir: filepath.Join(dir, "bad"), path: filepath.Join(dir, "no-such-program")},
	})
	if err == nil || all != nil || !strings.Contains(err.Error(), "bad") {
		t.Errorf("%v, %v", all, err)
	}
}

func TestPlainEnvironment(t *testing.T) {
	t.Parallel()
	given := []string{"PATH=/bin", "SYLLECTA_API_KEY=x", "ETCD_NAME=x", "PGHOST=x", "HOME=/", "IDEMPOTENCY_X=1", "REDISCLI_AUTH=x"}
	if got := plainEnvironment(given); !slices.Equal(got, []string{"PATH=/bin", "HOME=/"}) {
		t.Errorf("%q", got)
	}
}

func TestFreeAddresses(t *testing.T) {
	t.Parallel()
	all, err := freeAddresses(20)
	if err != nil || len(all) != 20 {
		t.Fatalf("%v, %v", all, err)
	}
	slices.Sort(all)
	if len(slices.Compact(slices.Clone(all))) != 20 {
		t.Errorf("some are there twice: %v", all)
	}
	if port := portOf("127.0.0.1:4000"); port != "4000" {
		t.Errorf("port %q", port)
	}
}
