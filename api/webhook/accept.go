package webhook

// noSecret is what verify returns, instead of the index of the secret that matched, if none did.
const noSecret = -1

// Accept verifies a request and reads it. The error wraps one of this package's; only after ErrUnreadable and
// ErrMissingID is it certain that the provider sent the request. A batch is accepted as a whole or not at all.
//
// One thing is answered without a signature: the challenge of Braintree, a handshake that carries no event.
func Accept(s Source, r Request) (Receipt, error) {
	if err := s.Validate(); err != nil {
		return Receipt{}, err
	}
	p := lookup[s.Provider]
	if p.challenge != nil {
		if receipt, ok := p.challenge(s, r); ok {
			return receipt, nil
		}
	}
	secret, err := p.verify(s, r)
	if err != nil {
		return Receipt{}, err
	}
	receipt, err := p.read(s, r, secret)
	if err != nil {
		return Receipt{}, err
	}
	for i := range receipt.Events {
		e := &receipt.Events[i]
		if err := checkID(e.ID); err != nil {
			return Receipt{}, err
		}
		if e.Type == "" {
			e.Type = e.RawType
		}
	}
	return receipt, nil
}
