package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// memoryFilesystems are where fsync does nothing, by the magic numbers of statfs(2).
var memoryFilesystems = map[int64]string{0x01021994: "tmpfs", 0x858458f6: "ramfs"}

// refuseMemory fails if the directory is not on a disk.
func refuseMemory(dir string) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("-dir %s: %w", dir, err)
	}
	return refuseKind(dir, fs)
}

func refuseKind(dir string, fs syscall.Statfs_t) error {
	if name, memory := memoryFilesystems[int64(fs.Type)]; memory {
		return fmt.Errorf("-dir: %s is in memory (%s): name a directory on a real disk", dir, name)
	}
	return nil
}

// Of the probe of the disk.
const (
	syncWrites = 100
	syncBytes  = 4096
)

// syncTime returns how long the disk takes, at the median, to append a block and make it durable. All peers wait for
// that, so it tells how far figures from another machine can be compared.
func syncTime(dir string) (time.Duration, error) {
	file, err := os.Create(filepath.Join(dir, "sync-probe"))
	if err != nil {
		return 0, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	block := make([]byte, syncBytes)
	var times []time.Duration
	for range syncWrites {
		began := time.Now()
		if _, err := file.Write(block); err != nil {
			return 0, err
		}
		if err := syscall.Fdatasync(int(file.Fd())); err != nil {
			return 0, fmt.Errorf("fdatasync %s: %w", file.Name(), err)
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	return percentile(times, 50), nil
}
