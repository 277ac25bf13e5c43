package api

import (
	"container/list"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxBuckets bounds the token buckets of one kind, each of which takes less than 512 bytes.
const maxBuckets = 100_000

// buckets are token buckets by key, of which a bounded number is kept.
//
// A bucket is full at first and again when it has not been used for its window, and one that is full need not be kept.
// With as many as may be, the one that was used least recently gives way. It loses tokens that were taken only if so
// many other keys were used within a window; and a key that is refused and tries again counts as used, so that others
// must come in such numbers between two of its attempts to have it forgotten.
type buckets[K comparable] struct {
	policy string // name of the limit in the RateLimit fields
	window int    // how many seconds of its rate a full bucket holds
	most   int    // buckets kept

	mu    sync.Mutex
	byKey map[K]*list.Element // whose values are of type *bucket[K]
	used  list.List           // the most recently used first
}

// bucket has one token for each request that is still let through.
type bucket[K comparable] struct {
	key     K
	rate    int // tokens per second
	tokens  *rate.Limiter
	allowed []string // the RateLimit-Policy field
}

// quota is what a bucket says about one request.
type quota struct {
	policy  string
	allowed []string      // the RateLimit-Policy field
	rate    int           // tokens per second
	left    int           // tokens
	wait    time.Duration // until a request that was refused is let through, or the bucket is full again
}

func newBuckets[K comparable](policy string, window int) *buckets[K] {
	return &buckets[K]{policy: policy, window: window, most: maxBuckets, byKey: make(map[K]*list.Element)}
}

// take takes n tokens from the bucket of key, whose rate may change from one call to the next, or none if there are too
// few. More tokens than a bucket holds are taken from a full one, which then owes the rest: in the long run nobody has
// more than the rate, and no request is so large that it is always refused.
func (b *buckets[K]) take(key K, perSecond, n int, now time.Time) (quota, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.use(key, perSecond, now)
	full := perSecond * b.window
	first := min(n, full)
	if !k.tokens.AllowN(now, first) {
		return b.quotaOf(k, first, now), false
	}
	for owed := n - first; owed > 0; owed -= full {
		k.tokens.ReserveN(now, min(owed, full))
	}
	return b.quotaOf(k, full, now), true
}

// empty reports whether the bucket of key has no token left, and takes none.
func (b *buckets[K]) empty(key K, now time.Time) (quota, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.byKey[key]
	if e == nil {
		return quota{}, false
	}
	b.used.MoveToFront(e)
	q := b.quotaOf(e.Value.(*bucket[K]), 1, now)
	return q, q.wait > 0
}

// use returns the bucket of key; the caller holds mu.
func (b *buckets[K]) use(key K, perSecond int, now time.Time) *bucket[K] {
	e := b.byKey[key]
	if e == nil {
		b.makeRoom()
		full := perSecond * b.window
		e = b.used.PushFront(&bucket[K]{
			key: key, rate: perSecond, tokens: rate.NewLimiter(rate.Limit(perSecond), full), allowed: b.allowed(full),
		})
		b.byKey[key] = e
	}
	b.used.MoveToFront(e)
	k := e.Value.(*bucket[K])
	if k.rate != perSecond {
		full := perSecond * b.window
		k.rate, k.allowed = perSecond, b.allowed(full)
		k.tokens.SetLimitAt(now, rate.Limit(perSecond))
		k.tokens.SetBurstAt(now, full)
	}
	return k
}

func (b *buckets[K]) makeRoom() {
	for len(b.byKey) >= b.most {
		oldest := b.used.Remove(b.used.Back()).(*bucket[K])
		delete(b.byKey, oldest.key)
	}
}

// quotaOf tells how long it takes until the bucket has so many tokens. A token that is late by less than the clock can
// tell counts as there, as it does for the limiter.
func (b *buckets[K]) quotaOf(k *bucket[K], tokens int, now time.Time) quota {
	there := k.tokens.TokensAt(now)
	q := quota{policy: b.policy, allowed: k.allowed, rate: k.rate, left: max(int(there), 0)}
	if missing := float64(tokens) - there; missing > 0 {
		q.wait = time.Duration(missing / float64(k.rate) * float64(time.Second))
	}
	return q
}

// allowed is the RateLimit-Policy field of draft-ietf-httpapi-ratelimit-headers: a full bucket within its window.
func (b *buckets[K]) allowed(full int) []string {
	return []string{`"` + b.policy + `";q=` + strconv.Itoa(full) + `;w=` + strconv.Itoa(b.window)}
}
