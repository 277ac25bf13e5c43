package main

import (
	"os"
	"slices"
	"testing"
	"time"
)

func TestParseProcessStat(t *testing.T) {
	t.Parallel()
	const fields = " S 41 42 42 0 -1 4194560 100 200 0 0 7 5 30 1 20 0 3 0 500 1000 20"
	for name, c := range map[string]struct {
		line string
		want processStat
	}{
		"plain":                 {"42 (etcd)" + fields, processStat{42, 41, 120 * time.Millisecond, 310 * time.Millisecond}},
		"spaces in the name":    {"42 (postgres: writer )" + fields, processStat{42, 41, 120 * time.Millisecond, 310 * time.Millisecond}},
		"parentheses, likewise": {"42 (a) S 9 (b)" + fields, processStat{42, 41, 120 * time.Millisecond, 310 * time.Millisecond}},
	} {
		if got, err := parseProcessStat(c.line); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
	for name, line := range map[string]string{
		"nothing":           "",
		"no name":           "42 etcd S 41",
		"turned":            "42 )etcd( S 41",
		"too few fields":    "42 (etcd) S 41 42",
		"no process":        "x (etcd)" + fields,
		"no parent":         "42 (etcd) S x 42 42 0 -1 4194560 100 200 0 0 7 5 30 1 20 0",
		"time is no number": "42 (etcd) S 41 42 42 0 -1 4194560 100 200 0 0 7 x 30 1 20 0",
	} {
		if got, err := parseProcessStat(line); err == nil {
			t.Errorf("%s: taken for %+v", name, got)
		}
	}
}

func TestParseMachineStat(t *testing.T) {
	t.Parallel()
	const text = "cpu  100 20 30 4000 500 6 7 8 90 9\ncpu0 50 10 15 2000 250 3 3 4 45 4\n"
	if got, err := parseMachineStat(text); err != nil || got != 163*clockTick {
		t.Errorf("%s, %v; want the sum of user, nice, system, irq and softirq, %s", got, err, 163*clockTick)
	}
	for _, text := range []string{"", "cpu0 1 2 3 4 5 6 7", "cpu 1 2 3", "cpu 1 2 x 4 5 6 7"} {
		if got, err := parseMachineStat(text); err == nil {
			t.Errorf("%q: taken for %s", text, got)
		}
	}
}

func TestTrees(t *testing.T) {
	t.Parallel()
	all := make(processes)
	for pid, parent := range map[int]int{1: 0, 10: 1, 11: 10, 12: 10, 13: 12, 20: 1, 30: 1, 31: 30} {
		all[pid] = processStat{pid: pid, parent: parent}
	}
	for _, c := range []struct{ roots, want []int }{
		{nil, nil},
		{[]int{10}, []int{10, 11, 12, 13}},
		{[]int{20, 30}, []int{20, 30, 31}},
		{[]int{99, 13}, []int{13}}, // one that is gone
	} {
		roots := slices.Clone(c.roots)
		got := all.trees(c.roots)
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("trees of %v: %v, want %v", c.roots, got, c.want)
		}
		if !slices.Equal(roots, c.roots) {
			t.Errorf("the roots %v were changed to %v", roots, c.roots)
		}
	}
}

func TestReadProcesses(t *testing.T) {
	t.Parallel()
	all, err := readProcesses()
	if err != nil {
		t.Fatal(err)
	}
	self, found := all[os.Getpid()]
	if !found || self.parent != os.Getppid() {
		t.Errorf("this process: found %t, %+v", found, self)
	}
	if machine, err := readMachine(); err != nil || machine < self.own {
		t.Errorf("the machine was busy for %s, this process alone for %s: %v", machine, self.own, err)
	}
}
