package cluster

import "time"

// deletePause lies between two pieces of a compaction: whoever waits to write has its turn.
const deletePause = 2 * time.Millisecond

// piecemeal is a store whose writes wait for a deletion, the longer the more is deleted.
type piecemeal interface {
	// deletedAtOnce is how many indexes are deleted in one write.
	deletedAtOnce() uint64
}

// deletePiecemeal deletes a range piece by piece, each of them watched by itself. Raft deletes the first entries beside
// what it goes on to write, and the last ones, which were overruled, before it does. The log is without a gap after each
// piece, so a crash leaves a log that is only longer than it might be: it is compacted again, or overruled again.
func (s *guardedLogs) deletePiecemeal(lo, hi, piece uint64) error {
	last, err := s.LastIndex()
	if err != nil {
		return err
	}
	if hi >= last {
		return s.deleteDown(lo, min(hi, last), piece)
	}
	return s.deleteUp(lo, hi, piece)
}

// deleteUp deletes from the first index on.
func (s *guardedLogs) deleteUp(lo, hi, piece uint64) error {
	for {
		// Nothing lies before the first entry, which may be far behind the one before that.
		first, err := s.FirstIndex()
		if err != nil {
			return err
		}
		if lo = max(lo, first); lo > hi {
			return nil
		}
		end := min(hi, lo+piece-1)
		if err := s.delete(lo, end); err != nil || end == hi {
			return err
		}
		lo = end + 1
		time.Sleep(deletePause)
	}
}

// deleteDown deletes from the last index on.
func (s *guardedLogs) deleteDown(lo, hi, piece uint64) error {
	for lo <= hi {
		start := lo
		if hi-lo >= piece {
			start = hi - piece + 1
		}
		if err := s.delete(start, hi); err != nil || start == lo {
			return err
		}
		last, err := s.LastIndex()
		if err != nil {
			return err
		}
		hi = min(start-1, last)
	}
	return nil
}
