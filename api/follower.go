package api

import (
	"context"
	"errors"
	"time"

	"github.com/syllecta/syllecta/cluster"
)

// Bounds of the search for a leader within one request.
const (
	maxLeaderRounds = 3
	roundPause      = 50 * time.Millisecond
	ticketKeyPoll   = 25 * time.Millisecond
	// leaderlessWait is what a request waits at least, however long there has been no leader.
	leaderlessWait = 50 * time.Millisecond
)

// verdict is what became of one attempt to have a request decided.
type verdict uint8

const (
	// decided: this node's operation succeeded; the answer is still to be written.
	decided verdict = iota
	// answered: the answer is written.
	answered
	// undone: nothing was changed; another attempt may succeed.
	undone
	// unsure: it may have been done. Only routes whose commands may be sent again go on from here.
	unsure
)

// onLeader has op decided by the leader: here if this node leads, and otherwise by sending the caller, or the request,
// to the node that does. It reports whether op succeeded here; if not, the answer is written.
func (x *exchange) onLeader(ctx context.Context, op func() error) bool {
	doubtful := false
	for round := range maxLeaderRounds {
		if round > 0 && !pause(ctx, roundPause) {
			break
		}
		switch x.attempt(ctx, op, doubtful) {
		case decided:
			return true
		case answered:
			return false
		case unsure:
			doubtful = true
		}
	}
	x.giveUp(doubtful)
	return false
}

// attempt makes one round. Once an earlier round is doubtful, no later refusal may say that nothing was changed.
func (x *exchange) attempt(ctx context.Context, op func() error, doubtful bool) verdict {
	err := error(cluster.ErrNotLeader)
	if x.node.IsLeader() {
		err = op()
	}
	switch {
	case err == nil:
		return decided
	case errors.Is(err, cluster.ErrNotLeader):
		return x.sendToLeader(ctx, doubtful)
	case errors.Is(err, cluster.ErrOutcomeUnknown) && x.route.claims && ctx.Err() == nil:
		x.err = err
		return unsure
	case doubtful:
		err = errors.Join(cluster.ErrOutcomeUnknown, err)
	}
	x.fail(err)
	return answered
}

func (x *exchange) giveUp(doubtful bool) {
	if doubtful {
		x.fail(cluster.ErrOutcomeUnknown)
		return
	}
	x.fail(cluster.ErrNotLeader)
}

// sendToLeader finds the leader and redirects or forwards to it. A request that was forwarded once goes no further, and
// a claim that is in doubt is not handed back to a caller who could only send it under another owner.
func (x *exchange) sendToLeader(ctx context.Context, doubtful bool) verdict {
	if x.forwarded {
		x.giveUp(doubtful)
		return answered
	}
	x.dropQuota()
	leader, ok := x.findLeader(ctx)
	switch {
	case !ok:
		x.giveUp(doubtful)
		return answered
	case leader.ID == x.node.ID():
		return undone // it has just taken over, or not yet noticed that it lost
	case !x.upgradedAnywhere(ctx, x.route.since):
		return answered
	case x.route.ingress, x.s.cfg.Followers == FollowersForward && !x.route.stream:
		return x.forward(ctx, leader, doubtful)
	case doubtful:
		x.giveUp(doubtful)
		return answered
	default:
		x.redirect(leader)
		return answered
	}
}

// findLeader waits for a leader whose address and ticket key are known.
func (x *exchange) findLeader(ctx context.Context) (cluster.Peer, bool) {
	// An election is over within the wait. When there has been no leader for longer, it will not help this caller.
	wait := max(leaderlessWait, x.s.cfg.LeaderWait-x.node.LeaderlessFor())
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		leader, ok := x.node.WaitLeader(ctx)
		if !ok || leader.ID == x.node.ID() || len(leader.TicketKey) > 0 {
			return leader, ok
		}
		if !pause(ctx, ticketKeyPoll) {
			return cluster.Peer{}, false
		}
	}
}

// pause reports whether d passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
