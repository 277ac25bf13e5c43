package delivery

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

// Bounds of reports.
const (
	// maxReports and maxReportBytes bound one proposal; one report alone may have more bytes.
	maxReports     = 64
	maxReportBytes = 1 << 20
	// proposeTimeout bounds one try of a proposal. minProposePause and maxProposePause bound the time to the next.
	proposeTimeout  = 10 * time.Second
	minProposePause = 50 * time.Millisecond
	maxProposePause = 2 * time.Second
)

// startReport brings to the log what attempts have come to, as much as may be together, and one proposal at a time: while
// one is being committed the next fills.
func (r *reign) startReport(ctx context.Context) {
	if r.reporting || len(r.unreported) == 0 {
		return
	}
	n, bytes := 0, 0
	for n < len(r.unreported) && n < maxReports {
		bytes += len(r.unreported[n].Payload)
		if n > 0 && bytes > maxReportBytes {
			break
		}
		n++
	}
	reports := slices.Clone(r.unreported[:n])
	r.unreported = slices.Delete(r.unreported, 0, n)
	r.reporting = true
	r.running.Go(func() { r.reported <- r.propose(ctx, reports) })
}

// propose has reports applied, and returns the events that they are about. It tries until ctx ends, also if the outcome
// is unknown: a report that was applied before changes nothing.
func (r *reign) propose(ctx context.Context, reports []fsm.ReportAttempt) (ids []fsm.EventID) {
	var calls []cluster.Call
	for _, report := range reports {
		ids = append(ids, report.Event)
		calls = append(calls, cluster.Call{Command: report})
	}
	for pause := minProposePause; ; pause = min(2*pause, maxProposePause) {
		proposing, cancel := context.WithTimeout(ctx, proposeTimeout)
		results, _, err := r.outbox.Propose(proposing, calls...)
		cancel()
		if err == nil {
			r.checkReports(reports, results)
			return ids
		}
		if ctx.Err() != nil {
			return ids
		}
		r.sayUnreported(ctx, len(ids), err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ids
		}
	}
}

// sayUnreported tells that a proposal failed. That the node leads no more is no fault.
func (r *reign) sayUnreported(ctx context.Context, events int, err error) {
	level := slog.LevelWarn
	if errors.Is(err, cluster.ErrNotLeader) {
		level = slog.LevelDebug
	}
	r.worker.cfg.Logger.Log(ctx, level, "how events were delivered is not in the log yet", "events", events, "error", err)
}

// checkReports notes which reports came too late to matter: an event may be ignored while it is in flight.
func (r *reign) checkReports(reports []fsm.ReportAttempt, results []fsm.Result) {
	for i, result := range results {
		if result.Outcome != fsm.AttemptNoted {
			r.worker.cfg.Logger.Debug("an attempt was not noted: its event has changed meanwhile",
				"event", reports[i].Event.String(), "attempt", reports[i].Number)
		}
	}
}
