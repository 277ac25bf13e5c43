package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"
)

// errorRest is how long a connection waits after an error, so that a cluster without a leader is not run over.
const errorRest = 20 * time.Millisecond

// Kinds of errors beside the codes of the API.
const (
	kindConnection    = "connection" // refused, reset or closed
	kindTimeout       = "timeout"
	kindMalformed     = "malformed" // an answer that is none
	kindUnknownLeader = "unknown_leader"
	kindRedirectLoop  = "redirect_loop"

	codeNoLeader = "no_leader"
)

// dialling is how the connections of a run are made.
type dialling struct {
	leadership *leadership
	tls        *tls.Config
	key        string
	timeout    time.Duration
}

// connection sends the requests of one script, one at a time, to whoever leads.
type connection struct {
	dialling
	script script
	wire   *wire // nil until there is one
	at     *endpoint
}

func (c *connection) hangUp() {
	if c.wire != nil {
		c.wire.conn.Close()
		c.wire = nil
	}
}

// connect makes sure that there is a wire to the leader, which the leader has not closed for being idle.
func (c *connection) connect(ctx context.Context, now time.Time) error {
	leader := c.leadership.leader.Load()
	if c.wire != nil && c.at == leader && now.Sub(c.wire.armed) < maxWireIdle {
		return nil
	}
	c.hangUp()
	c.at = leader
	w, err := dialWire(ctx, leader, c.tls, c.key, c.timeout)
	if err == nil {
		c.wire = w
	}
	return err
}

// ask sends one request, to another node if it is redirected, and returns the reply.
func (c *connection) ask(ctx context.Context, call benchCall, body []byte, now time.Time) (wireReply, error) {
	for range maxRedirects + 1 {
		if err := c.connect(ctx, now); err != nil {
			return wireReply{}, err
		}
		r, err := c.wire.do(call, body, now)
		if err != nil || r.closing {
			c.hangUp()
		}
		if err != nil || r.status != http.StatusTemporaryRedirect {
			return r, err
		}
		if err := c.leadership.redirected(c.at, r.location); err != nil {
			return wireReply{}, err
		}
	}
	return wireReply{}, errRedirectLoop
}

// work does what the script says for as long as requests are due.
func (c *connection) work(ctx context.Context, p pace, t *tally) {
	for now := time.Now(); ; {
		due, ok := p.next(now)
		if !ok {
			return
		}
		call, body := c.script.next()
		r, err := c.ask(ctx, call, body, time.Now())
		now = time.Now()
		kind := c.take(call, r, err, now.Sub(due), t)
		if kind == "" {
			continue
		}
		t.fail(kind)
		c.rest(ctx, kind)
		now = time.Now()
	}
}

// take counts an answer and tells the script, or returns what kind of error it was.
func (c *connection) take(call benchCall, r wireReply, err error, latency time.Duration, t *tally) (kind string) {
	o := outcomeFailed
	switch {
	case err != nil:
		kind = kindOfError(err)
	case r.status != http.StatusOK:
		kind = kindOfRefusal(r)
	default:
		if o = outcomeOf(call, r.body); o == outcomeFailed {
			kind = kindMalformed
		}
	}
	if o != outcomeFailed {
		t.answer(call, o, latency)
	}
	if o == outcomeBatch {
		t.countBatch(r.body)
	}
	c.script.answered(o, r.body)
	return kind
}

// rest waits a little after an error, and looks for the leader if it is likely to be another one.
func (c *connection) rest(ctx context.Context, kind string) {
	pause(ctx, errorRest)
	switch kind {
	case kindConnection, kindTimeout, codeNoLeader:
		c.leadership.lost(ctx, c.at)
	}
}

func kindOfError(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, errUnknownLeader):
		return kindUnknownLeader
	case errors.Is(err, errRedirectLoop):
		return kindRedirectLoop
	case errors.Is(err, errMalformed):
		return kindMalformed
	case errors.As(err, &timeout) && timeout.Timeout():
		return kindTimeout
	default:
		return kindConnection
	}
}

// kindOfRefusal is the code of a problem, or the status of what is none.
func kindOfRefusal(r wireReply) string {
	var p problem
	if err := json.Unmarshal(r.body, &p); err == nil && p.Code != "" {
		return p.Code
	}
	return "http_" + strconv.Itoa(r.status)
}
