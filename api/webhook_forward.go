package api

// maxProviderForwards bounds the webhooks of strangers that a node is passing on to the leader at a time: each has a
// connection at the leader that others may need. A leader decides one in milliseconds, so there are not as many unless
// it is in trouble.
const maxProviderForwards = 1_024

// takeForward takes one of the places of webhooks that are being passed on, which is free again once done was called.
// If ok is false, none is free.
func (x *exchange) takeForward() (done func(), ok bool) {
	if x.caller.role != roleProvider {
		return func() {}, true
	}
	done = func() { x.s.webhookForwards.Add(-1) }
	if x.s.webhookForwards.Add(1) > maxProviderForwards {
		done()
		return nil, false
	}
	return done, true
}
