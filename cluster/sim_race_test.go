//go:build race

package cluster

// The race detector makes simulations several times as slow.
const (
	simSeeds   = 3
	simSeconds = 40
)
