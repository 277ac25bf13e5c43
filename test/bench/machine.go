package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// machine is what everything ran on.
type machine struct {
	CPUs     int     `json:"cpus"`
	CPU      string  `json:"cpu"`    // the processor's name
	Kernel   string  `json:"kernel"` // its release
	SyncMs   float64 `json:"syncMs"` // median time to append 4 KiB and make it durable
	DataDirs string  `json:"dataDirectory"`
}

// newMachine looks at this one. Data lie in dir.
func newMachine(dir string) (machine, error) {
	sync, err := syncTime(dir)
	if err != nil {
		return machine{}, fmt.Errorf("probing the disk: %w", err)
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return machine{}, err
	}
	cpus, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return machine{}, err
	}
	return machine{
		CPUs: runtime.NumCPU(), CPU: cpuName(string(cpus)), Kernel: strings.TrimSpace(string(kernel)),
		SyncMs: milliseconds(sync), DataDirs: dir,
	}, nil
}

// cpuName finds the name in /proc/cpuinfo. Some processors have none there.
func cpuName(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unnamed CPU"
}

func (m machine) String() string {
	return fmt.Sprintf("%s of %s, Linux %s, %s ms for a 4 KiB append with fdatasync", plural(m.CPUs, "core"), m.CPU,
		m.Kernel, number(m.SyncMs))
}
