//go:build !race

package fsm

// randomHistories is how many histories TestRandomHistories runs.
const randomHistories = 120_000
