package fsm

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestBucketEnd(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		remaining := 1 + rng.Int64N(1<<rng.IntN(40))
		now := noon2026 + rng.Int64N(10*ttlMs)
		end, due := bucketEnd(now, now+remaining), now+remaining
		if end < due {
			t.Fatalf("bucket ends %d ms before what it holds is due", due-end)
		}
		if slack := max(minBucketMs, remaining/(bucketsPerHorizon/2)); end-due >= slack {
			t.Fatalf("bucket for %d ms ends %d ms late, want less than %d", remaining, end-due, slack)
		}
	}
}

// Whatever lifetimes are mixed while the clock moves on, the buckets that exist at one time stay few.
func TestBucketsAreFew(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	var x expiryBuckets[*slab]
	most, now := 0, noon2026
	for range 300_000 {
		now += rng.Int64N(2_000)
		remaining := 1 + rng.Int64N(1<<(10+rng.IntN(28)))
		x.at(bucketEnd(now, now+remaining), func() *slab { return &slab{} })
		for end, _, ok := x.first(); ok && end <= now; end, _, ok = x.first() {
			x.removeFirst()
		}
		most = max(most, len(x.ends))
		if len(x.ends) != len(x.byEnd) {
			t.Fatalf("%d ends of %d buckets", len(x.ends), len(x.byEnd))
		}
	}
	if most > 1_500 {
		t.Errorf("%d buckets at one time", most)
	}
}

func TestBucketsComeInOrder(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	var x expiryBuckets[*slab]
	made := 0
	for range 1_000 {
		x.at(rng.Int64N(500), func() *slab { made++; return &slab{} })
	}
	if made != len(x.ends) {
		t.Errorf("%d buckets made, %d kept", made, len(x.ends))
	}
	previous := int64(-1)
	for end, b := range x.all {
		if first, fb, _ := x.first(); previous == -1 && (first != end || fb != b) {
			t.Errorf("first is %d, all begins with %d", first, end)
		}
		if end <= previous || x.at(end, nil) != b {
			t.Fatalf("bucket %d after %d", end, previous)
		}
		previous = end
	}
}

// crowd fills a machine with locks and records that all expire at about the same time, and returns when they have.
func crowd(tb testing.TB, locks, records int) (j *journal, goneMs int64) {
	j = newJournal(tb)
	for i := range locks {
		c := claimBy("a", tok(1))
		c.ID, c.TTLMs = recordID(fmt.Sprint("lock ", i)), leaseMs+500+int64(i%7)
		j.apply(noon2026, c)
	}
	for i := range records {
		c := completeWith(Token{}, `1`)
		c.ID, c.TTLMs = recordID(fmt.Sprint("record ", i)), leaseMs+500+int64(i%7)
		j.apply(noon2026, c)
	}
	return j, noon2026 + leaseMs + 506
}

// What has expired is gone at once, however long its removal takes.
func TestReapIsBoundedAndInvisible(t *testing.T) {
	t.Parallel()
	const locks, records = 1_300, 1_300
	j, gone := crowd(t, locks, records)
	j.advance(gone)
	if n := j.m.Locks() + j.m.Records(); n != locks+records {
		t.Fatalf("%d left at expiry, want all: their bucket has not ended", n)
	}
	due, ok := j.m.ReapDueMs()
	if !ok || due < gone {
		t.Fatalf("reaping is due at %d, %v, want from %d on", due, ok, gone)
	}
	for left, entries := locks+records, 0; left > 0; entries++ {
		j.advance(due)
		for _, key := range []string{"lock 0", "lock 1299", "record 0", "record 1299"} {
			wantView(t, key, j.m.View(recordID(key)), View{})
		}
		now := j.m.Locks() + j.m.Records()
		if want := max(0, left-MaxReapPerEntry); now != want {
			t.Fatalf("entry %d left %d of %d, want %d", entries, now, left, want)
		}
		left = now
		again, ok := j.m.ReapDueMs()
		if left > 0 && (!ok || again > due) {
			t.Fatalf("%d left, yet reaping is due at %d, %v", left, again, ok)
		}
	}
	j.advance(due)
	if _, ok := j.m.ReapDueMs(); ok || j.m.records.chunkCount() != 0 || j.m.locks.pageCount() != 0 {
		t.Errorf("all removed, yet reaping is due (%v), or %d chunks and %d pages are kept", ok,
			j.m.records.chunkCount(), j.m.locks.pageCount())
	}
}

// While the removal of a crowd is under way, its keys can be used again, and the removal leaves the new ones alone.
func TestReapLeavesNewRecordsAlone(t *testing.T) {
	t.Parallel()
	const n = 1_000
	j, _ := crowd(t, n, n)
	due, _ := j.m.ReapDueMs()
	for i := range n { // each entry also removes up to MaxReapPerEntry of the old ones
		c := claimBy("b", tok(2))
		c.ID = recordID(fmt.Sprint("record ", i))
		put := completeWith(Token{}, `2`)
		put.ID = recordID(fmt.Sprint("lock ", i))
		for k, r := range j.entry(due, c, put) {
			if r.Outcome != Granted && r.Outcome != Stored {
				t.Fatalf("command %d of entry %d: %+v", k, i, r)
			}
		}
	}
	for range 10 {
		j.advance(due)
	}
	if j.m.Locks() != n || j.m.Records() != n {
		t.Errorf("%d locks and %d records kept, want the %d new ones of each", j.m.Locks(), j.m.Records(), n)
	}
	for i := range n {
		lock, record := j.m.View(recordID(fmt.Sprint("record ", i))), j.m.View(recordID(fmt.Sprint("lock ", i)))
		if lock.State != StateLocked || record.State != StateCompleted || string(record.Record.Body) != `2` {
			t.Fatalf("key %d: %+v and %+v", i, lock, record)
		}
	}
}

func TestReapDue(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	if _, ok := j.m.ReapDueMs(); ok {
		t.Error("due on an empty machine")
	}
	endless := claimBy("a", tok(1))
	endless.LeaseMs = NeverMs
	j.apply(noon2026, endless)
	if _, ok := j.m.ReapDueMs(); ok {
		t.Error("due for a lock that never expires")
	}
	for i, ttl := range []int64{9 * leaseMs, 3 * leaseMs, 5 * leaseMs, 2 * leaseMs} {
		var cmd Command = Claim{ID: recordID(fmt.Sprint(i)), Owner: "a", LeaseMs: leaseMs, TTLMs: ttl}
		if i%2 == 1 {
			cmd = Complete{ID: recordID(fmt.Sprint(i)), Status: 200, Headers: []byte(`{}`), Body: []byte(`1`), TTLMs: ttl}
		}
		j.apply(noon2026, cmd)
	}
	for left := 5; left > 1; left-- {
		due, ok := j.m.ReapDueMs()
		if !ok {
			t.Fatalf("not due with %d left", left)
		}
		j.advance(due - 1)
		if n := j.m.Locks() + j.m.Records(); n != left {
			t.Fatalf("%d left before it was due, want %d", n, left)
		}
		j.advance(due)
		if n := j.m.Locks() + j.m.Records(); n != left-1 {
			t.Fatalf("%d left when it was due, want %d", n, left-1)
		}
	}
}
