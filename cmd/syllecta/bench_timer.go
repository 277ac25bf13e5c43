package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// exactTimer waits by the kernel's clock. The runtime's own timers come up to a millisecond late in a process that has
// nothing else to do, which is as much as a fast answer takes.
type exactTimer struct {
	file *os.File
	fd   int // file's; its own Fd method would take it from the poller
	ctx  context.Context
	stop func() bool
}

// newExactTimer makes a timer whose waits end with ctx. Its owner closes it.
func newExactTimer(ctx context.Context) (*exactTimer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("making a timer: %w", err)
	}
	file := os.NewFile(uintptr(fd), "timer")
	past := time.Unix(1, 0)
	stop := context.AfterFunc(ctx, func() { _ = file.SetReadDeadline(past) })
	return &exactTimer{file, fd, ctx, stop}, nil
}

func (t *exactTimer) close() {
	t.stop()
	t.file.Close()
}

// wait returns when d has passed, within some ten microseconds, or ctx has ended. One goroutine at a time may wait.
func (t *exactTimer) wait(d time.Duration) error {
	if err := t.ctx.Err(); err != nil || d <= 0 {
		return err
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	if err := unix.TimerfdSettime(t.fd, 0, &spec, nil); err != nil {
		return fmt.Errorf("setting a timer: %w", err)
	}
	var expirations [8]byte
	_, err := t.file.Read(expirations[:])
	if ended := t.ctx.Err(); ended != nil {
		return ended
	}
	if err != nil {
		return fmt.Errorf("waiting for a timer: %w", err)
	}
	return nil
}
