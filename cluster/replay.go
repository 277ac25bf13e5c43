package cluster

import (
	"context"
	"errors"

	"github.com/syllecta/syllecta/fsm"
)

// Claim is Propose for claims, and saves the log write where none of them can change anything: if each meets a
// completed record, or a live lock that it does not wait for, they are answered from this leader's state, once a
// majority has confirmed after the call arrived that it still leads. Otherwise the log decides all of them, in one
// entry.
func (n *Node) Claim(ctx context.Context, calls ...Call) ([]fsm.Result, Receipt, error) {
	// Most claims are of new keys, and are not to wait for a confirmation that they have no use for.
	if _, _, ok := n.replay(calls); !ok {
		return n.Propose(ctx, calls...)
	}
	if !n.IsLeader() || n.draining.Load() {
		return nil, Receipt{}, ErrNotLeader
	}
	term := n.readyTerm.Load()
	switch err := n.confirmer.confirm(ctx); {
	case errors.Is(err, ErrUnavailable) && ctx.Err() == nil:
		return n.Propose(ctx, calls...) // the log may find out within the caller's time
	case err != nil:
		return nil, Receipt{}, err
	}
	results, at, ok := n.replay(calls)
	if !n.servedBy(term) {
		return nil, Receipt{}, ErrUnavailable
	}
	if !ok {
		return n.Propose(ctx, calls...)
	}
	n.countReplays(calls, results)
	return results, at, nil
}

// MayGrant returns how many of the calls are claims that may be granted a lock, by this node's state as it is. That may be
// otherwise a moment later.
func (n *Node) MayGrant(calls ...Call) (count int) {
	nowMs := n.clock.nowMs()
	n.applier.read(func(m *fsm.Machine) {
		for _, c := range calls {
			if claim, ok := c.Command.(fsm.Claim); ok && m.MayGrant(claim, c.Wait > 0, nowMs) {
				count++
			}
		}
	})
	return count
}

// replay answers the calls from this node's state as it is; ok is false if the log must decide one of them.
func (n *Node) replay(calls []Call) (results []fsm.Result, at Receipt, ok bool) {
	nowMs := n.clock.nowMs()
	n.applier.read(func(m *fsm.Machine) {
		at = Receipt{m.Index(), m.Term()}
		for _, c := range calls {
			claim, isClaim := c.Command.(fsm.Claim)
			if !isClaim {
				return
			}
			r, settled := m.Replay(claim, nowMs)
			if !settled || r.Outcome == fsm.InProgress && c.Wait > 0 {
				return
			}
			results = append(results, r)
		}
		ok = len(calls) > 0
	})
	return results, at, ok
}
