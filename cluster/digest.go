package cluster

import "slices"

// Nodes compare digests at these log indexes: far enough apart to cost nothing, close enough to catch a node that
// differs soon. maxCheckpoints are remembered, so that nodes that are a little behind each other still meet.
const (
	checkpointEvery = 256
	maxCheckpoints  = 16
)

// digestCheckpoint is the state machine's digest after every entry up to Index.
type digestCheckpoint struct{ Index, Digest uint64 }

// digestLog remembers a node's last checkpoints, oldest first.
type digestLog struct {
	checkpoints []digestCheckpoint
	from        uint64 // what the digest was at checkpoints before this index, that of a snapshot, is not known
}

// before notes, if the entry about to be applied is the first behind a checkpoint, what the digest was there.
func (l *digestLog) before(index, digest uint64) {
	at := (index - 1) / checkpointEvery * checkpointEvery
	if n := len(l.checkpoints); at == 0 || at < l.from || n > 0 && l.checkpoints[n-1].Index >= at {
		return
	}
	if len(l.checkpoints) == maxCheckpoints {
		l.checkpoints = slices.Delete(l.checkpoints, 0, 1)
	}
	l.checkpoints = append(l.checkpoints, digestCheckpoint{at, digest})
}

// outvoted returns an index at which a majority of the voters agree with each other and differ from own.
func outvoted(own []digestCheckpoint, others [][]digestCheckpoint, voters int) (index uint64, ok bool) {
	for _, mine := range own {
		votes := make(map[uint64]int)
		for _, checkpoints := range others {
			for _, theirs := range checkpoints {
				if theirs.Index == mine.Index && theirs.Digest != mine.Digest {
					votes[theirs.Digest]++
				}
			}
		}
		for _, n := range votes {
			if n > voters/2 {
				return mine.Index, true
			}
		}
	}
	return 0, false
}
