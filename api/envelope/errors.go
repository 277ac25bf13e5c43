package envelope

import "errors"

var (
	// ErrNoKEK says that a key-encryption key is needed that this node does not have.
	ErrNoKEK = errors.New("no key-encryption key")
	// ErrDamaged says that what was to be opened is not what was sealed: it was changed or cut, it is of a newer release,
	// or it was sealed for something else.
	ErrDamaged = errors.New("cannot be decrypted")
)
