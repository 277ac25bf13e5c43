package main

import (
	"context"
	"os"
	"time"
)

// meter reads how much CPU time has been used so far, and by whom.
type meter struct {
	servers   []int // processes whose whole trees serve
	generator []int // processes that make the load, without their children
}

// newMeter watches servers. The load is made by this process and those named.
func newMeter(servers []int, generator ...int) *meter {
	return &meter{servers: servers, generator: append(generator, os.Getpid())}
}

// reading is CPU time used until a moment.
type reading struct {
	at                                  time.Time
	servers, generator, kernel, machine time.Duration
}

// usage is CPU used over a span of time, in cores: seconds per second. The kernel's is that of its threads, most of
// which write what the servers want written; others are all other processes.
type usage struct{ servers, generator, kernel, others float64 }

func (m *meter) read() (reading, error) {
	r := reading{at: time.Now()}
	all, err := readProcesses()
	if err != nil {
		return reading{}, err
	}
	for _, pid := range all.trees(m.servers) {
		r.servers += all[pid].own + all[pid].reaped
	}
	for _, pid := range all.trees([]int{kernelThreads}) {
		r.kernel += all[pid].own
	}
	for _, pid := range m.generator {
		p, found := all[pid]
		if !found {
			return reading{}, errGone
		}
		r.generator += p.own
	}
	r.machine, err = readMachine()
	return r, err
}

// readAt waits until then and reads.
func (m *meter) readAt(ctx context.Context, then time.Time) (reading, error) {
	wait := time.NewTimer(time.Until(then))
	defer wait.Stop()
	select {
	case <-wait.C:
		return m.read()
	case <-ctx.Done():
		return reading{}, context.Cause(ctx)
	}
}

// since returns what was used between two readings.
func (r reading) since(before reading) usage {
	seconds := r.at.Sub(before.at).Seconds()
	cores := func(d time.Duration) float64 { return d.Seconds() / seconds }
	servers, generator := r.servers-before.servers, r.generator-before.generator
	// Threads of the kernel come and go.
	kernel := max(0, r.kernel-before.kernel)
	// The kernel counts processes exactly and the machine by ticks: the rest may come out a little below nothing.
	others := max(0, r.machine-before.machine-servers-generator-kernel)
	return usage{cores(servers), cores(generator), cores(kernel), cores(others)}
}
