package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// privateUmask keeps every file this process creates, logs and raft snapshots included, from other users.
const privateUmask = 0o077

func main() {
	syscall.Umask(privateUmask)
	if len(os.Args) > 1 && os.Args[1] == "server" {
		relaxTimers()
	}
	os.Exit(run(processTerminal(), os.Args[1:]))
}

// run executes one command line and returns the exit code.
func run(t *terminal, args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// Only the first signal is a request to end in good order: with the handler gone, the second one ends the process.
	context.AfterFunc(ctx, stop)

	root := newRoot(t)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	fmt.Fprint(t.err, errorLine(err))
	return exitCode(err)
}
