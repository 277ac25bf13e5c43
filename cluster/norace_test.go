//go:build !race

package cluster

// raceDetector tells whether the race detector watches.
const raceDetector = false
