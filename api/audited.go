package api

import (
	"context"
	"net/netip"

	"github.com/syllecta/syllecta/fsm"
)

// adminActor is the name and the role under which the audit log has whoever brings the admin token.
const adminActor = "admin"

// callerAddressHeader carries the original caller's address when one node passes a request on to another.
const callerAddressHeader = "Syllecta-Caller-Address"

// change has a change of the control plane decided in the log, where it is kept who asked for it. Any outcome but done is
// a refusal, put into words by refusal; if the result is nil, the answer is written. The leader's state must be current,
// see catchUp: the commands that are understood depend on it.
func (x *exchange) change(ctx context.Context, cmd fsm.Command, done fsm.Outcome,
	refusal func(*fsm.Result) *problem,
) *fsm.Result {
	r := x.decideChange(ctx, cmd)
	if r == nil || r.Outcome == done {
		return r
	}
	x.refuse(refusal(r))
	return nil
}

// decideChange is change whatever the outcome.
func (x *exchange) decideChange(ctx context.Context, cmd fsm.Command) *fsm.Result {
	if !x.takeChange(cmd) {
		return nil
	}
	return x.decideOne(ctx, x.audited(cmd))
}

// changesPerSecond bounds what a tenant's own keys change: each change is in the audit log, in memory, for ever. An admin
// is trusted with that.
const changesPerSecond = 1

// takeChange takes a token from the tenant's bucket at the node that decides. If it reports false, the answer is written.
func (x *exchange) takeChange(cmd fsm.Command) bool {
	if x.caller.role != roleTenant {
		return true
	}
	switch cmd.(type) {
	case fsm.ReplayEvents, fsm.IgnoreEvents: // limited by their own bucket, and by the events that there are
		return true
	case fsm.PutDataKey: // a part of another change
		return true
	}
	return x.takeOfTenant(x.s.perChanger, x.caller.tenant, changesPerSecond, 1, limitedChanges,
		"a tenant's keys change its sources, its keys and itself at most once per second, 60 times at once")
}

// audited is a change with who asked for it, if all nodes understand that.
func (x *exchange) audited(cmd fsm.Command) fsm.Command {
	if x.featureLevel() < fsm.LevelControl {
		return cmd
	}
	return fsm.Audited{By: x.actor(), Command: cmd}
}

func (x *exchange) featureLevel() uint32 { return x.node.Directory().FeatureLevel }

// upgraded reports whether all nodes understand what a request asks for, which needs a feature level. If not, the answer
// is written.
func (x *exchange) upgraded(needed uint32) bool {
	level := x.featureLevel()
	if level >= needed {
		return true
	}
	x.refuse(upgradePending.problem("this needs feature level %d and the cluster is at %d, which rises by itself when "+
		"all nodes run this release; nothing was changed", needed, level))
	return false
}

// upgradedAnywhere is upgraded on whatever node was asked: a leader of an older release would leave out what it does not
// know of a request that is sent on to it, and say that all is done.
func (x *exchange) upgradedAnywhere(ctx context.Context, needed uint32) bool {
	if x.featureLevel() < needed && !x.node.IsLeader() {
		if err := x.node.CatchUp(ctx); err != nil {
			x.err = err
			x.refuse(withoutLeader())
			return false
		}
	}
	return x.upgraded(needed)
}

// actor is the caller as the audit log names it: a tenant's by the public id of the API key.
func (x *exchange) actor() fsm.Actor {
	a := fsm.Actor{Name: adminActor, Role: adminActor, RequestID: x.id, Address: x.callerAddress()}
	if x.caller.key != nil {
		a.Name, a.Role = x.caller.key.PublicID, roleTenant.String()
	}
	return a
}

// callerAddress is the IP address the request came from: at a node that it was forwarded to, where the other node says
// that it came from. It is "" if it is not known. The word of whoever is no node, as a proxy's header, counts for nothing.
func (x *exchange) callerAddress() string {
	if x.forwarded {
		addr, err := netip.ParseAddr(x.r.Header.Get(callerAddressHeader))
		return plainAddress(addr, err)
	}
	hostPort, err := netip.ParseAddrPort(x.r.RemoteAddr)
	return plainAddress(hostPort.Addr(), err)
}

func plainAddress(addr netip.Addr, err error) string {
	if err != nil {
		return ""
	}
	return addr.Unmap().WithZone("").String()
}
