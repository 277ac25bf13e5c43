//go:build race

package fsm

// randomHistories is how many histories TestRandomHistories runs; the race detector makes them ten times as slow.
const randomHistories = 10_000
