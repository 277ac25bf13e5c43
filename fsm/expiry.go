package fsm

import "slices"

// expiryBuckets groups what expires at about the same time, in order of that time. T is a pointer to a bucket.
//
// A bucket's end is never before what it holds is due, and less than a thirty-second of the remaining life, or a
// second, after it: whatever lifetimes callers choose, there are only some hundreds of buckets. Nothing but the moment
// of physical removal depends on the rounding.
type expiryBuckets[T any] struct {
	byEnd map[int64]T
	ends  []int64 // ascending
}

const (
	minBucketMs       = 1_000
	bucketsPerHorizon = 64
)

// bucketEnd returns the end of the bucket for something due at dueMs, seen from nowMs.
func bucketEnd(nowMs, dueMs int64) int64 {
	width := int64(minBucketMs)
	for width < (dueMs-nowMs)/bucketsPerHorizon {
		width *= 2
	}
	return (dueMs + width - 1) / width * width
}

// at returns the bucket with that end, made by create if there is none yet.
func (x *expiryBuckets[T]) at(end int64, create func() T) T {
	if b, ok := x.byEnd[end]; ok {
		return b
	}
	if x.byEnd == nil {
		x.byEnd = make(map[int64]T)
	}
	b := create()
	x.byEnd[end] = b
	i, _ := slices.BinarySearch(x.ends, end)
	x.ends = slices.Insert(x.ends, i, end)
	return b
}

// first returns the bucket that ends first.
func (x *expiryBuckets[T]) first() (end int64, bucket T, ok bool) {
	if len(x.ends) == 0 {
		return 0, bucket, false
	}
	return x.ends[0], x.byEnd[x.ends[0]], true
}

func (x *expiryBuckets[T]) removeFirst() {
	delete(x.byEnd, x.ends[0])
	x.ends = slices.Delete(x.ends, 0, 1)
}

// all calls yield for every bucket, in order.
func (x *expiryBuckets[T]) all(yield func(end int64, bucket T) bool) {
	for _, end := range x.ends {
		if !yield(end, x.byEnd[end]) {
			return
		}
	}
}
