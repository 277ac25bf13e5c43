//go:build race

package cluster

// The race detector makes simulations several times as slow.
const (
	simSeeds   = 3
	simSeconds = 40
)

// raceDetector tells whether the race detector watches.
const raceDetector = true
