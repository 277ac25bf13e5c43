package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	contenders = 64
	// blockKeys are claimed by all contenders before any goes on: all of them claim the same key at about the same time,
	// and not one after the other.
	blockKeys = 50
	// maxTries bounds how often one call is repeated when the leader changes under it, as it may on a busy machine.
	maxTries = 50
)

// TestContention has many clients, spread over all nodes, claim the same keys. Exactly one of them gets each lock, and
// all the others its result.
func TestContention(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	key := c.newTenant("contention", 0).key
	t.Run("polling", func(t *testing.T) { contend(t, c, key, "polling", 0) })
	t.Run("waiting", func(t *testing.T) { contend(t, c, key, "waiting", 30_000) })
	if used := c.usage("contention"); used != 2*int64(*keysFlag) {
		t.Errorf("%d claims were counted for %d grants", used, 2**keysFlag)
	}
}

// contest is one run: the keys of one scope, and who was granted each.
type contest struct {
	c      *cluster
	apiKey string
	scope  string
	waitMs int
	grants []atomic.Int32
	calls  atomic.Int64
}

func contend(t *testing.T, c *cluster, apiKey, scope string, waitMs int) {
	started, before := time.Now(), c.term()
	x := &contest{c: c, apiKey: apiKey, scope: scope, waitMs: waitMs, grants: make([]atomic.Int32, *keysFlag)}
	barrier := newBarrier(contenders)
	var all errgroup.Group
	for i := range contenders {
		all.Go(func() error {
			defer barrier.leave()
			return x.contender(i, barrier)
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	for k := range x.grants {
		if n := x.grants[k].Load(); n != 1 {
			t.Errorf("%s was granted to %d clients, want exactly 1", keyName(k), n)
		}
	}
	elapsed := time.Since(started)
	t.Logf("%d clients, %d keys: %d calls in %s", contenders, *keysFlag, x.calls.Load(),
		elapsed.Round(time.Millisecond))
	// Claims and PUTs, and nothing else: nobody had to ask again.
	if want := int64((contenders + 1) * *keysFlag); waitMs > 0 && x.calls.Load() != want && c.term() == before {
		t.Errorf("%d calls were made, want %d: waiters did not wait", x.calls.Load(), want)
	}
}

func (c *cluster) term() uint64 {
	c.t.Helper()
	s, err := c.leader().status()
	if err != nil {
		c.t.Fatal(err)
	}
	return s.Term
}

func keyName(k int) string { return fmt.Sprintf("key-%d", k) }

// body is the result of the work on a key, with digits and spaces that must survive.
func bodyFor(k int) string { return fmt.Sprintf(`{ "charge" : "ch_%d",  "amount": %d.50e0 }`, k, k) }

// contender claims every key of every block, and once all are through a block, those again that somebody else held.
func (x *contest) contender(i int, barrier *barrier) error {
	ws := wires{}
	defer ws.close()
	host := x.c.nodes[i%len(x.c.nodes)].ports.http
	for first := 0; first < *keysFlag; first += blockKeys {
		var held []int
		for k := first; k < min(first+blockKeys, *keysFlag); k++ {
			inProgress, err := x.claim(ws, host, i, k)
			if err != nil {
				return fmt.Errorf("client %d, %s: %w", i, keyName(k), err)
			}
			if inProgress {
				held = append(held, k)
			}
		}
		barrier.wait()
		for _, k := range held {
			inProgress, err := x.claim(ws, host, i, k)
			if err == nil && inProgress {
				err = errors.New("still in progress after its holder has saved the result")
			}
			if err != nil {
				return fmt.Errorf("client %d, %s again: %w", i, keyName(k), err)
			}
		}
	}
	return nil
}

// claim makes one claim. If it is granted, it saves the result; if there is a result, it is compared.
func (x *contest) claim(ws wires, host string, i, k int) (inProgress bool, err error) {
	owner := fmt.Sprintf("client-%d", i)
	r, err := x.call(ws, http.MethodPost, host, encode(claimRequest{
		Scope: x.scope, Key: keyName(k), Owner: owner, WaitMs: x.waitMs,
	}))
	if err != nil {
		return false, err
	}
	var a claimed
	if err := json.Unmarshal(r.body, &a); err != nil || r.status != http.StatusOK {
		return false, fmt.Errorf("claim: %d %s (%w)", r.status, r.body, err)
	}
	switch {
	case a.Locked:
		x.grants[k].Add(1)
		// json.Marshal would compact the body, so the request is put together by hand.
		put := fmt.Sprintf(`{"scope":%q,"key":%q,"token":%q,"status":201,"body":%s}`, x.scope, keyName(k), a.Token,
			bodyFor(k))
		if r, err = x.call(ws, http.MethodPut, host, []byte(put)); err == nil && r.status != http.StatusOK {
			err = fmt.Errorf("put: %d %s", r.status, r.body)
		}
		return false, err
	case a.Cached && (string(a.Record.Body) != bodyFor(k) || a.Record.Status != 201):
		return false, fmt.Errorf("the result is %d %s, want 201 %s", a.Record.Status, a.Record.Body, bodyFor(k))
	default:
		return !a.Cached, nil
	}
}

// call repeats a call while the cluster has no leader. Owner and token make that safe.
func (x *contest) call(ws wires, method, host string, body []byte) (r reply, err error) {
	for range maxTries {
		x.calls.Add(1)
		r, err = ws.do(method, host, "/v1/record", x.apiKey, body)
		if err == nil && r.status != http.StatusServiceUnavailable {
			return r, nil
		}
		time.Sleep(pollInterval)
	}
	return r, fmt.Errorf("%s is not answered: %d %s (%w)", method, r.status, r.body, err)
}

// barrier lets a number of goroutines meet again and again.
type barrier struct {
	mu      sync.Mutex
	members int
	waiting int
	open    chan struct{}
}

func newBarrier(members int) *barrier { return &barrier{members: members, open: make(chan struct{})} }

// wait returns once every member waits.
func (b *barrier) wait() {
	b.mu.Lock()
	open := b.open
	b.waiting++
	b.openIfFull()
	b.mu.Unlock()
	<-open
}

// leave takes a member out for good.
func (b *barrier) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.members--
	b.openIfFull()
}

func (b *barrier) openIfFull() {
	if b.waiting == b.members {
		close(b.open)
		b.open, b.waiting = make(chan struct{}), 0
	}
}
