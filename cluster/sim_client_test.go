package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// simOp is one call of a client and what it was told, in true time.
type simOp struct {
	client    int
	command   fsm.Command // nil for a read
	id        fsm.RecordID
	wait      time.Duration
	call, ret time.Time

	result  fsm.Result
	view    fsm.View
	receipt Receipt
	err     error
}

// unapplied reports whether the client was told for certain that its call had no effect.
func (o *simOp) unapplied() bool { return o.err != nil && !errors.Is(o.err, ErrOutcomeUnknown) }

func (o *simOp) String() string {
	return fmt.Sprintf("client %d %s–%s %s: %s", o.client,
		o.call.Format("05.000000"), o.ret.Format("05.000000"), o.question(), o.answer())
}

func (o *simOp) question() string {
	switch c := o.command.(type) {
	case nil:
		return "read"
	case fsm.Claim:
		return fmt.Sprintf("claim %s as %q for %d ms, waiting %v", simShort(c.Token), c.Owner, c.LeaseMs, o.wait)
	case fsm.Complete:
		return fmt.Sprintf("complete %s with %s for %d ms", simShort(c.Token), c.Body, c.TTLMs)
	case fsm.Renew:
		return fmt.Sprintf("renew %s for %d ms", simShort(c.Token), c.LeaseMs)
	case fsm.Release:
		return fmt.Sprintf("release %s", simShort(c.Token))
	}
	return fmt.Sprintf("%T", o.command)
}

func (o *simOp) answer() string {
	switch {
	case o.err != nil:
		return o.err.Error()
	case o.command == nil:
		return fmt.Sprintf("%v %s at %d", o.view.State, o.view.Record.Body, o.receipt.Index)
	}
	r := o.result
	return fmt.Sprintf("outcome %d token %s fence %d re-entered %v existed %v body %s at %d",
		r.Outcome, simShort(r.Token), r.Fence, r.Reentered, r.Existed, r.Record.Body, o.receipt.Index)
}

func simShort(t fsm.Token) string { return fmt.Sprint(binary.BigEndian.Uint64(t[:])) }

// simHistory is what all clients of a simulation saw.
type simHistory struct {
	mu  sync.Mutex
	ops []*simOp
}

func (h *simHistory) add(o *simOp) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, o)
}

// simUnique numbers tokens, bodies and leases, so that each is recognised in the log.
var simUnique atomic.Uint64

func simToken() (t fsm.Token) {
	binary.BigEndian.PutUint64(t[:], simUnique.Add(1))
	t[15] = 1
	return t
}

func simBody() []byte { return fmt.Appendf(nil, `"value %d"`, simUnique.Add(1)) }

func simRecordID(key string) fsm.RecordID {
	return fsm.RecordID{Tenant: simTenant, Scope: "orders", Key: key}
}

const simDayMs = 86_400_000

func simClaim(key, owner string, lease time.Duration) fsm.Claim {
	return fsm.Claim{ID: simRecordID(key), Owner: owner, Token: simToken(), LeaseMs: lease.Milliseconds(), TTLMs: simDayMs}
}

func simComplete(key string, token fsm.Token) fsm.Complete {
	return fsm.Complete{
		ID: simRecordID(key), Token: token, Status: 200, Headers: []byte("{}"), Body: simBody(), TTLMs: simDayMs,
	}
}

// propose makes a call on a node and notes it in the journal.
func (c *simCluster) propose(s *simNode, timeout time.Duration, cmd fsm.Command, wait time.Duration) *simOp {
	o := &simOp{command: cmd, id: recordOf(cmd), wait: wait, call: time.Now()}
	n := s.process.Load()
	if n == nil {
		o.err, o.ret = ErrClosed, o.call
		return o
	}
	c.journal.called(cmd)
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var results []fsm.Result
	decide := n.Propose
	if _, ok := cmd.(fsm.Claim); ok {
		decide = n.Claim
	}
	results, o.receipt, o.err = decide(ctx, Call{Command: cmd, Wait: wait})
	o.ret = time.Now()
	if o.err == nil {
		o.result = results[0]
	}
	return o
}

