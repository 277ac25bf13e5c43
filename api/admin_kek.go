package api

import (
	"context"

	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

const (
	// maxRewraps bounds the data keys that one request wraps anew, all in one entry.
	maxRewraps = 100
	// maxUnreadable bounds the tenants that an answer names whose data key cannot be unwrapped.
	maxUnreadable = 100
)

// rewrap is what one request does about the data keys of all tenants.
type rewrap struct {
	kek        string // what they are to be wrapped under
	calls      []cluster.Call
	rewrapped  int64
	remaining  int64 // for a next request
	unreadable []lostKey
	hidden     int64 // that unreadable has no room for
}

// lostKey is a data key that cannot be unwrapped.
type lostKey struct {
	tenant *fsm.Tenant
	why    error
}

// rewrapDataKeys answers POST /v1/admin/kek/rewrap: data keys that are wrapped under another key-encryption key than the
// current one are wrapped under that. It may be repeated at any time.
func rewrapDataKeys(x *exchange) {
	ctx, cancel := x.deadline(0)
	defer cancel()
	if !x.catchUp(ctx) {
		return
	}
	r, p := x.planRewrap()
	if p != nil {
		x.refuse(p)
		return
	}
	if !x.proposeRewrap(ctx, r) {
		return
	}
	x.out.b = appendRewrap(x.out.b[:0], r)
	x.ok("data_keys_rewrapped")
}

// planRewrap looks through all tenants.
func (x *exchange) planRewrap() (*rewrap, *problem) {
	dir, vault := x.node.Directory(), x.s.cfg.Vault
	current, ok := vault.Current()
	if !ok {
		return nil, noKEK.problem("this node has no key-encryption key: make one with syllecta kek generate, give it to every " +
			"node and start them with --kek-file; nothing was changed")
	}
	r := &rewrap{kek: current}
	for _, t := range dir.Tenants() {
		if t.DataKey == "" {
			continue
		}
		wrapped, changed, err := vault.Rewrap(t.PublicID, []byte(t.DataKey))
		switch {
		case err != nil && len(r.unreadable) < maxUnreadable:
			r.unreadable = append(r.unreadable, lostKey{t, err})
		case err != nil:
			r.hidden++
		case !changed:
		case len(r.calls) == maxRewraps:
			r.remaining++
		default:
			cmd := fsm.PutDataKey{Tenant: t.ID, Wrapped: wrapped, Replace: true, Old: []byte(t.DataKey)}
			r.calls = append(r.calls, cluster.Call{Command: fsm.Audited{By: x.actor(), Command: cmd}})
		}
	}
	return r, nil
}

// proposeRewrap has what was planned decided. If it is false, the answer is written.
func (x *exchange) proposeRewrap(ctx context.Context, r *rewrap) bool {
	if len(r.calls) == 0 {
		return true
	}
	results, ok := x.propose(ctx, r.calls...)
	if !ok {
		return false
	}
	for i, result := range results {
		audited, _ := r.calls[i].Command.(fsm.Audited)
		put, _ := audited.Command.(fsm.PutDataKey)
		// An entry that was proposed twice finds its own key there the second time.
		if result.Tenant != nil && result.Tenant.DataKey == string(put.Wrapped) {
			r.rewrapped++
		} else {
			r.remaining++ // somebody else was quicker
		}
	}
	return true
}

func appendRewrap(b []byte, r *rewrap) []byte {
	b = append(b, '{')
	b = appendStringMember(b, "kek", r.kek)
	b = appendIntMember(b, "rewrapped", r.rewrapped)
	b = appendIntMember(b, "remaining", r.remaining)
	b = append(appendName(b, "unreadable"), '[')
	for _, u := range r.unreadable {
		b = append(appendName(b, ""), '{')
		b = appendStringMember(b, "tenant", u.tenant.Slug)
		b = appendStringMember(b, "detail", u.why.Error())
		b = append(b, '}')
	}
	b = append(b, ']')
	if r.hidden > 0 {
		b = appendIntMember(b, "moreUnreadable", r.hidden)
	}
	return append(b, '}')
}
