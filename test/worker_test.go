package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

const (
	killScope = "kill"
	// activeKeys are in use at a time; each is retired after opsPerKey operations, which keeps checking it cheap.
	activeKeys = 24
	opsPerKey  = 30
	// maxReclaims is how often a worker repeats a claim whose answer was lost.
	maxReclaims = 4
)

// keyPool hands out keys, so that workers meet on them.
type keyPool struct {
	mu   sync.Mutex
	keys [activeKeys]string
	uses [activeKeys]int
	made int
}

func newKeyPool() *keyPool {
	p := &keyPool{}
	for i := range p.keys {
		p.renew(i)
	}
	return p
}

func (p *keyPool) renew(i int) {
	p.made++
	p.keys[i], p.uses[i] = fmt.Sprintf("key-%05d", p.made), 0
}

func (p *keyPool) take(i int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.uses[i]++; p.uses[i] > opsPerKey {
		p.renew(i)
	}
	return p.keys[i]
}

// worker is one client of the load. It uses any node, follows redirects, and notes what it asked for and was told.
type worker struct {
	id       int
	pool     *keyPool
	history  *history
	oddities *oddities
	rng      *rand.Rand
	clients  []*client
	owners   int
	// silent is the node that did not answer last time, or had no leader; it is mostly left alone for the next calls.
	asked       int // the node of the last call
	silent      int
	silentCalls int
	// old is a token of the past, of some key.
	old struct{ key, token string }
}

func newWorker(id int, f *faults, pool *keyPool) *worker {
	w := &worker{
		id: id, pool: pool, history: f.history, oddities: &f.oddities,
		rng: rand.New(rand.NewPCG(f.rng.Uint64(), uint64(id))),
	}
	for _, n := range f.c.nodes {
		w.clients = append(w.clients, newClient(n.url(), f.apiKey).following())
	}
	return w
}

// run works until ctx ends.
func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		key := w.pool.take(w.rng.IntN(activeKeys))
		switch n := w.rng.IntN(20); {
		case n < 10:
			w.work(key)
		case n < 14:
			w.get(key)
		case n < 17:
			w.delete(key)
		case n < 18:
			w.put(key, "")
		case n < 19 && w.old.key != "":
			w.put(w.old.key, w.old.token)
		case w.old.key != "":
			w.renewOrRelease(verbRelease, w.old.key, w.old.token)
		}
		w.pause(*pauseFlag)
	}
}

func (w *worker) pause(limit time.Duration) { time.Sleep(time.Duration(w.rng.Int64N(int64(limit)))) }

// spareCalls is how many calls mostly spare a node that was of no use to one.
const spareCalls = 30

// any returns a client of a random node, impatient or not: some requests outlive a frozen leader's sleep.
func (w *worker) any() *client {
	i := w.rng.IntN(len(w.clients))
	if w.silentCalls > 0 && i == w.silent && w.rng.IntN(10) > 0 {
		i = (i + 1) % len(w.clients)
	}
	w.silentCalls--
	w.asked = i
	c := *w.clients[i]
	c.timeout = []time.Duration{time.Second, 2 * time.Second, 8 * time.Second}[w.rng.IntN(3)]
	return &c
}

// work claims a key and, if it gets the lock, does one of the things that holders do.
func (w *worker) work(key string) {
	token := w.claim(key)
	if token == "" {
		return
	}
	w.old.key, w.old.token = key, token
	w.pause(3 * time.Millisecond)
	switch n := w.rng.IntN(20); {
	case n < 10:
		w.put(key, token)
	case n < 12:
		w.put(key, "")
	case n < 14:
		w.renewOrRelease(verbRenew, key, token)
		w.put(key, token)
	case n < 17:
		w.renewOrRelease(verbRelease, key, token)
	}
	// The others leave the lock to whoever comes when the lease is over.
}

