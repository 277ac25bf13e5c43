package main

import (
	"runtime"
	"testing"
)

func TestCollectorPercent(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	for name, tc := range map[string]struct {
		live, scannable uint64
		want            int
	}{
		"nothing yet":                              {0, 0, 1600},
		"a small heap":                             {16 * mb, 8 * mb, 400},
		"a heap full of pointers":                  {1000 * mb, 1000 * mb, 400},
		"records without pointers":                 {3200 * mb, 8 * mb, 2},
		"records and locks":                        {3200 * mb, 160 * mb, 20},
		"a scan that counts what is dead by now":   {100 * mb, 400 * mb, 400},
		"so many records that one percent is more": {100_000 * mb, 16 * mb, 1},
	} {
		if got := collectorPercent(tc.live, tc.scannable); got != tc.want {
			t.Errorf("%s: %d %%, want %d %%", name, got, tc.want)
		}
	}
}

func TestCollectorSettles(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		current, percent int
		want             bool
	}{{0, 400, true}, {400, 400, false}, {400, 430, false}, {400, 450, true}, {400, 350, true}, {4, 5, true}, {4, 4, false}} {
		if got := changed(tc.current, tc.percent); got != tc.want {
			t.Errorf("from %d %% to %d %%: %t, want %t", tc.current, tc.percent, got, tc.want)
		}
	}
}

func TestHeapSizes(t *testing.T) {
	t.Parallel()
	runtime.GC()
	if live, scannable := heapSizes(); live == 0 || scannable == 0 {
		t.Errorf("%d bytes live, %d scannable: the runtime knows these no more", live, scannable)
	}
}
