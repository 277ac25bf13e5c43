package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/julienschmidt/httprouter"

	"github.com/syllecta/syllecta/cluster"
)

// exchange is one request and its answer. It is the http.ResponseWriter that the router carries to the handler, so
// that no context value is needed on the way.
type exchange struct {
	http.ResponseWriter
	s      *Server
	r      *http.Request
	node   node // nil until one is attached
	start  time.Time
	id     string
	route  *route
	params httprouter.Params

	caller caller
	// webhook is a provider's request to a source; nil if this is none, or nothing is known of it yet.
	webhook *ingress
	// forwarded tells that another node passed this request on, and proved it.
	forwarded bool
	body      []byte // after readBody
	bodyRead  bool
	// charged is how many bytes of the body count for the bound of all webhooks.
	charged int64
	// headerKey is the Idempotency-Key header; "" if there is none.
	headerKey string

	out     *buffer
	status  int    // 0 until the answer begins
	outcome string // for the metrics: what the protocol answered, or a problem's code
	err     error  // what failed inside, for the log only
}

// handler answers an exchange; a middleware wraps one.
type handler func(*exchange)

// Header values that never change are shared: net/http only reads them.
var (
	jsonType    = []string{"application/json"}
	problemType = []string{"application/problem+json"}
	textType    = []string{"text/plain; charset=utf-8"}
	noStore     = []string{"no-store"}
	noSniff     = []string{"nosniff"}
)

func (x *exchange) setRequestID(id string) {
	x.id = id
	x.Header()[requestIDHeader] = []string{id}
}

// Unwrap lets http.ResponseController reach the connection.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// WriteHeader notes the status for the metrics and the log.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write sends a part of the body.
func (x *exchange) Write(b []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	return x.ResponseWriter.Write(b)
}

// send answers with what is in x.out. A caller that is gone cannot be told, so an error in writing is dropped.
func (x *exchange) send(status int, outcome string, contentType []string) {
	h := x.Header()
	h["Content-Type"] = contentType
	h["Content-Length"] = []string{strconv.Itoa(len(x.out.b))}
	x.outcome = outcome
	x.WriteHeader(status)
	x.Write(x.out.b)
}

// ok answers 200 with the JSON in x.out.
func (x *exchange) ok(outcome string) { x.send(http.StatusOK, outcome, jsonType) }

// fromProvider reports whether a provider asks, or whoever takes itself for one: also if no route was found for what it
// sent, or none was looked for.
func (x *exchange) fromProvider() bool {
	return x.route.ingress || x.route == x.s.unmatched && underIngress(x.r.URL.Path)
}

// refuse answers with a problem.
func (x *exchange) refuse(p *problem) {
	if x.fromProvider() {
		p.word = p.kind.webhookWord()
	}
	p.setHeaders(x.Header(), x.s.now())
	x.out.b = p.append(x.out.b[:0], x.id)
	x.send(p.kind.status, p.kind.code, problemType)
}

// fail answers for an error of the node. That a caller hung up is no failure of ours, but it may have closed only its
// sending side, so it is told all the same.
func (x *exchange) fail(err error) {
	x.err = err
	x.refuse(problemOfError(err))
	if x.r.Context().Err() != nil && x.s.base.Err() == nil {
		x.outcome = outcomeCallerGone
	}
}

// outcomeCallerGone is the outcome of a request whose caller did not wait for the answer.
const outcomeCallerGone = "caller_gone"

// noteReceipt tells the caller by which entry of the log the answer was decided, or up to which it was read.
func (x *exchange) noteReceipt(r cluster.Receipt) {
	h := x.Header()
	h[indexHeader] = []string{strconv.FormatUint(r.Index, 10)}
	h[termHeader] = []string{strconv.FormatUint(r.Term, 10)}
}

// deadline bounds the work on a request: the configured time, and for a claim that waits the wait on top. A waiting
// claim also ends when the server drains, since it may hold no one up.
func (x *exchange) deadline(wait time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := x.within(x.s.cfg.RequestTimeout + wait)
	if wait == 0 {
		return ctx, cancel
	}
	stop := context.AfterFunc(x.s.draining, cancel)
	return ctx, func() { stop(); cancel() }
}

// within bounds the work on a request whose body has been read.
func (x *exchange) within(timeout time.Duration) (context.Context, context.CancelFunc) {
	if time.Since(x.start)+timeout > readTimeout {
		// Left alone, the connection's read deadline would end the request's context half-way.
		x.clearReadDeadline()
	}
	return context.WithTimeout(x.r.Context(), timeout)
}

// clearReadDeadline is undone by net/http before the next request on the connection.
func (x *exchange) clearReadDeadline() {
	err := http.NewResponseController(x.ResponseWriter).SetReadDeadline(time.Time{})
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		x.s.log.Debug("cannot extend the read deadline", "requestId", x.id, "error", err)
	}
}
