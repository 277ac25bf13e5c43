package cluster

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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

// belowFloor reports whether so little is free that claims and events are refused; on a small disk less is enough.
func belowFloor(free, total, floor int64) bool { return free < min(floor, total/smallDiskShare) }

// diskState is what was last measured of the disk, and what is reserved on it.
type diskState struct {
	free, total atomic.Int64
	ballast     *ballast // nil for a node whose log is in memory
}

// hold has the node fall back on a ballast; nil for none.
func (d *diskState) hold(b *ballast, registry prometheus.Registerer) {
	d.ballast = b
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "syllecta_disk_reserved_bytes",
		Help: "Disk space that is reserved to fall back on; 0 when it was given up, or there is no room for it.",
	}, func() float64 {
		if b == nil {
			return 0
		}
		return float64(b.held.Load())
	}))
}

// diskNow returns the free and the total bytes of the file system that holds the data directory, as last measured.
func (n *Node) diskNow() (free, total int64) { return n.disk.free.Load(), n.disk.total.Load() }

// checkDisk measures the disk, tends the ballast, and notes whether claims must be refused.
func (n *Node) checkDisk() {
	free, total, err := diskSpace(n.cfg.DataDir)
	if err != nil {
		n.log.Warn("cannot read the free space", "error", err)
		return
	}
	n.disk.free.Store(free)
	n.disk.total.Store(total)
	n.metrics.diskFree.Set(float64(free))
	full := belowFloor(free, total, n.cfg.DiskFreeFloor)
	if b := n.disk.ballast; b != nil {
		b.tend(time.Now(), free, total, n.cfg.DiskFreeFloor)
		full = full || b.spent()
	}
	if was := n.diskFull.Swap(full); was != full {
		n.log.Warn("free disk space crossed the floor",
			"free_bytes", free, "floor_bytes", n.cfg.DiskFreeFloor, "claims_refused", full)
	}
}

// makeRoom has the disk's reserve given up for a write that found no space.
func (n *Node) makeRoom() {
	if n.disk.ballast != nil {
		n.disk.ballast.makeRoom()
	}
	n.diskFull.Store(true) // claims are refused from now on, not only when the disk is measured again
}
