package api

import (
	"runtime"
	"strconv"
	"testing"
	"time"
)

var testStart = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func TestBucket(t *testing.T) {
	t.Parallel()
	type step struct {
		after   time.Duration // since the last step
		tokens  int
		ok      bool
		left    int
		wait    time.Duration
		because string
	}
	for name, c := range map[string]struct {
		rate, window int
		steps        []step
	}{
		"one a second": {1, 2, []step{
			{0, 1, true, 1, time.Second, "full"},
			{0, 1, true, 0, 2 * time.Second, "the burst-th"},
			{0, 1, false, 0, time.Second, "the next"},
			{time.Second - time.Microsecond, 1, false, 0, time.Microsecond, "a microsecond early"},
			{time.Microsecond, 1, true, 0, 2 * time.Second, "refilled"},
			{time.Hour, 1, true, 1, time.Second, "no fuller than full"},
		}},
		"uneven rate": {3, 2, []step{
			{0, 6, true, 0, 2 * time.Second, "all at once"},
			{0, 1, false, 0, time.Second / 3, "the next"},
			{time.Second / 3, 1, true, 0, 2 * time.Second, "rounding does not keep a token back"},
		}},
		"many at once": {10, 2, []step{
			{0, 15, true, 5, 1500 * time.Millisecond, "fits"},
			{0, 6, false, 5, 100 * time.Millisecond, "refused as a whole"},
			{0, 5, true, 0, 2 * time.Second, "the rest is still there"},
		}},
		"more than fit": {10, 2, []step{
			{0, 1, true, 19, 100 * time.Millisecond, ""},
			{0, 50, false, 19, 100 * time.Millisecond, "the bucket is not full"},
			{100 * time.Millisecond, 50, true, 0, 5 * time.Second, "owes 30"},
			{0, 1, false, 0, 3100 * time.Millisecond, "pays first"},
			{3 * time.Second, 1, false, 0, 100 * time.Millisecond, "has paid"},
			{100 * time.Millisecond, 1, true, 0, 2 * time.Second, ""},
		}},
		"a clock that jumps back": {1, 2, []step{
			{0, 2, true, 0, 2 * time.Second, ""},
			{-time.Hour, 1, false, 0, time.Second, "gains nothing"},
			{time.Second, 1, false, 0, time.Second, "the time until then was lived through"},
		}},
	} {
		b := newBuckets[string]("p", c.window)
		now := testStart
		for i, s := range c.steps {
			now = now.Add(s.after)
			q, ok := b.take("k", c.rate, s.tokens, now)
			if near := (q.wait - s.wait).Abs() <= 2; ok != s.ok || q.left != s.left || !near {
				t.Errorf("%s, step %d (%s): %v, %d left, wait %s; want %v, %d, %s",
					name, i, s.because, ok, q.left, q.wait, s.ok, s.left, s.wait)
			}
		}
	}
}

func TestBucketsAreApart(t *testing.T) {
	t.Parallel()
	b := newBuckets[string]("p", 2)
	b.take("a", 1, 2, testStart)
	if _, ok := b.take("a", 1, 1, testStart); ok {
		t.Error("a has a third token")
	}
	if _, ok := b.take("b", 1, 1, testStart); !ok {
		t.Error("a used up b's tokens")
	}
	if _, empty := b.empty("c", testStart); empty || len(b.byKey) != 2 {
		t.Errorf("a key that was never used is empty (%v), or has a bucket: %d", empty, len(b.byKey))
	}
}

func TestBucketFollowsItsRate(t *testing.T) {
	t.Parallel()
	b := newBuckets[string]("p", 2)
	b.take("k", 1, 2, testStart)
	q, ok := b.take("k", 10, 1, testStart.Add(time.Second))
	if !ok || q.left != 0 || q.allowed[0] != `"p";q=20;w=2` {
		t.Errorf("a raised rate: %v, %+v", ok, q)
	}
	if q, ok = b.take("k", 10, 1, testStart.Add(2*time.Second)); !ok || q.left != 9 {
		t.Errorf("a second later: %v, %+v", ok, q)
	}
	if q, ok = b.take("k", 1, 1, testStart.Add(2*time.Second)); !ok || q.left != 1 || q.allowed[0] != `"p";q=2;w=2` {
		t.Errorf("a lowered rate: %v, %+v", ok, q)
	}
}

// TestBucketsAreBounded: of more keys than fit, those used least recently are forgotten. A key that keeps trying is not.
func TestBucketsAreBounded(t *testing.T) {
	t.Parallel()
	b := newBuckets[int]("p", 2)
	b.most = 100
	const persistent = -1
	b.take(persistent, 1, 2, testStart)
	for name, refused := range map[string]func() bool{
		"take":  func() bool { _, ok := b.take(persistent, 1, 1, testStart); return !ok },
		"empty": func() bool { _, empty := b.empty(persistent, testStart); return empty },
	} {
		for i := range 100 * b.most {
			if i%(b.most-1) == 0 && !refused() {
				t.Fatalf("%s: a throttled key was forgotten after %d others", name, i)
			}
			b.take(i, 1, 1, testStart)
		}
	}
	if len(b.byKey) != b.most || b.used.Len() != b.most {
		t.Errorf("%d and %d buckets are kept, want %d", len(b.byKey), b.used.Len(), b.most)
	}
	for i := range b.most {
		b.take(-2-i, 1, 1, testStart)
	}
	if _, empty := b.empty(persistent, testStart); empty {
		t.Error("a key that has not been used for as long as all others is kept")
	}
}

// TestBucketsAreSmall measures what the comment of maxBuckets says. It is alone, so that nothing else allocates.
func TestBucketsAreSmall(t *testing.T) {
	b := newBuckets[[32]byte]("requests", requestWindow)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range maxBuckets {
		b.take([32]byte([]byte(strconv.Itoa(1_000_000+i)+"0123456789012345678901234")), 100, 1, testStart)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / maxBuckets; each > 512 {
		t.Errorf("a bucket takes %d bytes", each)
	} else {
		t.Logf("a bucket takes %d bytes", each)
	}
	runtime.KeepAlive(b)
}
