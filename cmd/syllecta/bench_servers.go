package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// scrapeTimeout bounds the reading of one node's metrics.
const scrapeTimeout = 3 * time.Second

// benchServers are the nodes whose /metrics tell what the load costs them.
type benchServers struct {
	nodes []*endpoint
	http  *http.Client
}

// processUsage is what a node's process says about itself.
type processUsage struct {
	started    float64 // Unix time, which tells whether it is still the same process
	cpuSeconds float64
	rssBytes   float64
}

// serverUsage is the usage of the nodes that answered.
type serverUsage map[*endpoint]processUsage

// usage asks all nodes at the same time.
func (s *benchServers) usage(ctx context.Context) serverUsage {
	ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
	defer cancel()
	all := serverUsage{}
	var mu sync.Mutex
	var asked sync.WaitGroup
	for _, node := range s.nodes {
		asked.Go(func() {
			u, err := s.scrape(ctx, node)
			if err != nil {
				return // the result says how many nodes it covers
			}
			mu.Lock()
			defer mu.Unlock()
			all[node] = u
		})
	}
	asked.Wait()
	return all
}

func (s *benchServers) scrape(ctx context.Context, node *endpoint) (processUsage, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, node.String()+"/metrics", nil)
	if err != nil {
		return processUsage{}, err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return processUsage{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return processUsage{}, fmt.Errorf("%s answered %s", node, resp.Status)
	}
	return parseUsage(io.LimitReader(resp.Body, maxAnswerBytes))
}

// parseUsage finds the three metrics of the process in a page of them; they have no labels.
func parseUsage(page io.Reader) (u processUsage, err error) {
	wanted := map[string]*float64{
		"process_start_time_seconds":    &u.started,
		"process_cpu_seconds_total":     &u.cpuSeconds,
		"process_resident_memory_bytes": &u.rssBytes,
	}
	lines := bufio.NewScanner(page)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		to := wanted[name]
		if to == nil {
			continue
		}
		if *to, err = strconv.ParseFloat(value, 64); err != nil {
			return u, fmt.Errorf("%s: %w", name, err)
		}
		delete(wanted, name)
	}
	if len(wanted) > 0 {
		return u, fmt.Errorf("it has no %d of the metrics of a process", len(wanted))
	}
	return u, lines.Err()
}

// serverCost is what a load cost the nodes that were there from its beginning to its end.
type serverCost struct {
	asked       int           // nodes that were asked
	nodes       int           // nodes that told
	cpu         time.Duration // of all of them together
	maxRSSBytes int64         // of the largest
}

func (before serverUsage) until(after serverUsage) (cost serverCost) {
	for node, b := range before {
		a, there := after[node]
		if !there || a.started != b.started {
			continue // it was started again, and its count with it
		}
		cost.nodes++
		cost.cpu += time.Duration((a.cpuSeconds - b.cpuSeconds) * float64(time.Second))
		cost.maxRSSBytes = max(cost.maxRSSBytes, int64(b.rssBytes), int64(a.rssBytes))
	}
	return cost
}
