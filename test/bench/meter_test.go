package main

import (
	"errors"
	"os"
	"testing"
	"time"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	at := time.Now()
	before := reading{at: at, servers: time.Second, generator: time.Second, kernel: time.Second, machine: time.Minute}
	for name, c := range map[string]struct {
		servers, generator, kernel, machine time.Duration // used within four seconds
		want                                usage
	}{
		"all kinds":            {4 * time.Second, time.Second, time.Second, 8 * time.Second, usage{1, 0.25, 0.25, 0.5}},
		"nothing by others":    {2 * time.Second, 2 * time.Second, 0, 4 * time.Second, usage{0.5, 0.5, 0, 0}},
		"rounded below":        {2 * time.Second, 2 * time.Second, 0, 3990 * time.Millisecond, usage{0.5, 0.5, 0, 0}},
		"a kernel thread gone": {2 * time.Second, 0, -time.Second, 4 * time.Second, usage{0.5, 0, 0, 0.5}},
	} {
		after := reading{
			at: at.Add(4 * time.Second), servers: before.servers + c.servers, generator: before.generator + c.generator,
			kernel: before.kernel + c.kernel, machine: before.machine + c.machine,
		}
		if got := after.since(before); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestMeterKnowsWhoIsWho(t *testing.T) {
	t.Parallel()
	// The servers are this process's parent and all below it: this process, too.
	r, err := newMeter([]int{os.Getppid()}).read()
	if err != nil {
		t.Fatal(err)
	}
	if r.servers < r.generator || r.machine < r.generator {
		t.Errorf("%+v", r)
	}
	const noProcess = 1 << 30
	if r, err := newMeter(nil, noProcess).read(); !errors.Is(err, errGone) {
		t.Errorf("a generator that is not there: %+v, %v", r, err)
	}
	if r, err := newMeter([]int{noProcess}).read(); err != nil || r.servers != 0 {
		t.Errorf("a server that is not there: %+v, %v", r, err)
	}
}
