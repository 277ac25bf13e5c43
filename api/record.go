package api

import (
	"context"
	"crypto/rand"
	"net/http"
	"strconv"
	"time"

	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

// An owner in the log is either the caller's own word or, if it has none, the request's id. The prefix keeps the two
// apart, so that nobody can name another's request.
const (
	namedOwner   = "o:"
	requestOwner = "r:"
)

// propose has commands decided in one log entry. If ok is false, the answer is written.
func (x *exchange) propose(ctx context.Context, calls ...cluster.Call) (results []fsm.Result, ok bool) {
	return x.decideBy(ctx, x.node.Propose, calls)
}

// claim has claims decided, in one log entry if any of them changes something. If ok is false, the answer is written.
func (x *exchange) claim(ctx context.Context, calls ...cluster.Call) (results []fsm.Result, ok bool) {
	return x.decideBy(ctx, x.node.Claim, calls)
}

func (x *exchange) decideBy(ctx context.Context,
	node func(context.Context, ...cluster.Call) ([]fsm.Result, cluster.Receipt, error), calls []cluster.Call,
) (results []fsm.Result, ok bool) {
	ok = x.onLeader(ctx, func() error {
		var receipt cluster.Receipt
		var err error
		results, receipt, err = node(ctx, calls...)
		if err == nil {
			x.noteReceipt(receipt)
		}
		return err
	})
	return results, ok
}

// carryOut has one command decided and answers.
func (x *exchange) carryOut(cmd fsm.Command, done fsm.Outcome, name string, write func([]byte, *fsm.Result) []byte) {
	ctx, cancel := x.deadline(0)
	defer cancel()
	if r := x.decide(ctx, cmd, done); r != nil {
		x.out.b = write(x.out.b[:0], r)
		x.ok(name)
	}
}

// decide has one command decided. Any outcome but done is a refusal; if the result is nil, the answer is written.
func (x *exchange) decide(ctx context.Context, cmd fsm.Command, done fsm.Outcome) *fsm.Result {
	r := x.decideOne(ctx, cmd)
	if r == nil || r.Outcome == done {
		return r
	}
	x.refuse(problemOfResult(r, x.s.now()))
	return nil
}

// decideOne has one command decided, whatever the outcome. If the result is nil, the answer is written.
func (x *exchange) decideOne(ctx context.Context, cmd fsm.Command) *fsm.Result {
	results, ok := x.propose(ctx, cluster.Call{Command: cmd})
	if !ok {
		return nil
	}
	return &results[0]
}

// complement fills in what the caller of a claim does not say. The suffix tells apart the claims of one request, which
// would otherwise own each other's locks.
func (x *exchange) complement(c *fsm.Claim, suffix string) {
	c.ID.Tenant = x.caller.tenant.ID
	if c.Owner != "" {
		c.Owner = namedOwner + c.Owner
	} else {
		c.Owner = requestOwner + x.id + suffix
	}
	rand.Read(c.Token[:]) // never fails
}

// postRecord answers POST /v1/record.
func postRecord(x *exchange) {
	c, p := decodeClaim(x.body, x.headerKey, x.limits())
	if p != nil {
		x.refuse(p)
		return
	}
	x.complement(&c.Claim, "")
	call := cluster.Call{Command: c.Claim, Wait: c.wait}
	if !x.takeClaims(call) {
		return
	}
	ctx, cancel := x.deadline(c.wait)
	defer cancel()
	if results, ok := x.claim(ctx, call); ok {
		x.answerClaim(&results[0])
	}
}

func (x *exchange) answerClaim(r *fsm.Result) {
	outcome := claimOutcome(r)
	strict := r.Outcome == fsm.InProgress && prefersStrict(x.r.Header)
	if strict {
		x.Header()["Preference-Applied"] = []string{preferStrict}
	}
	if outcome == "" || strict {
		x.refuse(problemOfResult(r, x.s.now()))
		return
	}
	switch r.Outcome {
	case fsm.Cached:
		x.Header()["Idempotent-Replayed"] = []string{"true"}
	case fsm.InProgress:
		x.Header()["Retry-After"] = []string{wholeSeconds(time.Duration(r.RetryAfterMs) * time.Millisecond)}
	}
	x.out.b = appendClaim(x.out.b[:0], r, x.id, x.s.now())
	x.ok(outcome)
}

// putRecord answers PUT /v1/record.
func putRecord(x *exchange) {
	// The work is done: a life that the plan does not allow is no reason to refuse its result, it is made shorter.
	l, longest := x.limits(), x.limits().maxTTLSeconds
	l.maxTTLSeconds = x.s.limits.maxTTLSeconds
	cmd, p := decodeComplete(x.body, x.headerKey, l)
	if p != nil {
		x.refuse(p)
		return
	}
	cmd.TTLMs = min(cmd.TTLMs, longest*1_000)
	cmd.ID.Tenant = x.caller.tenant.ID
	x.carryOut(cmd, fsm.Stored, "stored", appendStored)
}

// deleteRecord answers DELETE /v1/record.
func deleteRecord(x *exchange) {
	cmd, p := decodeDelete(x.r.URL.RawQuery, x.body, x.headerKey)
	if p != nil {
		x.refuse(p)
		return
	}
	cmd.ID.Tenant = x.caller.tenant.ID
	x.carryOut(cmd, fsm.Deleted, "deleted", appendDeleted)
}

// getRecord answers GET /v1/record, by the leader unless the caller is content with this node's state.
func getRecord(x *exchange) {
	q, p := decodeQuery(x.r.URL.RawQuery)
	if p != nil {
		x.refuse(p)
		return
	}
	id, p := identity("", q.scope, q.key, x.headerKey)
	if p != nil {
		x.refuse(p)
		return
	}
	id.Tenant = x.caller.tenant.ID
	if q.consistency == consistencyStale {
		x.readStale(id)
		return
	}
	x.readLinearizable(id)
}

func (x *exchange) readLinearizable(id fsm.RecordID) {
	ctx, cancel := x.deadline(0)
	defer cancel()
	var view fsm.View
	ok := x.onLeader(ctx, func() error {
		var receipt cluster.Receipt
		var err error
		view, receipt, err = x.node.Read(ctx, id)
		if err == nil {
			x.noteReceipt(receipt)
		}
		return err
	})
	if ok {
		x.answerView(&view)
	}
}

func (x *exchange) readStale(id fsm.RecordID) {
	view, receipt, age := x.node.ReadStale(id)
	x.noteReceipt(receipt)
	bound := "unbounded"
	if age.Known {
		bound = strconv.FormatInt(int64((age.Max+time.Millisecond-1)/time.Millisecond), 10)
	}
	x.Header()[staleHeader] = []string{bound}
	x.answerView(&view)
}

func (x *exchange) answerView(v *fsm.View) {
	x.out.b = appendView(x.out.b[:0], v)
	x.send(http.StatusOK, v.State.String(), jsonType)
}
