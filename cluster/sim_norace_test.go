//go:build !race

package cluster

// How many random histories TestSimRandomFaults runs, and for how long each in simulated seconds.
const (
	simSeeds   = 8
	simSeconds = 90
)
