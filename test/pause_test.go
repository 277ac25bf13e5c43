package test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestPause freezes a node under load for longer than its store deadline. Time in which the process stood still says
// nothing about its disk, so it goes on where it was.
func TestPause(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, "--store-deadline=2s")
	n, key := c.nodes[0], c.newTenant("pause", 0).key
	done := make(chan struct{})
	var load sync.WaitGroup
	for i := range 8 {
		load.Go(func() {
			client := newClient(n.url(), key)
			for j := 0; ; j++ {
				select {
				case <-done:
					return
				default:
					client.claim(claimRequest{Scope: "pause", Key: fmt.Sprint(i, "-", j)})
				}
			}
		})
	}
	for range 3 {
		time.Sleep(200 * time.Millisecond) // the load runs, so that a write is most likely in flight
		n.stop()
		time.Sleep(2200 * time.Millisecond) // what is tested is a pause of this length
		n.cont()
	}
	close(done)
	load.Wait()
	n.waitReady()
	a := newClient(n.url(), key).claim(claimRequest{Scope: "pause", Key: "after"})
	if a.status != http.StatusOK || !a.Locked {
		t.Errorf("after the pauses: %v", a.answer)
	}
}
