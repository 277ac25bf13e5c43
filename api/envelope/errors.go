package envelope

import "errors"

var (
	// ErrNoKEK says that a key-encryption key is needed that this node does not have.
	ErrNoKEK = errors.New("no key-encryption key")
	// ErrDamaged says that what was to be opened is not what was sealed: it was changed or cut, it is of a newer release,
	// or it was sealed for something else.
	ErrDamaged = errors.New("cannot be decrypted")
)

// MissingKEKError is the ErrNoKEK of what was sealed under a key-encryption key that is not there: no other will do.
type MissingKEKError struct {
	ID        string // of the key that is needed
	HasOthers bool   // whether there is any
}

func (e *MissingKEKError) Error() string {
	if e.HasOthers {
		return ErrNoKEK.Error() + ": this node's file lacks " + e.ID
	}
	return ErrNoKEK.Error() + ": this node was given none, and needs " + e.ID
}

// Unwrap makes it an ErrNoKEK.
func (e *MissingKEKError) Unwrap() error { return ErrNoKEK }
