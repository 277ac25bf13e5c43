package delivery

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// outcome is what came of an attempt.
type outcome struct {
	order
	sent   bool // a request was made, and answer is set
	answer answer
	took   time.Duration // until the end of the answer
	report fsm.ReportAttempt
	pause  time.Duration // for which the destination is left alone
	// err says why no attempt was made that counts: the key cannot be had, or the reign is over.
	err error
}

// errReignOver is why an attempt was broken off.
var errReignOver = errors.New("the node leads no more")

// attempt makes one attempt. It returns early when ctx ends, with nothing to report.
func (r *reign) attempt(ctx context.Context, o order) outcome {
	out := outcome{order: o, report: fsm.ReportAttempt{
		Tenant: o.event.Tenant, Event: o.event.ID, Number: o.number(),
		Attempt: fsm.Attempt{StartedAtMs: r.outbox.ClusterNowMs(), Replay: o.event.Replay},
	}}
	if o.source.CallbackURL == "" {
		return out.failed(failedNoURL)
	}
	l, err := r.worker.open(o, out.report.Attempt.StartedAtMs)
	switch {
	case errors.Is(err, errDropped):
		return out.failed(failedDropped)
	case errors.Is(err, errUnreadable):
		return out.failed(failedUnreadable)
	case err != nil:
		out.err = err
		return out
	}
	sending, cancel := context.WithTimeout(ctx, r.worker.timeout)
	defer cancel()
	request, err := o.request(sending, l, r.worker.wall(), r.worker.agent)
	switch {
	case errors.Is(err, errUnreadable):
		return out.failed(failedUnreadable)
	case err != nil:
		return r.judge(out, l, failedURL)
	}
	out.sent = true
	start := time.Now()
	out.answer = r.worker.send(request)
	out.took = time.Since(start)
	if ctx.Err() != nil {
		out.err = errReignOver
		return out
	}
	return r.judge(out, l, describe(out.answer.err))
}

// failed is the outcome for an event that no attempt could deliver.
func (out outcome) failed(why string) outcome {
	out.report.Verdict = fsm.VerdictFailed
	out.report.Attempt.Error = why
	return out
}

// judge completes the report of an attempt. failure is why there was no answer, if there was none.
func (r *reign) judge(out outcome, l letter, failure string) outcome {
	d := decide(out.source, out.event.Tries, out.answer)
	if d.verdict != fsm.VerdictDelivered && r.hasChanged(out.source) {
		d = decision{verdict: fsm.VerdictRetry} // at once: it was somewhere else, or otherwise, that the event was not taken
	}
	report := &out.report
	report.Verdict, out.pause = d.verdict, d.pause
	report.Attempt.LatencyMs = out.answer.latency.Milliseconds()
	report.Attempt.StatusCode = uint16(out.answer.status)
	if out.answer.status == 0 {
		report.Attempt.Error = failure
	}
	switch d.verdict {
	case fsm.VerdictRetry:
		report.NextAtMs = r.outbox.ClusterNowMs() + d.wait.Milliseconds()
	case fsm.VerdictDelivered:
		report.SetPayload, report.Form, report.Payload = keep(out.order, l)
	}
	return out
}

// hasChanged reports whether a source is not any more what it was.
func (r *reign) hasChanged(s *fsm.Source) bool {
	now := r.outbox.Directory().SourceByID(s.ID)
	return now == nil || now.Revision != s.Revision
}

// send makes the request. The status alone decides: the body is read, as far as it is short, for the connection's sake.
func (w *Worker) send(r *http.Request) answer {
	start := time.Now()
	response, err := w.transports.of(r.URL.Scheme).RoundTrip(r)
	latency := time.Since(start)
	if err != nil {
		return answer{err: err, latency: latency}
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusSwitchingProtocols { // what follows that is no body, and has no end
		_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswerBody))
	}
	return answer{
		status: response.StatusCode, latency: latency,
		retryAfter: retryAfter(response.StatusCode, response.Header, w.wall()),
	}
}
