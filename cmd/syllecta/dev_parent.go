package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// parentPoll is how often dev looks whether its parent is still there.
const parentPoll = 250 * time.Millisecond

// isGoRun reports whether this binary was made by `go run`, which keeps it in a build or cache directory of the go
// command.
func isGoRun(binary string) bool {
	for part := range strings.SplitSeq(filepath.ToSlash(filepath.Dir(binary)), "/") {
		if strings.HasPrefix(part, "go-build") {
			return true
		}
	}
	cache := os.Getenv("GOCACHE")
	return cache != "" && strings.HasPrefix(binary, filepath.Clean(cache)+string(filepath.Separator))
}

// awaitOrphaned waits until the process that started this one is gone, or ctx ends. `go run` does not pass signals on:
// a killed `go run` would leave the cluster behind.
func awaitOrphaned(ctx context.Context) {
	parent := os.Getppid()
	tick := time.NewTicker(parentPoll)
	defer tick.Stop()
	for os.Getppid() == parent {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
