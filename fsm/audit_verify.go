package fsm

// ChainHash returns the hash that the entry has if it comes after one with the previous hash, zeros if it is the first.
// With it those who were told the entries can see whether one was changed, put in or left out. An entry with a part that
// is out of bounds has no hash: the error wraps ErrMalformed.
func (e *AuditEntry) ChainHash(previous [32]byte) (hash [32]byte, err error) {
	b := appendAuditEntry(nil, e)
	whole := append(b[:len(b):len(b)], e.Hash[:]...)
	if _, err := decodeAuditEntry(whole); err != nil {
		return hash, err
	}
	return chainHash(previous, b), nil
}
