package api

// limitAddress refuses a source that sends too many requests. A request that says that another node forwards it is
// looked at when it has been shown whether that is so: the other node has counted its source.
func limitAddress(next handler) handler {
	return func(x *exchange) {
		if x.s.cfg.RequestsPerAddress > 0 && !x.saysForwarded() {
			if p := x.overAddress(); p != nil {
				x.refuse(p)
				return
			}
		}
		next(x)
	}
}

// limitUnproven does what limitAddress has put off, for a request that no other node forwards after all.
func (x *exchange) limitUnproven() *problem {
	if x.s.cfg.RequestsPerAddress > 0 && x.saysForwarded() && !x.forwarded {
		return x.overAddress()
	}
	return nil
}

// overAddress takes a token from the source's bucket, and returns a problem if there is none.
func (x *exchange) overAddress() *problem {
	perSecond := x.s.cfg.RequestsPerAddress
	if q, ok := x.s.perAddress.take(x.source(), perSecond, 1, x.s.now()); !ok {
		return x.limited(limitedAddress, q, "the limit of one address is %d requests per second; nothing was changed",
			perSecond)
	}
	return nil
}
