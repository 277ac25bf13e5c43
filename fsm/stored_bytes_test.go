package fsm

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

func (j *journal) wantStored(what string, want int64) {
	j.tb.Helper()
	if got := j.m.StoredBytes(1); got != want {
		j.tb.Errorf("%s: %d bytes stored, want %d", what, got, want)
	}
}

// A result counts with its name until the hour in which it expires is over, or until it is deleted.
func TestStoredBytes(t *testing.T) {
	t.Parallel()
	j := connectedJournal(t, Plan{})
	store := func(key, body string, ttl int64) {
		c := completeWith(Token{}, body)
		c.ID, c.Headers, c.TTLMs, c.InheritTTL = recordID(key), []byte("{}"), ttl, false
		if r := j.apply(noon2026, c); r.Outcome != Stored {
			t.Fatal(r)
		}
	}
	own := int64(len("orders") + 1 + len("{}"))
	store("a", "123", ttlMs)
	j.wantStored("one", own+3)
	store("b", "12345", hourMs/2)
	j.wantStored("two", 2*own+8)
	store("a", "123", ttlMs) // a retry
	j.wantStored("one again", 2*own+8)
	j.advance(noon2026 + hourMs/2)
	j.wantStored("expired in this hour", 2*own+8)
	j.advance(noon2026 + hourMs)
	j.wantStored("the hour is over", own+3)
	j.apply(0, Delete{recordID("a")})
	j.wantStored("deleted", 0)
	j.apply(0, Delete{recordID("a")})
	j.wantStored("deleted again", 0)
}

// Above the plan's bytes no lock is granted and no event accepted, and all that needs neither goes on.
func TestStoredBytesLimit(t *testing.T) {
	t.Parallel()
	j := connectedJournal(t, Plan{MaxStoredBytes: 1_000})
	j.apply(noon2026, claimBy("a", tok(1)))
	c := completeWith(tok(1), string(make([]byte, 2_000)))
	if r := j.apply(noon2026, c); r.Outcome != Stored {
		t.Errorf("a result beyond the limit: %+v", r)
	}
	more := claimBy("a", tok(2))
	more.ID.Key = "other"
	if r := j.apply(noon2026, more); r.Outcome != StoredBytesExceeded || r.Limit != 1_000 {
		t.Errorf("a claim: %+v", r)
	}
	if r := j.apply(noon2026, claimBy("b", tok(2))); r.Outcome != Cached {
		t.Errorf("a replay: %+v", r)
	}
	if r := j.apply(noon2026, anEvent("x")); r.Outcome != StoredBytesExceeded || r.Limit != 1_000 {
		t.Errorf("an event: %+v", r)
	}
	if u := j.m.UsageDays(1, 0, DayOf(MaxStampMs))[0]; u.Count(MeterRejected) != 2 {
		t.Errorf("counted as %v", u)
	}
	j.apply(noon2026, Delete{recordID("k")})
	if r := j.apply(noon2026, more); r.Outcome != Granted {
		t.Errorf("after a deletion: %+v", r)
	}
}

// Stored bytes are the sum of what was stored and is not over, whatever snapshots are taken and restored meanwhile.
func TestStoredBytesProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var s storedBytes
		want := make(map[int64]int64)
		now := int64(noon2026)
		var captured []tenantBytes
		var before string
		for range rapid.IntRange(1, 80).Draw(rt, "steps") {
			switch rapid.IntRange(0, 4).Draw(rt, "step") {
			case 0:
				captured = s.capture()
				before = fmt.Sprint(captured)
			case 1:
				now += rapid.SampledFrom([]int64{1, hourMs / 2, 3 * hourMs}).Draw(rt, "later")
			default:
				expires := now + int64(rapid.IntRange(1, 6).Draw(rt, "life"))*hourMs/2
				bytes := int64(rapid.IntRange(-50, 100).Draw(rt, "bytes"))
				s.add(2, expires, bytes, now)
				if want[hourOf(expires)] += bytes; want[hourOf(expires)] < 0 {
					want[hourOf(expires)] = 0
				}
			}
			sum := int64(0)
			for hour, bytes := range want {
				if hour >= hourOf(now) {
					sum += bytes
				}
			}
			if got := s.of(2, now); got != sum {
				rt.Fatalf("%d bytes, want %d", got, sum)
			}
			if captured != nil && fmt.Sprint(captured) != before {
				rt.Fatal("a snapshot has changed")
			}
		}
	})
}
