package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
)

// gcPercent keeps the collector of the generators in this process from taking CPU time that the servers need.
const gcPercent = 400

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures and prints. What was measured is printed also if it comes to an early end.
func run(ctx context.Context, args []string) (err error) {
	o, err := parseOptions(args, os.Stderr)
	if err != nil {
		return err
	}
	debug.SetGCPercent(gcPercent)
	if err := refuseMemory(o.dir); err != nil {
		return err
	}
	base, err := temporaryDir(o.dir)
	if err != nil {
		return fmt.Errorf("-dir: %w", err)
	}
	defer os.RemoveAll(base)
	t := &tour{options: o, base: base, progress: os.Stderr}
	if t.results.Machine, err = newMachine(base); err != nil {
		return err
	}
	if err := t.prepare(ctx, newPeers(o)); err != nil {
		return err
	}
	err = t.run(ctx)
	t.results.print(os.Stdout)
	if o.json != "" {
		err = errors.Join(err, t.results.save(o.json))
	}
	if n := t.results.failures(); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d runs failed", n))
	}
	return err
}

// temporaryDir makes a directory for everything, and returns its absolute path: servers have their own working
// directories.
func temporaryDir(parent string) (string, error) {
	parent, err := filepath.Abs(parent)
	if err != nil {
		return "", err
	}
	base, err := os.MkdirTemp(parent, "syllecta-bench-")
	if err != nil {
		return "", err
	}
	// A server that must not run as root has to get through to its own directory.
	return base, os.Chmod(base, 0o711)
}
