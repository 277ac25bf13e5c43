package main

import (
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// serverTimerSlack is how much later than asked for the kernel may wake a sleeping thread of a node. Nothing in a node
// is timed more finely than tens of milliseconds, but Go's monitor thread asks to be woken every 20 µs for as long as
// some thread sits in a system call, as one that flushes the log does all the time. With the kernel's default of 50 µs
// that is a tenth of all the CPU a cluster under load takes, and wakes that compete with the work itself.
const serverTimerSlack = 2 * time.Millisecond

// relaxTimers gives this process a timer slack of at least serverTimerSlack, by executing the program once more: threads
// inherit the slack from the thread that starts them, and Go's monitor runs before any of our code does (prctl(2),
// PR_SET_TIMERSLACK). A process that was started with it already goes on, and so does one that the kernel does not let
// have it: it is slower, and nothing else.
func relaxTimers() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if slack, err := timerSlack(); err != nil || slack >= serverTimerSlack {
		return
	}
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(serverTimerSlack), 0, 0, 0); err != nil {
		return
	}
	// Real-time threads have no slack, whatever was set. Without this look they would execute themselves for ever.
	if slack, err := timerSlack(); err != nil || slack < serverTimerSlack {
		return
	}
	if program, err := os.Executable(); err == nil {
		_ = syscall.Exec(program, os.Args, os.Environ()) // returns only if it fails
	}
}

// timerSlack returns that of the calling thread.
func timerSlack() (time.Duration, error) {
	ns, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	return time.Duration(ns), err
}
