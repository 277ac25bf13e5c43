package cluster

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// convertBatchEntries and convertBatchBytes bound what is converted in one write.
	convertBatchEntries = 256
	convertBatchBytes   = 4 << 20
	// convertDeadline is how long one call to a store may take before it counts as failed.
	convertDeadline = time.Minute
)

// What raft keeps in a stable store.
var (
	stableNumbers = []string{"CurrentTerm", "LastVoteTerm"}
	stableValues  = []string{"LastVoteCand"}
)

// copy fills the new log.
func (c *conversion) copy() error {
	logs := c.guarded(c.target)
	var batch []*raft.Log
	bytes := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := logs.StoreLogs(batch)
		batch, bytes = nil, 0
		return err
	}
	err := c.each(c.source, func(log *raft.Log) error {
		if len(batch) > 0 && log.Index != batch[len(batch)-1].Index+1 {
			if err := flush(); err != nil {
				return err
			}
		}
		batch = append(batch, log)
		if bytes += len(log.Data); len(batch) < convertBatchEntries && bytes < convertBatchBytes {
			return nil
		}
		return flush()
	})
	if err = errors.Join(err, flush()); err != nil {
		return err
	}
	return copyStable(c.source, c.target)
}

func copyStable(from, to raft.StableStore) error {
	for _, key := range stableNumbers {
		n, err := from.GetUint64([]byte(key))
		if err == nil {
			err = to.SetUint64([]byte(key), n)
		}
		if err != nil && !absent(err) {
			return err
		}
	}
	for _, key := range stableValues {
		value, err := from.Get([]byte(key))
		if err == nil {
			err = to.Set([]byte(key), value)
		}
		if err != nil && !absent(err) {
			return err
		}
	}
	return nil
}

// verify compares the new log with the old one, entry by entry, and what raft keeps beside it.
func (c *conversion) verify() error {
	converted := c.guarded(c.target)
	first, err := converted.FirstIndex()
	if err != nil {
		return err
	}
	last, err := converted.LastIndex()
	if err != nil {
		return err
	}
	if first != c.FirstIndex || last != c.LastIndex {
		return fmt.Errorf("the new log goes from %d to %d, the old one from %d to %d", first, last, c.FirstIndex, c.LastIndex)
	}
	err = c.each(c.source, func(log *raft.Log) error {
		var got raft.Log
		if err := converted.GetLog(log.Index, &got); err != nil {
			return err
		}
		if !sameEntry(log, &got) {
			return fmt.Errorf("entry %d is another one in the new log", log.Index)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.verifyStable()
}

func sameEntry(a, b *raft.Log) bool {
	return a.Index == b.Index && a.Term == b.Term && a.Type == b.Type && string(a.Data) == string(b.Data) &&
		string(a.Extensions) == string(b.Extensions) && a.AppendedAt.Equal(b.AppendedAt)
}

func (c *conversion) verifyStable() error {
	for _, key := range stableNumbers {
		want, wantErr := c.source.GetUint64([]byte(key))
		got, err := c.target.GetUint64([]byte(key))
		if err := sameAnswer(key, want == got, wantErr, err); err != nil {
			return err
		}
	}
	for _, key := range stableValues {
		want, wantErr := c.source.Get([]byte(key))
		got, err := c.target.Get([]byte(key))
		if err := sameAnswer(key, string(want) == string(got), wantErr, err); err != nil {
			return err
		}
	}
	return nil
}

func sameAnswer(key string, same bool, wantErr, err error) error {
	switch {
	case wantErr != nil && !absent(wantErr):
		return wantErr
	case err != nil && !absent(err):
		return err
	case !same || absent(wantErr) != absent(err):
		return fmt.Errorf("raft's %s is another one in the new store", key)
	default:
		return nil
	}
}

func (c *conversion) guarded(s durableStore) *guardedLogs {
	// What fails is returned as well.
	return &guardedLogs{&storeGuard{deadline: convertDeadline, fatal: func(error) {}, observe: func(time.Duration) {}}, s}
}

// each passes every entry of a log, verified. What lies before a gap that no log of the other kind may have, is of no use
// to the node (maxWALGap), and left out.
func (c *conversion) each(store durableStore, do func(*raft.Log) error) error {
	logs := c.guarded(store)
	first, err := logs.FirstIndex()
	if err != nil {
		return err
	}
	last, err := logs.LastIndex()
	if err != nil || last == 0 {
		return err
	}
	first = max(first, c.FirstIndex) // which an earlier pass has found
	before := first
	c.FirstIndex, c.LastIndex, c.Entries, c.Bytes = first, last, 0, 0
	for index := first; index <= last; index++ {
		var log raft.Log
		err := logs.GetLog(index, &log)
		if errors.Is(err, raft.ErrLogNotFound) {
			continue
		}
		if err == nil {
			err = do(&log)
		}
		if err != nil {
			return err
		}
		if index > before+1+maxWALGap {
			c.FirstIndex, c.Entries, c.Bytes = index, 0, 0
		}
		before = index
		c.Entries++
		c.Bytes += int64(len(log.Data))
		c.o.Progress(int64(len(log.Data)))
	}
	return nil
}
