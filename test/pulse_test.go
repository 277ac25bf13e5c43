package test

import (
	"fmt"
	"sync"
	"time"
)

const (
	pulseScope = "pulse"
	// pulseEvery is how often somebody writes, and so the resolution of the gaps that are measured.
	pulseEvery = 10 * time.Millisecond
	// maxPulses bounds how many of these writes are on their way. Nobody waits for the one before, so a request that
	// hangs hides nothing.
	maxPulses    = 128
	pulseTimeout = 5 * time.Second
)

// pulse is a steady trickle of writes through all nodes in turn, that tells when the cluster serves.
type pulse struct {
	f *faults

	mu      sync.Mutex
	stored  []string // keys that were acknowledged
	refused int
	lost    int // without an answer
	skipped int // because too many were on their way
	slowest time.Duration
}

// run writes until done is closed, and waits for the answers.
func (p *pulse) run(done <-chan struct{}) {
	ticker := time.NewTicker(pulseEvery)
	defer ticker.Stop()
	var sent sync.WaitGroup
	defer sent.Wait()
	slots := make(chan struct{}, maxPulses)
	for i := 0; ; i++ {
		select {
		case <-done:
			return
		case <-ticker.C:
		}
		select {
		case slots <- struct{}{}:
			node := p.f.c.nodes[i%len(p.f.c.nodes)]
			sent.Go(func() {
				defer func() { <-slots }()
				p.beat(node.url(), fmt.Sprint("beat ", i))
			})
		default:
			p.skipped++
		}
	}
}

func (p *pulse) beat(url, key string) {
	c := newClient(url, p.f.apiKey).following()
	c.timeout = pulseTimeout
	start := time.Now()
	a := c.put(putRequest{Scope: pulseScope, Key: key, Body: []byte(`1`)})
	took := time.Since(start)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch a.outcome {
	case ok:
		p.f.history.acknowledge()
		p.stored = append(p.stored, key)
		p.slowest = max(p.slowest, took)
	case refused:
		p.refused++
	default:
		p.lost++
	}
}

// verify wants everything that was acknowledged to be there.
func (p *pulse) verify() error {
	reader := newClient(p.f.c.leader().url(), p.f.apiKey)
	for _, key := range p.stored {
		if v := reader.getStale(pulseScope, key); v.State != "completed" {
			return fmt.Errorf("%s was acknowledged and is not there: %v", key, v.answer)
		}
	}
	return nil
}

func (p *pulse) String() string {
	return fmt.Sprintf("one write every %s: %d acknowledged, the slowest after %s, %d refused, %d not answered, "+
		"%d not sent", pulseEvery, len(p.stored), p.slowest.Round(time.Millisecond), p.refused, p.lost, p.skipped)
}
