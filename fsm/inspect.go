package fsm

import (
	"fmt"

	"github.com/syllecta/syllecta/snapshot"
)

// Summary describes a state without its contents.
type Summary struct {
	ClusterID   string
	Index, Term uint64 // of the last entry applied
	// Fences are made of Epoch and Grants, the number of grants in that epoch.
	Epoch, Grants  uint64
	ClockMs        int64 // the committed clock
	FeatureLevel   uint32
	FeatureVersion string // the oldest release that knows the level; "" for level 1
	Tenants        int
	Keys           int // revoked ones included
	Members        int // retired ones left out
	Locks          int // lapsed ones included
	Records        int // completed records
	RecordBytes    int64
}

// Inspect reads a snapshot to its end, verifies it and every record in it, and says what it holds, in memory bounded by
// the directory and one block. What it accepts, Restore accepts, unless a lock or a record occurs twice: only Restore
// remembers them all. Its errors are those of Restore.
func Inspect(r *snapshot.Reader) (Summary, error) {
	c := newCounter()
	if err := c.readAll(r); err != nil {
		return Summary{}, fmt.Errorf("inspect: %w", err)
	}
	return c.summary(), nil
}

// counter reads a snapshot as Restore does, but counts locks and records where Restore keeps them.
type counter struct {
	sectionReader
	locks, records int
	recordBytes    int64
}

func newCounter() *counter {
	c := &counter{}
	c.verifyOnly = true
	c.m = New(Config{}) // it never gets a record to find by its hash
	c.takeLock = func(*lock) error {
		c.locks++
		return nil
	}
	c.takeRecord = func(r slabRecord) error {
		c.records++
		c.recordBytes += int64(len(r))
		return nil
	}
	return c
}

func (c *counter) summary() Summary {
	s := summarize(c.m.progress, c.m.directory)
	s.Locks, s.Records, s.RecordBytes = c.locks, c.records, c.recordBytes
	return s
}

// summarize describes all but locks and records.
func summarize(p progress, d *Directory) Summary {
	return Summary{
		ClusterID:      d.ClusterID,
		Index:          p.index,
		Term:           p.term,
		Epoch:          p.epoch,
		Grants:         p.grants,
		ClockMs:        p.clockMs,
		FeatureLevel:   d.FeatureLevel,
		FeatureVersion: d.FeatureVersion,
		Tenants:        len(d.tenants),
		Keys:           len(d.keys),
		Members:        len(d.members),
	}
}
