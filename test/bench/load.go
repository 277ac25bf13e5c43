package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// claim creates one key and fails unless the key was granted, durably by the peer's settings. A worker calls it for one
// key after the other.
type claim func(ctx context.Context, key string) error

// errNotGranted says that a key, new as it was, was taken for an existing one.
var errNotGranted = errors.New("the claim of a new key was not granted")

// dial connects as many workers. hangUp ends what it opened; no worker is called then.
type dial func(ctx context.Context, workers int) (claims []claim, hangUp func(), err error)

const (
	// dialPatience bounds how long connecting all workers may take.
	dialPatience = 30 * time.Second
	// requestPatience bounds how long the last requests may outlast the measured time.
	requestPatience = 15 * time.Second
)

// claimed is a running peer whose load is made by this process.
type claimed struct {
	servers []*server
	dial    dial
}

func (c *claimed) stop() { stopAll(c.servers) }

// run measures claims of new keys.
func (c *claimed) run(ctx context.Context, t task) (measurement, error) {
	if t.Scenario != claimWork {
		return measurement{}, fmt.Errorf("there is no %s here", t.Scenario)
	}
	dialling, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	claims, hangUp, err := c.dial(dialling, t.Connections)
	if err != nil {
		return measurement{}, fmt.Errorf("connecting: %w", err)
	}
	defer hangUp()
	return closedLoop(ctx, claims, t, newMeter(pids(c.servers)))
}

// closedLoop lets every worker claim one key after the other, without pause. Counted are the claims that are granted
// within the measured time.
func closedLoop(ctx context.Context, claims []claim, t task, m *meter) (measurement, error) {
	opens := time.Now().Add(t.warmUp)
	closes := opens.Add(t.duration)
	deadline, cancel := context.WithDeadline(ctx, closes.Add(requestPatience))
	defer cancel()
	group, running := errgroup.WithContext(deadline)
	latencies := make([][]time.Duration, len(claims))
	run := newRunName()
	for i, claim := range claims {
		group.Go(func() (err error) {
			latencies[i], err = work(running, claim, newKeys(run, i, len(claims)), opens, closes)
			return err
		})
	}
	from, fromErr := m.readAt(running, opens)
	to, toErr := m.readAt(running, closes)
	if err := group.Wait(); err != nil {
		return measurement{}, err // the readings have failed of it
	}
	if err := errors.Join(fromErr, toErr); err != nil {
		return measurement{}, err
	}
	return newMeasurement(latencies, t.duration, to.since(from))
}

// work is one worker. It returns the latencies of the claims that ended within the measured time.
func work(ctx context.Context, claim claim, keys *keys, opens, closes time.Time) ([]time.Duration, error) {
	var latencies []time.Duration
	for began := time.Now(); began.Before(closes); {
		if err := claim(ctx, keys.take()); err != nil {
			return nil, err
		}
		ended := time.Now()
		if !ended.Before(opens) && ended.Before(closes) {
			latencies = append(latencies, ended.Sub(began))
		}
		began = ended
	}
	return latencies, nil
}
