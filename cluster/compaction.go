package cluster

import (
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// snapshotShare: the log since the last snapshot grows to at least a quarter of that snapshot before the next one is
// taken. With so many entries as alone decide in raft, a node with gigabytes of records would write all of them again
// every minute; in proportion, what snapshots write is a few times what the log does, and a restart replays in less time
// than it restores.
const snapshotShare = 4

// cheapSnapshot is the size up to which a snapshot may be written as often as is configured.
const cheapSnapshot = 64 << 20

// compaction decides when the next snapshot is due.
type compaction struct {
	logBytes      atomic.Int64  // of the entries applied since the last snapshot
	entries       atomic.Int64  // their number
	snapshotBytes atomic.Int64  // of the last snapshot
	threshold     atomic.Uint64 // entries that raft waits for now
}

// applied counts an entry.
func (c *compaction) applied(log *raft.Log) {
	c.logBytes.Add(int64(len(log.Data)))
	c.entries.Add(1)
}

// mark returns what undoes the count of all entries so far, for when a snapshot of them is safe.
func (c *compaction) mark() (covered func(snapshotBytes int64)) {
	logBytes, entries := c.logBytes.Load(), c.entries.Load()
	return func(snapshotBytes int64) {
		c.logBytes.Add(-logBytes)
		c.entries.Add(-entries)
		c.snapshotBytes.Store(snapshotBytes)
	}
}

// restored starts over behind a snapshot that this node did not take itself.
func (c *compaction) restored(snapshotBytes int64) {
	c.logBytes.Store(0)
	c.entries.Store(0)
	c.snapshotBytes.Store(snapshotBytes)
}

// due returns after how many entries since the last one a snapshot is due: at least as many as are configured, and so
// many that they are snapshotShare of it if those to come are as large as those that came.
func (c *compaction) due(configured uint64) uint64 {
	logBytes, entries := c.logBytes.Load(), c.entries.Load()
	size := c.snapshotBytes.Load()
	want := size / snapshotShare
	if size <= cheapSnapshot || logBytes <= 0 || entries <= 0 || logBytes >= want {
		return configured
	}
	return max(configured, uint64(float64(entries)*float64(want)/float64(logBytes)))
}

// planSnapshot tells raft when the next snapshot is due.
func (n *Node) planSnapshot() {
	c := &n.applier.compaction
	due := c.due(n.cfg.SnapshotThreshold)
	if due == c.threshold.Swap(due) {
		return
	}
	config := n.raft.ReloadableConfig()
	config.SnapshotThreshold = due
	if err := n.raft.ReloadConfig(config); err != nil {
		n.log.Error("raft does not take when its next snapshot is due", "entries", due, "error", err)
	}
}
