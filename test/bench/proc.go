package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of CPU times in /proc on Linux, whatever the kernel's own.
const clockTick = 10 * time.Millisecond

// kernelThreads is the process whose children are the kernel's threads.
const kernelThreads = 2

// errGone says that a process is not there any more.
var errGone = errors.New("a process is gone")

// processStat is what /proc/PID/stat says of a process.
type processStat struct {
	pid, parent int
	own         time.Duration // CPU time of its threads, those that ended included
	reaped      time.Duration // CPU time of its children that ended, and theirs
}

// processes are those of the machine, by id.
type processes map[int]processStat

// readProcesses looks at every process there is.
func readProcesses() (processes, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	all := make(processes, len(files))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it ended in between
		}
		if err != nil {
			return nil, err
		}
		p, err := parseProcessStat(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all[p.pid] = p
	}
	return all, nil
}

// parseProcessStat reads the line of /proc/PID/stat. The name, in parentheses, may hold anything, parentheses and
// spaces included.
func parseProcessStat(line string) (processStat, error) {
	opening, closing := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if opening < 0 || closing < opening {
		return processStat{}, fmt.Errorf("no name in parentheses: %q", line)
	}
	// proc_pid_stat(5) counts from 1: pid, name, state, parent, …, utime 14, stime 15, cutime 16, cstime 17.
	const firstField, parent, utime, lastField = 3, 4, 14, 17
	fields := strings.Fields(line[closing+1:])
	if len(fields) < lastField-firstField+1 {
		return processStat{}, fmt.Errorf("too few fields: %q", line)
	}
	var p processStat
	var err error
	if p.pid, err = strconv.Atoi(strings.TrimSpace(line[:opening])); err != nil {
		return processStat{}, err
	}
	if p.parent, err = strconv.Atoi(fields[parent-firstField]); err != nil {
		return processStat{}, err
	}
	var ticks [4]int64
	for i := range ticks {
		if ticks[i], err = strconv.ParseInt(fields[utime-firstField+i], 10, 64); err != nil {
			return processStat{}, err
		}
	}
	p.own = time.Duration(ticks[0]+ticks[1]) * clockTick
	p.reaped = time.Duration(ticks[2]+ticks[3]) * clockTick
	return p, nil
}

// trees returns the roots that are there and all their descendants.
func (all processes) trees(roots []int) []int {
	children := make(map[int][]int)
	for _, p := range all {
		children[p.parent] = append(children[p.parent], p.pid)
	}
	var found []int
	for open := roots; len(open) > 0; {
		pid := open[0]
		open = open[1:]
		if _, there := all[pid]; there {
			found = append(found, pid)
			open = append(open[:len(open):len(open)], children[pid]...)
		}
	}
	return found
}

// readMachine returns the CPU time used by everything on the machine since it was started.
func readMachine() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	busy, err := parseMachineStat(string(text))
	if err != nil {
		return 0, fmt.Errorf("/proc/stat: %w", err)
	}
	return busy, nil
}

// parseMachineStat adds up the busy times of the first line: user, nice, system, irq and softirq. Guests are part of
// user, and what the hypervisor took away was used by nobody here.
func parseMachineStat(text string) (time.Duration, error) {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	if len(fields) < 8 || fields[0] != "cpu" {
		return 0, fmt.Errorf("no line of all CPUs: %q", line)
	}
	var busy time.Duration
	for _, i := range []int{1, 2, 3, 6, 7} {
		ticks, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, err
		}
		busy += time.Duration(ticks) * clockTick
	}
	return busy, nil
}