// read makes a linearizable read on a node.
func (c *simCluster) read(s *simNode, timeout time.Duration, id fsm.RecordID) *simOp {
	o := &simOp{id: id, call: time.Now()}
	n := s.process.Load()
	if n == nil {
		o.err, o.ret = ErrClosed, o.call
		return o
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	o.view, o.receipt, o.err = n.Read(ctx, id)
	o.ret = time.Now()
	return o
}

// simClient makes calls one after the other: it works on records as a program would, but loses patience, forgets what
// it holds, and sometimes does what it should not.
type simClient struct {
	number  int
	cluster *simCluster
	history *simHistory
	random  *rand.Rand
	leader  *simNode // that it takes for the leader
	held    []simHeld
}

// simHeld is a lock that a client was granted.
type simHeld struct {
	id    fsm.RecordID
	owner string
	token fsm.Token
}

const (
	simKeys       = 4
	simGeneration = 12 * time.Second // then other keys are used
	simPause      = 60 * time.Millisecond
	simAttempts   = 4
)

func newSimClient(c *simCluster, h *simHistory, number int) *simClient {
	return &simClient{
		number: number, cluster: c, history: h, leader: c.nodes[number%len(c.nodes)],
		random: rand.New(rand.NewPCG(c.random.Uint64(), uint64(number))),
	}
}

// run works until ctx ends.
func (k *simClient) run(ctx context.Context) {
	start := time.Now()
	for ctx.Err() == nil {
		time.Sleep(time.Duration(k.random.Int64N(int64(2 * simPause))))
		generation := time.Since(start) / simGeneration
		k.act(fmt.Sprintf("key %d.%d", k.random.IntN(simKeys), generation))
	}
}

// act makes one call, or several if they fail.
func (k *simClient) act(key string) {
	switch p := k.random.IntN(100); {
	case p < 40:
		k.claim(key, fmt.Sprintf("client %d.%d", k.number, simUnique.Add(1)))
	case p < 65 && len(k.held) > 0:
		k.finish(k.takeHeld())
	case p < 69:
		k.try(func() fsm.Command { return simComplete(key, fsm.Token{}) }, 0)
	case p < 73:
		k.delete(key)
	case p < 76 && len(k.held) > 0: // it keeps the lock, as a program that hangs would
		h := k.takeHeld()
		k.claim(h.id.Key, h.owner)
	case p < 78 && len(k.held) > 0:
		k.takeHeld() // forgotten
	default:
		k.read(key)
	}
}

func (k *simClient) takeHeld() simHeld {
	i := k.random.IntN(len(k.held))
	h := k.held[i]
	k.held = append(k.held[:i], k.held[i+1:]...)
	return h
}

func (k *simClient) claim(key, owner string) {
	lease := time.Second + time.Duration(k.random.Int64N(int64(4*time.Second)))
	if k.random.IntN(4) == 0 {
		lease += 15 * time.Second
	}
	var wait time.Duration
	if k.random.IntN(3) == 0 {
		wait = time.Duration(k.random.Int64N(int64(5 * time.Second)))
	}
	o := k.try(func() fsm.Command { return simClaim(key, owner, lease) }, wait)
	if o.err == nil && o.result.Outcome == fsm.Granted {
		k.held = append(k.held, simHeld{o.id, owner, o.result.Token})
	}
}

// finish does with a lock that is held what a program would, in time or too late.
func (k *simClient) finish(h simHeld) {
	switch p := k.random.IntN(100); {
	case p < 40:
		complete := simComplete(h.id.Key, h.token)
		if k.random.IntN(2) == 0 {
			complete.TTLMs = 2_000 + k.random.Int64N(4_000)
		}
		k.try(func() fsm.Command { complete.Body = simBody(); return complete }, 0)
	case p < 70:
		k.try(func() fsm.Command { return fsm.Release{ID: h.id, Token: h.token} }, 0)
	default:
		o := k.try(func() fsm.Command {
			return fsm.Renew{ID: h.id, Token: h.token, LeaseMs: 1_000 + int64(simUnique.Add(1)%8_000)}
		}, 0)
		if o.err == nil && o.result.Outcome == fsm.Renewed {
			k.held = append(k.held, h)
		}
	}
}

// delete is patient: an unknown outcome of a delete cannot be recognised in the log.
func (k *simClient) delete(key string) {
	k.history.add(k.attempt(20*time.Second, fsm.Delete{ID: simRecordID(key)}, 0))
}

func (k *simClient) read(key string) {
	s := k.target()
	o := k.cluster.read(s, k.patience(), simRecordID(key))
	o.client = k.number
	k.history.add(o)
	k.learn(o)
}

// try makes a call until it is known what came of it, a few times at most. A call that was refused is made anew.
func (k *simClient) try(cmd func() fsm.Command, wait time.Duration) *simOp {
	for i := 1; ; i++ {
		o := k.attempt(k.patience()+wait*time.Duration(k.random.IntN(2)), cmd(), wait)
		k.history.add(o)
		if !o.unapplied() || i == simAttempts {
			return o
		}
		time.Sleep(time.Duration(k.random.Int64N(int64(200 * time.Millisecond))))
	}
}

func (k *simClient) attempt(timeout time.Duration, cmd fsm.Command, wait time.Duration) *simOp {
	o := k.cluster.propose(k.target(), timeout, cmd, wait)
	o.client = k.number
	k.learn(o)
	return o
}

// patience is how long a client waits for an answer; sometimes hardly at all.
func (k *simClient) patience() time.Duration {
	if k.random.IntN(20) == 0 {
		return time.Duration(k.random.Int64N(int64(20 * time.Millisecond)))
	}
	return time.Second + time.Duration(k.random.Int64N(int64(4*time.Second)))
}

// target is the node to call: any that says it leads, be it true or not, and at times any at all.
func (k *simClient) target() *simNode {
	nodes := k.cluster.nodes
	if n := k.leader.process.Load(); n != nil && n.IsLeader() && k.random.IntN(50) != 0 {
		return k.leader
	}
	k.leader = nodes[k.random.IntN(len(nodes))]
	return k.leader
}

func (k *simClient) learn(o *simOp) {
	if o.err != nil {
		k.leader = k.cluster.nodes[k.random.IntN(len(k.cluster.nodes))]
	}
}
