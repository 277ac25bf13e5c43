package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"
)

// finish counts the request, logs it if it failed, and gives the buffer back. It runs however the handler ended.
func (x *exchange) finish() {
	x.s.metrics.inFlight.Dec()
	x.s.webhookBytes.Add(-x.charged)
	if x.outcome == "" {
		x.outcome = internalError.code // the handler was aborted
	}
	elapsed := time.Since(x.start)
	x.route.metrics.seconds.Observe(elapsed.Seconds())
	x.route.metrics.counter(x.outcome).Inc()
	if x.status >= http.StatusBadRequest {
		x.logFailure(elapsed)
	}
	x.out.free()
	x.out = nil
}

// logFailure writes one line. The query (it may hold a ticket), the credentials and the bodies are never part of it.
func (x *exchange) logFailure(elapsed time.Duration) {
	level := slog.LevelDebug
	if x.status >= http.StatusInternalServerError && x.outcome != outcomeCallerGone && x.outcome != outcomeNotReady {
		level = slog.LevelWarn
	}
	ctx := context.Background()
	if !x.s.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("requestId", x.id),
		slog.String("method", clip(x.r.Method, maxLoggedBytes)),
		slog.String("route", x.route.label),
		slog.Int("status", x.status),
		slog.String("code", x.outcome),
		slog.Duration("elapsed", elapsed),
		slog.String("remote", x.r.RemoteAddr),
	}
	switch {
	case x.webhook != nil:
		attrs = append(attrs, slog.String("tenant", x.webhook.tenant.PublicID), slog.String("source", x.webhook.source.PublicID))
	case x.caller.tenant != nil:
		attrs = append(attrs, slog.String("tenant", x.caller.tenant.PublicID))
	}
	if x.err != nil {
		attrs = append(attrs, slog.Any("error", x.err))
	}
	x.s.log.LogAttrs(ctx, level, "request failed", attrs...)
}

// maxLoggedBytes bounds what a log line repeats of the caller's own words.
const maxLoggedBytes = 16