// claim returns the token if it got the lock. Most of the time it insists when an answer was lost.
func (w *worker) claim(key string) (token string) {
	w.owners++
	lockMs := []int64{1_000, 1_500, 60_000}[w.rng.IntN(3)]
	waitMs := []int{0, 0, 300, 2_000}[w.rng.IntN(4)]
	request := claimRequest{
		Scope: killScope, Key: key, Owner: fmt.Sprintf("%d-%d", w.id, w.owners), LockMs: &lockMs, WaitMs: waitMs,
	}
	for range maxReclaims {
		o := w.begin(verbClaim, key)
		o.owner, o.lease, o.waits = request.Owner, lockMs*int64(time.Millisecond), waitMs > 0
		a := w.any().claim(request)
		w.finish(o, a.answer, func() {
			switch {
			case a.Locked:
				o.result, o.gotToken, o.fence = resultGranted, a.Token, a.Fence
			case a.Cached:
				o.result, o.gotBody = resultCompleted, string(a.Record.Body)
			default:
				o.result = resultInProgress
			}
		})
		if o.result != resultUnknown || w.rng.IntN(4) == 0 {
			return o.gotToken
		}
	}
	return ""
}

func (w *worker) put(key, token string) {
	o := w.begin(verbPut, key)
	o.token, o.body = token, fmt.Sprint(w.rng.IntN(1_000_000))
	if w.rng.IntN(8) == 0 {
		o.body = "0" // a value that others store as well
	}
	a := w.any().put(putRequest{Scope: killScope, Key: key, Token: token, Body: []byte(o.body)})
	w.finish(o, a, func() { o.result = resultDone })
}

func (w *worker) get(key string) {
	o := w.begin(verbGet, key)
	v := w.any().get(killScope, key)
	w.finish(o, v.answer, func() { o.seeView(v) })
}

// seeView notes what a read saw.
func (o *operation) seeView(v view) {
	o.gotBody = string(v.Record.Body)
	switch {
	case v.outcome != ok:
		o.result = resultUnknown
	case v.Cached:
		o.result = resultCompleted
	case v.State == "locked":
		o.result = resultLocked
	case v.State == "lapsed":
		o.result = resultLapsed
	default:
		o.result = resultAbsent
	}
}

func (w *worker) delete(key string) {
	o := w.begin(verbDelete, key)
	a := w.any().delete(killScope, key)
	w.finish(o, a.answer, func() { o.result, o.existed = resultDone, a.Existed })
}

func (w *worker) renewOrRelease(v verb, key, token string) {
	o := w.begin(v, key)
	o.token = token
	request := lockRequest{Scope: killScope, Key: key, Token: token}
	var a answer
	if v == verbRenew {
		lockMs := int64(1_200)
		request.LockMs, o.lease = &lockMs, lockMs*int64(time.Millisecond)
		a = w.any().renew(request)
	} else {
		a = w.any().release(request)
	}
	w.finish(o, a, func() { o.result = resultDone })
}

func (w *worker) begin(v verb, key string) *operation {
	return &operation{verb: v, key: key, client: w.id, call: w.history.now(), end: endOfTime}
}

// finish notes an operation with what it was told; done fills in a good answer.
func (w *worker) finish(o *operation, a answer, done func()) {
	if a.err != nil || a.code == "no_leader" {
		w.silent, w.silentCalls = w.asked, spareCalls
	}
	if a.outcome != unknown {
		o.end = w.history.now()
	}
	switch {
	case a.outcome == ok:
		done()
	case a.code == "lock_lost":
		o.result = resultLockLost
	case a.code == "already_completed":
		o.result = resultCompleted
	case a.outcome == refused:
		o.result, o.note = resultRefused, a.String()
	default:
		o.note = a.String()
	}
	w.history.add(o)
	if o.result != resultRefused && o.result != resultUnknown {
		return
	}
	if a.status != 0 && a.status != http.StatusServiceUnavailable {
		w.oddities.add(verbNames[o.verb], a)
	}
	time.Sleep(pollInterval) // there is no leader, or nobody at that address
}
