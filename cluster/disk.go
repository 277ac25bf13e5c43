package cluster

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// diskSpace returns the free and the total bytes of the file system that holds dir.
func diskSpace(dir string) (free, total int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(s.Bavail) * int64(s.Bsize), int64(s.Blocks) * int64(s.Bsize), nil
}

// smallDiskShare is the part of a small disk that the floor takes at most.
const smallDiskShare = 20

// belowFloor reports whether so little is free that claims are refused; on a small disk less is enough.
func belowFloor(free, total, floor int64) bool { return free < min(floor, total/smallDiskShare) }

// checkDisk notes whether free space is below the floor.
func (n *Node) checkDisk() {
	free, total, err := diskSpace(n.cfg.DataDir)
	if err != nil {
		n.log.Warn("cannot read the free space", "error", err)
		return
	}
	n.metrics.diskFree.Set(float64(free))
	full := belowFloor(free, total, n.cfg.DiskFreeFloor)
	if was := n.diskFull.Swap(full); was != full {
		n.log.Warn("free disk space crossed the floor",
			"free_bytes", free, "floor_bytes", n.cfg.DiskFreeFloor, "claims_refused", full)
	}
}
