package cluster

import (
	"testing"

	"github.com/hashicorp/raft"
)

func TestCompactionDue(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	for name, tc := range map[string]struct {
		snapshotBytes, logBytes int64
		entries                 int64
		want                    uint64
	}{
		"nothing yet":                         {0, 0, 0, 100},
		"a small snapshot":                    {cheapSnapshot, 1_000, 10, 100},
		"a large one, and nothing since":      {4_000 * mb, 0, 0, 100},
		"a large one, and a little since":     {4_000 * mb, 1 * mb, 10, 10_000},
		"a large one, and half of what is to": {4_000 * mb, 500 * mb, 5_000, 10_000},
		"a large one, and enough":             {4_000 * mb, 1_000 * mb, 10_000, 100},
		"large entries, that are soon enough": {400 * mb, 99 * mb, 9, 100},
	} {
		var c compaction
		c.restored(tc.snapshotBytes)
		c.logBytes.Store(tc.logBytes)
		c.entries.Store(tc.entries)
		if got := c.due(100); got != tc.want {
			t.Errorf("%s: due after %d entries, want %d", name, got, tc.want)
		}
	}
}

// TestCompactionMark: what comes while a snapshot is written counts for the next one.
func TestCompactionMark(t *testing.T) {
	t.Parallel()
	var c compaction
	entry := &raft.Log{Data: make([]byte, 1<<20)}
	for range 8 {
		c.applied(entry)
	}
	_ = c.mark() // of a snapshot that failed
	c.applied(entry)
	covered := c.mark()
	c.applied(entry)
	covered(400 << 20)
	if logBytes, entries := c.logBytes.Load(), c.entries.Load(); logBytes != 1<<20 || entries != 1 {
		t.Errorf("%d bytes in %d entries are left", logBytes, entries)
	}
	if got := c.due(10); got != 100 {
		t.Errorf("due after %d entries, want 100", got)
	}
}
