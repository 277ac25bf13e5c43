package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// walCheck is what is done before raft-wal opens a log.
//
// raft-wal takes the first thing in the last segment that it cannot read for the end of the log, whatever follows. That
// is right for a write that a crash cut short, and loses acknowledged entries after any other damage. Here the end is what
// the checksums prove, and the rest must look like one torn write, or the log is refused. A torn write is blanked, so
// that nothing of it is ever taken for a part of what is written in its place.
//
// raft-wal 0.4.0 cannot go on either from a crash between the last write to a segment, which seals it, and the note that
// the next one has begun: that is made up for.
type walCheck struct {
	path  string
	meta  *walMeta
	files *walFiles
	log   *slog.Logger
}

func (c *walCheck) run() error {
	segments := c.meta.record.Segments
	for i := range segments {
		info := &segments[i]
		check := c.sealed
		switch {
		case info.SealTime.IsZero():
			check = c.tail
		case info.IndexStart == 0:
			check = c.overruled
		}
		if err := check(info); err != nil {
			return ofSegment(*info, err)
		}
	}
	return nil
}

func (c *walCheck) file(info *types.SegmentInfo) string {
	return filepath.Join(c.path, segment.FileName(*info))
}

// sealed checks that a full segment is there up to its index. What is in it, is verified when it is read.
func (c *walCheck) sealed(info *types.SegmentInfo) error {
	stat, err := os.Stat(c.file(info))
	if err != nil {
		return err
	}
	const offsetBytes = 4
	if entries := info.MaxIndex - info.BaseIndex + 1; stat.Size() < int64(info.IndexStart+entries*offsetBytes) {
		return fmt.Errorf("it is cut off at %d bytes", stat.Size())
	}
	return nil
}

// overruled checks a segment that was left when its last entries were overruled. All of it was on disk then.
func (c *walCheck) overruled(info *types.SegmentInfo) error {
	s, _, err := c.scan(info)
	if err != nil {
		return err
	}
	if info.BaseIndex+s.entries <= info.MaxIndex {
		return fmt.Errorf("the data is damaged behind byte %d, entry %d", s.end, info.BaseIndex+s.entries)
	}
	c.files.ends[c.file(info)] = s.end
	return nil
}

// tail checks, and mends, the segment that is written to.
func (c *walCheck) tail(info *types.SegmentInfo) error {
	s, data, err := c.scan(info)
	if err != nil {
		return err
	}
	if err := s.refuseDamage(data); err != nil {
		return err
	}
	last := info.BaseIndex + s.entries - 1
	if mark := c.meta.record.Reached; mark.SegmentID == info.ID && last < mark.Index {
		return fmt.Errorf("the data is damaged behind byte %d: it ends with entry %d, and has had entry %d before",
			s.end, last, mark.Index)
	}
	if mark := (walMark{info.ID, last}); mark != c.meta.record.Reached || s.written > s.end {
		if err := c.settle(info, s, data); err != nil {
			return err
		}
	}
	c.files.ends[c.file(info)] = s.end
	if s.entries == 0 {
		return nil
	}
	if s.index > 0 {
		return c.seal(*info, last, s.index)
	}
	return c.meta.reached(last)
}

func (c *walCheck) scan(info *types.SegmentInfo) (s segmentScan, data []byte, err error) {
	data, err = os.ReadFile(c.file(info))
	if err == nil && len(data) < int(info.SizeLimit) {
		err = fmt.Errorf("it is cut off at %d bytes", len(data))
	}
	if err != nil {
		return s, nil, err
	}
	return scanSegment(data), data, nil
}

// settle puts the last batch on disk, and blanks what follows. The process that wrote it may have been killed before it
// was there, or ended because it could not be; then it is read from memory, and would be relied on.
func (c *walCheck) settle(info *types.SegmentInfo, s segmentScan, data []byte) error {
	if s.written > s.end {
		c.log.Warn("the log ends in a write that was cut short: it was never acknowledged",
			"segment", segment.FileName(*info), "from_byte", s.end, "to_byte", s.written)
	}
	if c.files.readOnly {
		return nil
	}
	clear(data[s.end:])
	f, err := os.OpenFile(c.file(info), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data[s.begin:max(s.end, s.written)], s.begin)
	return errors.Join(err, f.Sync(), f.Close())
}

// seal notes that a segment is full, and that another one has begun.
func (c *walCheck) seal(full types.SegmentInfo, last uint64, index int64) error {
	next := c.meta.record.PersistentState
	full.SealTime, full.MaxIndex, full.IndexStart = time.Now(), last, uint64(index)
	next.Segments = append(next.Segments[:len(next.Segments)-1:len(next.Segments)-1], full, types.SegmentInfo{
		ID: next.NextSegmentID, BaseIndex: last + 1, MinIndex: last + 1, SizeLimit: full.SizeLimit,
		Codec: wal.CodecBinaryV1, CreateTime: full.SealTime,
	})
	next.NextSegmentID++
	return c.meta.CommitState(next)
}
