//go:build !race

package cluster

// How many random histories TestSimRandomFaults runs, and for how long each in simulated seconds.
const (
	simSeeds   = 8
	simSeconds = 90
)

// raceDetector tells whether the race detector watches.
const raceDetector = false
