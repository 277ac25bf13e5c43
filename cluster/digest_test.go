package cluster

import (
	"slices"
	"testing"
)

func TestDigestLog(t *testing.T) {
	t.Parallel()
	var l digestLog
	digestOf := func(index uint64) uint64 { return index * 31 }
	// The log holds entries that no state machine sees, at checkpoints too: 256 and 512…515.
	last := uint64(0)
	for index := uint64(1); index < 600; index++ {
		if index == 256 || index >= 512 && index <= 515 {
			continue
		}
		l.before(index, digestOf(last))
		last = index
	}
	want := []digestCheckpoint{{256, digestOf(255)}, {512, digestOf(511)}}
	if !slices.Equal(l.checkpoints, want) {
		t.Fatalf("got %v, want %v", l.checkpoints, want)
	}
	// A jump over several checkpoints notes the last of them.
	l.before(10*checkpointEvery+1, 7)
	if got := l.checkpoints[2]; got != (digestCheckpoint{10 * checkpointEvery, 7}) {
		t.Fatalf("after a jump: %v", got)
	}
	for i := range uint64(2 * maxCheckpoints) {
		l.before((20+i)*checkpointEvery+1, i)
	}
	if len(l.checkpoints) != maxCheckpoints || l.checkpoints[0].Index != (20+maxCheckpoints)*checkpointEvery {
		t.Fatalf("%d are kept, from %d on", len(l.checkpoints), l.checkpoints[0].Index)
	}
}

func TestOutvoted(t *testing.T) {
	t.Parallel()
	type log = []digestCheckpoint
	for name, tc := range map[string]struct {
		own    log
		others []log
		voters int
		index  uint64
	}{
		"nothing to compare":              {nil, []log{{{256, 1}}, {{256, 1}}}, 3, 0},
		"nobody answers":                  {log{{256, 1}}, nil, 3, 0},
		"all agree":                       {log{{256, 1}}, []log{{{256, 1}}, {{256, 1}}}, 3, 0},
		"one of three differs":            {log{{256, 1}}, []log{{{256, 2}}, {{256, 1}}}, 3, 0},
		"both others differ":              {log{{256, 1}}, []log{{{256, 2}}, {{256, 2}}}, 3, 256},
		"both differ, from each other":    {log{{256, 1}}, []log{{{256, 2}}, {{256, 3}}}, 3, 0},
		"one other of two is no majority": {log{{256, 1}}, []log{{{256, 2}}}, 2, 0},
		"one other of three":              {log{{256, 1}}, []log{{{256, 2}}}, 3, 0},
		"two of five":                     {log{{256, 1}}, []log{{{256, 2}}, {{256, 2}}}, 5, 0},
		"three of five":                   {log{{256, 1}}, []log{{{256, 2}}, {{256, 2}}, {{256, 2}}}, 5, 256},
		"at the later index only":         {log{{256, 1}, {512, 1}}, []log{{{256, 1}, {512, 2}}, {{512, 2}}}, 3, 512},
		"at the earlier index only":       {log{{256, 1}}, []log{{{256, 2}, {512, 2}}, {{256, 2}}}, 3, 256},
		"at different indexes":            {log{{256, 1}, {512, 1}}, []log{{{256, 2}}, {{512, 2}}}, 3, 0},
		"nothing in common":               {log{{256, 1}}, []log{{{512, 2}}, {{512, 2}}}, 3, 0},
		"alone":                           {log{{256, 1}}, nil, 1, 0},
	} {
		index, differs := outvoted(tc.own, tc.others, tc.voters)
		if index != tc.index || differs != (tc.index != 0) {
			t.Errorf("%s: %d, %v, want %d", name, index, differs, tc.index)
		}
	}
}
