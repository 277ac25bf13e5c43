package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The threads of a node are those that matter: what is inherited from the thread that executed the program is theirs.
func TestTimerSlack(t *testing.T) {
	t.Parallel()
	dev := startDev(t, "--nodes", "1", "--port", strconv.Itoa(freePort(t, 1)))
	pid := dev.ready.Nodes[0].PID
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("the threads of the node: %v, %v", threads, err)
	}
	looked := 0
	for _, thread := range threads {
		text, err := os.ReadFile("/proc/" + thread.Name() + "/timerslack_ns")
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has ended
		}
		if err != nil {
			t.Fatal(err)
		}
		looked++
		ns, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil || time.Duration(ns) != serverTimerSlack {
			t.Errorf("thread %s has a timer slack of %q, want %v", thread.Name(), text, serverTimerSlack)
		}
	}
	if looked == 0 {
		t.Error("no thread was looked at")
	}
	if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err != nil || strings.TrimSpace(string(name)) != "syllecta" {
		t.Errorf("the process is called %q (%v): it is to be found by the program's name", name, err)
	}
}
